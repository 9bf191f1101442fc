#!/bin/bash
# lib.sh tests itself: a case that must fail is seen to fail, and the counts are right.
. "$(dirname "$0")/../lib.sh"

lib=$TOP_SRCDIR/tests/lib.sh

begin "failures_and_skips_are_counted"
cat >inner.sh <<EOF
. '$lib'
begin good
expect_exit 3 sh -c 'echo hello; exit 3'
expect_output '^hel+o$'
begin wrong-code
expect_exit 0 false
begin wrong-output
expect_exit 0 echo hello
expect_output goodbye
begin skipped
skip "no reason"
expect_exit 0 false
begin slow
TIME_LIMIT_S=1
expect_exit 0 sleep 20
finish
EOF
expect_exit 1 bash inner.sh
expect_output '^ok good$'
expect_output '^not ok wrong-code$'
expect_output '^not ok wrong-output$'
expect_output '^skipped skipped: no reason$'
expect_output 'time limit of 1 s'
expect_output '^1 passed, 3 failed, 1 skipped$'

begin "all_skipped_is_automakes_77"
printf '%s\n' ". '$lib'" 'begin a' 'skip why' 'finish' >inner.sh
expect_exit 77 bash inner.sh

begin "a_job_in_the_background_has_a_time_limit_too"
cat >inner.sh <<EOF
. '$lib'
begin ends
expect_exit 0 echo of an earlier command
start_job sh -c 'sleep 0.1; exit 5'
expect test ! -s "\$OUTPUT"
end_job
expect test \$code = 5
begin hangs
TIME_LIMIT_S=1
start_job sh -c 'sleep 20; true'
sleep 0.2
child=\$(children \$pid)
expect test -n "\$child"
gone \$child && fail "the child is said to be gone"
end_job
sleep 0.2
gone \$child || fail "the child is still there"
finish
EOF
expect_exit 1 bash inner.sh
expect_output '^ok ends$'
expect_output '^not ok hangs$'
expect_output 'time limit of 1 s: process'
expect_no_output 'the child|false:'

begin "an_argument_picks_cases"
printf '%s\n' ". '$lib'" 'begin one' 'begin two' 'expect false' 'finish' >inner.sh
expect_exit 0 bash inner.sh one
expect_output '^1 passed, 0 failed, 1 skipped$'

begin "an_argument_that_matches_no_case_is_refused_with_a_suggestion"
printf '%s\n' ". '$lib'" 'begin "weights are saved"' 'begin "a port is open"' 'finish' >inner.sh
expect_exit 2 bash inner.sh 'weihts are'
expect_output 'no case has "weihts are" in its name; did you mean$'
expect_output '^  weights are saved$'
expect_no_output '^  a port is open'
expect_exit 2 bash inner.sh nonsense
expect_output 'these are its cases:$'
expect_output '^  a port is open$'

begin "ci_lists_the_slowest_tests_however_many_there_are"
seq 1 50000 | sed 's/.*/&.5 2 program\/x_test (make check)/' >'times'
cat >inner.sh <<END
set -euo pipefail
work=$PWD
. "$TOP_SRCDIR/.ci/lib.sh"
slowest 2
echo survived
END
expect_exit 0 bash inner.sh
expect_output '^50000\.5 s, processor +2\.0 s +program/x_test \(make check\)$'
expect_output '^all 50000 tests: processor 100000\.0 s$'
expect test "$(grep -c 'x_test' "$OUTPUT")" = 2
expect_output '^survived$'

finish
