#!/bin/bash
# dtrain for another processor, run by $EMULATOR, produces the same bytes as $NATIVE_BUILDDIR's. tests/cross/aarch64.sh starts this.
. "$(dirname "$0")/../lib.sh"

native=$NATIVE_BUILDDIR
TIME_LIMIT_S=400

# The first case compares the demo images of both builds; the other cases read these.
demo=$_base/demo
"$native/dtrain" demo-data "$demo" >/dev/null 2>&1

# One image of each class is enough to evaluate with.
for class in "$demo"/val/*; do ls "$class"/* | tail -n +2 | xargs rm -f; done

# Crops for sample_dump: the evaluation's ...
list_centres() { printf '0 0 0 0 0 0 0 0 224 0 %s\n' "$@"; }

# ... one enlarged to 224 and a small one, mirrored or not, of files that have at least 26 x 25 pixels.
list_parts()
{
    local file i=0
    for file in "$@"; do
        i=$((i + 1))
        echo "$((i % 3)) $((i % 2)) $((20 + i % 5)) $((18 + i % 7)) 224 224 0 0 224 $((i % 2)) $file"
        echo "0 0 $((15 + i % 11)) 23 32 32 0 0 32 $(((i + 1) % 2)) $file"
    done
}

# expect_same_pixels LIST FILE..
expect_same_pixels()
{
    "$@" >crops
    timeout $TIME_LIMIT_S "$native/tests/io/source/sample_dump" <crops >here.pixels 2>here.errors
    timeout $TIME_LIMIT_S $EMULATOR "$TOP_BUILDDIR/tests/io/source/sample_dump" <crops >there.pixels 2>there.errors
    expect test -s here.pixels
    expect cmp here.pixels there.pixels
    expect cmp here.errors there.errors
}

begin "the_demo_writes_the_same_images"
expect_exit 0 "$native/dtrain" demo-data here
expect_exit 0 $EMULATOR "$DTRAIN" demo-data there
expect diff -r here there

begin "pixels_of_the_demo_are_the_same"
images=$(find "$demo" -name '*.jpg' | LC_ALL=C sort | awk 'NR % 20 == 1')
expect_same_pixels list_centres $images
expect_same_pixels list_parts $images

begin "pixels_of_photographs_are_the_same"
need_shared imagenet-sample.tar && {
    tar xf "$SHARED"
    images=$(find imagenet-sample -type f | LC_ALL=C sort | awk 'NR % 2 == 1')
    expect_same_pixels list_centres $images
    expect_same_pixels list_parts $images
}

begin "pixels_and_messages_of_odd_files_are_the_same"
need_shared odd-jpegs && expect_same_pixels list_centres "$SHARED"/*.jpg

# Augmentation, initial values, forward and backward passes, the schedule and the optimizer.
train="--data $demo --arch resnet18 --image-size 32 --batch 4 --steps 3 --warmup-epochs 0 --seed 3 --eval-every 0 --backend ref --comm self"

begin "three_steps_of_ref_give_the_same_weights"
expect_exit 0 "$native/dtrain" $train --out here --export here.safetensors
expect_exit 0 $EMULATOR "$DTRAIN" $train --out there --export there.safetensors
expect cmp here.safetensors there.safetensors
losses() { grep -o '"loss": [^,]*' "$1/metrics.jsonl" 2>/dev/null; }
expect test "$(losses here)" = "$(losses there)"

finish
