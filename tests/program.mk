# Tests of the whole program and of the tree, as scripts: PROGRAM_TESTS += tests/program/NAME_test.sh. See tests/lib.sh.
