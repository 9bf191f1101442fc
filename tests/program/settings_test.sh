#!/bin/bash
# Environment variables of libraries: the number of threads that OpenMP provides changes no bit, and what changes results is listed or refused.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

unset OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY DNNL_MAX_CPU_ISA ONEDNN_MAX_CPU_ISA
small=(--backend cpu --image-size 32 --batch 6 --epochs 1 --seed 3)
hash= expected=
measured=(--backend cpu --input synthetic --arch resnet18 --image-size 32 --batch 4 --steps 1)

# trains NETWORK ENVIRONMENT...: the hash of the weights after some steps with two threads is in $hash
trains() {
    local arch=$1
    shift
    rm -rf run weights
    expect_exit 0 env "$@" "$DTRAIN" "${small[@]}" --data data --arch "$arch" --threads "${threads:-2}" --out run --export weights
    if [ "$_state" != skipped ]; then hash=$(sha256sum <weights); fi
}

# undisturbed: the hash with no variable set is in $expected; trained once
undisturbed() {
    digits data 2 9 3
    [ "$_state" != skipped ] || return 0
    [ -e "$_base/expected" ] || { trains resnet18 && echo "$hash" >"$_base/expected"; }
    expected=$(<"$_base/expected")
}

begin "a team of OpenMP that is smaller than requested changes no bit"
undisturbed
several=('OMP_NUM_THREADS=2,2 OMP_THREAD_LIMIT=1' OMP_MAX_ACTIVE_LEVELS=0)
# shellcheck disable=SC2054
[ -z "$(if_long all)" ] || several+=(OMP_THREAD_LIMIT=1 OMP_DYNAMIC=true OMP_NUM_THREADS=3,2 OMP_NUM_THREADS=1 \
    'OMP_THREAD_LIMIT=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1 CUBACORES=1 GOMAXPROCS=1 TF_NUM_THREADS=1')
for settings in "${several[@]}"; do
    # shellcheck disable=SC2086 # several variables
    trains resnet18 $settings
    [ "$hash" = "$expected" ] || fail "$settings: other weights"
done
for threads in $(if_long 5); do
    trains resnet18
    [ "$hash" = "$expected" ] || fail "--threads $threads: other weights"
done
unset threads

begin "ResNet-50 neither hangs nor computes other weights in a smaller team"
digits data 2 4 2
trains resnet50
expected=$hash
for settings in OMP_THREAD_LIMIT=1 $(if_long OMP_MAX_ACTIVE_LEVELS=0); do
    trains resnet50 $settings
    [ "$hash" = "$expected" ] || fail "$settings: other weights"
done

begin "the number of threads changes no bit with other instructions either"
digits data 2 4 2
for isa in SSE41 $(if_long AVX2); do # SSE41: matrix products
    threads=1 trains resnet18 DNNL_MAX_CPU_ISA=$isa
    expected=$hash
    threads=3 trains resnet18 DNNL_MAX_CPU_ISA=$isa
    [ "$hash" = "$expected" ] || fail "$isa: --threads 3: other weights"
done

begin "fewer threads than requested are reported with the variable, and the table shows how many there are"
expect_exit 0 env OMP_THREAD_LIMIT=1 "$DTRAIN" "${measured[@]}" --threads 2
expect_output 'OpenMP provides 1 of 2 compute threads \(OMP_THREAD_LIMIT=1\)'
expect_output '0 .*│ +1 │ +[0-9]+ │|0 .*\| +1 \| +[0-9]+ \|'
expect_exit 0 "$DTRAIN" "${measured[@]}" --threads 2
expect_no_output 'OpenMP provides|share'

begin "threads that share one processor are reported with the variable"
expect_exit 0 env OMP_PLACES='{0}' OMP_PROC_BIND=true "$DTRAIN" "${measured[@]}" --threads 2
expect_output '2 compute threads share 1 processor \(.*OMP_PLACES=\{0\}'

begin "OMP_PROC_BIND leaves this rank its processors"
expect_exit 0 "$DTRAIN" "${measured[@]}"
n=$(sed -nE 's/.*, ([0-9]+) threads?.*/\1/p' "$OUTPUT" | head -1)
expect_exit 0 env OMP_PROC_BIND=true "$DTRAIN" "${measured[@]}"
expect_output ", $n threads?"
expect_no_output 'share'

begin "stacks that are too small to compute with are refused"
expect_exit 2 env OMP_STACKSIZE=16k "$DTRAIN" "${measured[@]}" --threads 2
expect_output 'stacks of 16 KiB \(OMP_STACKSIZE=16k\)'

begin "stacks that are too large for the system are refused before OpenMP ends the program"
expect_exit 1 env OMP_STACKSIZE=100000G "$DTRAIN" "${measured[@]}" --threads 2
expect_output 'of 2 compute threads, the system started 1 .*lower OMP_STACKSIZE'
expect_exit 0 env OMP_STACKSIZE=' 4 m' "$DTRAIN" "${measured[@]}" --threads 2

begin "a limit of the stack that is too small to compute with is refused"
expect_exit 2 bash -c 'ulimit -s 64; exec "$@"' - "$DTRAIN" "${measured[@]}"
expect_output 'the stack may have 64 KiB only \(ulimit -s\)'
expect_exit 0 bash -c 'ulimit -s 256; exec "$@"' - "$DTRAIN" "${measured[@]}" --threads 2

begin "variables that change results are listed with their values"
expect_exit 0 env DNNL_MAX_CPU_ISA=SSE41 NCCL_ALGO=Ring NCCL_DEBUG=INFO ONEDNN_CPU_ISA_HINTS= "$DTRAIN" "${measured[@]}"
expect_output 'DNNL_MAX_CPU_ISA=SSE41 .*results'
expect_output 'NCCL_ALGO=Ring .*results'
expect_no_output 'NCCL_DEBUG|ISA_HINTS'
expect_exit 0 "$DTRAIN" "${measured[@]}"
expect_no_output 'environment'

begin "a rank's own variable is listed with the rank"
expect_exit 0 ranks 2 bash -c 'if [ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}" = 1 ]; then export GLIBC_TUNABLES=glibc.malloc.arena_max=2; fi; exec "$@"' - \
    "$DTRAIN" "${measured[@]}"
expect_output 'GLIBC_TUNABLES=glibc.malloc[^│|]* (│|\|) 1 ' # a long value continues in the next line

begin "a lower precision that oneDNN is told to use changes no bit"
undisturbed
trains resnet18 DNNL_DEFAULT_FPMATH_MODE=ANY ONEDNN_DEFAULT_FPMATH_MODE=BF16
[ "$hash" = "$expected" ] || fail "other weights"

begin "a resume under another setting says so"
digits data 2 9 3
expect_exit 0 "$DTRAIN" "${small[@]}" --data data --arch resnet18 --out run
expect_exit 0 env GLIBC_TUNABLES=glibc.malloc.arena_max=2 "$DTRAIN" "${small[@]}" --epochs 2 --data data --arch resnet18 --out run
expect_output 'environment GLIBC_TUNABLES=glibc.malloc.arena_max=2'

begin "another storage layer of HDF5 is refused"
expect_exit 2 env HDF5_VOL_CONNECTOR=pass_through "$DTRAIN" "${measured[@]}"
expect_output "HDF5_VOL_CONNECTOR is 'pass_through'"

finish
