#!/bin/bash
# launch/deploy/slurm with fakes for Slurm's commands: what submit and the checks of the nodes refuse, and what a job does with each code and signal.
# slurm_test.sh runs the same files under a real Slurm.
. "$(dirname "$0")/../lib.sh"

files=$(cd "$TOP_SRCDIR/launch/deploy/slurm" && pwd)
unset CUDA_VISIBLE_DEVICES # check-node reads it before it asks the fake nvidia-smi

# fake NAME: a command whose body is standard input.
fake()
{
    { echo '#!/bin/bash'; cat; } >"bin/$1"
    chmod +x "bin/$1"
}

# Two nodes, n1 and n2, with two GPUs each; nodes/NODE/ has what differs: gpus, parts, memlock, nofile, root/.
cluster()
{
    local node
    mkdir bin nodes
    for node in n1 n2; do
        mkdir -p "nodes/$node/root/sys/class/dmi/id"
        echo g5.12xlarge >"nodes/$node/root/sys/class/dmi/id/product_name"
        echo 2 >"nodes/$node/gpus"
        echo 1.10.8 >"nodes/$node/hdf5"
    done
    echo 'SlurmdTimeout           = 300 sec' >config
    echo 'JobId=7 JobName=dtrain JobState=RUNNING Restarts=0 ExitCode=0:0' >job
    : >silent
    fake scontrol <<'EOF'
case "$1 $2" in
'show hostnames') printf 'n1\nn2\n' ;;
'show config') cat config ;;
'show job') cat job ;;
'requeue 7') echo "requeued" >>requeues; kill -TERM $PPID ;;
*) exit 1 ;;
esac
EOF
    fake srun <<'EOF'
echo "$@" >srun
script=$(cat)
while [ "$1" != -- ]; do shift; done
shift
for node in n1 n2; do
    ! grep -q $node silent || { echo "srun: error: Task launch failed on node $node: Communication connection failure" >&2; continue; }
    (
        export SLURMD_NODENAME=$node DT_ROOT=$PWD/nodes/$node/root NODE=$PWD/nodes/$node
        [ ! -e "$NODE/apart" ] || set -- "${1/#$PWD/$NODE}" "${@:2}"
        [ ! -e "$NODE/nofile" ] || ulimit -Sn "$(cat "$NODE/nofile")"
        [ ! -e "$NODE/bin" ] || PATH=$NODE/bin
        exec "$BASH" -s -- "$@" <<<"$script"
    )
done
[ ! -e heals ] || : >silent
EOF
    fake nvidia-smi <<'EOF'
for ((i = 0; i < $(cat "$NODE/gpus"); i++)); do echo "GPU $i: H200 (UUID: GPU-$i)"; done
EOF
    fake mpirun <<<'echo "mpirun (Open MPI) 4.1.4"'
    fake dtrain <<'EOF'
case $1 in
where) case " $* " in *' --bad '*) echo "dtrain: unknown option --bad" >&2; exit 2 ;; esac; echo "out $PWD/runs/x" ;;
info) [ ! -e "$NODE/broken" ] || { echo "dtrain: error while loading shared libraries: libhdf5.so" >&2; exit 127; }
    printf '{\n  "built_in": {\n    "dtrain": "0.1.0",\n    "HDF5": "%s"\n  },\n  "machine": {\n    "host": "%s"\n  }\n}\n' "$(cat "$NODE/hdf5")" "$NODE" ;;
esac
EOF
    fake dtrain-run <<'EOF'
echo "$@" >started
trap 'echo stopped >>started; exit 75' TERM
[ ! -e waits ] || { : >waiting; sleep 30 & wait; }
exit "$(cat code)"
EOF
    echo 0 >code
    in_job=(env PATH="$PWD/bin:$PATH" SLURM_JOB_ID=7 SLURM_JOB_NODELIST='n[1-2]' SLURM_JOB_NUM_NODES=2 SLURM_TASKS_PER_NODE='2(x2)')
}

check()
{
    local want=$1 kind=$2
    shift 2
    expect_exit "$want" "${in_job[@]}" "$files/check-nodes" "$kind" "$@"
}

begin "nodes that can do it pass, and are asked in one step without the job's limits"
cluster
check 0 gpu --scratch /tmp:1 -- --data s3://bucket/images
expect_output '^dtrain: 2 nodes checked: same programs and libraries, .* is shared, 1 GB are free on /tmp$'
expect grep -q -- '--nodes=2 --ntasks=2 --ntasks-per-node=1 --mpi=none' srun
check 0 gpu
expect_output 'is shared$'
expect test "$(find . -name '.dtrain-check*' | wc -l)" = 0

begin "the answers of a node have each part of the program"
mkdir bin
printf '#!/bin/sh\nexec "%s" "$@"\n' "$DTRAIN" >bin/dtrain
chmod +x bin/dtrain
echo 4711 >token
expect_exit 0 env PATH="$PWD/bin:$PATH" SLURMD_NODENAME=n1 SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2 \
    bash -c 'exec bash -s -- "$@" <"$0"' "$files/check-node" "$PWD/token" 4711 /nowhere /tmp:1 dtrain
for line in '^n1 part dtrain = "0' '^n1 part MPI = ".*MP' '^n1 part HDF5 = "' '^n1 mpi .' '^n1 memlock ' '^n1 nofile [0-9u]' '^n1 cpus [0-9]+ [0-9]+$' '^n1 shared same$' \
    '^n1 space [0-9]+$' '^n1 data missing$' '^n1 done$'; do
    expect_output "$line"
done
expect_no_output '^n1 part (host|GPUs)'

begin "GPUs are compared with tasks"
cluster
echo 1 >nodes/n2/gpus
check 1 gpu
expect_output 'error: n2 has 1 GPUs in this job for 2 tasks, .*sbatch --ntasks-per-node=1 --gpus-per-node=1$'
expect_no_output 'error: n1'
expect_output '1 of the checks of the nodes failed; --no-checks'
echo 0 >nodes/n2/gpus
check 1 gpu
expect_output 'error: n2 has no GPU in this job: '
check 0 cpu
echo 4 >nodes/n2/gpus
check 0 gpu --ranks 4 -- --arch resnet18

begin "different versions are named with their nodes"
cluster
echo 1.14.5 >nodes/n2/hdf5
check 1 gpu
expect_output 'error: the nodes have different programs or libraries, .*: HDF5: "1\.10\.8" on n1; "1\.14\.5" on n2$'
expect_no_output 'MPI'

begin "a dtrain that does not start, and programs that are missing, are named"
cluster
touch nodes/n2/broken
check 1 gpu
expect_output 'error: dtrain does not start on n2: .*loading shared libraries: libhdf5'
rm nodes/n2/broken
mkdir nodes/n1/bin
for tool in bash cat nproc df awk grep sed head uname rm readlink find wc env; do ln -s "$(command -v $tool)" nodes/n1/bin/; done
cp bin/nvidia-smi nodes/n1/bin/
mkdir apart
mv bin/dtrain apart/ # not beside dtrain-run: by PATH
in_job[1]=PATH="$PWD/bin:$PWD/apart:$PATH"
check 1 gpu
expect_output 'error: n1 has no dtrain in PATH: '
expect_output 'error: n1 has no mpirun in PATH: '
expect_no_output 'error: n2'

begin "a folder that is each node's own, and one that is missing, are named"
cluster
touch nodes/n2/apart
check 1 gpu --data "$PWD/images"
expect_output 'error: n2 does not see .* as n1 does: '
expect_output "error: n1 has no folder $PWD/images: with --data s3://"
mkdir images
rm nodes/n2/apart
check 0 gpu --data "$PWD/images"
check 1 gpu --scratch /nowhere/at/all:1
expect_output 'error: n1 has no folder /nowhere/at/all: '
check 1 gpu --scratch /tmp:1000000
expect_output 'error: n2 has [0-9]+ GB free on /tmp, and 1000000 are needed'
check 1 gpu --scratch /tmp
expect_output 'error: --scratch /tmp: write DIR:GB'
check 0 gpu --data s3://bucket/images
expect_output '1 GB are free on /scratch or /var/tmp$'
[ -d /scratch ] || {
    check 1 gpu --checkpoint-dir /scratch/run
    expect_output 'error: n1 has no folder /scratch: '
}

begin "EFA is wanted on p4d, and needs locked memory"
cluster
echo p4d.24xlarge >nodes/n1/root/sys/class/dmi/id/product_name
check 0 gpu
expect_output 'warning: n1 is a p4d.24xlarge without an EFA device, '
mkdir -p drivers/efa nodes/n1/root/sys/class/infiniband/rdmap0/device
ln -s "$PWD/drivers/efa" nodes/n1/root/sys/class/infiniband/rdmap0/device/driver
expect_exit 1 bash -c 'ulimit -l 64 && exec "$@"' sh "${in_job[@]}" "$files/check-nodes" gpu
expect_output 'error: n1 may lock 64 kB of memory \(ulimit -l\), and EFA needs unlimited'
expect_no_output 'without an EFA|error: n2'

begin "few open files are refused, and options that dtrain refuses"
cluster
echo 256 >nodes/n2/nofile
check 1 gpu
expect_output 'error: n2 may open 256 files'
check 1 gpu -- --bad
expect_output '^dtrain: error: dtrain refuses its options: unknown option --bad$'

begin "a node that does not answer is waited for, and is an error when Slurm must have noticed"
cluster
echo n2 >silent
echo 'SlurmdTimeout           = 300 sec' >config
touch heals # the node answers from the second time on
check 0 cpu
expect_output 'no answer from n2 \(srun: error: Task launch failed .*\); asking again for [0-9]+ s: '
rm heals
echo 'SlurmdTimeout           = 0 sec' >config
echo n2 >silent
expect_exit 1 "${in_job[@]}" DT_SPARE_S=0 "$files/check-nodes" cpu
expect_output 'error: n2 does not answer, and Slurm does not take it for lost: '

# job WANT [VARIABLE=VALUE...] -- OPTION...: runs the body of the batch files.
job()
{
    local want=$1 variables=()
    shift
    while [ "$1" != -- ]; do variables+=("$1"); shift; done
    shift
    rm -f requeues started
    expect_exit "$want" "${in_job[@]}" "${variables[@]}" "$files/job" cpu "$@"
}

begin "code 0 ends the job, 1 and 2 are not requeued"
cluster
job 0 -- --no-checks --max-restarts 2 -- --arch resnet18
expect test "$(cat started 2>/dev/null)" = "--once --max-restarts=2 -- --arch resnet18"
expect_output '^dtrain: job 7: start 1, .* on n\[1-2\]: 2 nodes, 2\(x2\) tasks on each$'
for code in 1 2; do
    echo $code >code
    job $code -- --arch resnet18
    expect_output "^dtrain: job 7: code $code: not requeued"
    expect test ! -e requeues
done

begin "code 75 requeues the job: by RequeueExit, or by scontrol as the last thing"
cluster
echo 75 >code
job 143 -- --no-checks
expect_output 'job 7: code 75: requeueing this job'
expect_no_output 'did not requeue|SIGTERM'
expect test -e requeues
for list in 75 1-5,75 70-80; do
    echo "RequeueExit             = $list" >config
    job 75 -- --no-checks
    expect_output 'job 7: code 75: Slurm requeues this job \(RequeueExit\)'
    expect test ! -e requeues
done
for list in 7 175 1-5 '(null)'; do
    echo "RequeueExit             = $list" >config
    job 143 -- --no-checks
    expect test -e requeues
done

begin "a job whose starts never come to a run's folder is requeued three times, or as --max-restarts says"
cluster
echo 75 >code
echo 'JobId=7 JobState=RUNNING Restarts=3' >job
job 1 SLURM_RESTART_COUNT=3 -- --no-checks
expect_output "none of 4 starts has come to a run's folder: not requeued"
expect test ! -e requeues
job 143 SLURM_RESTART_COUNT=3 -- --no-checks --max-restarts 4
expect test -e requeues
mkdir -p runs/x
touch runs/x/starts.log
job 143 SLURM_RESTART_COUNT=3 -- --no-checks
expect test -e requeues

begin "a start that Slurm has given up requeues nothing, nor does one that was cancelled"
cluster
echo 75 >code
echo 'JobId=7 JobState=RUNNING Restarts=2' >job
job 75 SLURM_RESTART_COUNT=1 -- --no-checks
expect_output 'job 7: start 2, '
expect_output 'Slurm has already requeued this job'
expect test ! -e requeues
for state in 'CANCELLED Reason=None' 'COMPLETING Reason=None'; do # of a cancelled job
    echo "JobId=7 JobState=$state Restarts=0" >job
    job 143 -- --no-checks
    expect_output 'cancelled, and not requeued'
    expect test ! -e requeues
done
for state in 'COMPLETING Reason=TimeLimit' 'RUNNING Reason=None'; do
    echo "JobId=7 JobState=$state Restarts=0" >job
    job 143 -- --no-checks
    expect test -e requeues
done

begin "SIGUSR1 and SIGTERM stop and requeue, SIGINT stops"
cluster
echo 'RequeueExit             = 75' >config
touch waits
for signal_and_code in USR1:75 TERM:75 INT:130 USR1:75 USR1:75; do
    rm -f waiting started
    start_job "${in_job[@]}" env --default-signal=INT "$files/job" cpu --no-checks
    for _ in $(seq 200); do { [ -e waiting ] || gone $pid; } && break; sleep 0.05; done
    kill -"${signal_and_code%:*}" $pid 2>/dev/null
    end_job
    expect test "$code" = "${signal_and_code#*:}"
    expect grep -q stopped started
    expect_output "SIG${signal_and_code%:*}: stopping with a checkpoint"
    [ "$code" != 130 ] || expect_output 'stopped, and not requeued'
done

begin "a batch file finds its parts beside dtrain-run, beside the file that was submitted, or says what is missing"
cluster
mkdir -p copy/share/dtrain copy/bin spool
cp -r "$files" copy/share/dtrain/slurm
mv bin/dtrain-run copy/bin
cp "$files/dtrain-cpu.sbatch" spool/slurm_script
expect_exit 0 "${in_job[@]}" PATH="$PWD/copy/bin:$PWD/bin:$PATH" spool/slurm_script --no-checks
echo "JobId=7 JobState=RUNNING Restarts=0 Command=$PWD/copy/share/dtrain/slurm/dtrain-cpu.sbatch --data x WorkDir=/" >job
expect_exit 0 "${in_job[@]}" spool/slurm_script --no-checks
expect_output 'job 7: start 1'
echo "JobId=7 JobState=RUNNING Restarts=0 Command=/nowhere/dtrain-cpu.sbatch" >job
expect_exit 1 "${in_job[@]}" spool/slurm_script --no-checks
expect_output "^dtrain-cpu.sbatch: neither dtrain-run in PATH .* nor the file job beside /nowhere/dtrain-cpu.sbatch"
expect_exit 2 env -u SLURM_JOB_ID "$files/dtrain.sbatch"
expect_output 'this runs in a job of Slurm: sbatch dtrain.sbatch'

begin "both batch files have the same lines, but for GPUs and tasks"
expect_exit 1 diff "$files/dtrain.sbatch" "$files/dtrain-cpu.sbatch"
expect test "$(grep -c '^[<>] #SBATCH' "$OUTPUT")" = 3
for file in dtrain.sbatch dtrain-cpu.sbatch; do
    for line in --requeue --open-mode=append --signal=B:USR1@; do expect grep -q "^#SBATCH $line" "$files/$file"; done
    expect test "$(grep -cE '^#SBATCH --(exclusive|no-kill)' "$files/$file")" = 0
done

begin "submit passes its arguments on to sbatch, after a trial"
cluster
fake sbatch <<'EOF'
echo "$@" >>submitted
[ "$1" != --test-only ] || [ ! -e refusal ] || { cat refusal >&2; exit 1; }
EOF
on_login=(env PATH="$PWD/bin:$PATH")
expect_exit 0 "${on_login[@]}" "$files/submit" --partition=spot --nodes 4 dtrain.sbatch --max-restarts 2 -- --arch resnet18
arguments="--partition=spot --nodes 4 $files/dtrain.sbatch --max-restarts 2 -- --arch resnet18"
expect test "$(cat submitted 2>/dev/null)" = "--test-only $arguments"$'\n'"$arguments"
expect_exit 2 "${on_login[@]}" "$files/submit" --arch resnet18
expect_output '^usage: submit '

begin "submit refuses what cannot run, and says why"
cluster
fake sbatch <<'EOF'
[ "$1" = --test-only ] || { echo submitted >submitted; exit; }
[ ! -e refusal ] || { cat refusal >&2; exit 1; }
EOF
on_login=(env PATH="$PWD/bin:$PATH")
echo 'sbatch: error: Batch job submission failed: Requested node configuration is not available' >refusal
expect_exit 1 "${on_login[@]}" "$files/submit" dtrain.sbatch --bad
expect_output 'error: Slurm refuses this job: .*node configuration is not available'
expect_output "no partition has such nodes; sinfo -o '%P %D %c %G'"
expect_output 'error: dtrain refuses its options: unknown option --bad'
expect_output 'not submitted: 2 of the checks failed'
rm refusal
expect_exit 0 bash -c 'ulimit -l 64 && exec "$@"' sh "${on_login[@]}" "$files/submit" dtrain.sbatch
expect_output 'warning: this shell may lock 64 kB .* add --propagate=NONE$'
echo 'PropagateResourceLimitsExcept = MEMLOCK' >>config
expect_exit 0 bash -c 'ulimit -l 64 && exec "$@"' sh "${on_login[@]}" "$files/submit" dtrain.sbatch
expect_no_output warning
rm -f bin/mpirun bin/dtrain-run submitted
for tool in bash cat dirname sed; do ln -s "$(command -v $tool)" bin/; done
expect_exit 1 env PATH="$PWD/bin" "$BASH" "$files/submit" dtrain.sbatch
expect_output 'error: there is no mpirun in PATH'
expect_output 'not submitted: 1 of the checks failed'
fake scontrol <<<'echo "slurm_load_ctl_conf error: Unable to contact slurm controller" >&2; exit 1'
expect_exit 1 "${on_login[@]}" "$files/submit" dtrain.sbatch
expect_output "error: Slurm's controller does not answer: slurm_load_ctl_conf error"
expect test ! -e submitted

finish
