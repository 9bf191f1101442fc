# Tests of comm/. A test program is one line: COMM_TESTS += tests/comm/NAME_test (from tests/comm/NAME_test.c).
TEST_HELPERS += tests/comm/mpi_cases
