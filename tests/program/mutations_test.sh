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

finish
