# DT_MPI: any MPI 3.1. Its wrapper prints the flags; the compiler stays CC. Also finds the launcher, MPIRUN, for the tests and the demo.
# MPICC=NAME and MPIRUN=NAME choose one of several MPIs; --with-mpi=DIR takes those in DIR/bin.
AC_DEFUN([DT_MPI], [
AC_ARG_VAR([MPICC], [the wrapper of the MPI to build with; only asked for its flags])
AC_ARG_VAR([MPIRUN], [the launcher of that MPI, for the tests and `make demo'])
dt_mpi_path=$PATH:/usr/lib64/openmpi/bin:/opt/amazon/openmpi/bin:/usr/lib64/mpich/bin
AS_IF([test -n "$with_mpi" && test "x$with_mpi" != xyes && test "x$with_mpi" != xno], [dt_mpi_path=$with_mpi/bin])
dt_MPICC_given=$MPICC
DT_MPI_PROGRAM([MPICC], [mpicc mpiicx mpiicc])
# mpicc.mpich's launcher is mpiexec.mpich, in the same folder.
dt_mpi_suffix=`AS_ECHO(["$MPICC"]) | $SED -n 's|.*/mpicc\(@<:@.-@:>@@<:@^/@:>@*\)$|\1|p'`
AS_IF([test -n "$MPICC"], [dt_mpi_path=`AS_DIRNAME(["$MPICC"])`:$dt_mpi_path])
DT_MPI_PROGRAM([MPIRUN], [mpirun$dt_mpi_suffix mpiexec$dt_mpi_suffix mpirun mpiexec])
: ${MPIRUN:=mpirun}
DT_MPI_FLAGS
DT_LIBRARY([MPI], [MPI], [mpi], [ompi-c], [mpi.h], [mpi], [MPI_Init_thread], [
#if defined OMPI_MAJOR_VERSION
"Open~MPI~" OMPI_MAJOR_VERSION.OMPI_MINOR_VERSION.OMPI_RELEASE_VERSION
#elif defined I_MPI_VERSION
"Intel~MPI~" I_MPI_VERSION
#elif defined CRAY_MPICH_VERSION
"Cray~MPICH~" CRAY_MPICH_VERSION
#elif defined MVAPICH2_VERSION
"MVAPICH2~" MVAPICH2_VERSION
#elif defined MPICH_VERSION
"MPICH~" MPICH_VERSION
#else
"MPI~" MPI_VERSION.MPI_SUBVERSION
#endif
], [libopenmpi-dev openmpi-bin], [openmpi-devel], [communication between ranks])
AC_DEFINE_UNQUOTED([DT_MPIRUN_NAME], ["`AS_BASENAME(["$MPIRUN"])`"], [What a user types to start ranks])
# Ranks that another MPI's launcher starts do not find each other.
dt_launcher=`"$MPIRUN" --version 2>/dev/null`
AS_CASE([$dt_version,$dt_launcher],
  [Open*,*open-mpi.org*|-,*|*,|*,slurm*], [],
  [Open*|*,*open-mpi.org*], [AC_MSG_WARN([$MPIRUN is not the launcher of $dt_version, which was found: give the right one as MPIRUN=NAME])])
])

# DT_MPI_PROGRAM(VAR, NAMES): the path of what the user gave in VAR, or of the first of NAMES; empty if there is none.
AC_DEFUN([DT_MPI_PROGRAM], [
dt_given=$[]$1
AS_UNSET([$1])
AS_IF([test -n "$dt_given"], [dt_names=$dt_given], [dt_names="$2"])
AS_CASE([$dt_given],
  [*/*], [$1=$dt_given
          AS_IF([test ! -x "$dt_given"], [AC_MSG_ERROR([$1=$dt_given: there is no such program])])],
  [AC_PATH_PROGS([$1], [$dt_names], [], [$dt_mpi_path])
   AS_IF([test -n "$dt_given" && test -z "$$1"], [AC_MSG_ERROR([$1=$dt_given: there is no such program in PATH${with_mpi:+ nor in $with_mpi/bin}; give its whole path, or a name that is in PATH])])])
])

# DT_MPI_FLAGS: the flags that the wrapper passes to the compiler. Open MPI's wrapper has an option for each kind of flags; those of MPICH, Intel, Cray and
# MVAPICH print their whole command. Without a wrapper, a compiler that links MPI itself works too: CC=mpicc, and Cray's cc.
AC_DEFUN([DT_MPI_FLAGS], [
dt_MPI_preset_libs=
dt_MPI_preset_cflags=
AS_IF([test "x$with_mpi" = xno], [],
      [test -n "$MPICC" && dt_MPI_preset_libs=`"$MPICC" --showme:link 2>/dev/null` && test -n "$dt_MPI_preset_libs"],
      [dt_MPI_preset_cflags=`"$MPICC" --showme:compile 2>/dev/null`
       dt_MPI_preset_where=$MPICC],
      [test -n "$MPICC" && dt_command=`"$MPICC" -show 2>/dev/null`],
      [dt_MPI_preset_libs=
       dt_both=no
       dt_MPI_preset_where=$MPICC
       for dt_word in $dt_command; do
         # -Xlinker and -isystem have their argument in the next word.
         AS_CASE([$dt_both,$dt_word],
           [link,*], [dt_MPI_preset_libs="$dt_MPI_preset_libs $dt_word"; dt_both=no],
           [compile,*], [dt_MPI_preset_cflags="$dt_MPI_preset_cflags $dt_word"; dt_both=no],
           [*,-Xlinker], [dt_MPI_preset_libs="$dt_MPI_preset_libs $dt_word"; dt_both=link],
           [*,-isystem], [dt_MPI_preset_cflags="$dt_MPI_preset_cflags $dt_word"; dt_both=compile],
           [*,-I*|*,-D*], [dt_MPI_preset_cflags="$dt_MPI_preset_cflags $dt_word"],
           [*,-pthread], [dt_MPI_preset_cflags="$dt_MPI_preset_cflags $dt_word"; dt_MPI_preset_libs="$dt_MPI_preset_libs $dt_word"],
           [*,-L*|*,-l*|*,-Wl,*|*,*.a|*,*.so], [dt_MPI_preset_libs="$dt_MPI_preset_libs $dt_word"])
       done],
      [test -n "$dt_MPICC_given"],
      [AC_MSG_ERROR([MPICC=$MPICC prints no flags, neither with --showme:link nor with -show: give the wrapper of an MPI, for example mpicc])],
      [test -z "$with_mpi"],
      [AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>]], [[return MPI_Init(0, 0);]])],
                      [dt_MPI_preset_libs=" "; dt_MPI_preset_where="$CC by itself"])])
])
