#!/bin/bash
# make format-check, make spell-check and make shell-check: .ci/style on a tree with planted mistakes.
. "$(dirname "$0")/../lib.sh"

# A tree with one file, standard input.
tree_with()
{
    mkdir -p .ci core layers comm io launch tests benchmarks autotools
    cp "$TOP_SRCDIR/.ci/style" .ci/
    cp "$TOP_SRCDIR/.clang-format" "$TOP_SRCDIR/.codespell-ignore" "$TOP_SRCDIR/.shellcheckrc" .
    touch README.md GNUmakefile Makefile.am configure.ac
    cat >"$1"
}

need_clang_format()
{
    local name
    for name in clang-format-14 clang-format; do
        ! "$name" --version 2>/dev/null | grep -q 'version 14\.' || return 0
    done
    skip "there is no clang-format 14 here"
    return 1
}

need_codespell()
{
    ! command -v codespell >/dev/null || return 0
    skip "there is no codespell here"
    return 1
}

need_shellcheck()
{
    ! command -v shellcheck >/dev/null || return 0
    skip "there is no shellcheck here"
    return 1
}

begin "format_check_names_the_lines_and_format_corrects_them"
need_clang_format && {
    tree_with core/a.c <<<$'int a;\n\nint  b;'
    expect_exit 1 .ci/style format-check
    expect_output '^core/a\.c:3: not formatted$'
    expect_output 'make format mends'
    expect_exit 0 .ci/style format
    expect grep -qx 'int b;' core/a.c
    expect_exit 0 .ci/style format-check
    expect_output '1 files?, all formatted'
}

begin "format_check_names_a_comment_that_is_too_wide"
need_clang_format && {
    tree_with io/a.h <<<"/* $(printf 'ä%.0s' {1..105}) */"
    expect_exit 1 .ci/style format-check
    expect_output '^io/a\.h:1: 111 columns$'
    tree_with io/a.h <<<"/* $(printf 'ä%.0s' {1..104}) */"
    expect_exit 0 .ci/style format-check
}

begin "format_check_names_a_long_file_and_a_long_function"
need_clang_format && {
    { printf 'static void f(void)\n{\n'; yes '    g();' | head -n 51; echo '}'; } | tree_with core/a.c
    yes 'int a;' | head -n 451 >core/b.c
    expect_exit 1 .ci/style format-check
    expect_output '^core/a\.c:2: a function of 51 lines$'
    expect_output '^core/b\.c: more than 450 lines$'
    sed -i 3d core/a.c
    sed -i 3d core/b.c
    expect_exit 0 .ci/style format-check
}

begin "format_check_fails_when_clang_format_does"
need_clang_format && {
    tree_with core/a.c <<<'int a;'
    echo 'NoSuchOption: 1' >.clang-format
    expect_exit 1 .ci/style format-check
    expect_output 'NoSuchOption'
}

begin "spell_check_names_the_line_and_reads_exceptions"
need_codespell && {
    tree_with README.md <<<$'Good.\nA mistake that occ''ured.'
    expect_exit 1 .ci/style spell-check
    expect_output 'README\.md:2: occ''ured ==> occurred'
    expect_output 'codespell-ignore'
    printf 'occ%s\n' ured >>.codespell-ignore
    expect_exit 0 .ci/style spell-check
}

begin "shell_check_names_the_line_whatever_the_script_is_called"
need_shellcheck && {
    tree_with launch/start <<<$'#!/bin/sh\nif [ "$1" == yes ]; then echo $1; fi'
    expect_exit 1 .ci/style shell-check
    expect_output '^launch/start:2:[0-9]+: warning: .*SC3014'
    expect_output '^launch/start:2:[0-9]+: note: .*SC2086'
    echo '# shellcheck shell=bash' >tests/lib.sh
    echo 'unused() { local a=$(false); echo "$a"; }' >>tests/lib.sh
    expect_exit 1 .ci/style shell-check
    expect_output '^tests/lib\.sh:2:.*SC2155'
    printf '#!/bin/sh\n[ "$1" != yes ] || echo "$1"\n' >launch/start
    rm tests/lib.sh
    expect_exit 0 .ci/style shell-check
}

begin "a_missing_tool_is_a_skip_with_a_reason"
tree_with core/a.c <<<'int  a;'
expect_exit 0 env CLANG_FORMAT=no-such-program .ci/style format-check
expect_output 'skipped format-check: there is no clang-format 14'
expect_output '^0 passed, 0 failed, 1 skipped$'
expect_exit 0 env CODESPELL=no-such-program .ci/style spell-check
expect_output 'skipped spell-check: there is no codespell'
expect_exit 0 env SHELLCHECK=no-such-program .ci/style shell-check
expect_output 'skipped shell-check: there is no shellcheck'
expect_exit 1 env CLANG_FORMAT=no-such-program .ci/style format
expect_output 'there is no clang-format 14'

begin "a_typo_shows_the_usage"
expect_exit 2 "$TOP_SRCDIR/.ci/style" formatcheck
expect_output 'usage: .ci/style format-check'

finish
