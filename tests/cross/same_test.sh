#!/bin/bash
# What dtrain makes on another processor, run by $EMULATOR, is what $NATIVE_BUILDDIR's makes here, byte by byte. Started by tests/cross/aarch64.sh.
. "$(dirname "$0")/../lib.sh"

native=$NATIVE_BUILDDIR
TIME_LIMIT_S=400

# The images of both demos are compared by the first case; the others read this one.
demo=$_base/demo
"$native/dtrain" demo-data "$demo" >/dev/null 2>&1

# One image of each class is enough to evaluate with.
for class in "$demo"/val/*; do ls "$class"/* | tail -n +2 | xargs rm -f; done

# jobs FILE..: crops for sample_dump: the evaluation's, one enlarged or reduced to 224, a small one, mirrored or not.
jobs()
{
    local file i=0
    for file in "$@"; do
        i=$((i + 1))
        echo "0 0 0 0 0 0 0 0 224 0 $file"
        echo "$((i % 3)) $((i % 2)) $((20 + i % 5)) $((18 + i % 7)) 224 224 0 0 224 $((i % 2)) $file"
        echo "0 0 $((15 + i % 11)) 23 32 32 0 0 32 $(((i + 1) % 2)) $file"
    done
}

expect_same_pixels()
{
    jobs "$@" >jobs
    "$native/tests/io/sample_dump" <jobs >here.pixels 2>here.errors
    $EMULATOR "$TOP_BUILDDIR/tests/io/sample_dump" <jobs >there.pixels 2>there.errors
    expect test -s here.pixels
    expect cmp here.pixels there.pixels
    expect cmp here.errors there.errors
}

begin "the_demo_writes_the_same_images"
expect_exit 0 "$native/dtrain" demo-data here
expect_exit 0 $EMULATOR "$DTRAIN" demo-data there
expect diff -r here there

begin "pixels_of_the_demo_are_the_same"
expect_same_pixels $(find "$demo" -name '*.jpg' | LC_ALL=C sort | awk 'NR % 20 == 1')

begin "pixels_of_photographs_are_the_same"
need_shared imagenet-sample.tar && {
    tar xf "$SHARED"
    expect_same_pixels $(find imagenet-sample -type f | LC_ALL=C sort | awk 'NR % 2 == 1')
}

begin "pixels_and_messages_of_odd_files_are_the_same"
need_shared odd-jpegs && expect_same_pixels "$SHARED"/*.jpg

# Augmentation, initial values, forward and backward passes, the schedule and the optimizer.
train="--data $demo --arch resnet18 --image-size 32 --batch 4 --steps 3 --warmup-epochs 0 --seed 3 --eval-every 0 --backend ref --comm self"

begin "three_steps_of_ref_give_the_same_weights"
expect_exit 0 "$native/dtrain" $train --out here --export here.safetensors
expect_exit 0 $EMULATOR "$DTRAIN" $train --out there --export there.safetensors
expect cmp here.safetensors there.safetensors
expect test "$(grep -o '"loss": [^,]*' here/metrics.jsonl)" = "$(grep -o '"loss": [^,]*' there/metrics.jsonl)"

finish
