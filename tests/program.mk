# Tests of the whole program and of the tree, as scripts: PROGRAM_TESTS += tests/program/NAME_test.sh. See tests/lib.sh.
PROGRAM_TESTS += tests/program/configure_test.sh
PROGRAM_TESTS += tests/program/harness_test.sh
TEST_HELPERS += tests/program/planted_failures tests/program/planted_ranks
PROGRAM_TESTS += tests/program/includes_test.sh
PROGRAM_TESTS += tests/program/lib_test.sh
PROGRAM_TESTS += tests/program/lists_test.sh
PROGRAM_TESTS += tests/program/packages_test.sh
