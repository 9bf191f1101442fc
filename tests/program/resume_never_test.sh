#!/bin/bash
# --resume never: what becomes of the older run, of a start that fails, and of a restart of the same batch job.
. "$(dirname "$0")/../lib.sh"

small=(--data data --arch resnet18 --image-size 16 --batch 4 --out runs/a "${ANY_BACKEND[@]}")
unset SLURM_JOB_ID SLURM_RESTART_COUNT AWS_BATCH_JOB_ID AWS_BATCH_JOB_ATTEMPT

small_data() { digits data 3 8 2; }

# stopped VARIABLE=VALUE... [-- OPTION...]: starts a long training with --resume never, and stops it after its first checkpoint.
stopped()
{
    local variables=() i
    while [ $# -gt 0 ] && [ "$1" != -- ]; do variables+=("$1"); shift; done
    [ $# = 0 ] || shift
    start_job env "${variables[@]}" "$DTRAIN" "${small[@]}" --epochs 1000 --resume never "$@"
    for ((i = 0; i < 1200; i++)); do
        if grep -q ' save ' "$OUTPUT" || gone "$pid"; then break; fi
        sleep 0.05
    done
    kill -TERM "$pid" 2>/dev/null
    end_job
    [ "$code" = 75 ] || [ "$_state" = skipped ] || fail "exit code $code, expected 75"
}

# first_step FOLDER: the step after which the last start began; 0: it began again.
first_step() { grep -s '"event": "start"' "$1/metrics.jsonl" | tail -n 1 | sed 's/.*"step": \([0-9]*\).*/\1/'; }

begin "a start that fails leaves no folder behind"
small_data
touch file
for wrong in "--init nowhere.safetensors" "--checkpoint-dir file" "--checkpoint-dir made --checkpoint-mirror made" "--checkpoint-dir made/b --checkpoint-mirror file" \
    "--batch 60000 --image-size 2048" "--data nowhere" "--export nowhere/w.safetensors" "--epochs 2 --warmup-epochs 3" "--resume must"; do
    for resume in auto $(if_long never); do
        expect_exit '1|2' "$DTRAIN" "${small[@]}" --resume $resume $wrong
        expect test ! -e runs
        expect test ! -e made/b
    done
done
mkdir runs
expect_exit 1 "$DTRAIN" "${small[@]}" --checkpoint-dir file
expect test -z "$(ls -A runs)"
mkdir runs/a
expect_exit 1 "$DTRAIN" "${small[@]}" --checkpoint-dir file
expect test -d runs/a -a -z "$(ls -A runs/a)"

begin "the older run stays where it is until the new one can begin"
# all_files: names of folders; names, sizes and times of files
all_files() { find runs mirror -type d -print -o -printf '%p %s %T@\n' 2>/dev/null | sort; }
small_data
touch file
expect_exit 0 "$DTRAIN" "${small[@]}" --epochs 1 --checkpoint-mirror mirror
expect cp -r runs before
all_files >files
for wrong in "--init nowhere.safetensors" "--checkpoint-dir file" "--checkpoint-dir made --checkpoint-mirror file" "--batch 60000 --image-size 2048" \
    "--data nowhere" "--export nowhere/w.safetensors" "--checkpoint-dir made --checkpoint-mirror made"; do
    expect_exit '1|2' "$DTRAIN" "${small[@]}" --epochs 1 --checkpoint-mirror mirror --resume never $wrong
    expect diff files <(all_files)
done
expect_exit 0 ranks 2 "$DTRAIN" "${small[@]}" --epochs 1 --checkpoint-mirror mirror --resume never
expect diff -r before/a runs/a.old-1
expect test -d mirror/old-1

begin "a run of --resume never that was stopped says how to resume it"
small_data
stopped
expect_output '^dtrain: stopped on SIGTERM after step [0-9]+; the same command with --resume auto goes on from runs/a/checkpoints'
expect_exit 0 "$DTRAIN" "${small[@]}" --epochs 1000 --resume never --resume auto --steps 1
expect test "$(first_step runs/a)" -gt 0 -a ! -e runs/a.old-1
expect_exit 0 "$DTRAIN" "${small[@]}" --epochs 1000 --resume never --steps 1
expect test "$(first_step runs/a)" = 0 -a -d runs/a.old-1

begin "a restart of the batch job resumes the run that --resume never began in it"
small_data
jobs=("AWS_BATCH_JOB_ID=a-b:c AWS_BATCH_JOB_ATTEMPT") # and Slurm after the loop
[ -z "$(if_long both)" ] || jobs+=("SLURM_JOB_ID=7 SLURM_RESTART_COUNT")
for job in "${jobs[@]}"; do
    rm -rf runs
    stopped $job=1
    expect_output '^dtrain: stopped on SIGTERM after step [0-9]+; a restart of (Slurm|AWS Batch) job [^ ]+, or the same command with --resume auto, goes on from runs/a'
    expect_exit 0 env $job=2 "$RANKS" 2 "$DTRAIN" "${small[@]}" --epochs 1000 --resume never --steps 1
    expect_output '^dtrain: --resume never began the run in runs/a in .* job .*, which has been restarted: resuming it'
    expect test "$(first_step runs/a)" -gt 0 -a ! -e runs/a.old-1
    expect_exit 0 env $job=3 "$DTRAIN" "${small[@]}" --epochs 1000 --resume never --steps 1
    expect_output 'there was nothing left to do'
    expect_exit 0 env $job=1 "$DTRAIN" "${small[@]}" --epochs 1000 --resume never --steps 1 # not restarted: a user's wish
    expect test -d runs/a.old-1
done
stopped SLURM_JOB_ID=9
expect_output '; a restart of Slurm job 9, or the same command'
expect_exit 0 env SLURM_JOB_ID=10 SLURM_RESTART_COUNT=4 "$DTRAIN" "${small[@]}" --epochs 1000 --resume never --steps 1
expect test "$(first_step runs/a)" = 0
expect_exit 0 env SLURM_JOB_ID=10 SLURM_RESTART_COUNT=5 "$DTRAIN" "${small[@]}" --epochs 1000 --resume never --steps 2
expect test "$(first_step runs/a)" = 1

begin "config.conf says how it is used again"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --epochs 1
expect_output '^dtrain: --lr is at its default, 0.1, for a global batch of 256; in proportion, one of 4 has --lr 0.0015625$'
expect_output 'config.conf; --config runs/a/config.conf --resume never does it again'
expect grep -q '^# .*--resume never does it again, --resume auto goes on with it' runs/a/config.conf
expect_exit 0 "$DTRAIN" --config runs/a/config.conf
expect_output 'there was nothing left to do'
expect_exit 0 "$DTRAIN" --config runs/a/config.conf --resume never
expect test "$(first_step runs/a)" = 0 -a -d runs/a.old-1
finish
