# DT_COMPILER: C11, the flags that results depend on, and pkg-config.
AC_DEFUN([DT_COMPILER], [
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#if !defined __STDC_VERSION__ || __STDC_VERSION__ < 201112L
#error not C11
#endif
#include <stdatomic.h>]], [])], [], [AC_MSG_ERROR([$CC does not compile C11 with <stdatomic.h>])])

dt_cc_version=`$CC -dumpfullversion -dumpversion 2>/dev/null`

# -fno-math-errno allows single instructions for sqrtf and the like. -ffp-contract=off: a*b+c is rounded twice, as written, so that
# results do not depend on the FMAs that a compiler finds; code that needs an FMA calls fmaf().
# They are not in CFLAGS, because a user may replace CFLAGS, and results must not change.
DT_CFLAGS=
for dt_flag in -fno-math-errno -ffp-contract=off; do
  DT_CC_FLAG([$dt_flag], [DT_CFLAGS="$DT_CFLAGS $dt_flag"])
done
AC_SUBST([DT_CFLAGS])

# A program loads only libraries that it uses: a unit test of core/ starts without MPI.
DT_LDFLAGS=
AC_MSG_CHECKING([whether the linker takes --as-needed])
dt_save_LDFLAGS=$LDFLAGS
LDFLAGS="$LDFLAGS -Wl,--as-needed"
AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [DT_LDFLAGS=-Wl,--as-needed; AC_MSG_RESULT([yes])], [AC_MSG_RESULT([no])])
LDFLAGS=$dt_save_LDFLAGS
AC_SUBST([DT_LDFLAGS])

AC_PATH_PROGS([DT_PKG_CONFIG], [pkg-config pkgconf])
])

# DT_CC_FLAG(FLAG, IF-ACCEPTED, [IF-NOT]): whether the compiler takes a flag without a warning.
AC_DEFUN([DT_CC_FLAG], [
AC_MSG_CHECKING([whether $CC takes $1])
dt_save_CFLAGS=$CFLAGS
CFLAGS="$CFLAGS -Werror $1"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [dt_ok=yes], [dt_ok=no])
CFLAGS=$dt_save_CFLAGS
AC_MSG_RESULT([$dt_ok])
AS_IF([test $dt_ok = yes], [$2], [$3])])
