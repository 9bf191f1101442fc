#!/bin/bash
# dtrain info --plans: what a training would do on a GPU that this machine does not have.
. "$(dirname "$0")/../lib.sh"

has_cudnn()
{
    "$DTRAIN" info | grep -q '^cuDNN' || { skip "this build has no cuDNN"; return 1; }
}

# between LOW HIGH SED: the number that sed prints from the output is between the two.
between()
{
    local number
    number=$(sed -n "$3" "$OUTPUT")
    awk -v n="$number" -v low="$1" -v high="$2" 'BEGIN { exit !(n != "" && n >= low && n <= high) }' || fail "$3: '$number' is not between $1 and $2"
}
bytes='s/^an image moves *[^ ]* *\([0-9.]*\) MB.*/\1/p'
flops='s/^an image computes *[^ ]* *\([0-9.]*\) GFLOP$/\1/p'
roof='s/^roofline *[^ ]* *\([0-9]*\) images.*/\1/p'
# Only the backward of residual joins is composed: on some GPUs its graph moves more bytes than it saves, and none has it for every convolution.
expect_no_others_composed()
{
    grep ' composed .* -$' "$OUTPUT" | grep -vE '(dgrad[+]add[+]drelu[+]2?dbn|bn[+]add[+]relu[+]conv)' >others
    expect test ! -s others
}
# The layer's row of a graph, fused or not.
row() { expect_output "^$1 .* $2 .* $3 "; }

begin "a GPU by its name shows the fused graphs of ResNet-50 and their cost"
has_cudnn && for gpu in a100-40gb h200; do
    expect_exit 0 "$DTRAIN" info --plans --device $gpu --arch resnet50 --batch 256 --precision fp16
    expect_tables_of_80_columns
    row conv1 'conv[+]sums 4x4' fused
    row conv1 'wgrad 4x4' plain
    row 'layer1.0.conv2 [+]2 more' 'bnrelu[+]conv[+]sums 3x3' fused
    row 'layer1.0.conv2 [+]2 more' 'dgrad[+]drelu[+]dbn 3x3' fused
    row 'layer2.0.conv2' 'bnrelu[+]wgrad 3x3/2' fused
    row 'layer4.0.downsample.0' 'conv[+]sums 1x1/2' fused
    row fc 'wgrad 1x1' plain
    expect_no_others_composed
    # The arithmetic of ResNet-50: 289 MB by a count that leaves masks, argmax, the padded image and FP32 weight gradients out; 24.3 GFLOP. On an
    # H200 graphs include the residual joins: 24 MB less, and no masks.
    if [ $gpu = h200 ]; then between 264 268 "$bytes"; else between 289 296 "$bytes"; fi
    between 24.2 24.4 "$flops"
done

begin "with fused graphs nothing but joins is composed, for every architecture and batch"
has_cudnn && for gpu in a100-40gb h200 a10g; do
    for arch in resnet18 resnet50; do
        for batch in 32 256; do
            expect_exit 0 "$DTRAIN" info --plans --device $gpu --arch $arch --batch $batch --precision fp16
            expect_no_others_composed
        done
    done
done

begin "the roofline of each layer follows from bandwidth and FLOP/s"
has_cudnn && {
    sed 's/\("memory_bandwidth_bytes_per_s": \).*/\14300000000000,/; s/"fp16": [0-9]*/"fp16": 790000000000000/' \
        "$TOP_SRCDIR/layers/cuda/devices/h200.json" >measured.json
    expect_exit 0 "$DTRAIN" info --plans --device measured.json --arch resnet50 --batch 256 --precision fp16
    between 13700 14300 "$roof"
    expect_exit 0 "$DTRAIN" info --plans --device a100-40gb --arch resnet50 --batch 256 --precision fp16
    between 4600 4800 "$roof"
}

begin "without fused graphs everything is composed, and moves more bytes"
has_cudnn && {
    expect_exit 0 "$DTRAIN" info --plans --device t4 --arch resnet50 --batch 32 --precision fp16
    expect_no_output ' fused  '
    row 'layer1.0.conv2 [+]2 more' 'bnrelu[+]conv[+]sums 3x3' composed
    row 'layer1.0.conv2 [+]2 more' 'conv 3x3' plain
    between 325 400 "$bytes"
}

begin "every built-in GPU has plans for every architecture's layers"
has_cudnn && for gpu in a100-40gb a100-80gb a10g h100 h200 l4 t4; do
    expect_exit 0 "$DTRAIN" info --plans --device $gpu --arch resnet18 --batch 32 --precision fp16
    expect_output '^library .*cuDNN'
    expect_exit 0 "$DTRAIN" info --plans --device $gpu --arch resnet18 --batch 32
done

begin "the launches and the estimated time of a step are shown, as arithmetic"
has_cudnn && {
    expect_exit 0 "$DTRAIN" info --plans --device h200 --arch resnet50 --batch 256 --precision fp16
    expect_output '^a step enqueues .* [0-9]* launches on one rank: own kernels [0-9]*, cuDNN'
    expect_output '^estimated step .* [0-9.]* ms, [0-9]* images/s: arithmetic with assumed speeds, not'
    between 8450 9600 's/^estimated step *[^ ]* *[0-9.]* ms, \([0-9]*\) images.*/\1/p'
    between 200 440 's/^a step enqueues *[^ ]* *\([0-9]*\) launches.*/\1/p'
    expect_exit 0 "$DTRAIN" info --plans --device a100-40gb --arch resnet50 --batch 256 --precision fp16
    between 3100 3700 's/^estimated step *[^ ]* *[0-9.]* ms, \([0-9]*\) images.*/\1/p'
}

# figures: launches, time and speed of a step as layers/cuda/README.md writes them.
figures()
{
    sed -nE 's/^a step enqueues *[^ ]* *([0-9]+ launches).*/\1,/p; s/^estimated step *[^ ]* *([0-9.]+ ms), ([0-9]*)([0-9]{3}) images.*/\1, \2,\3 images\/s/p' "$OUTPUT" |
        paste -sd ' '
}

begin "the README has the figures that are shown with the cuDNN that it names"
has_cudnn && {
    readme=$TOP_SRCDIR/layers/cuda/README.md
    version=$(sed -n 's/^What cuDNN \([0-9.]*\) has, .*/\1/p' "$readme")
    expect_exit 0 "$DTRAIN" info --plans --device h200 --arch resnet50 --batch 256 --precision fp16
    if grep -q "^library .*cuDNN $version\." "$OUTPUT"; then
        expect grep -qF "FP16: $(figures) on an H200, and" "$readme"
        expect grep -qF "→ $(sed -n "$bytes" "$OUTPUT") MB an image" "$readme"
        expect_exit 0 "$DTRAIN" info --plans --device a100-40gb --arch resnet50 --batch 256 --precision fp16
        expect grep -qF ", and $(figures) on an A100 of 40 GB." "$readme"
        expect_exit 0 "$DTRAIN" info --plans --device h200 --arch resnet50 --batch 256 --precision bf16
        expect grep -qF "($(sed -n "$bytes" "$OUTPUT") MB, computed)" "$readme"
    else
        skip "cuDNN here is not $version"
    fi
}

begin "a batch that is too large shows in the memory table"
has_cudnn && {
    expect_exit 0 "$DTRAIN" info --plans --device t4 --arch resnet50 --batch 1024 --precision fp16
    expect_output 'MORE THAN THE GPU HAS'
}

begin "image-size, precision and arch change the plans"
has_cudnn && {
    expect_exit 0 "$DTRAIN" info --plans --device h200
    expect_output '^network .* resnet50, 224 pixels, 32 images, fp16, 25.6 million'
    expect_exit 0 "$DTRAIN" info --plans --device h200 --arch resnet18 --precision fp32
    expect_output '^network .* resnet18, 224 pixels, 32 images, fp32, 11.7 million'
    expect_exit 0 "$DTRAIN" info --plans --device h200 --arch resnet18 --image-size 64 --batch 8 --precision fp16
    expect_output '^network .* resnet18, 64 pixels, 8 images, fp16, 11.7 million'
    row fc 'conv 1x1 512->1000 1x1' plain
    row layer4.1.conv1 'dgrad 3x3 512->512 2x2' plain
    between 0.86 0.88 "$flops"
}

begin "a graph without a plan gives code 1 and one line that names it"
has_cudnn && {
    expect_exit 1 "$DTRAIN" info --plans --device t4 --precision bf16
    expect_output '^dtrain: Tesla T4, cuDNN [0-9.]* has no plan for wgrad 7x7/2 4->64 224x224 n32 bf16: there is no engine for it$'
    expect test "$(wc -l <"$OUTPUT")" = 1
}

begin "an unknown device gives code 2 and one line"
has_cudnn && {
    refused() # REGEX: with one line that says so
    {
        expect_exit 2 "$DTRAIN" info --plans --device "$device"
        expect_output "^dtrain: --device:? ?$1"
        expect test "$(wc -l <"$OUTPUT")" = 1
    }
    device=h20 refused ".*no 'h20'; did you mean 'h200'"
    device=missing.json refused 'missing.json: No such file'
    device=bad.json
    echo 'nonsense' >bad.json && refused 'bad.json: line 1'
    echo '[]' >bad.json && refused 'bad.json: .*does not describe a GPU'
    echo '{}' >bad.json && refused 'bad.json: .*no object "cudnn"'
    echo '{"cudnn": {}}' >bad.json && refused 'bad.json: .*no object "flops"'
    sed 's/"name": .*/"name": 7,/' "$TOP_SRCDIR/layers/cuda/devices/t4.json" >bad.json && refused 'bad.json: "name"'
    sed 's/"memory_bandwidth_bytes_per_s": .*/"memory_bandwidth_bytes_per_s": -1,/' "$TOP_SRCDIR/layers/cuda/devices/t4.json" >bad.json &&
        refused 'bad.json: "memory_bandwidth'
    sed '/maxGridSize/d; s/"multiProcessorCount": 40/"multiProcessorCount": "many"/' "$TOP_SRCDIR/layers/cuda/devices/t4.json" >bad.json &&
        refused 'bad.json: cuDNN rejects these device properties'
    : >bad.json && refused 'bad.json: '
    mkdir folder.json && device=folder.json refused 'folder.json is a folder'
}

begin "options that contradict each other are refused"
expect_exit 2 "$DTRAIN" info --plans
expect_output '^dtrain: --plans and --device belong together'
expect_exit 2 "$DTRAIN" info --device h200
expect_exit 2 "$DTRAIN" info --plans --device h200 --batch auto
expect_exit 2 "$DTRAIN" info --plans --device h200 --arch resnet51
expect_exit 2 "$DTRAIN" info --epochs 3

begin "a build without cuDNN reports that"
"$DTRAIN" info | grep -q '^cuDNN' && skip "this build has cuDNN"
expect_exit 1 "$DTRAIN" info --plans --device h200
expect_output 'this build has no cuDNN'

finish
