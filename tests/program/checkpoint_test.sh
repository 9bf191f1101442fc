#!/bin/bash
# Checkpoints that are written while training goes on: how often, and what happens when the disk refuses them.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

small="--backend cpu --arch resnet18 --image-size 16 --log-every 0 --eval-every 0"

begin "checkpoint-every auto measures one checkpoint, logs its interval and the cost, and keeps to it"
expect_exit 0 "$DTRAIN" $small --batch 8 --steps 60 --checkpoint-every auto --mtti 0.001 --keep 20 --out run
expect_output 'from a copy that takes [0-9.]+ MB on each rank'
expect_output 'a checkpoint every [0-9]+ steps \([0-9]+ s\): one takes [0-9.]+ s, of which training waits [0-9.]+ s; with an interruption every 0\.001 hours'
expect_output 'of the time is lost'
expect test -f run/checkpoints/step-00000020/manifest.json
expect test -f run/checkpoints/step-00000060/manifest.json

begin "failed checkpoints are logged, and older ones stay"
expect_exit 0 "$DTRAIN" $small --batch 8 --steps 4 --checkpoint-every 2 --out run
expect_exit 0 env DTRAIN_FAULT=store.space:1 "$DTRAIN" $small --batch 8 --steps 8 --checkpoint-every 2 --keep 9 --out run
expect_output 'error: .*the checkpoint of step 6 was not written: .*\(training goes on; older checkpoints stand\)'
expect test -f run/checkpoints/step-00000004/manifest.json
expect test ! -e run/checkpoints/step-00000006
expect test -f run/checkpoints/step-00000008/manifest.json

begin "after --max-checkpoint-failures failures in a row the training stops, and logs the full reason once"
expect_exit 1 env DTRAIN_FAULT=store.space:1:always "$DTRAIN" $small --batch 8 --steps 20 --checkpoint-every 2 --max-checkpoint-failures 3 --out run
expect_output '3 checkpoints in a row could not be written \(--max-checkpoint-failures 3\), the last because of: '
expect test "$(grep -c 'older checkpoints stand' "$OUTPUT")" = 1
expect test "$(grep -c 'was not written either, for the same reason' "$OUTPUT")" = 2
expect test -z "$(ls run/checkpoints)"

begin "eval takes the newest checkpoint that is whole"
expect_exit 0 "$DTRAIN" $small --batch 8 --steps 3 --checkpoint-every 1 --out run
"$DTRAIN" demo-data digits >/dev/null
truncate -s -1 run/checkpoints/step-00000003/manifest.json
truncate -s -1 run/checkpoints/step-00000002/shard-0000-of-0001.h5
expect_exit 0 "$DTRAIN" eval --data digits --weights run
expect_output 'checkpoint: passing over step 3: run/checkpoints/step-00000003/manifest.json: '
expect_output 'checkpoint: passing over step 2: run/checkpoints/step-00000002/shard-0000-of-0001.h5: '
expect_output 'run: the checkpoint of step 1$'
expect_output '^val_loss .* n 360$'

begin "a second run in the same folder is refused while the first one runs"
"$DTRAIN" $small --batch 8 --epochs 1000 --out run >first.log 2>&1 </dev/null &
first=$!
for _ in $(seq 100); do grep -q 'writing to run' first.log && break; sleep 0.1; done
expect_exit 2 "$DTRAIN" $small --batch 8 --steps 1 --out run
expect_output "run.*$first"
kill -KILL $first
wait $first 2>/dev/null
expect_exit 0 "$DTRAIN" $small --batch 8 --steps 1 --out run

finish
