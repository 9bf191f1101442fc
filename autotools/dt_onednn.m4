# DT_ONEDNN: oneDNN 2.6 to 3.x, whose library is still named dnnl; optional only by --without-onednn. Sets the automake conditionals
#   WITH_ONEDNN  found: the cpu backend is built (DT_WITH_CPU in config.h)
#   ONEDNN_3     its version is 3
AC_DEFUN([DT_ONEDNN], [
AS_IF([test "x$with_onednn" = xno], [DT_ONEDNN_LIBRARY([], [])], [DT_ONEDNN_LIBRARY([libdnnl-dev], [onednn-devel])])
dt_onednn_major=0
AS_IF([test $dt_found_ONEDNN = yes], [
  dt_onednn_major=${dt_version%%.*}
  AS_CASE([$dt_version],
          [0.*|1.*|2.@<:@0-5@:>@.*], [AC_MSG_ERROR([oneDNN $dt_version in $dt_where is too old: 2.6 or later is needed])],
          [2.*|3.*], [],
          [AC_MSG_ERROR([oneDNN $dt_version in $dt_where: dtrain knows the interfaces of 2.6 to 3.x])])
  # Other run-times (TBB, SYCL) have their own threads: --threads would have no effect, and sums would change from run to run.
  dt_save_CPPFLAGS=$CPPFLAGS
  CPPFLAGS="$CPPFLAGS $ONEDNN_CFLAGS"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <oneapi/dnnl/dnnl.h>
#if DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_OMP && DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_SEQ
#error its threads are not those of OpenMP
#endif]], [])], [],
    [AC_MSG_ERROR([oneDNN $dt_version in $dt_where is not built for OpenMP: build it with DNNL_CPU_RUNTIME=OMP, or name another by --with-onednn=DIR (PyPI has onednn-devel-cpu-gomp)])])
  CPPFLAGS=$dt_save_CPPFLAGS
  DT_ONEDNN_THREADS
  AC_DEFINE([DT_WITH_CPU], [1], [Define to 1 if the cpu backend is built])
], [DT_NOTE([no --backend cpu: on a machine without a GPU, --backend ref remains, and is slow])
    DT_WHY_NOT([ONEDNN], [oneDNN], [onednn], [cpu backend])])
AM_CONDITIONAL([WITH_ONEDNN], [test $dt_found_ONEDNN = yes])
AM_CONDITIONAL([ONEDNN_3], [test $dt_onednn_major -ge 3])
])

# DT_ONEDNN_LIBRARY(DEBIAN, DNF): optional if both are empty.
AC_DEFUN([DT_ONEDNN_LIBRARY], [
DT_LIBRARY([ONEDNN], [oneDNN], [onednn], [dnnl], [oneapi/dnnl/dnnl.h], [dnnl], [dnnl_primitive_create],
           [DNNL_VERSION_MAJOR.DNNL_VERSION_MINOR.DNNL_VERSION_PATCH], [$1], [$2], [the cpu backend; --without-onednn builds without it])
])

# DT_ONEDNN_THREADS: oneDNN and the program must use one OpenMP library, or omp_set_num_threads does not reach oneDNN. Those of LLVM and Intel also serve code
# that GCC compiled, if they come first among the program's libraries, as they do under clang; GCC's does not serve code of clang or Intel's compiler
# (__kmpc_fork_call).
AC_DEFUN([DT_ONEDNN_THREADS], [
AC_MSG_CHECKING([whether oneDNN's threads are those of $CC $OPENMP_CFLAGS])
dt_save_CPPFLAGS=$CPPFLAGS
dt_save_CFLAGS=$CFLAGS
dt_save_LIBS=$LIBS
CPPFLAGS="$CPPFLAGS $ONEDNN_CFLAGS"
CFLAGS="$CFLAGS $OPENMP_CFLAGS"
LIBS="$ONEDNN_LIBS $LIBS -ldl"
AC_RUN_IFELSE([AC_LANG_PROGRAM([[#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#ifdef _OPENMP
#include <omp.h>
#endif]], [[Dl_info theirs, ours;
void *start = dlsym(RTLD_DEFAULT, "__kmpc_fork_call"), *count = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
if (dnnl_version()->major < 2)
  return 1;
#ifdef _OPENMP
omp_set_num_threads(2);
#else
if (DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP)
  return 12;
#endif
return start && count && (!dladdr(start, &theirs) || !dladdr(count, &ours) || theirs.dli_fbase != ours.dli_fbase) ? 11 : 0;]])],
  [dt_threads=yes], [dt_threads="no $?"], [dt_threads="unknown: this is a cross build"])
CPPFLAGS=$dt_save_CPPFLAGS
CFLAGS=$dt_save_CFLAGS
LIBS=$dt_save_LIBS
AC_MSG_RESULT([${dt_threads% @<:@0-9@:>@*}])
AS_CASE([$dt_threads],
        ["no 12"], [AC_MSG_ERROR([oneDNN has threads, and $CC has no OpenMP to say how many (clang: install its libomp, on Debian libomp-dev); --without-onednn builds without it])],
        ["no 11"], [AC_MSG_ERROR([oneDNN $dt_version in $dt_where has the OpenMP of LLVM or Intel, and $CC has that of GCC: --threads would not reach it. Say CC=clang CXX=clang++, or LIBS=-liomp5, or name a oneDNN that GCC compiled by --with-onednn=DIR])],
        ["no "*], [AC_MSG_ERROR([oneDNN $dt_version in $dt_where cannot be linked or does not start: see config.log])])
])
