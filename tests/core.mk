# Tests of core/. A test program is one line: CORE_TESTS += tests/core/NAME_test (from tests/core/NAME_test.c).
CORE_TESTS += tests/core/testing_test
