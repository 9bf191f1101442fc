#!/bin/bash
# tests/mutations/run: its lists fit this tree. Nothing is built here: the mutations are run by hand.
. "$(dirname "$0")/../lib.sh"

RUN=$TOP_SRCDIR/tests/mutations/run

need_python()
{
    ! command -v python3 >/dev/null || return 0
    skip "there is no python3"
    return 1
}

begin "every_mutation_can_be_applied_to_this_tree"
need_python && {
    expect_exit 0 "$RUN" --list
    expect test "$(grep -c '^[a-z]*:[0-9]* ' "$OUTPUT")" -ge 150
}

begin "a_mutation_that_cannot_be_applied_is_an_error_with_file_and_line"
need_python && {
    printf '@ core/base/rng.h: good\n- #ifndef DT_CORE_BASE_RNG_H\n+ #ifndef OTHER\n\n# no such line\n@ core/base/rng.c: bad\n- no such line\n' >planted.txt
    expect_exit 1 "$RUN" --list planted.txt
    expect_output '^planted:1 core/base/rng.h: good$'
    expect_output '^planted\.txt:6: core/base/rng\.c has these lines 0 times, not once$'
    printf '@ core/base/nothing.c: bad\n- line\n' >planted.txt
    expect_exit 1 "$RUN" --list planted.txt
    expect_output '^planted\.txt:1: there is no core/base/nothing\.c$'
    printf '@ core/base/rng.h: bad\n- #endif\n> tests/program/nothing_test.sh\n' >planted.txt
    expect_exit 1 "$RUN" --list planted.txt
    expect_output '^planted\.txt:1: there is no test tests/program/nothing_test\.sh$'
}

begin "a_list_that_cannot_be_read_is_an_error_with_file_and_line"
need_python && {
    for lines in '= survives: ' '= survive: reason' '= equivalent' '+ new' 'text'; do
        printf '@ core/base/rng.h: one\n%s\n' "$lines" >planted.txt
        expect_exit 1 "$RUN" --list planted.txt
        expect_output '^run: planted\.txt:2: '
    done
    printf '@ core/base/rng.h: one\n- same\n+ same\n' >planted.txt
    expect_exit 1 "$RUN" --list planted.txt
    expect_output '^run: planted\.txt:1: changes nothing$'
    printf '@ io/durable.c: one\n- a\n' >core.txt
    expect_exit 1 "$RUN" --list ./core.txt
    expect_output '^run: core\.txt:1: io/durable\.c is not in core/$'
}

begin "one_mutation_of_a_list_of_ones_own_is_chosen_by_its_number"
need_python && {
    printf '@ core/base/rng.h: one\n- #ifndef DT_CORE_BASE_RNG_H\n\n@ core/base/rng.h: two\n- #define DT_CORE_BASE_RNG_H\n' >own.txt
    expect_exit 0 "$RUN" --list own.txt:2
    expect_output '^own:2 core/base/rng.h: two$'
    expect_no_output '^own:1'
    expect_exit 1 "$RUN" --list own.txt:3
    expect_output '^run: there is no mutation own\.txt:3$'
}

begin "two_runs_in_one_folder_and_a_commit_that_is_not_there_are_refused"
need_python && if git -C "$TOP_SRCDIR" rev-parse -q --verify HEAD >/dev/null 2>&1; then
    mkdir busy
    printf '@ core/base/rng.h: one\n- #ifndef DT_CORE_BASE_RNG_H\n' >own.txt
    {
        flock 9
        expect_exit 1 "$RUN" own.txt --folder busy
        expect_output '^run: another run works in .*/busy$'
    } 9>busy/lock
    expect_exit 1 "$RUN" --list --against none own.txt
    expect_output '^run: git rev-parse in '
    echo '{' >busy/results.json
    expect_exit 1 "$RUN" --score --folder busy own.txt
    expect_output '^run: .*/busy/results\.json: '
else
    skip "this is no git checkout"
fi

finish
