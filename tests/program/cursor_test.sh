#!/bin/bash
# Resuming in the middle of an epoch needs only the cursor: no sample before it is looked up, opened or decoded.
. "$(dirname "$0")/../lib.sh"

job=$TOP_BUILDDIR/tests/program/chaos_job # writes down what its source is asked for, and what that does for it
export DT_CHAOS_OPENS=1
"$DTRAIN" demo-data "$_base/data" >/dev/null || exit 99
train=(--data "$_base/data" --arch resnet18 --image-size 16 --threads 1 --log-every 0 --eval-every 0 --out run)

# go_on RECORD STEPS [RANKS]: trains to STEPS, at a global batch of 4, 359 steps an epoch
go_on()
{
    local ranks=${3:-1}
    mkdir -p "$1"
    expect_exit 0 env DT_CHAOS_RECORD="$1" "$RANKS" "$ranks" "$job" "${train[@]}" --batch $((4 / ranks)) --steps "$2"
}

ids() { sed -n 's/^next //p' "$1"/* | tr ' ' '\n' | LC_ALL=C sort; }

opened() { sed -n 's/^open //p' "$1"/* | LC_ALL=C sort; }

# The names of the samples that were trained on.
trained() { ids "$1" | LC_ALL=C join -o 2.2 - <(sed -n 's/^sample //p' "$1/0" | LC_ALL=C sort) | LC_ALL=C sort; }

# work RECORD: batches requested, files opened, samples decoded, samples looked up
work() { echo "$(sed -n 's/^start [0-9]* [0-9]* //p' "$1"/*) $(opened "$1" | wc -l) $(sed -n 's/^stop //p' "$1"/*)"; }

begin "a resume near the end of an epoch opens only the images of its own steps, and does no more work than one near the beginning"
go_on begin 4
go_on early 7
expect_output 'going on after step 4, epoch 1'
go_on middle 353
go_on late 356
expect_output 'going on after step 353, epoch 1'
[ "$_state" = skipped ] || {
    expect test "$(sed -n 's/^start //p' early/0)" = "0 16 3"
    expect test "$(sed -n 's/^start //p' late/0)" = "0 1412 3"
    expect test "$(trained late | wc -l)" = 12
    expect diff <(opened late) <(trained late)
    expect test "$(work early)" = "3 12 12 12"
    expect test "$(work late)" = "3 12 12 12"
    # the samples before were trained in another start, and no sample was trained twice
    expect test "$(cat <(ids begin) <(ids early) <(ids middle) <(ids late) | sort -u | wc -l)" = $((356 * 4))
}

begin "the same on another number of ranks"
go_on begin 352
go_on late 355 2
expect_output 'going on after step 352, epoch 1'
[ "$_state" = skipped ] || {
    expect diff <(opened late) <(trained late)
    expect test "$(sed -n 's/^start //p' late/1)" = "0 1408 3"
    expect test "$(sed -n 's/^stop //p' late/1)" = "6 6"
    expect test "$(cat <(ids begin) <(ids late) | sort -u | wc -l)" = $((355 * 4))
}

finish
