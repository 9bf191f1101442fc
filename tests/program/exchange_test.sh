#!/bin/bash
# Checkpoints and weights between two builds of dtrain on different systems, with different HDF5, oneDNN and compiler: each resumes from what the other
# has written.
#
# DTRAIN_OTHER is the command that runs the other build's program, with dtrain's arguments. It runs in the test's folder, so it is an absolute path, and it
# must see that folder at the same path (TMPDIR chooses where it is). Through a chroot that has /tmp mounted at the same path:
#
#     cat >run-other <<'END'
#     #!/bin/sh
#     exec chroot /srv/other sh -c 'cd "$1" && shift && exec /opt/dtrain/bin/dtrain "$@"' sh "$PWD" "$@"
#     END
#     DTRAIN_OTHER=$PWD/run-other tests/program/exchange_test.sh
. "$(dirname "$0")/../lib.sh"

need_other()
{
    [ -n "${DTRAIN_OTHER:-}" ] && return 0
    skip "DTRAIN_OTHER names no other build's program"
    return 1
}

printf '#!/bin/sh\nexec "%s" "$@"\n' "$DTRAIN" >"$_base/this"
printf '#!/bin/sh\nexec %s "$@"\n' "${DTRAIN_OTHER:-false}" >"$_base/other"
chmod +x "$_base/this" "$_base/other"

# 4 classes of 12 images to train on, 5 to evaluate on.
data=$_base/data
job=(--data "$data" --arch resnet18 --image-size 32 --batch 8 --epochs 3 --lr 0.02 --threads 1 --checkpoint-every 3)
[ -z "${DTRAIN_OTHER:-}" ] || digits "$data" 4 12 5 || exit 99

# loss RUN STEP
loss()
{
    sed -n "/\"event\": \"step\".*\"step\": $2,/s/.*\"loss\": \([^,}]*\).*/\1/p" "$1/metrics.jsonl" 2>/dev/null
}

# computed_by STEP: what the manifest of that step says
computed_by()
{
    sed -n '/"computed_by"/,/}/p' "run/checkpoints/step-0000000$1/manifest.json" 2>/dev/null
}

# close WHAT A B [TOLERANCE]: A and B differ relatively by less than TOLERANCE; the default suits the same weights and images, where only the order of sums
# differs. How such a difference grows in later steps is chance: tests/README.md.
close()
{
    [ "$_state" != skipped ] || return 0
    awk -v a="$2" -v b="$3" -v t="${4:-0.0001}" 'BEGIN { exit !(a > 0 && b > 0 && a - b < t * a && b - a < t * a) }' || fail "$1: $2 and $3"
}

# version WHICH: prints the libraries of a build
version()
{
    "$_base/$1" info | sed -n 's/^ *\(oneDNN\|HDF5\|compiler\)[^0-9A-Za-z]*/\1 /p' | sed 's/ (.*//; s/, CFLAGS.*//' | tr '\n' ',' | sed 's/,$//; s/,/, /g'
}

for pair in "this other" "other this"; do
    set -- $pair

    begin "$2 resumes a training of $1"
    need_other && {
        echo "  this: $(version this); other: $(version other)"
        expect_exit 0 "$_base/$1" "${job[@]}" --steps 6 --out whole
        expect_exit 0 "$_base/$1" "${job[@]}" --steps 3 --out run
        expect_exit 0 "$_base/$2" inspect run --verify
        expect_output '^ +3 .* whole'
        expect_exit 0 "$_base/$2" "${job[@]}" --steps 6 --resume must --out run
        expect_output 'going on after step 3'
        if [ "$(computed_by 3)" = "$(computed_by 6)" ]; then
            expect_no_output 'was computed with'
        else
            expect_output 'step 3 was computed with .*, this start computes with .*: training goes on'
        fi
        close "loss of step 3" "$(loss whole 3)" "$(loss run 3)" 0.0000001
        close "loss of step 4" "$(loss whole 4)" "$(loss run 4)"
        close "loss of step 5" "$(loss whole 5)" "$(loss run 5)" 0.05
        for which in this other; do
            expect_exit 0 "$_base/$which" inspect run --verify
            expect_output '^ +3 .* whole'
            expect_output '^ +6 .* whole'
        done
    }

    begin "$1 and $2 export the same weights, and $2 starts from those of $1"
    need_other && {
        expect_exit 0 "$_base/$1" "${job[@]}" --steps 3 --out run --export at-the-end.safetensors
        expect_exit 0 "$_base/$1" export run --output a.safetensors
        expect_exit 0 "$_base/$2" export run --output b.safetensors
        expect cmp a.safetensors b.safetensors
        expect cmp a.safetensors at-the-end.safetensors
        for weights in run a.safetensors; do
            expect_exit 0 "$_base/$1" eval --data "$data" --weights $weights --image-size 32
            first=$(sed -n 's/^val_loss \([0-9.]*\) .*/\1/p' "$OUTPUT")
            expect_exit 0 "$_base/$2" eval --data "$data" --weights $weights --image-size 32
            close "the loss of $weights" "$first" "$(sed -n 's/^val_loss \([0-9.]*\) .*/\1/p' "$OUTPUT")"
        done
        expect_exit 0 "$_base/$1" "${job[@]}" --steps 1 --init a.safetensors --out init-a
        expect_exit 0 "$_base/$2" "${job[@]}" --steps 1 --init a.safetensors --out init-b
        close "loss of step 1 from these weights" "$(loss init-a 1)" "$(loss init-b 1)"
    }
done

begin "the other build reads what two ranks of this build have written"
need_other && {
    expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --batch 4 --steps 3 --out run
    expect_exit 0 "$_base/other" inspect run --verify
    expect_output '^ +3 .* 2 .* whole'
    expect_exit 0 "$_base/other" "${job[@]}" --steps 4 --resume must --out run
    expect_output 'going on after step 3'
}

finish
