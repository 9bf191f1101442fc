#!/usr/bin/env bash
# measure_ranks.sh: what grows with the number of ranks, and how fast?
#
#   benchmarks/measure_ranks.sh [--ranks "2 16 64 128"]
#
# For each number of ranks: trains a small network on the built-in digits for three steps, evaluates and writes a checkpoint (benchmarks/
# ranks_bench), and resumes for three more. All ranks run on this machine: times of more ranks than cores are of ranks that wait for each other
# and for a core, so that the table shows processor time as well. Prints one markdown table. Everything is written to a temporary folder.
# Environment: RANKS_PROGRAM, the program's path; MPIRUN, the launcher, with its options.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/compare.sh"

ranks="2 16 64 128"
parse_options '--ranks' "$@"
program=$(realpath "$(our_program ranks_bench "${RANKS_PROGRAM:-}")")
read -ra launcher <<<"${MPIRUN:-mpirun}"

# start N STEPS: a start on N ranks, whose objects go to $scratch/ranks
start() {
    rm -rf "$scratch/ranks"
    mkdir "$scratch/ranks"
    (cd "$scratch" && RANKS_BENCH=$scratch/ranks run "$scratch/out" "${launcher[@]}" -np "$1" "$program" --data digits --image-size 32 \
        --batch 1 --threads 1 --workers 1 --steps "$2" --arch resnet18 --out run --backend auto 2>"$scratch/log") ||
        fail "$1 ranks: $(tail -n 1 "$scratch/log")"
}

# most KEY: the largest value of all ranks
most() {
    local file
    for file in "$scratch"/ranks/*; do
        field "$1" "$file"
    done | sort -g | tail -n 1
}

# mean KEY: of all ranks
mean() {
    local file
    for file in "$scratch"/ranks/*; do
        field "$1" "$file"
    done | awk '{ sum += $1 } END { printf "%.2f", sum / NR }'
}

# kib BYTES: KiB with one decimal; of KiB, MiB
kib() {
    awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1024 }'
}

# received PHASE: collectives, and KiB that a rank receives in them
received() {
    echo "$(most "$1_calls"), $(kib "$(most "$1_bytes")")"
}

row() {
    printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$@"
}

print_machine
echo
row ranks "MPI set up s" "first step s" "processor s a rank" "resumed: first step s" "MiB a rank after MPI" "at the end" "start: collectives, KiB received" \
    "resumed start" "two steps" "manifest bytes"
row ---: ---: ---: ---: ---: ---: ---: ---: ---: ---: ---:
(cd "$scratch" && run out "$program" demo-data digits 2>log)
for n in $ranks; do
    rm -rf "$scratch/run"
    start "$n" 3
    first=("$(most setup_s)" "$(most start_s)" "$(mean cpu_start_s)")
    memory=("$(kib "$(mean setup_kib)")" "$(kib "$(mean end_kib)")")
    new=$(received start) steps=$(received steps)
    manifest=$(wc -c <"$scratch"/run/checkpoints/step-00000003/manifest.json)
    start "$n" 6
    row "$n" "${first[@]}" "$(most start_s)" "${memory[@]}" "$new" "$(received start)" "$steps" "$manifest"
done
