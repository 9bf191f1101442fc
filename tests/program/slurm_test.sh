#!/bin/bash
# A real Slurm of two nodes runs the files of launch/deploy/slurm: spot notices, lost nodes, errors. slurm_checks_test.sh tests what the files refuse.
# Wants root and Slurm's and munge's packages (autotools/packages.txt); long, so make check-slurm and make check-long run it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/hosts.sh"

TIME_LIMIT_S=$((400 * ${DTRAIN_TEST_SLOWER:-1}))
whole=$_base/whole.safetensors

need_slurm()
{
    local name missing=''
    long_case && need_cpu_backend && need_hosts || return
    for name in slurmctld slurmd munged sbatch scontrol; do
        PATH=$PATH:/usr/sbin:/sbin command -v $name >/dev/null || missing+=" $name"
    done
    [ -z "$missing" ] || { skip "there is no$missing: autotools/install-packages slurm"; return 1; }
    need_mpi openmpi4 openmpi5
}
all_cases_need need_slurm

# More cases: not with DTRAIN_SLURM_CASES=few, which takes four minutes in place of seven.
one_of_many()
{
    [ "${DTRAIN_SLURM_CASES:-all}" != few ] || skip "one of many: DTRAIN_SLURM_CASES=few"
}

# on_slurm CASE: of slurm_cases.py
on_slurm()
{
    [ "$_state" != skipped ] || return
    [ -d "$_base/images" ] || digits "$_base/images" 4 40 8
    [ "$1" = undisturbed ] || [ -e "$whole" ] || on_slurm undisturbed
    mkdir -p "$TMP/$1"
    expect_exit 0 "${alone[@]}" python3 -B "$TOP_SRCDIR/tests/program/slurm_cases.py" "$TMP/$1" "$1" --dtrain "$DTRAIN" --source "$TOP_SRCDIR" --data "$_base/images" \
        --whole "$whole"
}

begin "a job trains on two nodes"
on_slurm undisturbed

begin "a spot notice stops the job with code 75; it requeues itself, and ends with the undisturbed run's bits"
on_slurm spot

begin "the same where slurm.conf has RequeueExit=75"
one_of_many
on_slurm spot-requeue-exit

begin "a node whose slurmd is killed is lost: Slurm requeues the job, which ends with the same bits"
on_slurm lost-node

begin "the same with the node of the batch script"
one_of_many
on_slurm lost-batch-node

begin "a node without power is lost: the same"
one_of_many
on_slurm power-off

begin "the same with the node of the batch script, and RequeueExit"
one_of_many
on_slurm batch-power-off

begin "a job that fails with 1 is not requeued"
on_slurm failed

begin "a job that makes no progress in three restarts ends, and says so"
on_slurm no-progress

begin "the file for GPUs, by submit; SIGUSR1 requeues, SIGINT does not"
one_of_many
on_slurm stopped

begin "a cancelled job is not requeued"
one_of_many
on_slurm cancelled
on_slurm cancelled-requeue-exit

begin "submit and the checks of the nodes refuse what cannot work"
one_of_many
on_slurm refused

begin "srun --mpi=pmix starts the ranks in place of mpirun"
one_of_many
on_slurm pmix

finish
