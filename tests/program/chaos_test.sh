#!/bin/bash
# Trainings on several hosts (namespaces) that are disturbed at random and started again by the same command until they are done: chaos.py. Needs root.
# DTRAIN_TEST_SEED=N repeats the events of an earlier run, whose output has its seed; when exactly they strike depends on the scheduler.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/hosts.sh"

seed=${DTRAIN_TEST_SEED:-$$}
TIME_LIMIT_S=$((900 * ${DTRAIN_TEST_SLOWER:-1})) # each wait inside has a limit of its own

# 4 classes of 30 digits to train on, 3 to evaluate on: 10 steps an epoch at the global batch of 12, and each sample once.
data=$_base/data
[ -n "$_no_hosts" ] || digits "$data" 4 30 3 || exit 99

# chaos SEED OPTIONS..
chaos()
{
    expect_exit 0 "${alone[@]}" python3 -B "$TOP_SRCDIR/tests/program/chaos.py" "$TMP/work" --seed "$@" --job "$TOP_BUILDDIR/tests/program/chaos_job" --data "$data"
    [ "$_state" = skipped ] || sed -n 's/^\(seed\|[0-9]* events,\) .*/  &/p' "$OUTPUT"
}

possible()
{
    mkdir work
    need_hosts
}

begin "ranks, a host, the disk and a cable fail: samples and bits are those of an undisturbed run"
possible && chaos "$seed" --epochs 16 --worlds 2+2 --events full_disk,kill_host,usr1,kill_rank_writing,cut

begin "4 ranks, then 2, then 3: each sample once in each epoch, in the same order"
possible && chaos "$seed" --epochs 16 --worlds 2+2,1+1,2+1 --events kill_rank,term,kill_all

begin "hosts with their own disks and a mirror: the same bits, also when one or both are replaced"
possible && long_case && chaos "$seed" --local --epochs 12 --worlds 2+2 --events replace_host_writing,full_mirror,replace_all

everything=kill_rank,kill_rank_writing,kill_rank_starting,freeze_rank,kill_mpirun,term,usr1,usr1_writing,kill_all,kill_all_writing,kill_host,kill_host_writing
everything=$everything,power_off,power_off_writing,cut,cut_writing,cut_hurried,power_off_hurried,kill_mpirun_hurried,flap,pause,full_disk,restart_on_full_disk
begin "the job moves to other hosts: the same bits"
possible && long_case && chaos "$seed" --epochs 24 --worlds 2+2+0,0+2+2,2+0+2 --events kill_rank,power_off,kill_all_writing,cut,usr1

on_disks=kill_rank,kill_rank_writing,kill_host_writing,power_off_writing,cut,usr1,full_host_disk,full_mirror,read_only_mirror,replace_host,replace_host_writing
begin "hosts with their own disks: all events in random order, the same bits"
possible && long_case && chaos "$seed" --local --epochs 40 --worlds 2+2 --shuffle --events "$on_disks,$on_disks,replace_all"
begin "hosts with their own disks: all events while the number of ranks changes"
possible && long_case && chaos "$seed" --local --epochs 30 --worlds 2+2,1+1,2+1 --shuffle --events "$on_disks,replace_all"

for n in 1 2 3; do
    begin "all events in random order, $n"
    possible && long_case && chaos $((seed + n)) --epochs 60 --worlds 2+2 --shuffle --events "$everything,$everything"
    begin "all events while the number of ranks changes, $n"
    possible && long_case && chaos $((seed + n)) --epochs 40 --worlds 2+2,1+1,2+1 --shuffle --events "$everything"
done

finish
