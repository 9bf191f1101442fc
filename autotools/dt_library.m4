# DT_LIBRARY(VAR, NAME, OPTION, PKG-CONFIG MODULES, HEADER, LIBRARY, FUNCTION, VERSION, DEBIAN, DNF, PURPOSE, [MORE LIBRARIES])
#
# Looks for one library and sets VAR_CFLAGS, VAR_LIBS, dt_found_VAR (yes, no), HAVE_VAR in config.h, and its row of the summary.
# --with-OPTION=DIR takes DIR/include and DIR/lib (or lib64); otherwise pkg-config, then the compiler's own paths.
# VERSION is what the preprocessor makes of HEADER's version macros, for example [JANSSON_VERSION]; a ~ in it becomes a space.
# DEBIAN and DNF name the package in the message when it is missing; an empty DEBIAN makes the library optional.
#
# To add a library: autotools/dt_NAME.m4 with one DT_LIBRARY call, DT_NAME in configure.ac, a row in autotools/packages.txt.
#
# dt_VAR_off_with (shell): the OPTION that turned this library off, if that was another library's.
#
# dt_VAR_dir (shell): the folder of the library where --with-OPTION gave one.
#
# dt_VAR_preset_cflags and dt_VAR_preset_libs (shell) are tried before pkg-config, for libraries with their own tool.

AC_DEFUN([DT_LIBRARY], [
AC_ARG_WITH([$3], [AS_HELP_STRING([--with-$3=DIR], [$2 in DIR/include and DIR/lib])], [], [with_[]m4_translit([$3], [-], [_])=])
AC_SUBST([$1_CFLAGS])
AC_SUBST([$1_LIBS])
dt_found_$1=no
dt_dir=$with_[]m4_translit([$3], [-], [_])
dt_where=
dt_why=
test "x$dt_dir" = xyes && dt_dir=
AC_MSG_CHECKING([for $2])
AS_IF([test "x$dt_dir" = xno], [dt_why="turned off with --without-${dt_$1_off_with:-$3}"],
      [test -n "$dt_$1_preset_libs"],
      [$1_CFLAGS=$dt_$1_preset_cflags; $1_LIBS=$dt_$1_preset_libs; dt_where=$dt_$1_preset_where],
      [test -n "$dt_dir"],
      [$1_CFLAGS="-I$dt_dir/include"
       dt_libdir=$dt_dir/lib
       for dt_d in "$dt_dir/lib64" "$dt_dir/lib"; do
         AS_IF([ls "$dt_d"/lib$6.* >/dev/null 2>&1], [dt_libdir=$dt_d])
       done
       $1_LIBS="-L$dt_libdir -Wl,-rpath,$dt_libdir -l$6[]m4_ifval([$12], [ $12])"
       dt_$1_dir=$dt_libdir
       dt_where=$dt_dir
       test -f "$dt_dir/include/$5" || dt_why="there is no $dt_dir/include/$5"],
      [test -n "$4" && test -n "$DT_PKG_CONFIG" && $DT_PKG_CONFIG --exists $4],
      [$1_CFLAGS=`$DT_PKG_CONFIG --cflags $4`; $1_LIBS=`$DT_PKG_CONFIG --libs $4`
       dt_where="pkg-config $4"],
      [$1_CFLAGS=; $1_LIBS="-l$6[]m4_ifval([$12], [ $12])"; dt_where="the compiler's paths"])
AS_IF([test -z "$dt_why"],
      [dt_save_CPPFLAGS=$CPPFLAGS; dt_save_LIBS=$LIBS
       CPPFLAGS="$CPPFLAGS $$1_CFLAGS"; LIBS="$$1_LIBS $LIBS"
       AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stddef.h>
#include <stdio.h>
#include <$5>]], [[return (void *)&$7 == NULL;]])],
                      [dt_found_$1=yes], [dt_why="<$5> or -l$6 not found, or not usable: see config.log"])
       CPPFLAGS=$dt_save_CPPFLAGS; LIBS=$dt_save_LIBS])
dt_version=
AS_IF([test $dt_found_$1 = yes],
      [AC_LANG_CONFTEST([AC_LANG_SOURCE([[#include <stdio.h>
#include <$5>
dt_version_is $8]])])
       # The preprocessor puts line markers (#) into the expansion of a system header's macro.
       dt_version=`$CPP $CPPFLAGS $$1_CFLAGS conftest.c 2>/dev/null | $SED -n '/^dt_version_is/,$p' | $SED '/^#/d; s/^dt_version_is//' | tr -d ' "\n' | tr '~' ' '`
       rm -f conftest.c
       # A single number is CUDA's version: 13020 for 13.2.
       AS_CASE([$dt_version], [''|*@<:@!0-9@:>@*], [], [dt_version=`expr $dt_version / 1000`.`expr $dt_version % 1000 / 10`])
       AC_MSG_RESULT([yes, $dt_version ($dt_where)])
       AC_DEFINE([HAVE_$1], [1], [Define to 1 if $2 was found: $11])
       AC_DEFINE_UNQUOTED([DT_$1_VERSION], ["$dt_version"], [The version of $2 that was built against])],
      [AC_MSG_RESULT([no: $dt_why])
       $1_CFLAGS=; $1_LIBS=
       dt_version=-
       dt_where=$dt_why
       m4_ifval([$9], [DT_MISSING([$2], [$3], [$9], [$10], [$11])],
                [test -n "$dt_dir" && test "x$dt_dir" != xno && AC_MSG_ERROR([--with-$3=$dt_dir: $dt_why])])])
DT_SUMMARY([$2], [$dt_found_$1], [$dt_version], [$dt_where])
])

# DT_SUMMARY(NAME, FOUND, VERSION, WHERE): a row of the table at the end of configure.
AC_DEFUN([DT_SUMMARY], [dt_summary="$dt_summary`printf '  %-14s %-6s %-17s %s' "$1" "$2" "$3" "$4"`
"])

# DT_NOTE(TEXT): a line below that table: what this build does not have.
AC_DEFUN([DT_NOTE], [dt_notes="$dt_notes
  $1"])

# DT_WHY_NOT(VAR, NAMES, OPTION, WHAT): puts into config.h, as DT_WHY_NO_VAR, why WHAT is not built, for messages of the program.
AC_DEFUN([DT_WHY_NOT], [
dt_why="configure did not find $2; autotools/README.md says where to get it"
test "x$with_$3" != xno || dt_why="configure was given --without-${dt_$1_off_with:-$3}"
AC_DEFINE_UNQUOTED([DT_WHY_NO_$1], ["$dt_why"], [Why there is no $4])
])

# DT_MISSING(NAME, OPTION, DEBIAN, DNF, PURPOSE): remembers a missing library, so that one error at the end names them all.
AC_DEFUN([DT_MISSING], [
dt_missing="$dt_missing
  $1 ($5): $dt_why
    Debian, Ubuntu: apt-get install $3
    Amazon Linux, Fedora: m4_if([$4], [-], [not packaged: build it], [dnf install $4])
    elsewhere: --with-$2=DIR, with its headers in DIR/include"])

# DT_LIBRARIES_COMPLETE: stops with one message when a required library is missing.
AC_DEFUN([DT_LIBRARIES_COMPLETE], [
AS_IF([test -n "$dt_missing"], [AC_MSG_ERROR([these libraries are missing:
$dt_missing
])])])
