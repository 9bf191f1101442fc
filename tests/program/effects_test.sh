#!/bin/bash
# What options do in the whole program, where no test of one folder can show it. tests/launch/options/effects_test.c lists the test of each option.
. "$(dirname "$0")/../lib.sh"

# train RUN OPTIONS...: one step on 16-pixel digits.
train()
{
    expect_exit 0 "$DTRAIN" --data data --arch resnet18 --image-size 16 --batch 8 --epochs 1 --steps 1 --lr 0.01 --threads 1 --workers 1 --eval-every 0 \
        "${ANY_BACKEND[@]}" --out "$@"
}

# evaluate OPTIONS...: sets $loss.
evaluate()
{
    expect_exit 0 "$DTRAIN" eval --data data --weights run --threads 1 --workers 1 "${ANY_BACKEND[@]}" "$@"
    loss=$(sed -n 's/^val_loss \([^ ]*\) .*/\1/p' "$OUTPUT")
}

# near A B TOLERANCE: their quotient differs from 1 by less.
near()
{
    awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a / b - 1; exit !(d < t && d > -t) }'
}

begin "--zero-init-gamma sets the last scale of each branch to 0, and no other weight"
digits data 4 4 2
train plain --lr 0
train zero --lr 0 --zero-init-gamma
expect_exit 1 "$DTRAIN" inspect --diff plain zero
grep -o 'param/[a-z0-9._]*' "$OUTPUT" >names
printf 'param/layer%s.bn2.weight\n' 1.0 1.1 2.0 2.1 3.0 3.1 4.0 4.1 >expected
expect cmp names expected
expect test "$(grep -cE 'param/.* (│|\|) +1 (│|\|) +1 (│|\|)' "$OUTPUT")" = 8 # |A - B| is 1, and so is its share of |A|

begin "--arch chooses the network, and --image-size its input"
for case in 'resnet18 11.69 16' 'resnet34 21.80 32'; do
    set -- $case
    expect_exit 0 "$DTRAIN" --input synthetic --arch $1 --image-size $3 --batch 1 --profile 1 --threads 1 "${ANY_BACKEND[@]}"
    expect_output "^dtrain: $1: $2 million parameters, 0\.0[0-9] GMAC an image at $3 pixels"
done

begin "--log-every chooses the steps and batches that are printed; --threads and --workers change no bit"
digits data 4 8 5
train run --steps 4 --log-every 0
expect test "$(grep -cE '^epoch 1/1 +[0-9]+%  step' "$OUTPUT")" = 4
train seldom --steps 4 --log-every 86400 --threads 3 --workers 5
expect_output '^ +0 .* (│|\|) +3 (│|\|) +5 (│|\|) '
expect test "$(grep -cE '^epoch 1/1 +[0-9]+%  step' "$OUTPUT")" = 2 # the first and the last
expect_exit 0 "$DTRAIN" inspect --diff run seldom
for case in '0 4' '86400 0'; do
    set -- $case
    expect_exit 0 "$DTRAIN" eval --data data --weights run --batch 5 --log-every $1 "${ANY_BACKEND[@]}"
    expect test "$(grep -cE '^eval  batch [1-4]/4$' "$OUTPUT")" = $2
done

begin "eval computes with the options that it is given"
digits data 4 4 5
train run
evaluate && trained=$loss
evaluate --batch 3
expect near "$loss" "$trained" 1e-5
evaluate --arch resnet18 --threads 2 --workers 3 --comm self --autotune off
expect test "$loss" = "$trained"
evaluate --image-size 24
expect test "$loss" != "$trained"
evaluate --backend ref
expect near "$loss" "$trained" 1e-4
for precision in fp16 bf16; do
    evaluate --backend ref --precision $precision
    expect near "$loss" "$trained" 0.1
    expect test "$loss" != "$trained"
done

finish
