#!/bin/bash
# tests/testing.c: tests that fail, hang, skip or crash are reported as such.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cunit

planted=$TOP_BUILDDIR/tests/program/planted_failures
planted_ranks=$TOP_BUILDDIR/tests/program/planted_ranks
DTRAIN_TEST_SLOWER=1
export DTRAIN_TEST_SLOWER

begin "a_failed_check_is_reported_with_line_and_values"
expect_exit 1 "$planted" a_check_fails
expect_output 'planted_failures\.c:[0-9]+: .* is 2, expected 3'
expect_output 'planted_failures\.c:[0-9]+: .* is "abc", expected "abd"'
expect_output 'planted_failures\.c:[0-9]+: .* is "abc", without "x"'
expect_output '^not ok a_check_fails'
expect_output '^0 passed, 1 failed, 0 skipped$'

begin "a_failed_require_ends_the_test"
expect_exit 1 "$planted" a_require
expect_output '1 > 2'
expect_no_output 'not reached'

begin "the_worst_element_of_an_array_is_named"
expect_exit 1 "$planted" a_float_array
expect_output 'relative error 0\.167, allowed 0\.1; worst at \[1\]: 2, expected 2\.5'

begin "a_test_that_hangs_is_named_and_killed"
expect_exit 124 "$planted" it_hangs
expect_output 'time limit reached in it_hangs'

begin "skips_alone_exit_with_77"
expect_exit 77 "$planted" it_skips it_is_long
expect_output 'nothing to do'
expect_output '^0 passed, 0 failed, 2 skipped$'
expect_exit 0 "$planted" it_skips it_passes
expect_output '^1 passed, 0 failed, 1 skipped$'
expect_exit 0 env DTRAIN_TEST_LONG=1 "$planted" it_is_long

begin "a_crash_is_a_failure"
expect_exit 134 "$planted" it_crashes

begin "a_name_that_matches_no_test_is_an_error"
expect_exit 99 "$planted" no_such_test

begin "a_test_starts_its_ranks_and_fails_if_one_rank_fails"
expect_exit 0 "$planted_ranks" all_pass
expect_output '^1 passed, 0 failed, 0 skipped$'
expect_exit 77 "$planted_ranks" all_skip
expect_exit 1 "$planted_ranks" rank_2_fails
expect_output 'rank 2: .*planted_ranks\.c:[0-9]+: rank\(\) != 2'

begin "a_leak_is_a_failure_under_AddressSanitizer"
[ -n "${LSAN_OPTIONS:-}" ] || skip "built without AddressSanitizer"
expect_exit 1 "$planted" it_leaks
expect_output 'LeakSanitizer: detected memory leaks'
expect_output 'in it_leaks '

begin "a_race_is_a_failure_under_ThreadSanitizer"
[ -n "${TSAN_OPTIONS:-}" ] || skip "built without ThreadSanitizer"
expect_exit 66 "$planted" it_races
expect_output 'ThreadSanitizer: data race'

finish
