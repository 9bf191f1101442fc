# shellcheck shell=bash
# lib.sh: runs steps, counts tests and times them, for .ci/run, .ci/suite and tests/cross/aarch64.sh. A script that runs steps sets $work first,
# a folder of its own.
passed=0 failed=0 skipped=0

title() { printf '\n==== %s (%d s so far)\n' "$*" "$SECONDS"; }

# step NAME LIMIT_S COMMAND: runs COMMAND with its output in $work/step.log, and prints the end of it on failure. COMMAND runs in the
# background, so that this script handles a signal at once; stop_step ends it.
running=
step() {
    local name=$1 limit=$2 code=0
    shift 2
    title "$name"
    # A background job of bash ignores SIGINT and passes that on. Its tests send SIGINT, so restore the default.
    env --default-signal=INT,QUIT timeout --kill-after=30 "$limit" "$@" >"$work/step.log" 2>&1 &
    running=$!
    wait "$running" || code=$?
    running=
    [ "$code" -ne 0 ] || return 0
    case $code in
    124 | 137) echo "---- $name took more than $limit s: $*" ;;
    *) echo "---- $name failed with code $code: $*" ;;
    esac
    grep -av ' passed, [0-9]* failed' "$work/step.log" | tail -n 100
    return 1
}

stop_step() {
    [ -n "$running" ] || return 0
    kill -TERM "$running" 2>/dev/null || true
    wait "$running" || true
}

# add LINE: adds a line `N passed, N failed[, N skipped]` to the totals; returns false if LINE is no such line.
add() {
    [[ $1 =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]] || return 1
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
}

# add_output FILE: adds all such lines of FILE; returns false if there is none.
add_output() {
    local line found=1
    while IFS= read -r line; do
        if add "$line"; then found=0; fi
    done < <(tr -d '\r' <"$1")
    return "$found"
}

# counted_step NAME LIMIT_S COMMAND: a step that prints how many cases passed. A step that prints no such line counts as one case, and one that
# fails without a failed case as one failed case.
counted_step() {
    local ok=0 before=$failed
    step "$@" || ok=1
    if ! add_output "$work/step.log" && [ "$ok" -eq 0 ]; then passed=$((passed + 1)); fi
    [ "$ok" -eq 0 ] || [ "$failed" -gt "$before" ] || failed=$((failed + 1))
    return "$ok"
}

# add_logs FOLDER NAME: adds the last lines of the logs of all tests in a build folder, keeps their times in $work/times for slowest, and prints
# the ends of the logs of failed tests.
add_logs() {
    local results test log line n=0
    while IFS= read -r results; do
        log=${results%.trs}.log
        line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1 || true)
        n=$((n + 1))
        add "$line" || true
        test=${results#"$1/tests/"}
        awk -v test="${test%.trs} ($2)" '$1 == ":seconds:" { seconds = $2 } $1 == ":user:" || $1 == ":system:" { cpu += $2 }
            END { if (seconds != "") print seconds, cpu, test }' "$results" >>"$work/times"
        if ! grep -qE '^:test-result: (PASS|SKIP)' "$results"; then
            # A test that ended before it printed its count.
            [[ $line =~ ' 0 failed' || -z $line ]] && failed=$((failed + 1))
            printf -- '---- %s: %s\n' "$2" "$log"
            grep -av ' passed, [0-9]* failed' "$log" | tail -n 60
        fi
        grep -aE '^ *skipped' "$log" | sed "s|^|$2: $(basename "$log" .log): |" || true
    done < <(find "$1/tests" -name '*.trs' | LC_ALL=C sort)
    if [ "$n" -eq 0 ]; then
        echo "---- $2: no test ran"
        failed=$((failed + 1))
    fi
}

# slowest N: the N tests of all logs so far that took longest, and their processor seconds.
slowest() {
    [ -s "$work/times" ] || return 0
    title "the slowest tests"
    # Reads all of its input: with pipefail, a `sort` whose reader has left would end the script.
    sort -k1,1gr "$work/times" | awk -v n="$1" '
        { seconds = $1; cpu = $2; all += cpu; $1 = $2 = ""; if (NR <= n) printf "%7.1f s, processor %7.1f s %s\n", seconds, cpu, $0 }
        END { printf "all %d tests: processor %.1f s\n", NR, all }'
}

# tested_step FOLDER NAME LIMIT_S COMMAND: a step that runs the tests of the build in FOLDER; add_logs counts its cases.
tested_step() {
    local folder=$1 ok=0 before=$failed
    shift
    step "$@" || ok=1
    add_logs "$folder" "$1"
    [ "$ok" -eq 0 ] || [ "$failed" -gt "$before" ] || failed=$((failed + 1))
    return "$ok"
}

# demo NAME LIMIT_S COMMAND: a step that runs the demo, one case. The two ranks must reach 97% on digits that they have not seen.
demo() {
    if step "$@" && grep -E '^final +top-1 +(9[7-9]|100)\.' "$work/step.log"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        return 1
    fi
}
