# Tests of comm/. A test program is one line: COMM_TESTS += tests/comm/NAME_test (from tests/comm/NAME_test.c).
PROGRAM_TESTS += tests/comm/mpi_test.sh tests/comm/multi_host_test.sh
TEST_HELPERS += tests/comm/mpi_cases tests/comm/mpi_failures
COMM_TESTS += tests/comm/self_test tests/comm/fake_comm_test
TESTS_TSAN += tests/comm/fake_comm_test
