#!/usr/bin/env bash
# compare_step.sh: a training step of dtrain beside PyTorch's, on this machine, in one run.
#
#   benchmarks/compare_step.sh [--pairs N] [--arch ARCH] [--image-size PIXELS] [--batch IMAGES] [--threads N]
#                              [--steps N] [--warmup N]
#
# Runs benchmarks/step_bench and benchmarks/peers/torch_step.py alternately, --pairs times each (default 3), with the same
# options (defaults: resnet50, 224 pixels, batch 16, 2 threads, 10 steps after 2). PyTorch runs in the memory format, NCHW or
# channels_last, that is faster in a short trial before. README.md in this folder defines every column.
# Environment: STEP_BENCH, the path of step_bench; PYTHON, an interpreter with torch (default /usr/bin/python3).

set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/compare.sh"

pairs=3 arch=resnet50 image_size=224 batch=16 threads=2 steps=10 warmup=2
parse_options '--pairs>=1 --arch --image-size>=1 --batch>=1 --threads>=1 --steps>=1 --warmup>=0' "$@"

bench=$(our_program step_bench "${STEP_BENCH:-}")
peer_is_there
common=(--arch "$arch" --image-size "$image_size" --batch "$batch" --threads "$threads")
peer=("$python" "$here/peers/torch_step.py" "${common[@]}")
export OMP_NUM_THREADS=$threads

run "$scratch/trial" "${peer[@]}" --steps 3 --warmup 1
format=$(field memory_format "$scratch/trial")
peer+=(--memory-format "$format")

print_machine
echo "step: $arch, $image_size px, batch $batch, $threads threads, $steps steps after $warmup; PyTorch in $format"
echo
printf '%4s %9s %10s %9s %9s %7s %10s %9s %7s %10s %9s %7s\n' pair dtrain_ms dtrain_min torch_ms torch_min ratio dtrain_cpu torch_cpu cpu \
    dtrain_MiB torch_MiB memory
for ((pair = 1; pair <= pairs; pair++)); do
    run "$scratch/a" "$bench" "${common[@]}" --steps "$steps" --warmup "$warmup"
    run "$scratch/b" "${peer[@]}" --steps "$steps" --warmup "$warmup"
    a_ms=$(field ms_per_step "$scratch/a")
    b_ms=$(field ms_per_step "$scratch/b")
    a_min=$(field ms_min "$scratch/a")
    b_min=$(field ms_min "$scratch/b")
    a_cpu=$(field cpu_ms_per_step "$scratch/a")
    b_cpu=$(field cpu_ms_per_step "$scratch/b")
    a_bytes=$(field peak_rss_bytes "$scratch/a")
    b_bytes=$(field peak_rss_bytes "$scratch/b")
    ratio=$(quotient "$b_ms" "$a_ms")
    cpu=$(quotient "$b_cpu" "$a_cpu")
    memory=$(quotient "$b_bytes" "$a_bytes")
    echo "$ratio" >>"$scratch/ratios"
    echo "$cpu" >>"$scratch/cpus"
    echo "$memory" >>"$scratch/memories"
    printf '%4d %9.1f %10.1f %9.1f %9.1f %7s %10.1f %9.1f %7s %10s %9s %7s\n' "$pair" "$a_ms" "$a_min" "$b_ms" "$b_min" "$ratio" \
        "$a_cpu" "$b_cpu" "$cpu" "$(mib "$a_bytes")" "$(mib "$b_bytes")" "$memory"
done
echo
echo "medians: ratio $(median %.3f <"$scratch/ratios"), CPU time $(median %.3f <"$scratch/cpus"), memory $(median %.3f <"$scratch/memories")" \
    "(above 1: dtrain is faster, takes less)"
