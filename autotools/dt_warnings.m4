# DT_WARNINGS: the warnings for our files, and --enable-werror.
AC_DEFUN([DT_WARNINGS], [
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [make every compiler warning an error])], [],
              [enable_werror=no])
DT_WARNING_CFLAGS=
for dt_flag in -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes; do
  DT_CC_FLAG([$dt_flag], [DT_WARNING_CFLAGS="$DT_WARNING_CFLAGS $dt_flag"])
done
dt_werror=no
AS_IF([test "x$enable_werror" = xyes], [DT_WARNING_CFLAGS="$DT_WARNING_CFLAGS -Werror"; dt_werror=yes])
AC_SUBST([DT_WARNING_CFLAGS])
DT_CXX_WARNING_CFLAGS="-Wall -Wextra -Wshadow"
AS_IF([test $dt_werror = yes], [DT_CXX_WARNING_CFLAGS="$DT_CXX_WARNING_CFLAGS -Werror"])
AC_SUBST([DT_CXX_WARNING_CFLAGS])
])
