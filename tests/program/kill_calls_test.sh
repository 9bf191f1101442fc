#!/bin/bash
# SIGKILL at every system call that a training makes on its checkpoints, one call for each run. After each run the newest checkpoint is whole, and a resume
# gives the bits of the undisturbed run. On two ranks only each sixth call (or six of them), unless `make check-long` runs it.
. "$(dirname "$0")/../lib.sh"

job=$TOP_BUILDDIR/tests/program/kill_job
export DT_KILL_UNDER=checkpoints

# the_job RANKS FOLDER: 6 steps, so checkpoints 2, 4 and 6, of which two are kept
the_job()
{
    if [ "$1" = 1 ]; then
        timeout 60 "$job" "$2/checkpoints" 6 "$2/result" >"$OUTPUT" 2>&1 </dev/null
    else
        timeout 60 "$RANKS" "$1" "$job" "$2/checkpoints" 6 "$2/result" >"$OUTPUT" 2>&1 </dev/null
    fi
}

newest() { ls "$1/checkpoints" 2>/dev/null | grep -E '^step-[0-9]+$' | tail -n 1; }

# A run that was killed after its last commit has one older checkpoint more than the undisturbed one.
same_checkpoints()
{
    [ -z "$(find "$1" -name '*.tmp' -o -name '*.old')" ] && diff -r "$1/checkpoints/$(newest "$1")" "$2/checkpoints/$(newest "$2")"
}

# killed_at RANKS RANK CALL: returns false, and logs why, if the case has failed
killed_at()
{
    local before
    rm -rf run && mkdir run
    (DT_KILL_AT=$3 DT_KILL_RANK=$2 the_job "$1" run) 2>/dev/null && { fail "rank $2 of $1, call $3: it did not die"; return 1; }
    before=$(newest run)
    the_job "$1" run || { fail "rank $2 of $1, call $3: it does not go on"; sed 's/^/    | /' "$OUTPUT"; return 1; }
    if grep -q 'passing over' "$OUTPUT" || { [ -n "$before" ] && ! grep -q "going on after step $((10#${before#step-})), " "$OUTPUT"; }; then
        fail "rank $2 of $1, call $3: $before is not whole"
        sed 's/^/    | /' "$OUTPUT"
        return 1
    fi
    cmp run/result undisturbed/result && same_checkpoints run undisturbed && return 0
    fail "rank $2 of $1, call $3: other bits than the undisturbed run's (from ${before:-the start})"
    return 1
}

for ranks in 1 2; do
    for rank in $(seq 0 $((ranks - 1))); do
        begin "killed_at_every_call_of_rank_${rank}_of_$ranks"
        [ "$_state" != skipped ] || continue
        mkdir undisturbed
        DT_KILL_COUNT=$TMP/calls the_job $ranks undisturbed || fail "the undisturbed run: $(cat "$OUTPUT")"
        calls=$(cat "calls.$rank")
        every=1
        [ $ranks = 1 ] || [ "${DTRAIN_TEST_LONG:-0}" = 1 ] || every=$((calls < 36 ? calls / 6 : 6))
        n=0
        for call in $(seq $((1 + RANDOM % every)) $every "$calls"); do
            killed_at $ranks "$rank" "$call" || break
            n=$((n + 1))
        done
        echo "  $n of $calls calls of rank $rank of $ranks"
        expect test "$n" -ge $((calls / every - 1)) -a "$n" -gt 5
    done
done

# mirrored RANKS: 4 steps, so checkpoints 2 and 4, and both are copied
mirrored()
{
    local command=("$job" run/checkpoints 4 run/result run/mirror)
    [ "$1" = 1 ] || command=("$RANKS" "$1" "${command[@]}")
    timeout 60 "${command[@]}" >"$OUTPUT" 2>&1 </dev/null
}

# The first folder is lost with the process: the resume uses the mirror alone.
killed_in_the_mirror()
{
    local before
    rm -rf run && mkdir run
    (DT_KILL_UNDER=mirror DT_KILL_AT=$3 DT_KILL_RANK=$2 mirrored "$1") 2>/dev/null && { fail "rank $2 of $1, call $3: it did not die"; return 1; }
    before=$(ls run/mirror 2>/dev/null | grep -E '^step-[0-9]+$' | tail -n 1)
    rm -rf run/checkpoints
    mirrored "$1" && ! grep -q 'passing over' "$OUTPUT" && { [ -z "$before" ] || grep -q "going on after step $((10#${before#step-})), " "$OUTPUT"; } &&
        cmp run/result undisturbed/result && [ -z "$(find run -name '*.tmp' -o -name '*.old')" ] && diff -r run/mirror/step-00000004 undisturbed/mirror/step-00000004 &&
        return 0
    fail "rank $2 of $1, call $3 in the mirror (from ${before:-the start})"
    sed 's/^/    | /' "$OUTPUT"
    return 1
}

for ranks in 1 2; do
    for rank in $(seq 0 $((ranks - 1))); do
        begin "killed_at_every_call_in_the_mirror_of_rank_${rank}_of_$ranks"
        [ $ranks = 1 ] || long_case
        [ "$_state" != skipped ] || continue
        mkdir run
        DT_KILL_UNDER=mirror DT_KILL_COUNT=$TMP/calls mirrored $ranks || fail "the undisturbed run: $(cat "$OUTPUT")"
        mv run undisturbed
        calls=$(cat "calls.$rank")
        n=0
        for call in $(seq "$calls"); do
            killed_in_the_mirror $ranks "$rank" "$call" || break
            n=$((n + 1))
        done
        echo "  $n of $calls calls in the mirror of rank $rank of $ranks"
        expect test "$n" = "$calls" -a "$n" -gt 5
    done
done

finish
