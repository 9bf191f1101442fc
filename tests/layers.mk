# Tests of layers/. A test program is one line: LAYERS_TESTS += tests/layers/NAME_test (from tests/layers/NAME_test.c).
LAYERS_TESTS += tests/layers/net_test
