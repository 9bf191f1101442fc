# DT_CUNIT: CUnit, for make check only.
AC_DEFUN([DT_CUNIT], [
DT_LIBRARY([CUNIT], [CUnit], [cunit], [cunit], [CUnit/CUnit.h], [cunit], [CU_initialize_registry],
           [CU_VERSION], [libcunit1-dev], [CUnit-devel], [unit tests])
])
