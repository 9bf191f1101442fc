#!/bin/bash
# Time limits, dtrain's own and Slurm's: a training stops before them with a checkpoint and code 75, and the same command goes on.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

small=(--backend cpu --arch resnet18 --image-size 16 --batch 8 --log-every 0 --eval-every 0 --threads 1 --epochs 1000 --out run --spot off)

# pretend_squeue BODY: puts a squeue with this shell text into bin/; it appends its process id to squeue.pid.
pretend_squeue()
{
    mkdir -p bin
    printf '#!/bin/sh\necho $$ >>squeue.pid\n%s\n' "$1" >bin/squeue
    chmod +x bin/squeue
    job=(env PATH="$PWD/bin:$PATH" SLURM_JOB_ID=4711)
}

for ranks in 1 2; do
    begin "--time-limit stops $ranks ranks before it ends, with a checkpoint, and the same command goes on"
    expect_exit 75 ranks $ranks "$DTRAIN" "${small[@]}" --time-limit 10s
    expect_output '^dtrain: stopped on the time limit of 10s after step [0-9]+; the same command goes on from run'
    step=$(sed -n 's/^dtrain: stopped .* after step \([0-9]*\);.*/\1/p' "$OUTPUT")
    expect test -f "run/checkpoints/step-$(printf %08d "$step")/manifest.json"
    expect_exit 0 ranks $ranks "$DTRAIN" "${small[@]}" --steps $((step + 1)) --time-limit 1-00:00:00
    expect_output "going on after step $step,"
    expect_no_output 'warning: --time-limit'
done

begin "a configuration file holds a time limit in seconds or as a text, and nonsense is refused"
for value in 90 '"1m30s"' '"01:30"'; do
    echo "time_limit = $value;" >my.conf
    expect_exit 0 "$DTRAIN" --config my.conf "${small[@]}" --steps 1 --resume never
    expect grep -q '^time-limit = "1m30s";' run/config.conf
done
expect_exit 2 "$DTRAIN" "${small[@]}" --time-limit tomorrow
expect_output "^dtrain: --time-limit: 'tomorrow' is not a length of time: 90 \(seconds\), 30m, 1h30m"

begin "one rank polls squeue for Slurm's limit, and the job stops before it"
pretend_squeue 'echo 0:08'
expect_exit 75 ranks 2 "${job[@]}" "$DTRAIN" "${small[@]}" # not around mpirun: called by its path, that puts its own folder first
expect_output 'Slurm will end this job 4711 in 8s; training stops before that, with a checkpoint'
expect_output "^dtrain: stopped on Slurm's time limit after step [0-9]+; the same command goes on from run"

begin "Slurm's limit is read from the environment where Slurm sets it"
pretend_squeue 'exit 1'
expect_exit 75 "${job[@]}" SLURM_JOB_END_TIME=$(($(date +%s) + 15)) "$DTRAIN" "${small[@]}"
expect_output "^dtrain: stopped on Slurm's time limit after step [0-9]+"

begin "a hanging squeue blocks nothing and is killed at the end; a failing one is reported"
pretend_squeue 'exec sleep 1000'
expect_exit 0 "${job[@]}" "$DTRAIN" "${small[@]}" --steps 3
expect gone "$(cat squeue.pid)"
pretend_squeue 'exit 1'
expect_exit 0 "${job[@]}" "$DTRAIN" "${small[@]}" --steps 40
expect_output "Slurm's time limit of this job 4711 is not known \(squeue failed with status 1\); --time-limit can set one"

finish
