#!/bin/bash
# The whole program trains, stops, resumes and evaluates, with the expected bits.
. "$(dirname "$0")/../lib.sh"

# 4 classes of 12 images to train on, 5 to evaluate on.
small_data() { digits data 4 12 5; }

small=(--data data --arch resnet18 --image-size 32 --epochs 2 --lr 0.02 --threads 1)

# same_state RUN RUN: the newest checkpoints of two runs are the same bits.
same_state()
{
    local a b
    a=$(ls -d "$1"/checkpoints/step-* | tail -n 1)
    b=$(ls -d "$2"/checkpoints/step-* | tail -n 1)
    [ "${a##*/}" = "${b##*/}" ] || { echo "  $a against $b"; return 1; }
    for file in "$a"/*.h5; do
        cmp "$file" "$b/${file##*/}" || return 1
    done
}

differ()
{
    ! cmp -s "$1" "$2"
}

# gone_soon PID: waits a moment for the process to be gone; the kernel may still be freeing its memory.
gone_soon()
{
    local i
    for i in $(seq 50); do
        gone "$1" && return 0
        sleep 0.1
    done
    return 1
}

# reach RUN STEP: waits until the job of $pid has made the step.
reach()
{
    local i
    for i in $(seq 2400); do
        grep -q "\"event\": \"step\".*\"step\": $2," "$1/metrics.jsonl" 2>/dev/null && return 0
        gone $pid && break
        sleep 0.05
    done
    fail "step $2 was not done"
}

steps_in()
{
    grep -c '"event": "step"' "$1/metrics.jsonl"
}

for backend in ref cpu; do
    begin "$backend trains, evaluates, and writes a run's folder"
    [ $backend = ref ] || need_cpu_backend
    small_data
    expect_exit 0 "$DTRAIN" "${small[@]}" --backend $backend --batch 8 --steps 2 --out run
    expect_output 'final .*top-1'
    expect test "$(steps_in run)" = 2
    expect grep -q '"event": "eval".*"val_loss": .*"val_top1": .*"val_top5": .*"n": 20' run/metrics.jsonl
    expect test -f run/config.conf
    expect test -f run/checkpoints/step-00000002/manifest.json
done

all_cases_need need_cpu_backend

begin "the same seed gives the same bits, another seed does not"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 4 --out a --export a.safetensors
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 4 --out b --export b.safetensors
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 4 --out c --export c.safetensors --seed 2
expect cmp a.safetensors b.safetensors
expect same_state a b
expect differ a.safetensors c.safetensors

begin "one decoding thread and four give the same bits"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 4 --out a --workers 1 --export a.safetensors
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 4 --out b --workers 4 --export b.safetensors
expect cmp a.safetensors b.safetensors

begin "two ranks give the loss of one rank that accumulates twice"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --lr 0.001 --batch 4 --accumulate 2 --steps 1 --out a --export a.safetensors
expect_exit 0 ranks 2 "$DTRAIN" "${small[@]}" --lr 0.001 --batch 4 --steps 1 --out b --export b.safetensors
expect_exit 0 "$DTRAIN" eval --data data --weights a.safetensors
expect_output '^val_loss '
was=$(grep '^val_loss' "$OUTPUT")
expect_exit 0 "$DTRAIN" eval --data data --weights b.safetensors
is=$(grep '^val_loss' "$OUTPUT")
awk -v a="$was" -v b="$is" 'BEGIN { split(a, x); split(b, y); d = x[2] / y[2] - 1; exit !(d < 1e-4 && d > -1e-4) }' || fail "$was against $is"

begin "a run that is killed at any time and resumed has the bits of an uninterrupted run"
small_data
job=("${small[@]}" --epochs 6 --batch 4 --checkpoint-every 2)
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --out undisturbed
for steps in 1 7 18; do # of 36: far from the end, so that the job is still there when it is killed
    start_job ranks 2 "$DTRAIN" "${job[@]}" --out killed
    reach killed $steps
    rank=$(children $pid | head -n 1)
    kill -9 "$rank" 2>/dev/null || fail "there was no rank to kill after step $steps"
    end_job
    [ "$_state" = skipped ] || [ "$code" -ne 0 ] || fail "the job ended by itself after step $steps"
done
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --out killed
expect same_state undisturbed killed
expect test "$(steps_in killed)" = 36
# the digits of each rate: a warm-up of a fifth of 6 epochs of 6 steps, then a cosine
awk 'BEGIN { for (i = 0; i < 36; i++) {
    t = i / 6; w = 1.2; k = (i + 1) / 6 / w
    printf "%.9g\n", t < w ? 0.02 * (k < 1 ? k : 1) : 0.02 * (1 + cos(atan2(0, -1) * (t - w) / (6 - w))) / 2 } }' >rates
for run in undisturbed killed; do
    sed -n 's/.*"event": "step".*"lr": \([^,]*\),.*/\1/p' $run/metrics.jsonl | diff - rates || fail "other rates in $run"
done

begin "options that changed since the run was last started are logged"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 1 --out run
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 2 --out run --threads 2
expect_no_output 'was last started with'
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 3 --out run --lr 0.03
expect_output 'warning: --lr is 0.03 now; the run in run was last started with 0.02$'

begin "a run resumes on another number of ranks"
small_data
expect_exit 0 ranks 2 "$DTRAIN" "${small[@]}" --batch 4 --steps 3 --out run
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 5 --out run
expect_output 'going on after step 3'
expect test "$(steps_in run)" = 5

begin "an interrupt writes a checkpoint and gives code 75, and the run resumes to the same bits"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 4 --out undisturbed
start_job "$DTRAIN" "${small[@]}" --batch 4 --out stopped
reach stopped 1
kill -TERM $pid
end_job
[ $code -eq 75 ] || fail "exit code $code, expected 75"
expect_output '^dtrain: stopped on SIGTERM after step [0-9]+; the same command goes on'
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 4 --out stopped
expect same_state undisturbed stopped

begin "a killed rank ends the others at once"
small_data
start_job ranks 2 "$DTRAIN" "${small[@]}" --epochs 1000 --batch 4 --out run
reach run 1
started=$(ranks_of $pid)
expect test "$(echo $started | wc -w)" = 2
kill -9 $(echo "$started" | tail -n 1)
SECONDS=0
end_job
[ $code -ne 0 ] || fail "mpirun ended with code 0"
[ $SECONDS -le 20 ] || fail "the others took $SECONDS seconds to leave"
for child in $started; do
    gone_soon "$child" || fail "process $child is still there"
done

begin "a rank that freezes is named after --peer-timeout, with the step, and all ranks end"
small_data
SECONDS=0
expect_exit 75 env DTRAIN_FAULT=comm.start@1:60:stop "$RANKS" 2 "$DTRAIN" "${small[@]}" --batch 4 --peer-timeout 3 --out run
expect_output '^dtrain: rank 0 on .*: after 3 s in the sum of gradients of [0-9]+ bytes \(collective [0-9]+, step [0-9]+\) there is no sign of rank 1 .*; the same command goes on from the newest checkpoint'
[ $SECONDS -le $((25 * ${DTRAIN_TEST_SLOWER:-1})) ] || fail "it took $SECONDS seconds"

begin "an evaluation that takes longer than --peer-timeout is no stall while it progresses"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 2 --out run
slow=
for batch in 1 2 3 4 5; do slow=$slow,evaluate.batch@1:$batch:sleep=0.9; done
expect_exit 0 env DTRAIN_FAULT="${slow#,}" "$RANKS" 2 "$DTRAIN" eval --data data --weights run --batch 2 --threads 1 --peer-timeout 2
expect_exit 75 env DTRAIN_FAULT=evaluate.batch@1:2:sleep=12 "$RANKS" 2 "$DTRAIN" eval --data data --weights run --batch 2 --threads 1 \
    --peer-timeout 2
expect_output '^dtrain: rank 0 on .*: after 2 s in an all-reduce of 8 bytes \(collective [0-9]+\) there is no sign of rank 1 '

begin "a rank that fails alone reports it once, and all leave"
small_data
export DTRAIN_FAULT=train.step@1:3
expect_exit 1 ranks 2 "$DTRAIN" "${small[@]}" --batch 4 --out run
unset DTRAIN_FAULT
expect_output '^dtrain: rank 1 on .*: '

begin "every image counts once, for any number of ranks and batch"
small_data
rm "$(ls data/val/1/*.jpg | head -n 1)"
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 4 --out run
for ranks_and_batch in '1 7' '1 32' '2 3' '2 10' '3 1' '3 7'; do
    set -- $ranks_and_batch
    expect_exit 0 ranks $1 "$DTRAIN" eval --data data --weights run --batch $2 --threads 1
    expect_output ' n 19$'
    grep '^val_loss' "$OUTPUT" | sed 's/^\(val_loss [0-9]*\.[0-9][0-9][0-9]\)[0-9]*/\1/' >>lines
done
expect test "$(sort -u lines | wc -l)" = 1

begin "exported weights evaluate as at the end of the training"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 4 --out run --export w.safetensors
loss=$(grep '"event": "eval"' run/metrics.jsonl | tail -n 1 | sed 's/.*"val_loss": \([^,]*\),.*/\1/')
for weights in w.safetensors run run/checkpoints/step-00000004; do
    expect_exit 0 "$DTRAIN" eval --data data --weights $weights --batch 8 --threads 1
    got=$(sed -n 's/^val_loss \([^ ]*\) .*/\1/p' "$OUTPUT")
    awk -v a="$loss" -v b="$got" 'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }' || fail "$weights: $got, expected $loss"
done
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 1 --lr 0 --weight-decay 0 --momentum 0 --out again --init w.safetensors --export again.safetensors
expect test "$(stat -c %s w.safetensors)" = "$(stat -c %s again.safetensors)"

begin "weights for other classes start a run with a new classifier"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 1 --out run --export w.safetensors
rm -r data/train/3 data/val/3
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 1 --out other --init w.safetensors
expect_output 'w.safetensors: fc.weight is \[4, 512\], this data needs \[3, 512\]: it keeps its random initialisation'
expect_output 'w.safetensors: fc.bias is \[4\], this data needs \[3\]: it keeps its random initialisation'

begin "a run's config.conf starts the same run again"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 2 --nesterov --no-bn-decay --crop-scale 0.5,1 --out run
cp run/config.conf first.conf
expect_exit 0 "$DTRAIN" --config first.conf --resume never
expect test -d run.old-1
sed -i 's/^resume = .*/resume = "auto";/' run/config.conf
expect cmp first.conf run/config.conf
expect same_state run run.old-1

begin "dtrain.conf is read unless --config names another file, and the command line overrides it"
small_data
printf 'data = "data";\nimage_size = 16;\nbatch = 8;\nepochs = 1;\nsteps = 1;\nout = "from-file";\n arch = "resnet18";' >dtrain.conf
expect_exit 0 "$DTRAIN"
expect test -d from-file/checkpoints
expect_exit 0 "$DTRAIN" --config dtrain.conf --out from-line
expect grep -q '^out = "from-line";' from-line/config.conf
expect_output 'image-size .*16 .*file'
sed -i 's/^batch.*/batch = 1;/; s/from-file/sixteen/' dtrain.conf
expect_exit 0 ranks 16 "$DTRAIN"
expect_output '^ +15 │|^ +15 \|'
expect_output 'global batch 16'
expect test -f sixteen/checkpoints/step-00000001/manifest.json

begin "without images to evaluate on the training runs and logs that"
small_data
rm -r data/val
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 2 --out run
expect_output 'warning: there is no data/val: nothing will be evaluated'
expect_no_output 'top-1 .*%.*images'

begin "images with endings in any case are trained on, and what is left out is counted"
small_data
first=$(ls data/train/0 | head -n 1)
mv "data/train/0/$first" "data/train/0/${first%.*}.JpEg"
cp "data/train/0/${first%.*}.JpEg" data/train/0/x.JFIF
touch data/train/1/a.png data/train/1/b.PNG data/train/.DS_Store data/val/readme.txt
mkdir data/train/2/sub
expect_exit 0 ranks 2 "$DTRAIN" "${small[@]}" --batch 4 --steps 1 --out run
expect_output 'data: 49 images to train on'
expect_output '^dtrain: warning: data: data/train: left out 4 entries: 2 .png .e.g. 1/a.png., 1 hidden .e.g. .DS_Store., 1 folder .e.g. 2/sub.$'
expect_output '^dtrain: warning: data: data/val: left out 1 entry: 1 beside the classes .e.g. readme.txt.$'
expect test "$(grep -c 'left out' "$OUTPUT")" = 2
rm data/train/*/* 2>/dev/null
touch data/train/0/a.png
expect_exit 2 "$DTRAIN" "${small[@]}" --out empty
expect_output 'class folder data/train/0 holds no JPEG file .*it holds 1 entry: 1 .png'

begin "data with one class, or with classes that differ in case only, get a warning"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 1 --out four
expect_no_output 'one class|case of letters|left out|are also in'
for split in train val; do
    mkdir -p one/$split two/$split
    cp -r data/$split/0 one/$split/all
    cp -r data/$split/0 two/$split/Cat
    cp -r data/$split/1 two/$split/cat
done
expect_exit 0 "$DTRAIN" "${small[@]}" --data one --batch 8 --steps 1 --out one-run
expect_output "warning: data: one/train has one class only, 'all'"
expect_exit 0 "$DTRAIN" "${small[@]}" --data two --batch 8 --steps 1 --out two-run
expect_output "warning: data: the classes '.at' and '.at' in two/train differ only in the case of letters"

begin "evaluation files that are training files get a warning"
small_data
shared=$(ls data/train/2 | head -n 1)
ln "data/train/2/$shared" data/val/3/another-name.jpg
expect_exit 0 ranks 2 "$DTRAIN" "${small[@]}" --batch 4 --steps 1 --out one
expect_output "^dtrain: warning: data: 1 of the 21 files in data/val is also in data/train, for example data/val/3/another-name.jpg .data/train/2/$shared."
rm -r data/val
ln -s train data/val
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 1 --out link
expect_output 'warning: data: 48 of the 48 files in data/val are also in data/train'
rm data/val
cp -r data/train data/val
expect_exit 0 "$DTRAIN" "${small[@]}" --batch 8 --steps 1 --out copy
expect_output 'warning: data: 48 of the 48 files in data/val are also in data/train'

begin "broken images are named and counted, and too many stop the training"
small_data
need_shared odd-jpegs && {
    mkdir -p data/train/odd data/val/odd
    cp "$SHARED"/*.jpg data/train/odd/
    cp "$SHARED"/plain-444.jpg data/val/odd/
    expect_exit 0 ranks 2 "$DTRAIN" "${small[@]}" --epochs 1 --batch 4 --max-broken 0.5 --out run
    expect_output 'warning: .*truncated-60.jpg'
    expect_output 'epoch .* [0-9]+ broken'
    expect_exit 1 ranks 2 "$DTRAIN" "${small[@]}" --epochs 1 --batch 4 --out run2
    expect_output '^dtrain: .*broken'
    cp "$SHARED"/truncated-60.jpg data/val/odd/
    expect_exit 0 ranks 2 "$DTRAIN" "${small[@]}" --epochs 1 --batch 4 --max-broken 0.5 --out run3
    expect_output 'epoch 1/1  eval .*  1 broken file left out$'
    expect_output '^broken  at least [0-9]+ of [0-9]+ training files, each replaced by another sample'
    expect_output '^broken  at least 1 of 22 evaluation files, left out'
    expect_exit 0 "$DTRAIN" eval --data data --weights run3 --max-broken 0.5
    expect_output 'warning: 1 of the 22 files in data/val is broken and left out'
    expect_exit 1 "$DTRAIN" eval --data data --weights run3 --max-broken 0.04
    expect_output 'at least 1 of the 22 files in data/val is broken'
}

# In its own namespace a test may mount: a disk of 60 MiB is full before one checkpoint of 90 MB is written.
mounted='mount -t tmpfs -o size=$1 none disk && shift && "$@"'
can_mount()
{
    mkdir -p disk
    unshare -rm bash -c "$mounted" _ 1m true 2>/dev/null && return 0
    skip "mounting in a user namespace is not allowed here"
    return 1
}

begin "a full disk does not stop the training, and is reported at the end"
small_data
can_mount && {
    expect_exit 1 unshare -rm bash -c "$mounted" _ 60m "$DTRAIN" "${small[@]}" --batch 8 --steps 3 --checkpoint-every 1 --out disk/run
    expect_output 'the checkpoint of step 1 was not written: .*No space left on device'
    expect_output '^dtrain: the training is done, but its last checkpoint was not written: .*No space left'
}

begin "metrics that cannot be written are logged once, not at every step"
small_data
expect_exit 0 env DTRAIN_FAULT=jsonl.write:1:always "$DTRAIN" "${small[@]}" --batch 8 --steps 3 --out run
expect test "$(grep -c 'warning: metrics.jsonl: .*No space left on device' "$OUTPUT")" = 1
expect_output 'warning: metrics.jsonl: [0-9]+ events could not be written'

begin "a run's folder on a read-only disk is refused at the start"
small_data
can_mount && {
    expect_exit 1 unshare -rm bash -c 'mount -t tmpfs -o ro none disk && "$@"' _ "$DTRAIN" "${small[@]}" --batch 8 --steps 3 --out disk/run
    expect_output '^dtrain: --out disk/run: cannot make the folder disk/run: Read-only file system$'
}

finish
