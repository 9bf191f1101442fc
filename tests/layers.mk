# Tests of layers/. A test program is one line: LAYERS_TESTS += tests/layers/NAME_test (from tests/layers/NAME_test.c).
LAYERS_TESTS += tests/layers/net_test
LAYERS_TESTS += tests/layers/backend_cases_test
# Operations of a backend against another's: tests/backend_cases.h.
fakes_SOURCES += tests/backend_cases.c tests/backend_cases.h tests/backend_cases_conv.c tests/backend_cases_ends.c \
	tests/backend_cases_norm.c tests/backend_kit.c tests/backend_kit.h
