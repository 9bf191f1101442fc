#!/bin/bash
# first_hour.sh: what to do in the first hour on a GPU that dtrain has never run on, in order.
#
#     tests/gpu/first_hour.sh --out DIR [--part 1|2|all] [--programs DIR] [--data DIR] [--seconds N] [--only WORD]
#     tests/gpu/first_hour.sh --list [--part 1|2|all]
#
# Part 1 checks results, part 2 measures. Each is a call of ten minutes: the time limits of its steps add up to less than that. A step may
# take longer than its limit while all later steps still have theirs. Its output goes to DIR/STEP.log. A step that this machine cannot do is
# skipped, and the table says why; so are steps for which --seconds (of the whole call; 600 for each part by default; 0: no limit) leaves no
# time. DIR/summary.tsv holds step, result, seconds and note; the table at the end is made from it.
# --list runs nothing: it prints each step's part, name and limit, and why it would be skipped.
# --programs is the folder with dtrain and the test programs: a build folder, or the folder `bin` of tests/gpu/bundle.sh.
# --data is a folder of images for the last steps (train/CLASS/*.jpg, val/CLASS/*.jpg); without it they are skipped.
# Exits 1 if a step failed or ran out of time.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out='' part=all data='' seconds='' only='' ran=0 mode=run programs=${TOP_BUILDDIR:-$here/../../build}
show_help()
{
    sed -n '2,15s/^# \{0,1\}//p' "$0"
}
usage()
{
    show_help >&2
    echo "first_hour.sh: $1" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --help)
        show_help
        exit 0
        ;;
    --list)
        mode=list
        shift
        continue
        ;;
    --out | --part | --programs | --data | --seconds | --only) [ $# -ge 2 ] || usage "$1 needs a value" ;;
    *) usage "there is no option $1" ;;
    esac
    case $1 in
    --out) out=$2 ;;
    --part) part=$2 ;;
    --programs) programs=$2 ;;
    --data) data=$2 ;;
    --seconds) seconds=$2 ;;
    --only) only=$2 ;;
    esac
    shift 2
done
[ -n "$out" ] || [ $mode = list ] || usage "--out DIR is needed: the folder for the results"
case $part in 1 | 2) [ -n "$seconds" ] || seconds=600 ;; all) [ -n "$seconds" ] || seconds=1200 ;; *) usage "--part $part: 1, 2 or all is wanted" ;; esac
[[ $seconds =~ ^[0-9]+$ ]] || usage "--seconds $seconds: a whole number is wanted"
[ -z "$data" ] || [ -d "$data/train" ] || usage "--data $data: there is no folder $data/train"
programs=$(cd "$programs" 2>/dev/null && pwd) || usage "--programs: there is no such folder"
[ $mode = list ] || { mkdir -p "$out" && out=$(cd "$out" && pwd) && : >"$out/summary.tsv"; } || usage "--out: $out cannot be written"

dtrain=$programs/dtrain
gpu_test=$programs/tests/gpu/gpu_test
fused_times=$programs/tests/gpu/fused_main
nccl_cases=$programs/tests/comm/nccl_gpu_cases
n_gpus=$({ nvidia-smi -L 2>/dev/null || true; } | grep -c '^GPU')
start=$SECONDS

# --- steps

# record STEP RESULT SECONDS NOTE
record()
{
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$out/summary.tsv"
    printf '%-28s %-8s %5s s  %s\n' "$1" "$2" "$3" "$4"
}

# limited LIMIT_S COMMAND...: as timeout does, for functions too: code 124 when the time is over. The command and all that it has started get
# SIGTERM, and SIGKILL 10 s later.
limited()
{
    local end=$((SECONDS + $1)) pid
    shift
    set -m # a process group of its own
    ("$@") &
    pid=$!
    set +m
    trap 'kill -TERM -- -$pid; exit 130' INT TERM
    while kill -0 $pid 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
    if ! kill -0 $pid 2>/dev/null; then
        wait $pid
        return
    fi
    kill -TERM -- -$pid 2>/dev/null
    end=$((SECONDS + 10))
    while kill -0 -- -$pid 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
    kill -KILL -- -$pid 2>/dev/null
    wait $pid 2>/dev/null
    return 124
}

planned=0 # the limits of the steps that are still to be run

# step NAME LIMIT_S NEEDS COMMAND...: NEEDS is a reason to skip, "" if there is none. The last line of the log is the table's note.
step()
{
    local name=$1 limit=$2 why=$3
    shift 3
    [[ $name == *"$only"* ]] || return 0
    case $mode in
    list) printf 'part %-3s  %-28s %4s s  %s\n' "$at_part" "$name" "$limit" "${why:+skipped: $why}" ;;
    plan) [ -n "$why" ] || planned=$((planned + limit)) ;;
    run) run_step "$name" "$limit" "$why" "$@" ;;
    esac
    ran=$((ran + 1))
}

# run_step NAME LIMIT_S NEEDS COMMAND...
run_step()
{
    local name=$1 limit=$2 why=$3 begun=$SECONDS code left
    shift 3
    [ -n "$why" ] || planned=$((planned - limit))
    left=$((seconds == 0 ? limit : seconds - (SECONDS - start)))
    [ -n "$why" ] || [ "$left" -ge 10 ] || why="no time is left of --seconds $seconds"
    if [ -n "$why" ]; then
        record "$name" skipped 0 "$why"
        return 0
    fi
    [ $((left - planned)) -le "$limit" ] || limit=$((left - planned)) # what the later steps do not need
    [ "$left" -ge "$limit" ] || limit=$left
    (cd "$out" && limited "$limit" "$@") >"$out/$name.log" 2>&1 </dev/null
    code=$?
    if [ $code -eq 130 ]; then
        echo "first_hour.sh: interrupted in $name; $out/summary.tsv has the steps before it" >&2
        exit 130
    fi
    local note result=ok
    note=$(grep -v '^[[:space:]]*$' "$out/$name.log" | tail -n 1 | tr '\t' ' ' | cut -c 1-110)
    case $code in
    0) ;;
    124) result="too long" note="limit $limit s; $note" ;;
    *) result=failed note="code $code; $note" ;;
    esac
    record "$name" "$result" $((SECONDS - begun)) "$note"
}

# needs [N] PROGRAM...: prints why a step has to be skipped: fewer than N GPUs, and each program that is not here.
needs()
{
    local wanted=1 program why=''
    [[ $1 =~ ^[0-9]+$ ]] && { wanted=$1; shift; }
    [ "$n_gpus" -ge "$wanted" ] || why="; GPUs here: $n_gpus, needed: $wanted"
    for program in "$@"; do
        command -v "$program" >/dev/null || why+="; there is no ${program##*/} here"
    done
    echo "${why#; }"
}

# shows FILE REGEX WHAT: fails, and prints what is missing, if no line of the file matches.
shows()
{
    grep -Eq -e "$2" "$1" && return 0
    echo "there is no $3 in the output"
    return 1
}

# with_counts TEST: a test of gpu_test that compares fused graphs. It counts them, and that is the note.
with_counts()
{
    "$gpu_test" "$1" 2>&1 | tee fused.txt || return
    shows fused.txt '^fused graphs: [0-9]' "count of fused graphs" || return
    grep '^fused graphs: ' fused.txt
}

# sanitizer TOOL: two operations and one kind of kernel each under compute-sanitizer.
sanitizer()
{
    DTRAIN_GPU_CASES='c64 h8 w8 k64' compute-sanitizer --tool "$1" --error-exitcode 9 "$gpu_test" fp16_fused 2>&1 |
        tee sanitizer.txt || return
    shows sanitizer.txt 'SUMMARY: 0 ' "summary of compute-sanitizer without errors"
}

# weights FOLDER: the hash of the run's exported weights.
weights()
{
    "$dtrain" export "$1" --output "$1.safetensors" >/dev/null && sha256sum <"$1.safetensors" | cut -c 1-16
}

digits()
{
    [ -d digits ] || "$dtrain" demo-data digits >/dev/null
}

train=("$dtrain" --backend cuda --precision fp16 --arch resnet18 --image-size 32 --batch 64 --lr 0.02 --resume auto --log-every 0
    --data digits --epochs 2 --checkpoint-every 5)

resumed='' # what killed_and_resumed adds to the next note

# check_same A B: prints the hashes of the weights of two runs; returns 1 if they differ, 2 if they cannot be exported.
check_same()
{
    local a b
    a=$(weights "$1") && b=$(weights "$2") || return 2
    [ "$a" = "$b" ] || { echo "${resumed}the weights differ: $a and $b"; return 1; }
    echo "${resumed}the same weights: $a"
}

# killed_and_resumed OUT FAULT CODES LOST COMMAND...: a start that its fault kills, and a second one that completes the run. The first has to end within
# 30 s with one of CODES (separated by |), and to print a line that matches LOST, unless that is empty; the second has to resume from a checkpoint.
killed_and_resumed()
{
    local out=$1 fault=$2 codes=$3 lost=$4 code step begun=$SECONDS
    shift 4
    DTRAIN_FAULT=$fault timeout --foreground 30 "$@" --out "$out" >killed.txt 2>&1
    code=$?
    cat killed.txt
    if [[ "|$codes|" != *"|$code|"* ]]; then
        echo "the start that is to be killed ended with code $code after $((SECONDS - begun)) s, expected $codes"
        return 1
    fi
    [ -z "$lost" ] || shows killed.txt "$lost" "message that names the lost rank" || return
    "$@" --out "$out" 2>&1 | tee resumed.txt || return
    shows resumed.txt 'going on after step [1-9]' "step from which the second start resumes" || return
    step=$(sed -n 's/.*going on after step \([0-9]*\).*/\1/p' resumed.txt)
    resumed="killed with code $code, resumed after step $step; "
}

# same_weights HOW: two trainings with the same seed; the second one with an empty plan cache of its own, or killed and resumed.
same_weights()
{
    local how=$1 code
    digits || return
    rm -rf "$how-a" "$how-b" "$how-cache"
    "${train[@]}" --out "$how-a" || return
    case $how in
    seed) "${train[@]}" --out "$how-b" ;;
    cache) XDG_CACHE_HOME=$PWD/$how-cache "${train[@]}" --out "$how-b" && ls "$how-cache"/dtrain/plans-*.txt ;;
    killed) killed_and_resumed "$how-b" train.step:25:kill 137 '' "${train[@]}" ;;
    esac || return
    check_same "$how-a" "$how-b"
    code=$?
    # Engines that are timed again may be others, with other bits: that is no failure.
    [ "$how.$code" = cache.1 ] || return $code
    "$dtrain" inspect --diff "$how-a" "$how-b" >engines.txt
    [ $? -le 1 ] || return
    echo "the weights differ, which is allowed here; engines that differ: $(grep -c 'engine of' engines.txt)"
}

# two_gpus: two ranks, captured and enqueued.
two_gpus()
{
    digits || return
    rm -rf two-a two-b
    mpirun -np 2 "${train[@]}" --out two-a || return
    mpirun -np 2 "${train[@]}" --out two-b --no-graph || return
    check_same two-a two-b
}

# killed_rank: a rank is killed in a captured step; the other one names it and ends; the run is resumed. Only Open MPI 4 leaves the other rank alive for that.
killed_rank()
{
    local lost='there is no sign of rank 1 ' keep=--keep-others
    digits || return
    rm -rf lost-a lost-b
    export MPIRUN=mpirun
    . "$(dirname "$ranks")/mpi.sh"
    [ "$MPI_KIND" = openmpi4 ] || lost='' keep=
    mpirun -np 2 "${train[@]}" --out lost-a || return
    killed_and_resumed lost-b train.step@1:15:kill "$KILLED_CODE" "$lost" "$ranks" $keep 2 "${train[@]}" --peer-timeout 10 || return
    check_same lost-a lost-b
}

measured=("$dtrain" --backend cuda --input synthetic --arch resnet50 --lr 0.1 --resume never --out measured)

speed() # PRECISION BATCH [OPTION...]
{
    local precision=$1 batch=$2
    shift 2
    "${measured[@]}" --precision "$precision" --batch "$batch" --steps 120 "$@" 2>&1 | tee speed.txt || return
    grep -oE '[0-9.]+ img/s' speed.txt | tail -n 1
}

# timeline: every kernel of captured steps.
timeline()
{
    rm -f timeline.nsys-rep
    nsys profile --force-overwrite true --cuda-graph-trace=node -o timeline "${measured[@]}" --precision fp16 --batch 256 --steps 20 || return
    nsys stats --report cuda_gpu_kern_sum timeline.nsys-rep 2>&1 | tee kernels.txt || return
    shows kernels.txt max_pool_forward "kernel of dtrain"
}

kernel_counters()
{
    ncu --kernel-name 'regex:residual_forward|bn_backward_apply|max_pool' --launch-count 12 --section SpeedOfLight --section Occupancy \
        "${measured[@]}" --precision fp16 --batch 256 --steps 2 --no-graph 2>&1 | tee counters.txt || return
    shows counters.txt 'Section: GPU Speed Of Light' "counter"
}

memory_left()
{
    "${measured[@]}" --precision fp16 --batch auto --autotune heuristic --steps 100 &
    local pid=$! least=999999999 free
    while kill -0 $pid 2>/dev/null; do
        free=$(nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits -i 0)
        [[ ! $free =~ ^[0-9]+$ ]] || [ "$free" -ge "$least" ] || least=$free
        sleep 1
    done
    wait $pid || return
    echo "least memory that was free: $least MiB"
    [ "$least" -lt 999999999 ]
}

resized()
{
    rm -rf resized
    digits && "${train[@]}" --epochs 3 --resize-schedule 24:0,32:0.5 --out resized
}

learned()
{
    rm -rf learned
    "$dtrain" --backend cuda --data "$data" --arch resnet18 --precision fp16 --image-size 32 --batch 128 --lr 0.1 --epochs 5 --out learned \
        --export learned.safetensors && "$dtrain" eval --backend cuda --data "$data" --weights learned.safetensors --image-size 32
}

# overlap: whether sums between GPUs overlap with the backward pass.
overlap()
{
    rm -f overlap-*
    mpirun -np 2 nsys profile --force-overwrite true -o overlap-%p "${measured[@]}" --precision fp16 --batch 256 --steps 20 || return
    ls overlap-*.nsys-rep && [ "$(ls overlap-*.nsys-rep | wc -l)" = 2 ]
}

ranks=$here/ranks torch_step=$here/torch_step.py # in a bundle
[ -f "$ranks" ] || ranks=$here/../ranks
[ -f "$torch_step" ] || torch_step=$here/../../benchmarks/peers/torch_step.py
torch_missing=
python3 -c 'import sys, torch, torchvision; sys.exit(not torch.cuda.is_available())' 2>/dev/null || torch_missing="python3 has no PyTorch with CUDA and torchvision"

# --- the list

# The limits of part 1, and those of part 2, add up to less than 600 s, steps for several GPUs included.
checks()
{
    # Each operation beside ref, fused and composed; some of them under compute-sanitizer. In BF16 a few shapes: each of its fused graphs
    # is compiled at run time, a second or more.
    step operations_fp16_fused 50 "$(needs "$gpu_test")" with_counts fp16_fused
    step operations_fp16_composed 25 "$(needs "$gpu_test")" "$gpu_test" fp16_composed
    step operations_bf16 40 "$(needs "$gpu_test")" env DTRAIN_GPU_CASES='c64 h8 w8 k64' "$gpu_test" bf16_operations
    step operations_tf32_fp32 30 "$(needs "$gpu_test")" "$gpu_test" 32_operations
    for tool in memcheck racecheck initcheck; do
        step "sanitizer_$tool" 30 "$(needs compute-sanitizer "$gpu_test")" sanitizer $tool
    done
    # Each fused graph 20 times on one input; a NaN in the weights.
    step plans_repeated 40 "$(needs "$gpu_test")" with_counts twenty_times
    step nan 20 "$(needs "$gpu_test")" "$gpu_test" nan
    # Steps beside ref; captured and enqueued; the same seed, an empty plan cache, a kill.
    step steps_beside_ref 60 "$(needs "$gpu_test")" "$gpu_test" a_step
    step captured_and_enqueued 25 "$(needs "$gpu_test")" "$gpu_test" fifty
    step same_weights_seed 30 "$(needs "$dtrain")" same_weights seed
    step same_weights_cache 30 "$(needs "$dtrain")" same_weights cache
    step same_weights_killed 25 "$(needs "$dtrain")" same_weights killed
    # NCCL, captured and enqueued, and with a rank that is killed.
    step nccl_one_gpu 20 "$(needs "$nccl_cases")" "$nccl_cases"
    step nccl_all_gpus 30 "$(needs 2 "$nccl_cases" mpirun)" mpirun -np "$n_gpus" "$nccl_cases"
    step two_gpus_same_bits 30 "$(needs 2 "$dtrain" mpirun)" two_gpus
    step two_gpus_killed_rank 45 "$(needs 2 "$dtrain" mpirun)" killed_rank
}

measurements()
{
    # The plans; fused graphs beside what they replace, which also tunes the engines of the steps below; the time of each layer, of a step.
    step plans 10 "$(needs "$dtrain")" "$dtrain" info --plans --device h200 --arch resnet50 --batch 256 --precision fp16
    step fused_times 85 "$(needs "$fused_times")" "$fused_times" 256
    step layers_fp16_256 35 "$(needs "$dtrain")" "${measured[@]}" --precision fp16 --batch 256 --profile 20
    step speed_fp16_256 25 "$(needs "$dtrain")" speed fp16 256
    step speed_fp16_256_no_graph 20 "$(needs "$dtrain")" speed fp16 256 --no-graph
    step timeline 35 "$(needs nsys "$dtrain")" timeline
    step kernel_counters 30 "$(needs ncu "$dtrain")" kernel_counters
    step speed_bf16_256 110 "$(needs "$dtrain")" speed bf16 256 --autotune off
    step speed_fp16_32 30 "$(needs "$dtrain")" speed fp16 32
    # Memory at the largest batch; sizes that change.
    step batch_auto 70 "$(needs "$dtrain")" memory_left
    step resize_schedule 20 "$(needs "$dtrain")" resized
    # Beside PyTorch; five epochs on real images.
    step torch_fp16_256 30 "${torch_missing:-$(needs python3)}" python3 "$torch_step" --device cuda --precision fp16 --batch 256 --steps 50 \
        --warmup 20 --memory-format channels_last
    step five_epochs 45 "$([ -n "$data" ] && needs "$dtrain" || echo "--data was not given")" learned
    step overlap 25 "$(needs 2 nsys mpirun "$dtrain")" overlap
}

steps()
{
    local at_part=$part
    step machine 5 "" "$dtrain" info
    step gpu 5 "$(needs nvidia-smi)" nvidia-smi
    at_part=1
    [ "$part" = 2 ] || checks
    at_part=2
    [ "$part" = 1 ] || measurements
}

if [ $mode = run ]; then
    echo "first hour: $n_gpus GPUs, results in $out"
    mode=plan
    steps
    [ "$seconds" -eq 0 ] || [ "$planned" -le "$seconds" ] ||
        echo "first_hour.sh: the limits of the steps add up to $planned s, and --seconds is $seconds: the last steps may be skipped" >&2
    mode=run ran=0
fi
steps

# --- the table

[ "$ran" -gt 0 ] || usage "--only $only: no step of this part has that in its name"
[ $mode = run ] || exit 0
echo
awk -F '\t' '{ printf "%-28s %-9s %5s s  %s\n", $1, $2, $3, $4; n[$2]++ }
    END { printf "%d ok, %d failed, %d too long, %d skipped\n", n["ok"], n["failed"], n["too long"], n["skipped"]
          exit n["failed"] + n["too long"] > 0 }' "$out/summary.tsv"
