#!/bin/bash
# The statements of README.md and comm/README.md about the launcher in use: its ranks' processors, its exit codes, the time that it leaves ranks.
. "$(dirname "$0")/../lib.sh"

"$DTRAIN" demo-data "$_base/data" >/dev/null || exit 99
small=(--data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --workers 1 --eval-every 0 --resume never)

# expect_threads N: the table of ranks shows N threads for rank 0. Its lines depend on the locale.
expect_threads()
{
    expect_output "^ +0 (│|[|]) .* $1 threads? +(│|[|]) +$1 (│|[|])"
}

begin "one rank uses all cores, unless the launcher has to bind it to one"
n=$(nproc)
[ "$(lscpu -p=CORE 2>/dev/null | grep -v '^#' | sort -u | wc -l)" = "$n" ] || skip "cores have several hardware threads, or there is no lscpu"
[ "$n" -gt 1 ] || skip "there is one core only"
expect_exit 0 ranks 1 "$DTRAIN" "${small[@]}" --steps 1
expect_threads "$n"
bind=(--bind-to core)
expect_exit 0 "$RANKS" 1 "${bind[@]}" "$DTRAIN" "${small[@]}" --steps 1
expect_threads 1

# reach N: waits until the run in run/ has done N steps.
reach()
{
    local i
    for i in $(seq 600); do
        [ "$(grep -c '"event": *"step"' run/metrics.jsonl 2>/dev/null)" -ge "$1" ] 2>/dev/null && return
        sleep 0.05
    done
    fail "no step $1 after 30 s"
}

# stopped_by SIGNAL CODE: sends SIGNAL to the launcher during a training whose last checkpoint takes three seconds, and expects it to return CODE ("75|0": either).
stopped_by()
{
    DTRAIN_FAULT=store.fsync@0:1:sleep=3 start_job ranks 2 "$DTRAIN" "${small[@]}" --threads 1 --epochs 1000 --out run
    reach 2
    [ "$_state" = skipped ] || kill -"$1" $pid
    end_job
    [[ "|$2|" == *"|$code|"* ]] || fail "exit code $code, expected $2, after SIG$1"
}

begin "SIGUSR1 to the launcher stops all ranks with a checkpoint, without a time limit"
stopped_by USR1 "$STOPPED_CODE"
expect_output '^dtrain: stopped on SIGUSR1 after step [0-9]+'

case $MPI_KIND in
openmpi*)
    begin "SIGTERM to the launcher leaves ranks a second or less, and it returns 1"
    stopped_by TERM 1
    expect_no_output '^dtrain: stopped on'
    ;;
mpich)
    for signal in TERM INT; do
        begin "SIG$signal to the launcher stops all ranks with a checkpoint, without a time limit"
        stopped_by $signal "$STOPPED_CODE"
        expect_output "^dtrain: stopped on SIG$signal after step [0-9]+"
    done
    ;;
esac

begin "a killed rank ends all, with the code that README.md lists"
expect_exit "$KILLED_CODE" env DTRAIN_FAULT=train.step@1:3:kill "$RANKS" 2 "$DTRAIN" "${small[@]}" --threads 1 --steps 1000 --out run

begin "more than 32 ranks that are alike share a row of the table"
job=$TOP_BUILDDIR/tests/program/chaos_job # with a small network
[ "$MPI_KIND" != mpich ] || skip "33 ranks of MPICH, which do not yield, take minutes on few cores"
expect_exit 0 env DT_CHAOS_RECORD="$PWD" "$RANKS" 33 "$job" "${small[@]}" --batch 1 --threads 1 --steps 1 --input synthetic
expect_output "^ *0-32 (│|[|]) "
expect_no_output "^ *1 (│|[|]) "
expect_exit 0 env DT_CHAOS_RECORD="$PWD" "$RANKS" 2 "$job" "${small[@]}" --batch 1 --threads 1 --steps 1 --input synthetic
expect_output "^ *1 (│|[|]) "

begin "ranks that another MPI's launcher starts are refused"
other=
for launcher in mpirun.openmpi mpiexec.mpich; do
    command -v $launcher >/dev/null || continue
    kind=$(MPI_KIND_OF= MPIRUN=$launcher bash -c '. "$1"; echo $MPI_KIND' bash "$TOP_SRCDIR/tests/mpi.sh")
    [ "${kind%[45]}" = "${MPI_KIND%[45]}" ] || other=$launcher
done
if [ -n "$other" ]; then
    expect_exit 2 env MPI_KIND_OF= MPIRUN=$other "$RANKS" 2 "$DTRAIN" "${small[@]}" --steps 1 --out run
    expect_output '^dtrain: (mpirun|mpiexec) .* has started 2 processes, but .* finds only one'
    expect test ! -e run
else
    skip "there is no launcher of another MPI here"
fi

finish
