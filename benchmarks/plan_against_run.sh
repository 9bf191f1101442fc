#!/usr/bin/env bash
# plan_against_run.sh: how near is `dtrain plan --here` to a training's wall time?
#
#   benchmarks/plan_against_run.sh [--minutes N] [--repeats N] [--stops N] [--ranks N] [--seconds N] [--arch NAME] [--image-size PIXELS]
#                                  [--batch N] DATA
#
# DATA is a data folder (DATA/train/<class>/*.jpg, DATA/val). --repeats times (default 3): measures this machine (`dtrain bench --seconds N`,
# default 10, --ranks ranks, default 2), chooses as many epochs as take about --minutes (default 10) by `dtrain plan --here`, and trains them
# with an evaluation and a checkpoint after each (ResNet-18 at 32 pixels, batch 32), stopped --stops times (default 0) by SIGUSR1 at equal
# intervals and started again. Prints one markdown table: planned and measured seconds, and by how much the plan is off. Everything is written
# to a temporary folder: TMPDIR names the disk. Environment: DTRAIN, the program's path; MPIRUN, the launcher, with its options.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/compare.sh"

minutes=10 repeats=3 stops=0 ranks=2 seconds=10 arch=resnet18 image_size=32 batch=32 data=
parse_options '--minutes>=1 --repeats>=1 --stops>=0 --ranks>=1 --seconds>=1 --arch --image-size>=16 --batch>=1 DATA/train DATA/val' "$@"

dtrain=${DTRAIN:-$here/../build/dtrain}
[[ -x $dtrain ]] || dtrain=./dtrain
[[ -x $dtrain ]] || fail "no program dtrain: \`make\` builds it; DTRAIN=PATH names it"
read -ra launcher <<<"${MPIRUN:-mpirun} -np $ranks"
training=(--data "$data" --arch "$arch" --image-size "$image_size" --batch "$batch")

# calc EXPRESSION [FORMAT]
calc() {
    awk "BEGIN { printf \"${2:-%.4f}\", $1 }"
}

now() {
    date +%s.%N
}

measure() {
    "${launcher[@]}" "$dtrain" bench "${training[@]}" --seconds "$seconds" --checkpoint-dir "$scratch" --output "$scratch/rates.json" \
        >"$scratch/bench" 2>&1 || fail "exit code $? from dtrain bench: $(tail -n 1 "$scratch/bench")"
}

# plan EPOCHS: into $scratch/plan
plan() {
    run "$scratch/plan" "$dtrain" plan --here --rates "$scratch/rates.json" "${training[@]}" --epochs "$1" --json
}

# Sets $epochs to what takes about $minutes.
choose_epochs() {
    local one eleven
    plan 1
    one=$(field total_s "$scratch/plan")
    plan 11
    eleven=$(field total_s "$scratch/plan")
    epochs=$(calc "1 + (60 * $minutes - $one) / (($eleven - $one) / 10)" %.0f)
    ((epochs >= 2)) || fail "an epoch takes $(calc "($eleven - $one) / 10" %.0f) s: name a smaller folder, or more --minutes"
}

# Starts the training in the background, as $pid.
start() {
    "${launcher[@]}" "$dtrain" "${training[@]}" --epochs "$epochs" --out "$scratch/run" >>"$scratch/log" 2>&1 &
    pid=$!
}

# train PLANNED: sets $measured. Each stop comes PLANNED / (stops + 1) seconds after the one before.
train() {
    local from i code left
    rm -rf "$scratch/run" "$scratch/log"
    from=$(now)
    start
    for ((i = 1; i <= stops; i++)); do
        left=$(calc "$from + $i * $1 / ($stops + 1) - $(now)" %.3f)
        [[ $left == -* ]] || sleep "$left"
        kill -USR1 "$pid" 2>/dev/null || fail "the training ended before stop $i"
        code=0
        wait "$pid" || code=$?
        ((code == 75)) || fail "exit code $code after a stop: $(tail -n 1 "$scratch/log")"
        start
    done
    wait "$pid" || fail "exit code $? from dtrain: $(tail -n 1 "$scratch/log")"
    measured=$(calc "$(now) - $from")
}

row() {
    printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$@"
}

print_machine
echo "plan: $arch at $image_size px, batch $batch, $ranks ranks, $stops stops ($data)"
echo
row repeat epochs start training evaluations checkpoints "planned, measured s" off
row ---: ---: ---: ---: ---: ---: ---: ---:
for ((repeat = 1; repeat <= repeats; repeat++)); do
    measure
    choose_epochs
    plan "$epochs"
    planned=$(calc "$(field total_s "$scratch/plan") + $stops * $(field stop_s "$scratch/plan")")
    train "$planned"
    row "$repeat" "$epochs" "$(calc "$(field start_s "$scratch/plan")" %.1f)" "$(calc "$(field train_s "$scratch/plan")" %.1f)" \
        "$(calc "$(field evaluate_s "$scratch/plan")" %.1f)" "$(calc "$(field checkpoints_s "$scratch/plan")" %.1f)" \
        "$(calc "$planned" %.1f), $(calc "$measured" %.1f)" "$(calc "100 * ($planned / $measured - 1)" %+.1f)%"
done
