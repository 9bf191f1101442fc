#!/bin/bash
# The outputs of a training: checkpoints, their mirror, the exported weights, metrics.jsonl, the log, the profile. One that fails cuts off no other.
. "$(dirname "$0")/../lib.sh"

digits "$_base/data" 4 6 2
train=("$DTRAIN" --data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --steps 3 --log-every 0 --out run --export w.safetensors "${ANY_BACKEND[@]}")
(cd "$_base" && "${train[@]}" >/dev/null 2>&1) || exit 99

same_weights() { expect cmp -s w.safetensors "$_base/w.safetensors"; }
has_events() { expect python3 -c 'import json, sys
events = [json.loads(line)["event"] for line in open("run/metrics.jsonl")]
sys.exit(not set(sys.argv[1:]) <= set(events))' "$@"; }

begin "a last checkpoint that fails at any point: the weights are exported, the metrics end, code 1"
for point in begin write manifest rename $(if_long open space fsync hash manifest.write manifest.fsync folder.fsync); do
    rm -rf run w.safetensors
    expect_exit 1 env DTRAIN_FAULT=store.$point:1:always "${train[@]}"
    expect_output '^dtrain: error: the checkpoint of step 3 was not written: '
    expect_output '^dtrain: the weights are in w.safetensors'
    expect_output '^dtrain: the training is done, but its last checkpoint was not written: '
    expect_output '^final '
    same_weights
    has_events eval end
done

begin "so on two ranks, wherever it fails"
for rank in 1 $(if_long 0); do
    rm -rf run w.safetensors
    expect_exit 1 ranks 2 env DTRAIN_FAULT=store.fsync@$rank:1:always "${train[@]}"
    expect test "$(grep -c 'the training is done, but its last checkpoint was not written: ' "$OUTPUT")" = 1
    expect test -s w.safetensors
    has_events eval end
done

begin "--max-checkpoint-failures that is reached with the last step ends nothing"
expect_exit 1 env DTRAIN_FAULT=store.open:1:always "${train[@]}" --checkpoint-every 1 --max-checkpoint-failures 2
expect_output '^dtrain: the training is done, but its last checkpoint was not written: '
same_weights

begin "a last evaluation that fails: checkpoint and weights are written, code 1, and the next start evaluates"
expect_exit 1 env DTRAIN_FAULT=evaluate.batch:1 "${train[@]}"
expect_output '^dtrain: the training is done, but its last evaluation failed: evaluate.batch: '
same_weights
expect test -f run/checkpoints/step-00000003/manifest.json
expect_exit 0 "${train[@]}"
expect_output '^final '

begin "an export that fails: the checkpoint is whole and the metrics end, code 1"
for point in fsync $(if_long write rename); do
    rm -rf run
    expect_exit 1 env DTRAIN_FAULT=safetensors.$point:1:always "${train[@]}"
    expect_output '^dtrain: .*w.safetensors'
    expect test ! -e w.safetensors
    expect test -f run/checkpoints/step-00000003/manifest.json
    has_events eval checkpoint end
done

begin "two outputs that fail: the first is the error, the second is logged"
expect_exit 1 env DTRAIN_FAULT=store.fsync:1:always,safetensors.fsync:1:always "${train[@]}"
expect_output '^dtrain: error: .*w.safetensors.*: fsync failed'
expect_output '^dtrain: the training is done, but its last checkpoint was not written: .*fsync failed'

begin "metrics and the mirror that fail: warnings, code 0, and the rest is written"
expect_exit 0 env DTRAIN_FAULT=jsonl.write:1:always,mirror.write:1:always "${train[@]}" --checkpoint-mirror mirror
expect_output '^dtrain: warning: metrics.jsonl: .*\(the training goes on\)'
expect_output '^dtrain: warning: metrics.jsonl: [0-9]+ events could not be written'
expect_output '^dtrain: warning: mirror: the checkpoint of step 3 was not copied to mirror: '
same_weights
expect test -f run/checkpoints/step-00000003/manifest.json

begin "a stderr that is full or closed ends nothing" # streams_test.sh has shorter trainings
long_case && for to in '>/dev/full' '>&-'; do
    rm -rf run w.safetensors
    expect_exit 0 bash -c "\"\$@\" 2$to" bash "${train[@]}"
    same_weights
    has_events eval checkpoint end
done

begin "a profile that cannot be printed: the weights are exported, code 1"
expect_exit 1 bash -c '"$@" >/dev/full' bash "${train[@]}" --profile 1
expect_output '^dtrain: the weights are in w.safetensors'
expect_output '^dtrain: cannot print a table: No space left on device'

begin "a disk for checkpoints without room, and one for exports with room"
if unshare -rm mount -t tmpfs none "$TMP" 2>/dev/null; then
    mkdir small
    expect_exit 1 unshare -rm bash -c 'mount -t tmpfs -o size=1m none small && "$@"' bash "${train[@]}" --checkpoint-dir small/c
    expect_output '^dtrain: the training is done, but its last checkpoint was not written: .*No space left on device'
    same_weights
    rm -rf run w.safetensors
    expect_exit 1 unshare -rm bash -c 'mount -t tmpfs -o size=1m none small && "$@"' bash "${train[@]}" --export small/w.safetensors
    expect_output '^dtrain: small/w.safetensors.tmp: No space left on device'
    expect test -f run/checkpoints/step-00000003/manifest.json
else
    skip "mounting in a user namespace is not allowed here"
fi

finish
