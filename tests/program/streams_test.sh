#!/bin/bash
# stdin, stdout and stderr that are closed, full, or pipes whose reader has gone end no training, and never become a file of data.
. "$(dirname "$0")/../lib.sh"

small=("${ANY_BACKEND[@]}" --data data --arch resnet18 --image-size 16 --batch 4 --lr 0.02 --threads 1 --spot off --log-every 0 --steps 4 --epochs 10
    --checkpoint-every 2 --out run --export w.safetensors)

undisturbed()
{
    digits data 4 12 5
    expect_exit 0 "$DTRAIN" "${small[@]}"
    mv run before && mv w.safetensors before.safetensors
}

# same WORDS: the run has written the same as the undisturbed one.
same()
{
    cmp w.safetensors before.safetensors || fail "$*: other weights"
    diff -r run/checkpoints before/checkpoints || fail "$*: other checkpoints"
    [ "$(wc -l <run/metrics.jsonl)" = "$(wc -l <before/metrics.jsonl)" ] || fail "$*: other metrics"
    rm -rf run w.safetensors
}

begin "a training writes the same where its streams are closed, full, or have no reader"
undisturbed
("$DTRAIN" "${small[@]}" 2>&-) || fail "stderr closed: code $?"
same stderr closed
("$DTRAIN" "${small[@]}" <&- >&- 2>&-) || fail "all closed: code $?"
same all closed
if [ -n "$(if_long more)" ]; then
    ("$DTRAIN" "${small[@]}" >&- 2>&-) || fail "stdout and stderr closed: code $?"
    same stdout and stderr closed
    ("$DTRAIN" "${small[@]}" <&-) >/dev/null 2>&1 || fail "stdin closed: code $?"
    same stdin closed
fi
if [ -c /dev/full ]; then
    "$DTRAIN" "${small[@]}" >/dev/full 2>/dev/full || fail "full: code $?"
    same full
fi
"$DTRAIN" "${small[@]}" 2>&1 >/dev/null | head -n 1 >/dev/null
[ "${PIPESTATUS[0]}" = 0 ] || fail "pipe without a reader: code ${PIPESTATUS[0]}"
same pipe without a reader

begin "the same on two ranks"
digits data 4 12 5
expect_exit 0 ranks 2 bash -c 'exec "$@" 2>&-' - "$DTRAIN" "${small[@]}" --steps 4
expect test -s w.safetensors

begin "a command whose result cannot be written says so"
digits data 4 12 5
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1
for command in "inspect run" "eval ${ANY_BACKEND[*]} --data data --weights w.safetensors" info; do
    "$DTRAIN" $command >&- 2>log && fail "$command: stdout closed, and code 0"
    [ ! -c /dev/full ] || { "$DTRAIN" $command >/dev/full 2>log && fail "$command: stdout full, and code 0"; }
    grep -q 'cannot ' log || fail "$command: it does not say so"
done

finish
