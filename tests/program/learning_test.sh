#!/bin/bash
# The accuracy after training on real images. Takes minutes each: make check-long.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

# last EVENT KEY RUN: the value in the last line of that event in the run's metrics
last()
{
    sed -n "/\"event\": \"$1\"/s/.*\"$2\": \([^,}]*\).*/\1/p" "$3/metrics.jsonl" | tail -n 1
}

# expect_at_least LEAST VALUE WHAT
expect_at_least()
{
    echo "  $3: $2, at least $1 is wanted"
    awk -v least="$1" -v value="$2" 'BEGIN { exit !(value != "" && value >= least) }' || fail "$3"
}

begin "two ranks learn cifar10-mini to 52 percent"
long_case && need_shared cifar10-mini.tar && {
    tar xf "$SHARED"
    # PyTorch reaches 54 to 56 percent with these options.
    TIME_LIMIT_S=1800 expect_exit 0 ranks 2 "$DTRAIN" --data cifar10-mini --arch resnet18 --image-size 32 --epochs 15 --batch 32 --lr 0.1 \
        --label-smoothing 0.1 --nesterov --weight-decay 5e-4 --crop-scale 0.35,1 --out run &&
        expect_at_least 0.52 "$(last eval val_top1 run)" "top-1"
}

# Under MPICH no other test runs the demo.
begin "the demo reaches 97 percent within two minutes, and prints what to do next"
{ [ "$MPI_KIND" = mpich ] || long_case; } && {
    expect_exit 0 ranks 2 "$DTRAIN" && {
        expect_at_least 0.97 "$(last eval val_top1 runs/demo)" "top-1"
        expect_at_least -120 "-$(last end elapsed_s runs/demo)" "minus the seconds of training"
        expect_output 'What to do next'
        expect_output 'dtrain eval --data demo-data --weights runs/demo'
        expect_exit 0 "$DTRAIN" eval --data demo-data --weights runs/demo
        expect_output "^val_loss .* n [0-9]+$"
    }
}

begin "the demo also learns on sixteen ranks"
long_case && {
    TIME_LIMIT_S=900 expect_exit 0 ranks 16 "$DTRAIN" && expect_at_least 0.95 "$(last eval val_top1 runs/demo)" "top-1"
}

finish
