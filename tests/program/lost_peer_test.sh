#!/bin/bash
# A lost rank: which ranks name it, what mpirun returns, and that a loop that repeats the command finishes the run with the same bits.
. "$(dirname "$0")/../lib.sh"

job=$TOP_BUILDDIR/tests/program/chaos_job # dtrain with a small network
export DT_CHAOS_RECORD=record DT_CHAOS_PACE_MS=0
"$DTRAIN" demo-data "$_base/data" >/dev/null || exit 99
train=(--data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --threads 1 --workers 1 --log-every 0 --eval-every 0
    --steps 40 --checkpoint-every 10)

# The loop of README.md, with its codes. Faults are armed for its first start, $1; $launcher starts N CMD...
goes_on=$(sed -n 's/^ *case \$code in \([0-9|]*\)) ;;.*/\1/p' "$TOP_SRCDIR/README.md")
launcher=$RANKS
loop()
{
    local fault=$1 code n=0
    shift
    rm -f trained.safetensors
    until [ -e trained.safetensors ]; do
        code=0
        DTRAIN_FAULT=$fault "$launcher" 2 "$job" "$@" --export trained.safetensors || code=$?
        echo "start ended with code $code"
        [[ "|$goes_on|" == *"|$code|"* ]] || return $code
        fault=
        [ $((n += 1)) -lt 4 ] || return 99
    done
}

begin "README's loop finishes a run whose ranks are killed or freeze, with the same bits"
mkdir record
expect_exit 0 ranks 2 "$job" "${train[@]}" --out undisturbed
for fault in train.step@0:25:kill train.step@1:25:stop comm.all_gather@1:1:stop; do
    rm -rf record/* run
    loop $fault "${train[@]}" --peer-timeout 3 --out run >"$OUTPUT" 2>&1 || fail "$fault: the loop ended with code $?"
    case $fault in
    *stop)
        expect_output '^start ended with code 75$'
        expect_output '^dtrain: rank 0 on [^ ]+: .*there is no sign of rank 1 \([^)]+\): '
        ;;
    *) expect_output "^start ended with code ($KILLED_CODE)\$" ;;
    esac
    case $fault in
    train.step*) expect_output 'going on after step [12]0' ;; # all_gather: it is lost at the start, with nothing there
    esac
    for shard in shard-0000-of-0002.h5 shard-0001-of-0002.h5; do
        expect cmp undisturbed/checkpoints/step-00000040/$shard run/checkpoints/step-00000040/$shard
    done
    expect test -z "$(find run -name '*.tmp' -o -name lock)"
done

begin "a rank that writes for longer than --peer-timeout does not count as lost"
mkdir record
for fault in store.rename@0:1:sleep=6 store.fsync@1:1:sleep=6; do
    rm -rf record/* run
    expect_exit 0 env DTRAIN_FAULT=$fault "$RANKS" 2 "$job" "${train[@]}" --peer-timeout 2 --out run
done

begin "a rank that is lost while ranks exchange their shards ends the training with code 75"
mkdir record
# The last four of twelve all-gathers are those of the checkpoints. The trainer waits for a checkpoint when the next one is due, and until then trains on.
expect_exit 75 env DTRAIN_FAULT=store.fsync@1:1:sleep=2,comm.all_gather@1:9:stop "$RANKS" 2 "$job" "${train[@]}" --peer-timeout 2 --out run
expect_output 'there is no sign of rank 1 '
expect_output '^dtrain: rank 0 on .*; the same command goes on'

begin "the loop ends with an error that a restart would repeat"
mkdir record
loop '' "${train[@]}" --out run --resume must >"$OUTPUT" 2>&1
code=$?
expect test $code = 2
expect test "$(grep -c '^start ended' "$OUTPUT")" = 1

begin "the loop continues if the launcher returns 0 and the run is not done"
mkdir record
printf '#!/bin/sh\n"%s" "$@"\nexit 0\n' "$RANKS" >launcher
chmod +x launcher
launcher=./launcher loop train.step@0:25:kill "${train[@]}" --out run >"$OUTPUT" 2>&1 || fail "the loop ended with code $?"
expect test "$(grep -c '^start ended with code 0$' "$OUTPUT")" = 2
expect_output 'going on after step [12]0'

begin "the other ranks name a killed rank if mpirun keeps them alive"
mkdir record
need_mpi openmpi4 && { # with Open MPI 5's option mpirun returns 0; with MPICH's the others are killed all the same
    expect_exit "$KILLED_CODE" env DTRAIN_FAULT=train.step@1:5:kill "$RANKS" --keep-others 2 "$job" "${train[@]}" --peer-timeout 3 --out run
    expect_output '^dtrain: rank 0 on [^ ]+: .*step [0-9]+.* there is no sign of rank 1 \([^)]+\): '
}

finish
