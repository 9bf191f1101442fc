#!/bin/bash
# Trainings that diverge: what is saved and exported, what the error says, and how to go back.
. "$(dirname "$0")/../lib.sh"

digits "$_base/data" 4 6 2
train=("$DTRAIN" --data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --warmup-epochs 0 --log-every 0 --out run --export w.safetensors "${ANY_BACKEND[@]}")

# Every line of metrics.jsonl is JSON, as RFC 8259 has it: no NaN, no Infinity.
valid_metrics() { expect python3 -c 'import json
def no(text): raise ValueError(text)
for line in open("run/metrics.jsonl"): json.loads(line, parse_constant=no)'; }

begin "an evaluation that is not finite stops the run, and nothing that has diverged is saved or exported"
expect_exit 1 "${train[@]}" --epochs 20 --lr 1000 --checkpoint-every 1 --keep 2
expect_output '^dtrain: the loss is not finite .* at step [0-9]+, .*learning rate [0-9]+.*: lower --lr or lengthen --warmup-epochs; '
expect_output 'the checkpoint of step [0-9]+ was not written: the loss of step [0-9]+ is .*: the training has diverged'
expect test ! -e w.safetensors
valid_metrics
expect test "$(ls run/checkpoints)" = step-00000001

begin "so on two ranks"
expect_exit 1 ranks 2 "${train[@]}" --epochs 20 --lr 1000
expect test "$(grep -c 'the loss is not finite' "$OUTPUT")" = 1
expect test ! -e w.safetensors
expect test ! -e run/checkpoints/step-00000003

begin "a restart that dies at the same step names the checkpoint before, and how to go back to it"
expect_exit 0 "${train[@]}" --steps 4 --checkpoint-every 1 --lr 0.1
for i in 1 2; do
    expect_exit 1 "${train[@]}" --epochs 20 --checkpoint-every 1 --lr 1000
done
expect_output '; every restart from the checkpoint of step [0-9]+ ends here; to go back to that of step [0-9]+, move the folder of step [0-9]+ out of run/checkpoints$'
worse=$(sed -n 's/.*move the folder of step \([0-9]*\) out of.*/\1/p' "$OUTPUT")
older=$(sed -n 's/.*to go back to that of step \([0-9]*\),.*/\1/p' "$OUTPUT")
expect mv "run/checkpoints/$(printf 'step-%08d' "${worse:-0}")" aside
expect_exit 0 "${train[@]}" --steps 8 --lr 0.1
expect_output "going on after step $older,"
valid_metrics

begin "a profile and a training without evaluation end with the loss's error, too"
expect_exit 1 "${train[@]}" --epochs 20 --lr 1000 --eval-every 0 --checkpoint-every 1
expect_output '^dtrain: the loss is not finite .* at step [0-9]+, .* rank .*learning rate [0-9]+'
expect test ! -e w.safetensors

begin "a training on weights that are not finite does not start, and leaves a run as it was"
expect_exit 0 "${train[@]}" --steps 2
python3 -B "$TOP_SRCDIR/tests/program/edit_weights.py" w.safetensors bad.safetensors set bn1.running_var 3 -1 || fail "edit"
expect_exit 1 "${train[@]}" --steps 4 --out other --init bad.safetensors
expect_output '^dtrain: --init: bad.safetensors: bn1.running_var has a negative variance: its element 3 is -1$'
expect_no_output '^epoch'

finish
