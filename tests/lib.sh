# shellcheck shell=bash
# lib.sh: for tests of whole programs. A script tests/program/NAME_test.sh, listed in tests/program.mk, looks like this:
#
#     #!/bin/bash
#     . "$(dirname "$0")/../lib.sh"
#
#     begin "an unknown option is refused with code 2"
#     expect_exit 2 "$DTRAIN" --nonsense
#     expect_output 'unknown option'
#
#     finish
#
# begin NAME             starts a case; its name states the behaviour. The case runs in a fresh empty folder, $TMP, until the next begin.
# expect_exit CODE CMD.. runs CMD (at most $TIME_LIMIT_S seconds, no input), keeps its output in $OUTPUT and fails on another code; "9|15": either
# expect_output REGEX    the last command's output (stdout and stderr) has a line that matches the extended REGEX
# expect_no_output REGEX it has none
# expect_tables_of_80_columns   it has a table, and no row of one is wider
# expect CMD...          CMD succeeds (for test, grep, cmp)
# start_job CMD...       runs CMD in the background, its output in $OUTPUT; sets $pid. ranks N CMD... may stand for CMD
# end_job                waits for it, $TIME_LIMIT_S seconds at most, and sets $code; a job that takes longer is killed and fails the case
# children PID           the processes that PID started, one a line
# ranks_of PID           the ranks of `start_job ranks N CMD...`, one a line
# gone PID               the process does not exist, or is a zombie
# fail MESSAGE           the case fails, and continues
# skip REASON            the case is skipped: until the next begin commands still run, but their results do not count
# need_shared NAME       sets $SHARED to the shared data file NAME, or skips and returns 1:  need_shared x.tar && { ...; }
# need_no_gpu            skips and returns 1 where there is an NVIDIA driver
# all_cases_need NEED    before the first begin: NEED, one of the need_... here, holds for every case
# need_cpu_backend       skips and returns 1 where this build has no cpu backend (configure --without-onednn)
# need_cunit             skips and returns 1 where the test programs are not built, since configure found no CUnit
# need_clean_source      skips and returns 1 where configure cannot run in another folder
# digits FOLDER          makes FOLDER, the digits of dtrain demo-data
# digits FOLDER C T V    the first T of each of the first C classes to train on, V to evaluate on
# long_case              skips and returns 1 unless `make check-long` runs it
# if_long WORD...        prints the words where `make check-long` runs, else nothing:  for x in a b $(if_long c d); do
# ranks N CMD...         CMD as N ranks, after expect_exit:  expect_exit 0 ranks 2 "$DTRAIN" ...
# "$RANKS" N CMD...      the same as a command:  expect_exit 9 env DTRAIN_FAULT=... "$RANKS" 3 CMD; its options: mpi.sh
# need_mpi KIND...       skips and returns 1 where the launcher is none of these kinds: mpi.sh
# finish                 the last line: ends the last case, prints `N passed, N failed, N skipped`, exits
#
# Arguments of the script pick the cases whose names contain one of them; the others count as skipped. If none does, it exits with 2.
# Variables: DTRAIN (the program), TOP_SRCDIR, TOP_BUILDDIR, MPIRUN, MPI_KIND and others of mpi.sh, TIME_LIMIT_S (of each command; longer under a
# sanitizer), ANY_BACKEND (an array for small trainings of dtrain: empty, or --backend ref where there is no cpu backend).
set -u

TOP_SRCDIR=${TOP_SRCDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
TOP_BUILDDIR=${TOP_BUILDDIR:-$TOP_SRCDIR/build}
DTRAIN=${DTRAIN:-$TOP_BUILDDIR/dtrain}
RANKS=$TOP_SRCDIR/tests/ranks
. "$TOP_SRCDIR/tests/mpi.sh"
TIME_LIMIT_S=$((${TIME_LIMIT_S:-120} * ${DTRAIN_TEST_SLOWER:-1}))
ulimit -c 0
ANY_BACKEND=(--backend ref)
! grep -qs '^#define DT_WITH_CPU 1' "$TOP_BUILDDIR/config.h" || ANY_BACKEND=()

_name=
_state=
_passed=0
_failed=0
_skipped=0
_pick=("$@")
_names=()
_n_picked=0
_all_need=
_base=$(mktemp -d "${TMPDIR:-/tmp}/dtrain-test-XXXXXX") || exit 99
_home=$PWD
OUTPUT=
TMP=$_base
trap 'cd /; rm -rf "$_base"' EXIT
trap 'exit 99' HUP INT TERM

_judge()
{
    [ -n "$_name" ] || return 0
    case $_state in
    passed) _passed=$((_passed + 1)); echo "ok $_name" ;;
    failed) _failed=$((_failed + 1)); echo "not ok $_name" ;;
    skipped) _skipped=$((_skipped + 1)); echo "skipped $_name: $_why" ;;
    esac
    _name=
    cd "$_home" && rm -rf "$TMP"
}

_picked()
{
    local part
    _names+=("$1")
    [ ${#_pick[@]} -gt 0 ] || return 0
    for part in "${_pick[@]}"; do
        case $1 in *"$part"*) _n_picked=$((_n_picked + 1)); return 0 ;; esac
    done
    return 1
}

_check_picks()
{
    local like
    [ ${#_pick[@]} -gt 0 ] && [ "$_n_picked" = 0 ] || return 0
    like=$(printf '%s\n' "${_names[@]}" | "$TOP_SRCDIR/tests/suggest" "${_pick[*]}")
    echo "no case has \"${_pick[*]}\" in its name; $([ -n "$like" ] && echo "did you mean" || echo "these are its cases:")"
    sed 's/^/  /' <<<"${like:-$(printf '%s\n' "${_names[@]}")}"
    exit 2
}

begin()
{
    _judge
    _name=$1
    _state=passed
    TMP=$_base/case-$((_passed + _failed + _skipped))
    OUTPUT=$_base/output
    : >"$OUTPUT"
    mkdir -p "$TMP" && cd "$TMP" || exit 99
    _picked "$1" || skip "not picked"
    [ -z "$_all_need" ] || $_all_need
}

all_cases_need()
{
    _all_need=$1
}

fail()
{
    [ "$_state" != skipped ] || return 0
    _state=failed
    echo "  $_name: $*"
}

skip()
{
    [ "$_state" != failed ] || return 0
    _state=skipped
    _why=$*
}

expect_exit()
{
    local want=$1 got
    shift
    [ "$_state" != skipped ] || return 0
    if [ "$1" = ranks ]; then
        shift
        set -- "$RANKS" "$@"
    fi
    { timeout --kill-after=10 "$TIME_LIMIT_S" "$@"; } >"$OUTPUT" 2>&1 </dev/null
    got=$?
    if [ "$got" -eq 124 ] && [ "$want" != 124 ]; then
        fail "time limit of $TIME_LIMIT_S s: $*"
    elif [[ "|$want|" != *"|$got|"* ]]; then
        fail "exit code $got, expected $want: $*"
    else
        return 0
    fi
    tail -n 30 "$OUTPUT" | sed 's/^/    | /'
    return 1
}

start_job()
{
    [ "$_state" != skipped ] || set -- true
    if [ "$1" = ranks ]; then
        shift
        set -- "$RANKS" "$@"
    fi
    : >"$OUTPUT" # before the job runs: a case that waits for a line must not find that of an earlier command
    "$@" >"$OUTPUT" 2>&1 </dev/null &
    pid=$!
}

# Reads /proc: a bare machine has neither ps nor pgrep.
children()
{
    local file stat
    for file in /proc/[0-9]*/stat; do
        { read -r stat <"$file"; } 2>/dev/null || continue
        set -- "$1" ${stat##*) } # state, parent
        [ "$3" != "$1" ] || echo "${stat%% *}"
    done | sort -n
}

# Hydra has a process between the launcher and the ranks.
ranks_of()
{
    local child
    for child in $(children "$1"); do
        if [ "$MPI_KIND" = mpich ]; then children "$child"; else echo "$child"; fi
    done
}

gone()
{
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    case ${stat##*) } in [ZX]*) return 0 ;; esac
    return 1
}

end_job()
{
    local left=$((TIME_LIMIT_S * 20))
    while ! gone $pid && [ $((left -= 1)) -gt 0 ]; do sleep 0.05; done 2>/dev/null # where bash says that it was killed
    gone $pid || {
        fail "time limit of $TIME_LIMIT_S s: process $pid"
        tail -n 30 "$OUTPUT" | sed 's/^/    | /'
        kill -9 $pid $(children $pid) $(ranks_of $pid) 2>/dev/null
    }
    wait $pid 2>/dev/null
    code=$?
}

expect_output()
{
    [ "$_state" != skipped ] || return 0
    grep -Eq -e "$1" "$OUTPUT" && return 0
    fail "no line of the output matches: $1"
    tail -n 30 "$OUTPUT" | sed 's/^/    | /'
    return 1
}

expect_no_output()
{
    [ "$_state" != skipped ] || return 0
    grep -Eq -e "$1" "$OUTPUT" || return 0
    fail "a line of the output matches: $1"
    grep -E -e "$1" "$OUTPUT" | head -n 30 | sed 's/^/    | /'
    return 1
}

# There is a table in the output, and none is wider than 80 columns. Lines beside a table may be longer.
expect_tables_of_80_columns()
{
    local rows
    expect_output '(─┼─|-[+]-)' || return 1
    [ "$_state" != skipped ] || return 0
    rows=$(LC_ALL=C.UTF-8 grep -E '^.{81}' "$OUTPUT" | grep -E '( [|] | │ |─┼─|-[+]-)')
    [ -n "$rows" ] || return 0
    fail "a table is wider than 80 columns"
    sed 's/^/    | /' <<<"$rows"
    return 1
}

expect()
{
    [ "$_state" != skipped ] || return 0
    "$@" && return 0
    fail "false: $*"
    return 1
}

need_shared()
{
    SHARED=$TOP_SRCDIR/../shared/data/$1
    [ -r "$SHARED" ] && return 0
    skip "there is no ../shared/data/$1"
    return 1
}

need_mpi()
{
    local kind
    for kind; do [ "$kind" != "$MPI_KIND" ] || return 0; done
    skip "the launcher is of the kind $MPI_KIND"
    return 1
}

need_no_gpu()
{
    [ ! -e /proc/driver/nvidia ] && return 0
    skip "there is an NVIDIA driver"
    return 1
}

need_cpu_backend()
{
    [ ${#ANY_BACKEND[@]} = 0 ] && return 0
    skip "this build has no cpu backend: it was configured without oneDNN"
    return 1
}

need_clean_source()
{
    [ -x "$TOP_SRCDIR/configure" ] || { skip "there is no ./configure"; return 1; }
    [ ! -f "$TOP_SRCDIR/config.status" ] || { skip "the source folder is itself configured"; return 1; }
}

need_cunit()
{
    grep -qs '^#define HAVE_CUNIT 1' "$TOP_BUILDDIR/config.h" && return 0
    skip "CUnit is missing: configure did not find it"
    return 1
}

# The whole set is written once for each script.
digits()
{
    local all=$_base/all-digits class
    [ -d "$all" ] || "$DTRAIN" demo-data "$all" >/dev/null 2>&1 || { fail "dtrain demo-data"; return 1; }
    [ $# -gt 1 ] || { cp -r "$all" "$1"; return; }
    for class in $(ls "$all/train" | head -n "$2"); do
        mkdir -p "$1/train/$class" "$1/val/$class"
        ls "$all/train/$class"/*.jpg | head -n "$3" | xargs cp -t "$1/train/$class"
        ls "$all/val/$class"/*.jpg | head -n "$4" | xargs cp -t "$1/val/$class"
    done
}

long_case()
{
    [ "${DTRAIN_TEST_LONG:-0}" = 1 ] && return 0
    skip "long: run by make check-long"
    return 1
}

if_long()
{
    [ "${DTRAIN_TEST_LONG:-0}" != 1 ] || echo "$@"
}

finish()
{
    _judge
    _check_picks
    echo "$_passed passed, $_failed failed, $_skipped skipped"
    [ "$_failed" -eq 0 ] || exit 1
    [ "$_passed" -gt 0 ] || exit 77
    exit 0
}
