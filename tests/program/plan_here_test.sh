#!/bin/bash
# dtrain plan --here: the file of dtrain bench becomes the time of a training on the machine that was measured.
. "$(dirname "$0")/../lib.sh"

# A machine of 200 images/s, as dtrain bench writes it. The second argument changes it, by sed.
machine()
{
    cat >"$1" <<'END'
{
 "sources": {"bench": {"text": "dtrain bench on vm (a processor)", "date": "2026-11-30", "confidence": "measured"}},
 "machine": {"name": "vm", "gpu": "CPU", "gpus": 0, "versions": "dtrain 0.1.0", "source": "bench", "cores": 2, "ram_gib": 8, "start_s": 2,
  "training": {"arch": "resnet18", "precision": "fp32", "image_size": 32, "batch": 32, "ranks": 2, "source": "bench", "train_images_s": 200,
   "evaluate_images_s": 800, "checkpoint_s": 0.5, "last_checkpoint_s": 1, "checkpoint_mb": 90}},
 "rates": []
}
END
    [ $# = 1 ] || sed -i "$2" "$1"
}

# The run that was measured: 15 steps an epoch, 10 epochs, 150 steps.
here=("$DTRAIN" plan --here --arch resnet18 --image-size 32 --batch 32 --images 1000 --epochs 10)

# json EXPRESSION...: each is true of `p`, the object in $OUTPUT.
json() { expect python3 -c 'import json, sys
p = json.load(open(sys.argv[1]))["here"]
near = lambda a, b: abs(a - b) < 1e-6
for test in sys.argv[2:]:
    if not eval(test):
        sys.exit(f"false: {test}: {p}")' "$OUTPUT" "$@"; }

begin "--here plans for the machine that was measured"
machine rates.json
expect_exit 0 "${here[@]}" --rates rates.json --eval-every 0
expect_tables_of_80_columns
expect_output '^machine +[^ ]+ dtrain bench on vm [(]a processor[)] *$'
expect_output '^measured +[^ ]+ 2026-11-30: resnet18 at 32 pixels, fp32, --batch 32, 2 ranks'
expect_output '^start +[^ ]+ 2.0 s: '
expect_output '^training +[^ ]+ 48.0 s: 150 steps of 64 images at 200 images/s'
expect_output '^checkpoints +[^ ]+ 5.5 s: 10, '
expect_output '^all +[^ ]+ '
expect_no_output '^estimated'
expect_exit 0 "${here[@]}" --rates rates.json --json
json 'p["steps"] == 150' 'p["checkpoints"] == 10' 'near(p["images_s"], 200)' 'near(p["train_s"], 48)' 'near(p["checkpoints_s"], 5.5)' \
    'near(p["total_s"], p["start_s"] + p["train_s"] + p["evaluate_s"] + p["checkpoints_s"])' 'near(p["stop_s"], 0.32 + 1 + 2 + 1)' \
    'near(p["kill_s"], 15 * 0.32 / 2 + 2 + 1)' 'not p["is_scaled"]'

begin "--checkpoint-every, --epochs and --eval-every change the parts"
machine rates.json
digits data 2 40 10
here=("$DTRAIN" plan --here --arch resnet18 --image-size 32 --batch 4 --data data --rates rates.json --json)
expect_exit 0 "${here[@]}" --epochs 10 --checkpoint-every 30
json 'p["steps"] == 100' 'p["checkpoints"] == 4' 'near(p["evaluate_s"], 10 * 20 / 800)'
expect_exit 0 "${here[@]}" --epochs 20 --eval-every 0
json 'p["steps"] == 200' 'p["checkpoints"] == 20' 'near(p["evaluate_s"], 20 / 800)'
expect_exit 0 "${here[@]}" --epochs 20 --checkpoint-every auto
json 'p["checkpoints"] == 1'

begin "another network or size is scaled, and the table says so"
machine rates.json
expect_exit 0 "$DTRAIN" plan --here --rates rates.json --image-size 64 --arch resnet50 --images 1000 --epochs 1
expect_output '^estimated +[^ ]+ resnet50 at 64 pixels from that, by operations'
expect_exit 0 "$DTRAIN" plan --here --rates rates.json --image-size 32 --arch resnet18 --images 1000 --epochs 1 --batch 16
expect_output '^estimated +[^ ]+ another --batch than 32 was not measured'

begin "a configuration plans the run that it is"
machine rates.json
printf 'arch = "resnet18";\nimage-size = 32;\nbatch = 32;\nepochs = 10;\ncheckpoint-every = 50;\nlr = 0.5;\n' >run.conf
expect_exit 0 "$DTRAIN" plan --here --rates rates.json --config run.conf --images 1000 --json
json 'p["steps"] == 150' 'p["checkpoints"] == 3'

begin "what cannot be planned is refused"
expect_exit 2 "$DTRAIN" plan --here
expect_output '^dtrain: --here: no machine was measured: run dtrain bench --output FILE, and name the file with --rates'
machine rates.json
expect_exit 2 "$DTRAIN" plan --here --rates rates.json --precision bf16
expect_output '^dtrain: --precision: vm was measured in fp32, and this training is in bf16'
expect_exit 2 "$DTRAIN" plan --here --rates rates.json --images 10
expect_output '^dtrain: --batch: 10 images are fewer than one global batch of 64'
expect_exit 2 "$DTRAIN" plan --here --rates rates.json --html page.html
expect_output '^dtrain: --html is not for --here'
expect test ! -e page.html
machine untrained.json '/"training"/,/checkpoint_mb/d; s/"start_s": 2,/"start_s": 2},/'
expect_exit 2 "$DTRAIN" plan --here --rates untrained.json
expect_output '^dtrain: --here: no training was measured on vm'

finish
