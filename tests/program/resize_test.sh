#!/bin/bash
# --resize-schedule in the whole program, on the CPU: sizes, the same bits after a stop in the middle, memory that does not grow.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

# 80 to train on, 20 to evaluate on.
few_digits() { digits few 10 8 2; }

train="--data few --arch resnet18 --image-size 32 --batch 8 --flip 0 --lr 0.02 --backend cpu --log-every 0"

begin "images grow by the schedule, and evaluation keeps its size"
expect few_digits
expect_exit 0 ranks 2 "$DTRAIN" $train --epochs 4 --resize-schedule 16:0,24:0.5,32:0.75
expect_output 'from epoch 1 on, images of 16 pixels'
expect_output 'from epoch 3 on, images of 24 pixels'
expect_output 'from epoch 4 on, images of 32 pixels'
expect_no_output 'from epoch 2 on'
expect_output '^final +top-1'
expect_exit 0 "$DTRAIN" eval --data few --weights runs/few-resnet18 --backend cpu
expect_output 'at 32 px'

begin "a training that stops in the middle of a schedule and resumes ends with the same bits"
expect few_digits
for stop in 13 27; do
    rm -rf whole parts
    expect_exit 0 "$DTRAIN" $train --ema 0.9 --epochs 4 --resize-schedule 16:0,24:0.5,40:0.75 --out whole --export whole.safetensors
    expect_exit 0 "$DTRAIN" $train --ema 0.9 --epochs 4 --resize-schedule 16:0,24:0.5,40:0.75 --out parts --steps $stop
    expect_exit 0 "$DTRAIN" $train --ema 0.9 --epochs 4 --resize-schedule 16:0,24:0.5,40:0.75 --out parts --export parts.safetensors
    expect_output "going on after step $stop"
    expect cmp whole.safetensors parts.safetensors
done

begin "memory does not grow over ten rebuilds"
expect few_digits
peak_kb()
{
    python3 - "$@" <<'EOF'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
EOF
}
if grep -q 'define DT_BUILD_SANITIZER "none"' "$TOP_BUILDDIR/config.h"; then
    # Each epoch rebuilds for training and for its evaluation.
    few=$(peak_kb "$DTRAIN" $train --epochs 2 --out a --keep 1 --resize-schedule 48:0,64:0.5)
    many=$(peak_kb "$DTRAIN" $train --epochs 8 --out b --keep 1 --resize-schedule 48:0,64:0.5)
    echo "  peak after 4 rebuilds $few kB, after 16 $many kB"
    # A rebuild takes some 15 MB; two equal runs differ by 10.
    expect test "$((many))" -lt "$((few + 32768))"
    expect test "$((few))" -gt 0
else
    skip "a sanitizer keeps freed memory for a while"
fi

finish
