#!/usr/bin/env bash
# compare_loader.sh: decoding and augmenting images with dtrain beside PyTorch's DataLoader, one core each, in one run.
#
#   benchmarks/compare_loader.sh [--pairs N] [--image-size PIXELS] [--batch IMAGES] [--passes N] DIR
#
# DIR is a data folder: DIR/train/<class>/*.jpg. Runs benchmarks/loader_bench and benchmarks/peers/torch_loader.py
# alternately, --pairs times each (default 3), with the same options (defaults: 224 pixels, batch 32, 3 passes over DIR/train).
# README.md in this folder defines every column.
# Environment: LOADER_BENCH, the path of loader_bench; PYTHON, an interpreter with torch (default /usr/bin/python3).

set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/compare.sh"

pairs=3 image_size=224 batch=32 passes=3 data=
parse_options '--pairs>=1 --image-size>=1 --batch>=1 --passes>=1 DATA/train' "$@"

bench=$(our_program loader_bench "${LOADER_BENCH:-}")
peer_is_there
common=(--image-size "$image_size" --batch "$batch" --passes "$passes")

print_machine
echo "loader: $data, $image_size px, batch $batch, $passes passes, one core"
echo
printf '%4s %12s %12s %7s\n' pair dtrain_img/s torch_img/s ratio
for ((pair = 1; pair <= pairs; pair++)); do
    run "$scratch/a" "$bench" "${common[@]}" "$data"
    run "$scratch/b" "$python" "$here/peers/torch_loader.py" "${common[@]}" "$data/train"
    a=$(field images_per_s "$scratch/a")
    b=$(field images_per_s "$scratch/b")
    ratio=$(quotient "$a" "$b")
    echo "$ratio" >>"$scratch/ratios"
    printf '%4d %12.1f %12.1f %7s\n' "$pair" "$a" "$b" "$ratio"
done
echo
echo "median ratio $(median %.3f <"$scratch/ratios") (above 1: dtrain is faster)"
