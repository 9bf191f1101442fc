# Tests of io/. A test program is one line: IO_TESTS += tests/io/NAME_test (from tests/io/NAME_test.c).
