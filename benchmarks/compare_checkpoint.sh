#!/usr/bin/env bash
# compare_checkpoint.sh: writing and loading a checkpoint beside plain files of the same bytes and PyTorch's, on this machine, in one run.
#
#   benchmarks/compare_checkpoint.sh [--folder DIR] [--pairs N] [--rounds N] [--arch ARCH]
#
# Runs benchmarks/checkpoint_bench and benchmarks/peers/torch_checkpoint.py alternately, --pairs times each (default 3), each for
# --rounds (default 5) of --arch (default resnet50), in a folder of their own inside DIR (default: the current one). README.md in this folder defines
# every column. Environment: CHECKPOINT_BENCH, the path of checkpoint_bench; PYTHON, an interpreter with torch (default /usr/bin/python3).

set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/compare.sh"

folder=. pairs=3 rounds=5 arch=resnet50
parse_options '--folder --pairs>=1 --rounds>=1 --arch' "$@"

bench=$(our_program checkpoint_bench "${CHECKPOINT_BENCH:-}")
peer_is_there
place=$(mktemp -d "$folder/checkpoint-bench-XXXXXX")
trap 'rm -rf "$scratch" "$place"' EXIT

print_machine # before the next line, which nproc heeds
export OMP_NUM_THREADS=1
echo "checkpoint: $arch, one rank, $rounds rounds each; megabytes a second"
echo
printf '%4s %11s %6s %6s %6s %6s %6s %6s %6s %6s %6s %6s %6s %6s %9s\n' pair plain_write write torch ratio cpu load torch ratio cpu cached torch ratio cpu stall_ms
of_pair() { # KEY: torch's time by dtrain's
    quotient "$(field "$1" "$scratch/b")" "$(field "$1" "$scratch/a")"
}
mb() { # KEY PROGRAM
    quotient "$(awk -v b="$(field state_bytes "$scratch/a")" 'BEGIN { print b / 1e6 }')" "$(field "$1" "$scratch/$2")"
}
for ((pair = 1; pair <= pairs; pair++)); do
    rm -rf "${place:?}"/*
    run "$scratch/a" "$bench" "$place" "$rounds" "$arch"
    rm -rf "${place:?}"/*
    run "$scratch/b" "$python" "$here/peers/torch_checkpoint.py" "$place" "$rounds" "$arch"
    printf '%4d %11.0f' "$pair" "$(mb plain_write_s a)"
    for kind in write load cached_load; do
        ratio=$(of_pair "${kind}_s") cpu=$(of_pair "${kind}_cpu_s")
        echo "$ratio" >>"$scratch/$kind"
        echo "$cpu" >>"$scratch/$kind.cpu"
        printf ' %6.0f %6.0f %6s %6s' "$(mb "${kind}_s" a)" "$(mb "${kind}_s" b)" "$ratio" "$cpu"
    done
    printf ' %9.1f\n' "$(awk -v s="$(field stall_s "$scratch/a")" 'BEGIN { print 1000 * s }')"
done
echo
of() { median %.3f <"$scratch/$1"; }
echo "medians of the ratios: write $(of write), load $(of load), cached $(of cached_load); of processor time: write $(of write.cpu), load $(of load.cpu), cached $(of cached_load.cpu) (above 1: dtrain is faster, or takes less)"
