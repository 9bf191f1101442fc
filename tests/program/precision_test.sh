#!/bin/bash
# --precision fp16 with its loss scale, and --ema, in the whole program, on the reference backend, which rounds as a GPU does.
. "$(dirname "$0")/../lib.sh"
export OMP_NUM_THREADS=1

train="--data ../digits --arch resnet18 --image-size 16 --batch 8 --epochs 1 --threads 1 --eval-every 0 --flip 0 --eval-crop 1 --lr 0.01"

need_digits()
{
    [ -d ../digits ] || digits ../digits
}

# values FILE EVENT FIELD: one a line
values()
{
    grep "\"event\": \"$2\"" "$1" 2>/dev/null | sed -n "s/.*\"$3\": \([-0-9.e+]*\).*/\1/p"
}

begin "fp16_skips_steps_until_the_scale_fits_and_logs_it"
need_digits
expect_exit 0 "$DTRAIN" $train --backend ref --precision fp16 --loss-scale 16777216 --steps 14 --out run
expect_output 'step 1 was skipped: gradients overflowed; the loss scale is 8\.38861e\+06 now'
expect test "$(values run/metrics.jsonl step loss_scale | head -n 1)" = 8388608
skipped=$(values run/metrics.jsonl step skipped_steps | tail -n 1)
expect test "${skipped:-0}" -ge 4
expect test "${skipped:-99}" -le 13
expect grep -q "\"skipped_steps\": $skipped," run/checkpoints/step-00000014/manifest.json
# a resumed training has the scale
expect_exit 0 "$DTRAIN" $train --backend ref --precision fp16 --loss-scale 16777216 --steps 15 --out run
expect test "$(values run/metrics.jsonl step skipped_steps | tail -n 1)" = "$skipped"

begin "fp16_on_two_ranks_gives_the_losses_of_one_rank_that_accumulates"
need_digits
expect_exit 0 "$DTRAIN" $train --backend ref --precision fp16 --loss-scale 1024 --accumulate 2 --steps 2 --out one --export one.safetensors
expect_exit 0 ranks 2 "$DTRAIN" $train --backend ref --precision fp16 --loss-scale 1024 --steps 2 --out two --export two.safetensors
expect test "$(values one/metrics.jsonl step loss)" = "$(values two/metrics.jsonl step loss)"
expect test "$(values one/metrics.jsonl eval val_loss)" = "$(values two/metrics.jsonl eval val_loss)"

begin "bf16_needs_no_scale"
need_digits
expect_exit 0 "$DTRAIN" $train --backend ref --precision bf16 --steps 2 --out run
expect test -z "$(values run/metrics.jsonl step loss_scale)"

begin "tf32_trains_resumes_and_evaluates_near_fp32"
need_digits
mkdir few # all training images, one of each class to evaluate
ln -s ../../digits/train few/train
for class in ../digits/val/*/; do
    mkdir -p "few/val/$(basename "$class")"
    cp "$(find "$class" -name '*.jpg' | sort | head -n 1)" "few/val/$(basename "$class")"
done
tf32="$train --data few --backend ref --precision tf32"
expect_exit 0 "$DTRAIN" $train --data few --backend ref --steps 1 --out plain
expect_exit 0 "$DTRAIN" $tf32 --steps 2 --out whole --export whole.safetensors
expect_exit 0 "$DTRAIN" $tf32 --steps 1 --out parts
expect_exit 0 "$DTRAIN" $tf32 --steps 2 --out parts --export parts.safetensors
expect cmp whole.safetensors parts.safetensors
expect test "$(values whole/metrics.jsonl step loss)" = "$(values parts/metrics.jsonl step loss)"
expect test -z "$(values whole/metrics.jsonl step loss_scale)"
# the first step has the same weights and images in both
first=$(values whole/metrics.jsonl step loss | head -n 1) of_fp32=$(values plain/metrics.jsonl step loss)
expect test "$first" != "$of_fp32"
expect test "$(awk -v a="$first" -v b="$of_fp32" 'BEGIN {d = a / b - 1; print (d < 0.02 && d > -0.02)}')" = 1
expect_exit 0 "$DTRAIN" eval --backend ref --precision tf32 --data few --weights whole.safetensors --batch 8 --threads 1
trained=$(values whole/metrics.jsonl eval val_loss)
expect_output "^val_loss ${trained:0:6}"

begin "averages_are_evaluated_exported_and_restored"
need_digits
expect_exit 0 "$DTRAIN" $train "${ANY_BACKEND[@]}" --ema 0.9 --steps 6 --out run --export averaged.safetensors
expect_exit 0 "$DTRAIN" $train "${ANY_BACKEND[@]}" --steps 6 --out plain --export plain.safetensors
trained=$(values run/metrics.jsonl eval val_loss)
expect test "$trained" != "$(values plain/metrics.jsonl eval val_loss)"
expect test "$(values run/metrics.jsonl step loss | tail -n 1)" = "$(values plain/metrics.jsonl step loss | tail -n 1)" # the training is the same
for weights in run averaged.safetensors; do
    expect_exit 0 "$DTRAIN" eval "${ANY_BACKEND[@]}" --data ../digits --weights $weights --batch 8 --threads 1
    expect_output "^val_loss ${trained:0:6}"
done
expect_exit 0 "$DTRAIN" eval "${ANY_BACKEND[@]}" --data ../digits --weights plain.safetensors --batch 8 --threads 1
expect_no_output "^val_loss ${trained:0:6}"

begin "lars_trains"
need_cpu_backend
need_digits
expect_exit 0 "$DTRAIN" $train --image-size 32 --batch 32 --crop-scale 0.75,1 --warmup-epochs 0.1 --optimizer lars --lars-trust 0.02 --lr 0.1 \
    --steps 32 --out run
expect test "$(values run/metrics.jsonl step loss | awk 'NR <= 4 {first += $1} NR > 28 {last += $1} END {print last < 0.6 * first}')" = 1

finish
