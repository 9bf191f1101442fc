#!/bin/bash
# Every source file is in a list of the Makefile fragments; otherwise it would be missing in a distribution, or never run.
. "$(dirname "$0")/../lib.sh"

# unlisted TREE: the files of TREE that no fragment names. NAME.c need not be named if the program NAME is.
unlisted()
{
    (
        cd "$1" || exit
        # shellcheck disable=SC1003 # a backslash
        fragments=$(find . -maxdepth 3 \( -name Makefile.am -o -name '*.mk' \) ! -path './build*' -exec cat {} + | sed 's/#.*//' | tr -s ' \t\\' '\n' | LC_ALL=C sort -u)
        find core layers comm io launch tests benchmarks -type f \
            \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.sh' -o -name '*.py' \) | LC_ALL=C sort |
            while IFS= read -r file; do
                grep -qxF -e "$file" -e "${file%.c}" <<<"$fragments" || echo "$file"
            done
    )
}

begin "every_source_file_is_in_a_list"
found=$(unlisted "$TOP_SRCDIR")
[ -z "$found" ] || fail "in no .mk file:" $found

begin "a_forgotten_file_is_found"
mkdir -p core layers comm io launch tests benchmarks
echo 'core_SOURCES += core/a.c core/a.h # core/b.h' >core/core.mk
echo 'CORE_TESTS += tests/a_test' >tests/core.mk
: >Makefile.am
touch core/a.c core/a.h core/b.h tests/a_test.c tests/b_test.c
expect test "$(unlisted . | tr '\n' ' ')" = "core/b.h tests/b_test.c "

finish
