#!/bin/bash
# Measuring and fitting: --input synthetic, --profile, --batch auto, a batch that is too large, and what the start logs about memory and the GPU.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

small="--arch resnet18 --image-size 32 --log-every 0"

begin "synthetic input trains on random pixels, without images, and leaves nothing behind"
expect_exit 0 "$DTRAIN" --input synthetic $small --batch 8 --steps 3
expect_output 'random pixels, in the numbers of ImageNet: 1281167 images to train on, 0 to evaluate on, 1000 classes; global batch 8'
expect_output 'a measurement: nothing is written'
expect_output 'memory of each rank, at its peak: 0\.[0-9]+ GiB of [0-9.]+ free'
expect_output '^done .*3 steps'
expect_no_output 'that was the built-in demo'
expect test -z "$(ls)"
expect_exit 0 ranks 2 "$DTRAIN" --input synthetic $small --batch 4 --steps 2 --accumulate 3
expect_output 'global batch 24'

begin "synthetic input has as many images and classes as the data that is named"
digits data 3 10 2
expect_exit 0 ranks 2 "$DTRAIN" --input synthetic --data data $small --batch 4 --epochs 1
expect_output 'random pixels, in the numbers of data: 30 images to train on, 0 to evaluate on, 3 classes; global batch 8'
expect_output '^done .*3 steps'
expect test "$(ls)" = data
expect_exit 2 "$DTRAIN" --input synthetic --data nowhere $small --batch 4
expect_output 'there is no folder nowhere'

begin "a profile names every layer, its time and its share of the roof"
expect_exit 0 "$DTRAIN" --input synthetic $small --batch 8 --profile 2
expect_output '^layer +.+ kind +.+ forward ms .+ MB .+ GB/s .+ roof'
expect_output '^layer +.+ kind +.+ backward ms .+ MB .+ GB/s .+ roof'
expect_tables_of_80_columns
expect_output '^input +.+ normalize '
expect_output '^layer1\.0\.conv1 +[^ ]+ conv +[^ ]+ +[0-9]+\.[0-9]{3} [^ ]+ +[0-9.]+ [^ ]+ +[0-9.]+ [^ ]+ +[0-9]+%'
expect_output '^all layers '
expect_output '^all else '
expect_output '^Mean of 2 passes of 8 images, after 3 to warm up: [0-9.]+ images/s per rank\.'
expect_output 'GB/s \((measured by a copy|data sheet)\)'
expect test -z "$(ls)"

begin "a profile of a training on images leaves the run's folder alone"
expect_exit 0 ranks 2 "$DTRAIN" --batch 8 --profile 2 --accumulate 2
expect_output '^Mean of 4 passes of 8 images, after 6 to warm up: '
expect test ! -e runs

begin "--batch auto chooses what fits, logs it, and all ranks use the same"
expect_exit 0 "$DTRAIN" --batch auto --steps 1
expect_output 'auto: [0-9]+ images per rank, with [0-9.]+ of [0-9.]+ GiB; a global batch of [0-9]+'
batch=$(sed -n 's/.*auto: \([0-9]*\) images per rank.*/\1/p' "$OUTPUT")
expect test "${batch:-0}" -ge 64
expect test "${batch:-0}" -le 1437
expect_output "global batch $batch\$"
expect grep -q '^batch = "auto";' runs/demo/config.conf
expect_exit 0 "$DTRAIN" eval --data demo-data --weights runs/demo --batch auto
expect_output 'auto: [0-9]+ images per rank, with [0-9.]+ of [0-9.]+ GiB$'
expect_output 'n 360$'
expect_exit 0 ranks 2 "$DTRAIN" --out two --batch auto --steps 1
expect_output 'auto: [0-9]+ images per rank'

begin "a batch that is too large is refused with the largest that fits"
expect_exit 2 "$DTRAIN" --input synthetic --arch resnet50 --batch 60000
expect_output '^dtrain: --batch 60000 does not fit: resnet50 at 224 pixels would need [0-9.]+ GiB, and [0-9.]+ are free; the largest that fits is --batch [0-9]+$'
expect test "$(wc -l <"$OUTPUT")" = 1
printf 'input = "synthetic";\nbatch = 60000;\n' >big.conf
expect_exit 2 "$DTRAIN" --config big.conf
expect_output '^dtrain: big.conf:2: --batch 60000 does not fit'

begin "without a GPU the training logs why and runs on the CPU"
need_no_gpu && {
    expect_exit 0 "$DTRAIN" --input synthetic $small --batch 4 --steps 1
    if grep -q '^#define DT_WITH_CUDA 1' "$TOP_BUILDDIR/config.h"; then
        expect_output '^dtrain: no GPU is used; --backend cpu computes: no NVIDIA driver: .+'
    else
        expect_no_output 'no GPU is used'
    fi
    expect_output 'backend +[^ ]+ cpu '
}

finish
