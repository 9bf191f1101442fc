# Tests of io/. A test program is one line: IO_TESTS += tests/io/NAME_test (from tests/io/NAME_test.c).
IO_TESTS += tests/io/jpeg_test
fakes_SOURCES += tests/io/jpeg_kit.c tests/io/jpeg_kit.h
IO_TESTS += tests/io/resize_test
PROGRAM_TESTS += tests/io/pil_test.sh
TEST_HELPERS += tests/io/sample_dump
EXTRA_DIST += tests/io/pil_compare.py
