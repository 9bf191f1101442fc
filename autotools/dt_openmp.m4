# DT_OPENMP: OPENMP_CFLAGS (compile and link) for the loops of layers/cpu, beside oneDNN's own threads.
AC_DEFUN([DT_OPENMP], [
AC_OPENMP
AS_IF([test "x$ac_cv_prog_c_openmp" = xunsupported],
      [DT_SUMMARY([OpenMP], [no], [-], [own CPU kernels use one thread per rank])],
      [DT_SUMMARY([OpenMP], [yes], [-], [$CC $OPENMP_CFLAGS])])
])
