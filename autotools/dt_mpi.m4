# DT_MPI: Open MPI. Its wrapper tells the flags; the compiler stays CC. Also finds MPIRUN, for the tests and the demo.
AC_DEFUN([DT_MPI], [
dt_mpicc=
dt_mpi_path=$PATH:/usr/lib64/openmpi/bin:/opt/amazon/openmpi/bin
AS_IF([test -n "$with_mpi" && test "x$with_mpi" != xyes && test "x$with_mpi" != xno], [dt_mpi_path=$with_mpi/bin])
AC_PATH_PROG([MPICC], [mpicc], [], [$dt_mpi_path])
AC_PATH_PROGS([MPIRUN], [mpirun mpiexec], [mpirun], [$dt_mpi_path])
AS_IF([test -n "$MPICC" && dt_MPI_preset_libs=`"$MPICC" --showme:link 2>/dev/null`],
      [dt_MPI_preset_cflags=`"$MPICC" --showme:compile 2>/dev/null`
       dt_MPI_preset_where=$MPICC],
      [dt_MPI_preset_libs=])
DT_LIBRARY([MPI], [Open MPI], [mpi], [ompi-c], [mpi.h], [mpi], [MPI_Init_thread],
           [OMPI_MAJOR_VERSION.OMPI_MINOR_VERSION.OMPI_RELEASE_VERSION],
           [libopenmpi-dev openmpi-bin], [openmpi-devel], [communication between ranks])
])
