#!/bin/bash
# comm/nccl under mpirun, on a fake GPU and a fake NCCL: all operations with 1 to 4 ranks; and ranks and GPUs that fail: all ranks end soon, and
# name the missing ranks, the bucket and the step.
. "$(dirname "$0")/../lib.sh"

cases=$TOP_BUILDDIR/tests/comm/nccl_cases
failing=$TOP_BUILDDIR/tests/comm/nccl_failures

for n in 1 2 3 4; do
    begin "all_operations_with_${n}_ranks"
    need_cunit
    expect_exit 0 ranks $n "$cases"
    expect_output '^[0-9]+ passed, 0 failed'
done

begin "a_blocking_communicator_does_all_operations"
need_cunit
expect_exit 0 env NCCL_COMM_BLOCKING=1 "$RANKS" 3 "$cases"
expect_output '^[0-9]+ passed, 0 failed'

for n in 2 3; do
    begin "sums_of_${n}_ranks_have_the_same_bits_unless_nvls_is_allowed"
    need_cunit
    expect_exit 0 ranks $n "$TOP_BUILDDIR/tests/comm/nccl_bits_cases"
    expect_output '^2 passed, 0 failed'
done

begin "hosts_that_communicate_without_efa_get_a_warning"
need_cunit
expect_exit 0 ranks 2 "$TOP_BUILDDIR/tests/comm/nccl_efa_cases"
expect_output '^3 passed, 0 failed'

for n in 1 2 3; do
    begin "training_with_${n}_ranks_gives_the_bits_of_the_host_and_mpi"
    need_cunit
    expect_exit 0 ranks $n "$TOP_BUILDDIR/tests/comm/nccl_training"
    expect_output '^3 passed, 0 failed'
done

begin "ranks_on_emulated_gpus_train_as_the_reference_does"
need_cunit
if [ -x "$TOP_BUILDDIR/tests/comm/nccl_emulated" ]; then
    for n in 2 3; do
        expect_exit 0 ranks $n "$TOP_BUILDDIR/tests/comm/nccl_emulated"
        expect_output '^2 passed, 0 failed'
    done
else
    skip "there are no CUDA headers to compile the kernels with"
fi

# The deadline of nccl_failures is 2 s, and all ranks know a few seconds later. mpirun itself takes some seconds on a busy machine.
TIME_LIMIT_S=$((30 * ${DTRAIN_TEST_SLOWER:-1}))

begin "200_steps_succeed"
expect_exit 0 ranks 3 "$failing" none
expect test "$(grep -c 'left in order' "$OUTPUT")" = 3

# mpirun may end the first rank that fails before its line is printed. Then the line of another rank quotes it.
quoted='(rank [0-9] \([^)]+\) has given up: )?'
at='the sum of gradient bucket 2 of step 41 \(100000 bytes\)'

begin "a_frozen_rank_is_named_with_bucket_and_step_and_all_abort"
expect_exit 9 ranks 4 "$failing" stop
expect_output "^rank [023]: lost peer: ${quoted}after 2 s in $at there is no sign of rank 1 \\([^)]+\\): .*\\[after [2-9]\\.[0-9] s, 1 aborted\\]"
expect_no_output 'no sign of rank [023]'
expect_no_output ', 0 aborted'
expect_exit 9 ranks 2 "$failing" stop 0
expect_output "^rank 1: lost peer: after 2 s in $at there is no sign of rank 0 "

begin "a_killed_rank_ends_all_ranks"
expect_exit "$KILLED_CODE" ranks 3 "$failing" kill
expect_exit "$KILLED_CODE" ranks 2 "$failing" kill 0

begin "a_gpu_that_hangs_is_distinguished_from_missing_ranks"
expect_exit 9 ranks 3 "$failing" hang
expect_output "^rank [012]: (lost peer|timeout): $quoted(after 2 s in $at rank 1 \\([^)]+\\) has not come; rank 1 is in the device's own work after gradient bucket 1 of step 41: |after 2 s in the device's own work after gradient bucket 1 of step 41 nothing moves: the device hangs)"

begin "a_rank_in_another_collective_is_reported"
expect_exit 9 ranks 3 "$failing" elsewhere
expect_output "^rank [02]: lost peer: ${quoted}after 2 s in $at rank 1 \\([^)]+\\) has not come; rank 1 is in a barrier \\(collective [0-9]+, step 41\\): |^rank 1: lost peer: (rank [02] \\([^)]+\\) has given up: |after 2 s in a barrier .* rank 0 is in $at)"

begin "a_late_rank_is_waited_for"
expect_exit 0 ranks 3 "$failing" late
expect test "$(grep -c 'left in order' "$OUTPUT")" = 3

begin "a_rank_that_evaluates_past_the_deadline_is_waited_for"
expect_exit 0 ranks 3 "$failing" busy
expect test "$(grep -c 'left in order' "$OUTPUT")" = 3
expect_exit 0 ranks 3 "$failing" evaluation
expect test "$(grep -c 'left in order' "$OUTPUT")" = 3

begin "a_rank_that_sums_another_size_is_named"
expect_exit 9 ranks 2 "$failing" sizes
expect_output "^rank [01]: communication: rank [01] is in the sum of gradient bucket 2 of step 41 \\((50|100)000 bytes\\), and rank [01] \\([^)]+\\) in the sum of gradient bucket 2 of step 41 \\((50|100)000 bytes\\): a bug"

begin "a_rank_with_an_error_ends_all_ranks"
expect_exit 3 ranks 3 "$failing" abort
expect_exit 9 env DTRAIN_FAULT=comm.start@2:30 "$RANKS" 3 "$failing" none
expect_output '^rank 2: communication: gradients: fault point comm\.start '

begin "an_error_of_nccl_is_reported_before_the_deadline"
expect_exit 9 ranks 3 "$failing" disconnect
expect_output "^rank [012]: lost peer: NCCL, in $at \\(found while waiting for the device\\): remote process exited or there was a network error"

begin "an_abort_that_hangs_does_not_delay_the_end"
expect_exit 9 ranks 3 "$failing" abort-hangs
expect_output "^rank [02]: lost peer: ${quoted}after 2 s in $at there is no sign of rank 1 .*, 0 aborted\\]"

begin "a_host_that_hangs_because_the_queue_is_full_is_freed"
expect_exit 9 ranks 3 "$failing" full-queue
expect_output "^rank [02]: lost peer: ${quoted}after 2 s in $at, in which the host hung too, NCCL was aborted; there is no sign of rank 1 \\([^)]+\\) "

begin "a_start_that_fails_or_hangs_on_one_rank_ends_all_ranks"
expect_exit 9 ranks 3 "$failing" init-fails
expect_output "^rank [02]: communication: rank 1 \\([^)]+\\) has given up: NCCL, in NCCL's start \\(ncclCommInitRankConfig\\): internal error|^rank 1: communication: NCCL, in NCCL's start \\(ncclCommInitRankConfig\\): internal error"
expect_exit 9 ranks 3 "$failing" init-hangs
expect_output "^rank [012]: lost peer: .*after 2 s in (NCCL's start nothing arrives, although all ranks have come|an all-reduce of .* (is|are) in NCCL's start)"

# ncclCommAbort waits until no captured graph refers to the communicator, and the ranks destroy theirs. Without that it would take 3 s more.
begin "an_abort_does_not_wait_for_captured_steps"
expect_exit 9 ranks 3 "$failing" captured
expect_output "^rank [02]: lost peer: ${quoted}after 2 s in $at there is no sign of rank 1 \\([^)]+\\): .*\\[after [2-9]\\.[0-9] s, 1 aborted\\]"
expect_no_output ', 0 aborted'

# The calls of a blocking communicator do not return while a rank is missing. The start makes them in a thread of their own; later the watchdog ends them.
blocking='env NCCL_COMM_BLOCKING=1'
begin "a_blocking_communicator_keeps_the_deadline"
expect_exit 0 $blocking "$RANKS" 3 "$failing" none
expect_exit 9 $blocking "$RANKS" 3 "$failing" stop
expect_output "^rank [02]: lost peer: ${quoted}after 2 s in $at there is no sign of rank 1 \\([^)]+\\): .*, 1 aborted\\]"
expect_exit 9 $blocking "$RANKS" 3 "$failing" full-queue
expect_output "^rank [02]: lost peer: ${quoted}after 2 s in $at, in which the host hung too, NCCL was aborted; there is no sign of rank 1 \\([^)]+\\) "
expect_exit 9 $blocking "$RANKS" 3 "$failing" init-hangs
expect_output "^rank [012]: lost peer: .*after 2 s in (NCCL's start nothing arrives, although all ranks have come|an all-reduce of .* (is|are) in NCCL's start)"
expect_exit 9 $blocking "$RANKS" 3 "$failing" connect-hangs
expect_output "^rank [012]: (lost peer|timeout): .*after 2 s in (NCCL's start|an all-reduce of .* in NCCL's start)"
expect_exit 9 $blocking "$RANKS" 3 "$failing" init-fails
expect_output "^rank [02]: communication: rank 1 \\([^)]+\\) has given up: NCCL, in NCCL's start \\(ncclCommInitRankConfig\\): internal error|^rank 1: communication: NCCL, in NCCL's start \\(ncclCommInitRankConfig\\): internal error"

begin "warnings_in_nccls_log_are_printed_after_an_error"
expect_exit 9 ranks 3 "$failing" disconnect
expect_output "^rank [012] warns: NCCL's log: Connection closed by (remote peer|this rank)"

finish
