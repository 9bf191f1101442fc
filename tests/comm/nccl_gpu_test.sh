#!/bin/bash
# comm/nccl with NCCL itself, where there is a GPU: sums, captured sums, marks. With two GPUs also a rank that freezes.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cunit

cases=$TOP_BUILDDIR/tests/comm/nccl_gpu_cases
failing=$TOP_BUILDDIR/tests/comm/nccl_failures
n_gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')

need_gpus()
{
    if ! grep -q '^#define DT_WITH_NCCL 1' "$TOP_BUILDDIR/config.h"; then skip "this build has no NCCL"
    elif [ "$n_gpus" -lt "$1" ]; then skip "there are $n_gpus GPUs, and $1 are needed"
    else return 0
    fi
    return 1
}

for n in 1 2 4 8; do
    begin "sums_on_${n}_gpus"
    need_gpus $n && {
        expect_exit 0 ranks $n "$cases"
        expect_output '^5 passed, 0 failed'
        expect_output '^NCCL 2\.'
    }
done

begin "a_frozen_rank_is_named_with_bucket_and_step"
need_gpus 2 && {
    expect_exit 9 env DT_TEST_REAL_NCCL=1 "$RANKS" 2 "$failing" stop
    expect_output '^rank 0: lost peer: after 2 s in the sum of gradient bucket [0-9] of step 41 \([0-9]+ bytes\) there is no sign of rank 1 '
}

begin "a_host_that_hangs_because_the_queue_is_full_is_freed"
need_gpus 2 && {
    expect_exit 9 env DT_TEST_REAL_NCCL=1 "$RANKS" 2 "$failing" full-queue
    expect_output '^rank 0: lost peer: after 2 s in the sum of gradient bucket [0-9] of step 41 .* there is no sign of rank 1 '
}

finish
