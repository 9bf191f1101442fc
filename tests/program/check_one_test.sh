#!/bin/bash
# make check-one: tests/check-one with a make that only prints what it would build, and a script as test program.
. "$(dirname "$0")/../lib.sh"

check_one=(env UNIT_TESTS="tests/core/base/rng_test tests/io/source/gone_test" PROGRAM_TESTS="tests/program/errors_test.sh tests/program/cursor_test.sh"
    PROGRAMS="tests/core/base/rng_test tests/program/chaos_job tests/program/kill_job" BUILD="echo building" bash "$TOP_SRCDIR/tests/check-one")

build_with()
{
    mkdir -p build/tests/core/base
    cat >build/tests/core/base/rng_test
    chmod +x build/tests/core/base/rng_test
}

begin "a_unit_test_is_built_alone_and_run"
build_with <<'END'
#!/bin/sh
[ "$1" = --list ] && { echo equal_seeds; echo other_seeds; exit; }
echo "ran: ${1:-all}"
END
for name in core/base/rng_test tests/core/base/rng_test.c ./tests/core/base/rng_test; do
    expect_exit 0 env TOP_BUILDDIR="$PWD/build" T=$name "${check_one[@]}"
    expect_output '^building tests/core/base/rng_test$'
    expect_output '^ran: all$'
done
expect_exit 0 env TOP_BUILDDIR="$PWD/build" T=core/base/rng_test CASE=equal "${check_one[@]}"
expect_output '^ran: equal$'
expect_exit 2 env TOP_BUILDDIR="$PWD/build" T=core/base/rng_test CASE=equal_seds "${check_one[@]}"
expect_output 'no case of core/base/rng_test has "equal_seds" in its name; did you mean'
expect_output '^  equal_seeds$'
expect_no_output 'ran:'

begin "a_failure_is_returned_and_a_skip_is_success"
build_with <<<$'#!/bin/sh\n[ "$1" = --list ] || exit 1'
expect_exit 1 env TOP_BUILDDIR="$PWD/build" T=core/base/rng_test "${check_one[@]}"
build_with <<<$'#!/bin/sh\n[ "$1" = --list ] || exit 77'
expect_exit 0 env TOP_BUILDDIR="$PWD/build" T=core/base/rng_test "${check_one[@]}"

begin "a_script_gets_the_program_and_the_helpers_that_it_names"
expect_exit 2 env T=program/cursor_test CASE=no-such-case "${check_one[@]}"
expect_output '^building all$'
expect_output '^building tests/program/chaos_job$'
expect_no_output 'kill_job|rng_test'
expect_output 'no case has "no-such-case"'

begin "a_test_that_does_not_exist_gets_a_suggestion"
expect_exit 2 env T=program/erors_test "${check_one[@]}"
expect_output 'there is no test program/erors_test; did you mean$'
expect_output '^  program/errors_test$'
expect_exit 2 env T=base/rng "${check_one[@]}"
expect_output '^  core/base/rng_test$'
expect_exit 2 env T= "${check_one[@]}"
expect_output 'T= is missing'
expect_no_output building

begin "a_test_that_this_build_cannot_link_is_named"
expect_exit 2 env T=io/source/gone_test "${check_one[@]}"
expect_output 'needs CUnit'
expect_exit 2 env T=core/base/error_test "${check_one[@]}"
expect_output 'not a test of this build'

finish
