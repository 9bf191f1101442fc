# DT_CUNIT: CUnit, for the unit tests of make check. Optional: sets the automake conditional WITH_CUNIT.
AC_DEFUN([DT_CUNIT], [
DT_LIBRARY([CUNIT], [CUnit], [cunit], [cunit], [CUnit/CUnit.h], [cunit], [CU_initialize_registry],
           [CU_VERSION], [], [CUnit-devel], [unit tests])
AS_IF([test $dt_found_CUNIT = no],
      [DT_NOTE([no unit tests: make check runs the scripts alone (CUnit is libcunit1-dev on Debian and Ubuntu, CUnit-devel on Fedora)])])
AM_CONDITIONAL([WITH_CUNIT], [test $dt_found_CUNIT = yes])
])
