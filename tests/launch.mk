# Tests of launch/. A test program is one line: LAUNCH_TESTS += tests/launch/NAME_test (from tests/launch/NAME_test.c).
LAUNCH_TESTS += tests/launch/table_test
LAUNCH_TESTS += tests/launch/affinity_test tests/launch/options_test tests/launch/signals_test tests/launch/suggest_test tests/launch/weights_test
LAUNCH_TESTS += tests/launch/ranks_test
LAUNCH_TESTS += tests/launch/fit_test
LAUNCH_TESTS += tests/launch/run_lock_test
LAUNCH_TESTS += tests/launch/duration_test tests/launch/events_test tests/launch/http_test tests/launch/spot_test
TESTS_TSAN += tests/launch/events_test tests/launch/spot_test
