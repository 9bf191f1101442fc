#!/usr/bin/env bash
# compare_saving.sh: what checkpoints cost a training, and what a start that resumes costs.
#
#   benchmarks/compare_saving.sh [--pairs N] [--steps N] [--every STEPS] DATA
#
# DATA is a data folder (DATA/train/<class>/*.jpg, DATA/val; `dtrain demo-data DATA` makes one). Runs benchmarks/checkpoint_bench once, then
# dtrain alternately with and without checkpoints, --pairs times each (default 2): ResNet-50, 64 pixels, batch 16, --steps steps
# (default 200), a checkpoint --every so many (default 50); then three starts that resume beside three that do not. Prints one
# markdown table. Everything is written to a temporary folder: TMPDIR names the disk. README.md in this folder defines every row.
# Environment: CHECKPOINT_BENCH and DTRAIN, the paths of the programs.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/compare.sh"

pairs=2 steps=200 every=50 data=
parse_options '--pairs>=1 --steps>=30 --every>=1 DATA/train DATA/val' "$@"
first=10 last=$((steps - 10))

bench=$(our_program checkpoint_bench "${CHECKPOINT_BENCH:-}")
dtrain=${DTRAIN:-$here/../build/dtrain}
[[ -x $dtrain ]] || dtrain=./dtrain
[[ -x $dtrain ]] || fail "no program dtrain: \`make\` builds it; DTRAIN=PATH names it"

# The images to train on, and of each class one to evaluate on: the evaluation at the end of a run is not of interest.
few_to_evaluate() {
    local class image
    mkdir -p "$scratch/data/val"
    ln -s "$(cd "$data/train" && pwd)" "$scratch/data/train"
    for class in "$data"/val/*/; do
        mkdir "$scratch/data/val/$(basename "$class")"
        for image in "$class"*; do
            cp "$image" "$scratch/data/val/$(basename "$class")/"
            break
        done
    done
}

# train OUT OPTION...
train() {
    local out=$1
    shift
    "$dtrain" --data "$scratch/data" --arch resnet50 --image-size 64 --batch 16 --lr 0.01 --eval-every 0 --out "$out" "$@" >"$scratch/log" 2>&1 ||
        fail "exit code $? from dtrain: $(tail -n 1 "$scratch/log")"
}

# step_time OUT STEP: when the line of this step was written, seconds since 1970
step_time() {
    local value
    value=$(sed -n "s/^{\"event\": \"step\", \"time\": \([0-9.]*\), \"step\": $2,.*/\1/p" "$1/metrics.jsonl" | tail -n 1)
    [[ -n $value ]] || fail "$1/metrics.jsonl: no line of step $2"
    echo "$value"
}

# training_s OUT: seconds from the line of step `first` to that of step `last`
training_s() {
    local from to
    from=$(step_time "$1" "$first")
    to=$(step_time "$1" "$last")
    calc "$to - $from"
}

# calc EXPRESSION [FORMAT]
calc() {
    awk "BEGIN { printf \"${2:-%.4f}\", $1 }"
}

# middle FILE [FORMAT]: the median of its lines
middle() {
    median "${2:-%.4f}" <"$1"
}

time_stall() {
    mkdir "$scratch/store"
    run "$scratch/a" "$bench" "$scratch/store" 5 resnet50
    rm -rf "$scratch/store"
}

time_training() {
    local pair with without n
    n=$(((last - 1) / every - (first - 1) / every)) # checkpoints that begin between the two lines
    ((n >= 1)) || usage_error "--steps $steps --every $every: no checkpoint lies between steps $first and $last"
    for ((pair = 1; pair <= pairs; pair++)); do
        rm -rf "$scratch/with" "$scratch/without"
        train "$scratch/with" --steps "$steps" --checkpoint-every "$every"
        train "$scratch/without" --steps "$steps" --checkpoint-every 0
        with=$(training_s "$scratch/with")
        without=$(training_s "$scratch/without")
        echo "$with" >>"$scratch/with_s"
        echo "$without" >>"$scratch/without_s"
        calc "($with - $without) / $n" '%.4f\n' >>"$scratch/extra_s"
        calc "100 * ($with - $without) / $n / ($every * $without / ($last - $first))" '%.4f\n' >>"$scratch/every_percent"
    done
}

# first_step_s OUT STEP OPTION...: seconds from the program's start to the line of its first step, STEP
first_step_s() {
    local out=$1 step=$2 start
    shift 2
    start=$(date +%s.%N)
    train "$out" --checkpoint-every 0 "$@"
    calc "$(step_time "$out" "$step") - $start"
    echo
}

# Resuming goes on with the last run that saved.
time_starts() {
    local i at=$steps
    for ((i = 1; i <= 3; i++)); do
        first_step_s "$scratch/new$i" 1 --resume never --steps 2 >>"$scratch/start_new"
        rm -rf "$scratch/new$i"
        first_step_s "$scratch/with" $((at + 1)) --resume must --steps $((at + 2)) >>"$scratch/start_resumed"
        at=$((at + 2))
    done
}

row() {
    printf '| %s | %s | %s | %s |\n' "$@"
}

print_table() {
    local stall extra
    stall=$(field stall_s "$scratch/a")
    extra=$(middle "$scratch/extra_s")
    row "ResNet-50, one rank" "with checkpoints" without ratio
    row --- ---: ---: ---:
    row "stall of a checkpoint" "$(calc "1000 * $stall" %.1f) ms" "" ""
    row "stall's share, one every 5 minutes" "$(calc "100 * $stall / 300") %" "" ""
    row "steps $first to $last, a checkpoint every $every" "$(middle "$scratch/with_s" %.2f) s" "$(middle "$scratch/without_s" %.2f) s" \
        "$(calc "$(middle "$scratch/with_s") / $(middle "$scratch/without_s")")"
    row "training's time for a checkpoint, its writing included" "$(calc "$extra" %.3f) s" "" ""
    row "that share, one every $every steps" "$(middle "$scratch/every_percent" %.2f) %" "" ""
    row "that share, one every 5 minutes" "$(calc "100 * $extra / 300" %.3f) %" "" ""
    row "program's start to the first step: resumed; new" "$(middle "$scratch/start_resumed" %.2f) s" "$(middle "$scratch/start_new" %.2f) s" \
        "$(calc "$(middle "$scratch/start_resumed") / $(middle "$scratch/start_new")" %.2f)"
}

print_machine
echo "saving: $pairs pairs of trainings, $steps steps at 64 px, batch 16 ($data)"
echo
few_to_evaluate
time_stall
time_training
time_starts
print_table
