# DT_SANITIZER: --enable-sanitizer=LIST, a comma list of address, undefined, thread (thread goes with undefined only).
# Sets DT_SANITIZER_CFLAGS (compile and link) and the conditionals ASAN and TSAN.
AC_DEFUN([DT_SANITIZER], [
AC_ARG_ENABLE([sanitizer],
  [AS_HELP_STRING([--enable-sanitizer=LIST], [build with sanitizers: address, undefined, thread; several with commas])], [],
  [enable_sanitizer=no])
dt_sanitizer=none
dt_asan=no
dt_tsan=no
DT_SANITIZER_CFLAGS=
AS_IF([test "x$enable_sanitizer" = xyes], [AC_MSG_ERROR([--enable-sanitizer wants a list of address, undefined, thread])])
AS_IF([test "x$enable_sanitizer" != xno], [
  for dt_one in `echo "$enable_sanitizer" | tr , ' '`; do
    AS_CASE([$dt_one],
            [address], [dt_asan=yes],
            [thread], [dt_tsan=yes],
            [undefined], [],
            [AC_MSG_ERROR([--enable-sanitizer=$enable_sanitizer: "$dt_one" is none of address, undefined, thread])])
  done
  AS_IF([test $dt_asan$dt_tsan = yesyes],
        [AC_MSG_ERROR([--enable-sanitizer=$enable_sanitizer: address and thread exclude each other])])
  # A finding of UBSan ends the program, as ASan's do, so that the test fails.
  DT_SANITIZER_CFLAGS="-fsanitize=$enable_sanitizer -fno-sanitize-recover=undefined"
  dt_save_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS $DT_SANITIZER_CFLAGS"
  AC_MSG_CHECKING([whether $CC links with $DT_SANITIZER_CFLAGS])
  AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])],
                 [AC_MSG_RESULT([no])
                  AC_MSG_ERROR([--enable-sanitizer=$enable_sanitizer: $CC cannot link with it (is libasan, libubsan, libtsan installed?)])])
  CFLAGS=$dt_save_CFLAGS
  # With the sanitizers' checks in between, GCC no longer sees that a length was checked before.
  DT_CC_FLAG([-Wno-format-truncation], [DT_SANITIZER_CFLAGS="$DT_SANITIZER_CFLAGS -Wno-format-truncation"])
  dt_sanitizer=$enable_sanitizer
])
AC_SUBST([DT_SANITIZER_CFLAGS])
AM_CONDITIONAL([ASAN], [test $dt_asan = yes])
AM_CONDITIONAL([TSAN], [test $dt_tsan = yes])
AC_DEFINE_UNQUOTED([DT_BUILD_SANITIZER], ["$dt_sanitizer"], [The sanitizers built in, for `dtrain info`])
])
