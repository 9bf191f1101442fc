#!/bin/bash
# --eval-resize and --eval-crop: which values an evaluation has, and what they do to its loss.
. "$(dirname "$0")/../lib.sh"

train=(--data few --arch resnet18 --image-size 16 --batch 8 --epochs 1 --steps 1 --threads 1 --workers 1 --log-every 0 --eval-every 0 "${ANY_BACKEND[@]}")
loss()
{
    expect_exit 0 "$DTRAIN" eval --data few --threads 1 --workers 1 "${ANY_BACKEND[@]}" "$@"
    loss=$(sed -n 's/^val_loss \([0-9.]*\) .*/\1/p' "$OUTPUT")
}

begin "eval_uses_the_trainings_values_unless_it_is_given_others"
digits few 4 4 5
expect_exit 0 "$DTRAIN" "${train[@]}" --out run --eval-crop 0.5 --eval-resize 20 --export run.safetensors
expect_output '^eval-resize +│ 20 +│ command line'
trained=$(sed -n 's/^final .* loss \([0-9.]*\).*/\1/p' "$OUTPUT")
expect_exit 0 "$DTRAIN" export run --output exported.safetensors
expect cmp run.safetensors exported.safetensors
loss --weights run && of_20=$loss
expect test "$(printf %.4f "$of_20")" = "$trained"
loss --weights run.safetensors
expect test "$loss" = "$of_20"
loss --weights run --eval-crop 1 # does not count with a number
expect test "$loss" = "$of_20"
loss --weights run --eval-resize none && of_none=$loss
loss --weights run --eval-resize auto && of_auto=$loss # with --eval-crop 0.5: 32 pixels, as the digits have
expect test "$of_auto" = "$of_none" -a "$of_auto" != "$of_20"
loss --weights run --eval-resize auto --eval-crop 0.8
expect test "$loss" = "$of_20"
loss --weights run --eval-resize auto --eval-crop 1 && of_16=$loss
loss --weights run --eval-resize 16
expect test "$loss" = "$of_16" -a "$of_16" != "$of_20"
expect_exit 2 "$DTRAIN" eval --data few --weights run --image-size 24 "${ANY_BACKEND[@]}"
expect_output "^dtrain: --image-size: 24 pixels are more than the training's --eval-resize, 20: give --eval-resize too\$"

finish
