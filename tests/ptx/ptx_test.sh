#!/bin/bash
# The kernels as nvcc compiled them: the tests of the kernels, of the cuda backend and of the wire run the PTX of sm_90 (make check-long: also of
# sm_80) on the emulator. Every access to memory is checked: its alignment, and that no other thread accesses the bytes without a barrier between.
. "$(dirname "$0")/../lib.sh"

TIME_LIMIT_S=1800 # for the long cases
ptx=$TOP_BUILDDIR/tests/ptx

# need_ptx LIBRARY: sets DTRAIN_TEST_PTX, and REPORT, which collects what ran on it.
need_ptx()
{
    grep -q '^#define DT_WITH_PTX_TESTS 1' "$TOP_BUILDDIR/config.h" || {
        skip "this build has no PTX: it needs nvcc, CUDA's headers, CUnit, python3, and no sanitizer"
        return 1
    }
    export DTRAIN_TEST_PTX=$ptx/$1
    export DTRAIN_TEST_PTX_REPORT=$_base/report.$1
    [ -f "$DTRAIN_TEST_PTX" ] || fail "there is no $DTRAIN_TEST_PTX: make check-programs builds it"
}

# run_as_ptx TEST CASE...: the test passes.
run_as_ptx()
{
    expect_exit 0 "$TOP_BUILDDIR/tests/$1" "${@:2}"
    expect_output '^[1-9][0-9]* passed, 0 failed, 0 skipped$'
}

# count LIBRARY: what the report says of all tests together.
count()
{
    awk -v library="$1" '{ if (!($1 in seen)) n++; seen[$1] = 1; launches += $2; accesses += $3 }
         END { printf "  %s: %d kernels, %.0f launches, %.0f accesses to memory\n", library, n, launches, accesses }' "$DTRAIN_TEST_PTX_REPORT"
}

# expect_all_ran ARCH: every kernel of the PTX has run.
expect_all_ran()
{
    local missing
    sed -nE 's/^.*\.entry (\w+)\(.*/\1/p' "$TOP_BUILDDIR"/layers/cuda/*.ptx"$1" "$TOP_BUILDDIR/comm/nccl/wire.ptx$1" | sort >all
    cut -d' ' -f1 "$DTRAIN_TEST_PTX_REPORT" | sort -u >ran
    expect test -s all
    missing=$(comm -23 all ran)
    [ -z "$missing" ] || fail "these kernels did not run as PTX: $(tr '\n' ' ' <<<"$missing")"
}

# refused TEXT MESSAGE: the translator refuses a kernel with this in its fifth line.
refused()
{
    printf '.version 9.0\n.entry k(\n)\n{\n%s\nret;\n}\n' "$1" >k.ptx
    expect_exit 1 python3 "$TOP_SRCDIR/tests/ptx/translate.py" k.ptx k.c
    expect_output "^k\.ptx:5: $2"
}

begin "the translator refuses what it does not know, with file and line"
command -v python3 >/dev/null || skip "there is no python3"
refused 'brx.idx %r1, table;' 'unknown instruction: brx\.idx'
refused '.reg .b32 %r<2>; add.sat.s32 %r0, %r1, %r1;' 'unknown instruction: add\.sat\.s32'
refused '.reg .b32 %r<2>; add.s32 %r0, %r1, %laneid;' 'unknown operand: %laneid'
refused '.reg .b64 %rd<2>; .reg .f32 %f<1>; add.rn.f32 %f0, %f0, %rd1;' '%rd1 is a register of type b64, and f32 is wanted'
refused '.reg .b32 %r<2>; ld.global.cg.u32 %r0, [%r1];' 'unknown instruction: ld\.global\.cg\.u32'
refused '.reg .b32 %r<2>; bar.sync 1;' 'unknown instruction: bar\.sync'
refused '.local .align 4 .b8 depot[16];' 'unknown declaration: \.local'
refused '.reg .b16 %rs<2>; add.s32 %rs0, %rs1, %rs1;' '%rs1 is a register of type b16, and s32 is wanted'

begin "planted faults are found: barriers, alignment, races, bounds"
need_ptx faults.so && run_as_ptx ptx/faults_cases

begin "a program whose library lacks a kernel ends with its name"
need_ptx faults.so && {
    expect_exit 1 "$TOP_BUILDDIR/tests/comm/nccl_wire_test" any_size
    expect_output 'pack<__half>: the library that DTRAIN_TEST_PTX names has no such kernel'
}

begin "the tests of the kernels and of the wire pass on the PTX of sm_90"
need_ptx sm_90.so && {
    run_as_ptx layers/cuda_kernels_test every_kernel
    run_as_ptx layers/cuda_launchers_test
    run_as_ptx emulated/stem_test pixels blocks images formula
    run_as_ptx comm/nccl_wire_test
}

begin "convolutions and a training step pass on the PTX of sm_90"
need_ptx sm_90.so && {
    run_as_ptx emulated/cases_test accumulate results
    run_as_ptx emulated/training_test too_large composed
}

begin "every kernel has run on the PTX of sm_90"
need_ptx sm_90.so && {
    expect_all_ran 90
    count sm_90
}

# everything ARCH
everything()
{
    rm -f "$DTRAIN_TEST_PTX_REPORT"
    run_as_ptx layers/cuda_kernels_test every_kernel order multiprocessors gaps
    run_as_ptx layers/cuda_launchers_test
    run_as_ptx emulated/stem_test pixels blocks images formula
    run_as_ptx comm/nccl_wire_test
    run_as_ptx emulated/cases_test
    run_as_ptx emulated/training_test
    run_as_ptx emulated/trainer_test
    expect_all_ran "$1"
    count "sm_$1"
}

begin "all tests pass on the PTX of sm_90"
long_case && need_ptx sm_90.so && everything 90

begin "all tests pass on the PTX of sm_80"
long_case && need_ptx sm_80.so && everything 80

finish
