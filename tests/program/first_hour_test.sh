#!/bin/bash
# tests/gpu/first_hour.sh and bundle.sh on a machine without a GPU, and with programs that stand in for those of a GPU machine.
. "$(dirname "$0")/../lib.sh"

script=$TOP_SRCDIR/tests/gpu/first_hour.sh

# stand_in NAME LINE...: a program of that name whose script has these lines.
stand_in()
{
    local path=$1
    shift
    mkdir -p "$(dirname "$path")"
    printf '%s\n' '#!/bin/bash' "$@" >"$path"
    chmod +x "$path"
}

# counted NAME LINE...: the same, but its start number $FAIL_AT within a step, of all such programs, ends with code 2.
counted()
{
    local name=$1
    shift
    stand_in "$name" "starts=$TMP/starts.\$(wc -l <$TMP/results/summary.tsv)" 'echo "$0 $*" >>$starts' \
        '[ "$(wc -l <$starts)" != "${FAIL_AT:-0}" ] || { echo "start $FAIL_AT of the step fails"; exit 2; }' "$@"
}

# programs [N]: a build folder of stand-ins, the tools of part 2, and an nvidia-smi that names N GPUs, 1 by default. dtrain is killed by its fault, at
# step 20, and its next start resumes there; mpirun starts one process in place of all ranks, and prints what the other rank would.
programs()
{
    stand_in tools/nvidia-smi 'case $1 in --query*) echo 4000 ;; *) for ((i = 0; i < '"${1:-1}"'; i++)); do echo "GPU $i: stand-in"; done ;; esac'
    counted programs/dtrain 'echo "dtrain $1"' 'echo "dtrain: as it logs" >&2' \
        'for a; do case $previous in --output) echo weights >"$a" ;; --out) out=$a ;; esac; previous=$a; done' \
        '[ "$*" = "${*#*--batch auto}" ] || sleep 0.5' '[ -z "$XDG_CACHE_HOME" ] || { mkdir -p "$XDG_CACHE_HOME/dtrain" && : >"$XDG_CACHE_HOME/dtrain/plans-x.txt"; }' \
        'if [ -n "$DTRAIN_FAULT" ]; then mkdir -p "$out"; echo 20 >"$out/step"; kill -9 $$; fi' \
        '[ ! -e "$out/step" ] || echo "dtrain: going on after step $(cat "$out/step"), epoch 1, from $out"' 'echo "123.4 img/s"'
    counted programs/tests/gpu/gpu_test 'echo "fused graphs: 61 of 61: 6 conv+sums"' 'echo "1 passed, 0 failed, 0 skipped"'
    counted programs/tests/gpu/fused_main 'echo "a step: 1.000 ms fused, 2.000 ms composed; 0 of 9 fused graphs are slower"'
    counted programs/tests/comm/nccl_gpu_cases 'echo "5 passed, 0 failed, 0 skipped"'
    with_programs=(env -u MPI_KIND_OF -u XDG_CACHE_HOME PATH="$TMP/tools:$PATH" "$script" --programs "$TMP/programs" --out "$TMP/results")
    mkdir -p results && : >results/summary.tsv
}

# tools: those of part 2, and mpirun.
tools()
{
    local from_program='while [[ $1 != */programs/* ]]; do shift; done'
    counted tools/nsys '[ $1 = profile ] || { echo "50.0 max_pool_forward"; exit; }' \
        'for a; do [ "$previous" != -o ] || touch "${a/\%p/1}.nsys-rep" "${a/\%p/2}.nsys-rep"; previous=$a; done' "$from_program" 'exec "$@"'
    counted tools/ncu "$from_program" '"$@" || exit' 'echo "    Section: GPU Speed Of Light Throughput"'
    counted tools/compute-sanitizer "$from_program" '"$@" || exit' 'echo "========= ERROR SUMMARY: 0 errors"'
    counted tools/mpirun 'while [ $1 != -np ]; do shift; done' '"${@:3}"' 'code=$?' \
        '[ $code != 137 ] || echo "dtrain: rank 0 on host: after 10 s in step 16 there is no sign of rank 1 (host)"' 'exit $code'
    sed -i '1a [ "$1" != --version ] || { echo "mpirun (Open MPI) 4.1.4"; echo "https://www.open-mpi.org/"; exit; }' tools/mpirun
    counted tools/python3 'echo "900 img/s"'
    sed -i '1a [ "$1" != -c ] || exit 0' tools/python3
    mkdir -p images/train
    with_programs+=(--data images)
}

begin "without a GPU every step that needs one is skipped with the reason"
need_no_gpu && {
    expect_exit 0 "$script" --programs "$TOP_BUILDDIR" --out results
    expect_output '^first hour: 0 GPUs'
    expect_output '^machine +ok '
    expect_output '^operations_fp16_fused +skipped +0 s  GPUs here: 0, needed: 1'
    expect_output '^nccl_all_gpus +skipped +0 s  GPUs here: 0, needed: 2'
    expect_output '^five_epochs +skipped .*--data was not given'
    expect_output '^1 ok, 0 failed, 0 too long, [0-9]+ skipped'
    expect test -s results/machine.log
    expect [ "$(grep -c . results/summary.tsv)" -ge 25 ]
}

begin "--list runs nothing, and says of each step why it would be skipped"
need_no_gpu && {
    expect_exit 0 "$script" --list --programs "$TMP"
    expect_output '^part 1 +operations_fp16_fused +[0-9]+ s  skipped: GPUs here: 0, needed: 1; there is no gpu_test here$'
    expect_output '^part 2 +timeline +[0-9]+ s  skipped: GPUs here: 0, needed: 1; (there is no nsys here; )?there is no dtrain here$'
    expect_output '^part 2 +five_epochs +[0-9]+ s  skipped: --data was not given$'
    "$script" --list --programs "$TOP_BUILDDIR" --part 1 | awk '{ print $3 }' | sort >listed
    expect_exit 0 "$script" --programs "$TOP_BUILDDIR" --out results --part 1
    cut -f 1 results/summary.tsv | sort >run
    expect cmp listed run
}

# limits_of SCRIPT PART: the sum of the limits of its steps.
limits_of()
{
    "$1" --list --programs "$TMP" --part "$2" | awk '{ sum += $4 } END { print sum + 0 }'
}

begin "the limits of each part add up to a call of ten minutes"
for part in 1 2; do
    sum=$(limits_of "$script" $part)
    expect [ "$sum" -gt 300 ]
    expect [ "$sum" -le 600 ]
done
sed 's/step plans_repeated [0-9]*/step plans_repeated 545/' "$script" >longer.sh && chmod +x longer.sh
expect [ "$(limits_of "$TMP/longer.sh" 1)" -gt 600 ] # the sum sees a limit that is too large

begin "each step of gpu_test runs a test that gpu_test has"
if [ -x "$TOP_BUILDDIR/tests/gpu/gpu_test" ]; then
    "$TOP_BUILDDIR/tests/gpu/gpu_test" --list >tests
    sed -nE 's/^ *step [a-z0-9_]* [0-9]* "\$\(needs "\$gpu_test"\)" (env .*)?("\$gpu_test"|with_counts) //p; s/.*"\$gpu_test" (fp16_fused) 2>&1 \|$/\1/p' "$script" >words
    expect [ "$(wc -l <words)" -ge 9 ]
    while read -r word; do expect grep -q "$word" tests; done <words
else
    skip "this build has no tests/gpu/gpu_test"
fi

begin "the two parts have all the steps of the whole, each once"
need_no_gpu && {
    for part in 1 2 all; do
        expect_exit 0 "$script" --programs "$TOP_BUILDDIR" --out $part --part $part
        cut -f 1 $part/summary.tsv | sort >$part.steps
    done
    sort -u 1.steps 2.steps >both
    expect cmp both all.steps
    expect [ "$(comm -12 1.steps 2.steps | tr '\n' ' ')" = "gpu machine " ]
}

begin "on a GPU the steps run, and their last line is the table's note"
programs
expect_exit 0 "${with_programs[@]}" --part 1
expect_output '^first hour: 1 GPUs'
expect_output '^operations_bf16 +ok .* 1 passed, 0 failed, 0 skipped'
expect_output '^plans_repeated +ok .* fused graphs: 61 of 61: 6 conv.sums$'
expect_output '^operations_fp16_fused +ok .* fused graphs: 61 of 61'
expect_output '^same_weights_seed +ok .* the same weights: [0-9a-f]{16}$'
expect_output '^same_weights_cache +ok .* the same weights: [0-9a-f]{16}$'
expect_output '^same_weights_killed +ok .* killed with code 137, resumed after step 20; the same weights: [0-9a-f]{16}$'
expect_output '^nccl_all_gpus +skipped .* GPUs here: 1, needed: 2'

begin "part 2 prints both times of fused graphs"
programs
expect_exit 0 "${with_programs[@]}" --part 2 --only fused_times
expect_output '^fused_times +ok .* a step: 1.000 ms fused, 2.000 ms composed; 0 of 9 fused graphs are slower'

begin "a step may use what the later ones do not need, and no more"
programs
stand_in programs/tests/gpu/gpu_test '[ "$1" != fp16_fused ] || exec sleep 60' 'echo "passed"'
sed -E 's/step operations_fp16_fused [0-9]+/step operations_fp16_fused 1/; s/step operations_fp16_composed [0-9]+/step operations_fp16_composed 11/' \
    "$script" >short.sh && chmod +x short.sh
with_programs=("${with_programs[@]/#$script/$TMP/short.sh}")
expect_exit 1 "${with_programs[@]}" --only operations_fp16 --seconds 14
expect_output '^operations_fp16_fused +too long .*limit [23] s'
expect_output '^operations_fp16_composed +ok .*passed'
expect_no_output 'may be skipped'

begin "a call that is too short for the limits of its steps says so"
programs
expect_exit 0 "${with_programs[@]}" --only same_weights --seconds 50
expect_output '^first_hour.sh: the limits of the steps add up to 85 s, and --seconds is 50: the last steps may be skipped'

begin "on two GPUs every step runs"
programs 2
tools
expect_exit 0 "${with_programs[@]}"
expect_output '^two_gpus_killed_rank +ok .* killed with code 137, resumed after step 20; the same weights: [0-9a-f]{16}$'
expect_output '^[0-9]+ ok, 0 failed, 0 too long, 0 skipped$'

# Whatever a step starts, and however often: if one start fails, so does the step.
begin "no step is ok if one of the programs that it starts fails"
programs 2
tools
expect_exit 0 "${with_programs[@]}"
cut -f 1 results/summary.tsv | nl -v 0 >steps
for file in starts.*; do [ ! -e "$file" ] || echo "${file#starts.} $(wc -l <"$file")"; done >n_starts 2>/dev/null
expect [ "$(awk '$2 > most { most = $2 } END { print most }' n_starts)" -ge 8 ] # that with a killed rank has three starts by mpirun, two exports
for n in 1 2 3 4 5 6 7 8; do
    rm -rf starts.* results/*-a results/*-b results/digits results/resized
    with=("${with_programs[@]}")
    [ $n -lt 4 ] || with+=(--only same_) # they have the most starts; two_gpus_same_bits is one of them
    [ $n -lt 6 ] || with=("${with_programs[@]}" --only killed_rank)
    expect_exit 1 env FAIL_AT=$n "${with[@]}"
    while read -r number name; do
        [ "$(awk -v number="$number" '$1 == number { print $2 }' n_starts)" -ge $n ] 2>/dev/null || continue
        [ $n -lt 4 ] || grep -q "^$name	" results/summary.tsv || continue
        grep -q "^$name	failed	" results/summary.tsv || fail "$name is ok though start $n fails"
    done <steps
done

begin "weights that differ are a failure, except with engines that were timed again"
programs
sed -i 's/echo weights/echo $RANDOM$RANDOM/' programs/dtrain
expect_exit 1 "${with_programs[@]}" --only same_weights
expect_output '^same_weights_seed +failed .* code 1; the weights differ: '
expect_output '^same_weights_cache +ok .* the weights differ, which is allowed here; engines that differ: 0$'
expect_output '^same_weights_killed +failed .* code 1; killed with code 137, resumed after step 20; the weights differ: '

begin "a plan cache of its own that stays empty is a failure"
programs
sed -i 's/XDG_CACHE_HOME/UNSET/g' programs/dtrain
expect_exit 1 "${with_programs[@]}" --only same_weights_cache
expect_output '^same_weights_cache +failed .*plans'

begin "a start that ends, but is not killed, fails the step; so does one that hangs"
programs 2
tools
sed -i 's/kill -9 \$\$/exit 2/' programs/dtrain
expect_exit 1 "${with_programs[@]}" --only killed
expect_output '^same_weights_killed +failed .* code 1; the start that is to be killed ended with code 2 after [0-9]+ s, expected 137$'
expect_output '^two_gpus_killed_rank +failed .* code 1; the start that is to be killed ended with code 2 after [0-9]+ s, expected 137$'
sed -i 's/exit 2; fi/exec sleep 60; fi/' programs/dtrain
sed 's/timeout --foreground 30/timeout --foreground 1/' "$script" >short.sh && chmod +x short.sh
with_programs=("${with_programs[@]/#$script/$TMP/short.sh}")
expect_exit 1 "${with_programs[@]}" --only same_weights_killed
expect_output '^same_weights_killed +failed .* ended with code 124 after [12] s, expected 137$'

begin "a second start that begins at step 0 fails the step, and so does a rank that is lost without a message"
programs 2
tools
sed -i 's/there is no sign of/nothing about/' tools/mpirun
expect_exit 1 "${with_programs[@]}" --only killed_rank
expect_output '^two_gpus_killed_rank +failed .* there is no message that names the lost rank'
sed -i 's/going on after/going on after no/' programs/dtrain
expect_exit 1 "${with_programs[@]}" --only same_weights_killed
expect_output '^same_weights_killed +failed .* there is no step from which the second start resumes'

begin "output without results fails the step, whatever the code"
programs 2
tools
sed -i 's/max_pool_forward/SKIPPED/; s/%p\/2/%p\/1/' tools/nsys
sed -i 's/fused graphs/graphs/' programs/tests/gpu/gpu_test
sed -i 's/Section:/No kernels were profiled/' tools/ncu
sed -i 's/SUMMARY: 0/SUMMARY: 1/' tools/compute-sanitizer
sed -i 's/echo 4000/echo none/' tools/nvidia-smi
expect_exit 1 "${with_programs[@]}"
expect_output '^plans_repeated +failed .* there is no count of fused graphs'
expect_output '^operations_fp16_fused +failed .* there is no count of fused graphs'
expect_output '^sanitizer_memcheck +failed .* there is no summary of compute-sanitizer without errors'
expect_output '^timeline +failed .* there is no kernel of dtrain'
expect_output '^kernel_counters +failed .* there is no counter'
expect_output '^batch_auto +failed '
expect_output ', 9 failed, '

begin "a program that fails at the beginning of a pipe fails its step"
programs
stand_in programs/dtrain 'echo "no driver"' 'exit 1'
expect_exit 1 "${with_programs[@]}" --only speed_fp16_256
expect_output '^speed_fp16_256 +failed .* code 1; no driver'

begin "a step that fails is named with its code, and the others still run"
programs
stand_in programs/tests/gpu/gpu_test 'echo "not ok conv"' 'exit 3'
expect_exit 1 "${with_programs[@]}" --part 1
expect_output '^operations_fp16_fused +failed .* code 3; not ok conv'
expect_output '^same_weights_seed +ok '
expect_output ' failed, 0 too long'

begin "a step that takes too long is ended, and later steps are skipped when --seconds is over"
programs
stand_in programs/tests/gpu/gpu_test 'exec sleep 60'
expect_exit 1 "${with_programs[@]}" --part 1 --seconds 12
expect_output '^operations_fp16_fused +too long .*limit 1[0-2] s'
expect_output '^same_weights_seed +skipped .*no time is left of --seconds 12'

begin "Ctrl-C ends it, and the step under way"
programs
stand_in programs/tests/gpu/gpu_test 'echo $$ >"$TMP/pid"' 'exec sleep 60'
expect_exit 130 timeout --preserve-status -s INT 3 env TMP="$TMP" "${with_programs[@]}" --part 1
expect_output '^first_hour.sh: interrupted in operations_fp16_fused'
expect gone "$(cat pid)"

begin "mistakes in the options are refused"
expect_exit 2 "$script"
expect_output '^first_hour.sh: --out DIR is needed'
expect_exit 2 "$script" --out x --part 3
expect_output '^first_hour.sh: --part 3: 1, 2 or all'
expect_exit 2 "$script" --out x --seconds soon
expect_output '^first_hour.sh: --seconds soon: a whole number'
expect_exit 2 "$script" --out x --data nowhere
expect_output '^first_hour.sh: --data nowhere: there is no folder nowhere/train'
expect_exit 2 "$script" --out x --speed
expect_output '^first_hour.sh: there is no option --speed'
expect_exit 2 "$script" --programs "$TOP_BUILDDIR" --out x --only nonsense
expect_output '^first_hour.sh: --only nonsense: no step'
expect_exit 0 "$script" --help
expect_output '^first_hour.sh: what to do'
expect_exit 2 "$script" --out
expect_output '^first_hour.sh: --out needs a value'

# The program starts from the bundle with nothing but that folder's libraries, and the bundle is small enough to be sent.
begin "a bundle holds all that first_hour.sh starts, in less than 60 MB"
if ! grep -qs '^#define DT_WITH_CUDA 1' "$TOP_BUILDDIR/config.h" || ! grep -qs '^#define HAVE_CUNIT 1' "$TOP_BUILDDIR/config.h"; then
    skip "this build has no cuda backend or no test programs"
elif need_mpi openmpi4 && [ "${DTRAIN_TEST_SLOWER:-1}" = 1 ]; then
    expect_exit 0 "$TOP_SRCDIR/tests/gpu/bundle.sh" "$TMP/bundle" "$TOP_BUILDDIR"
    expect [ "$(stat -c %s bundle.tar.gz)" -lt 60000000 ]
    expect mkdir moved
    expect tar xzf bundle.tar.gz -C moved
    expect rm -r bundle
    expect_exit 0 env -i PATH=/usr/bin:/bin HOME="$TMP" moved/bundle/run mpirun -np 2 dtrain info
    expect_output 'backends'
    expect_exit 0 env -i PATH=/usr/bin:/bin HOME="$TMP" moved/bundle/run ranks --keep-others 2 dtrain info
    expect_output 'backends'
    expect_exit 0 env -i PATH=/usr/bin:/bin HOME="$TMP" moved/bundle/run first_hour.sh --out results
    expect_output '^machine +ok'
    expect_exit 0 env -i PATH=/usr/bin:/bin HOME="$TMP" moved/bundle/run first_hour.sh --list
    expect_no_output 'there is no (dtrain|mpirun|gpu_test|fused_main|nccl_gpu_cases) here'
    expect_exit 0 env -i PATH=/usr/bin:/bin HOME="$TMP" LD_DEBUG=libs moved/bundle/run dtrain info
    expect_output 'moved/bundle/lib/libhdf5'
    expect_exit 1 "$TOP_SRCDIR/tests/gpu/bundle.sh" "$TMP/moved" "$TOP_BUILDDIR"
    expect_output 'bundle.sh: .*moved exists'
    expect_exit 1 "$TOP_SRCDIR/tests/gpu/bundle.sh" "$TMP/new" "$TMP"
    expect_output 'has no cuda backend'
fi

finish
