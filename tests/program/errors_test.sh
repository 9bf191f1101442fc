#!/bin/bash
# Every mistake of a user gives one line on stderr and its exit code.
. "$(dirname "$0")/../lib.sh"

# expect_error CODE TEXT CMD...: CMD exits with CODE and prints one line, "dtrain: TEXT".
expect_error()
{
    local code=$1 text=$2
    shift 2
    expect_exit "$code" "$@" || return
    [ "$_state" = skipped ] && return
    [ "$(cat "$OUTPUT")" = "dtrain: $text" ] || fail "expected the one line 'dtrain: $text', got: $(head -n 5 "$OUTPUT")"
}

# expect_times N TEXT: exactly N lines of the last output contain TEXT.
expect_times()
{
    local n
    n=$(grep -cF -e "$2" "$OUTPUT")
    [ "$_state" = skipped ] || [ "$n" -eq "$1" ] || fail "'$2' is in $n lines, expected $1"
}

# 4 classes of 6 images to train on, 2 to evaluate on.
small_data() { digits data 4 6 2; }

small=(--data data --arch resnet18 --image-size 16 --batch 4 --epochs 1 --out run "${ANY_BACKEND[@]}")

begin "an unknown option is refused"
expect_error 2 "unknown option --bacth; did you mean --batch?" "$DTRAIN" --bacth 3
expect_error 2 "unknown option --xyzzy; 'dtrain --help' lists them all" "$DTRAIN" train --xyzzy
expect_error 2 "unknown option --lr; 'dtrain eval --help' lists them all" "$DTRAIN" eval --lr 3
expect_error 2 "unknown option --epochs; 'dtrain info --help' lists them all" "$DTRAIN" info --epochs 3

begin "an unknown command is refused"
expect_error 2 "unknown command 'evla'; did you mean 'eval'?" "$DTRAIN" evla --data x
expect_error 2 "unknown command 'predict'; there are train, eval, inspect, export, plan, cluster, stage, bench, info and demo-data" "$DTRAIN" predict

begin "a folder's name in place of a command is refused with the option that takes it"
mkdir pictures
expect_error 2 "unknown command 'pictures'; to train on this folder, use --data pictures" "$DTRAIN" pictures

begin "an empty value is refused, and no demo is trained instead"
expect_error 2 "--data: the value is empty: is a variable of the shell not set? Without a value, leave it out" "$DTRAIN" --data "" --epochs 2
expect_exit 2 ranks 2 "$DTRAIN" --data "" "${ANY_BACKEND[@]}"
expect_times 1 '--data: the value is empty'
expect_error 2 "DIR: the value is empty: is a variable of the shell not set? Without a value, leave it out" "$DTRAIN" inspect ""
expect_exit 2 "$DTRAIN" eval --data "" --weights x
printf 'epochs = 1;\ndata = "";\n' >dtrain.conf
expect_error 2 "dtrain.conf:2: data: the value is empty; name a folder, or leave the line out" "$DTRAIN" --epochs 2
expect test ! -e runs -a ! -e demo-data

begin "a value out of range, of the wrong type, or not among the choices is refused"
expect_error 2 "--batch: 0 is out of range: 1 to 65536, or auto" "$DTRAIN" --batch 0
expect_error 2 "--batch: 'x' is not a whole number, nor auto" "$DTRAIN" --batch x
expect_error 2 "--schedule: 'linear' is not one of cosine, poly, step, constant" "$DTRAIN" --schedule linear

begin "an option that this build or machine does not support is refused with the reason"
need_no_gpu && {
    expect_exit 2 "$DTRAIN" --precision fp16
    expect_output '^dtrain: --precision fp16 needs a GPU'
    expect_exit 2 "$DTRAIN" --backend cpu --precision bf16
    expect_output '^dtrain: --precision bf16 needs a GPU: --backend cpu computes in fp32 alone'
    expect_exit 1 "$DTRAIN" --backend cuda
    expect_output '^dtrain: --backend cuda: (no NVIDIA driver: .+|this build has no cuda backend: .+)'
    expect test ! -e runs
}

begin "a build without oneDNN reports what it lacks and what it has"
if [ ${#ANY_BACKEND[@]} = 0 ]; then
    skip "this build has oneDNN"
else
    need_no_gpu
    expect_exit 1 "$DTRAIN"
    expect_output '^dtrain: --backend auto finds nothing to compute on: (no NVIDIA driver: .+|this build has no cuda backend: .+); this build has no cpu backend: .*--backend ref'
    expect_exit 1 "$DTRAIN" --backend cpu
    expect_output '^dtrain: --backend cpu: this build has no cpu backend: it was configured without oneDNN'
    expect test ! -e runs
fi

begin "mistakes in a configuration file are reported with file and line"
printf 'epochs = 3;\nbatch = 0;\n' >a.conf
expect_error 2 "a.conf:2: batch: 0 is out of range: 1 to 65536, or auto" "$DTRAIN" --config a.conf
printf 'epochs = 3;\n\nbacth = 4;\n' >dtrain.conf
expect_error 2 "dtrain.conf:3: unknown key 'bacth'; did you mean 'batch'?" "$DTRAIN"
expect_error 2 "--config nowhere.conf: No such file or directory" "$DTRAIN" --config nowhere.conf
printf 'batch = 4;\n\nprecision = "fp16";\n' >a.conf
need_no_gpu && {
    expect_exit 2 "$DTRAIN" --config a.conf
    expect_output '^dtrain: a.conf:3: --precision fp16 needs a GPU'
}
printf '\ndata = "nowhere";\n' >a.conf
expect_exit 2 "$DTRAIN" --config a.conf "${ANY_BACKEND[@]}"
expect_output '^dtrain: a.conf:2: data: there is no folder nowhere; '
expect_exit 2 ranks 2 "$DTRAIN" --config a.conf "${ANY_BACKEND[@]}"
expect_output '^dtrain: a.conf:2: data: there is no folder nowhere; '
small_data
printf 'data = "data";\ninit = "nowhere.safetensors";\nout = "run";\narch = "resnet18";\n' >a.conf
expect_error 2 "a.conf:2: --init: nowhere.safetensors: No such file or directory" "$DTRAIN" --config a.conf "${ANY_BACKEND[@]}"
touch file
printf 'data = "data";\n\nout = "file";\n' >a.conf
expect_error 2 "a.conf:3: --out file: file is not a folder" "$DTRAIN" --config a.conf "${ANY_BACKEND[@]}"
printf 'data = "data";\nweights = "nowhere.safetensors";\n' >a.conf
expect_error 2 "a.conf:2: --weights: nowhere.safetensors: No such file or directory" "$DTRAIN" eval --config a.conf "${ANY_BACKEND[@]}"

begin "a missing folder is named"
expect_exit 2 "$DTRAIN" --data nowhere "${ANY_BACKEND[@]}"
expect_output '^dtrain: .*nowhere'
mkdir empty
expect_exit 2 "$DTRAIN" --data empty "${ANY_BACKEND[@]}"
expect_output '^dtrain: .*empty/train'
expect test ! -e nowhere
expect test ! -e runs

begin "a run's folder that cannot be created is named"
small_data
echo text >file
expect_error 2 "--out file: file is not a folder" "$DTRAIN" "${small[@]}" --out file
expect_error 2 "--out file/run: file is not a folder" "$DTRAIN" "${small[@]}" --out file/run
expect_exit 1 "$DTRAIN" "${small[@]}" --out /proc/run
expect_output '^dtrain: --out /proc/run: cannot make the folder /proc/run: '

begin "an unwritable --export is refused before the training"
small_data
expect_error 2 "--export nowhere/w.safetensors: the folder nowhere: No such file or directory" "$DTRAIN" "${small[@]}" --export nowhere/w.safetensors

begin "missing weights, and weights of another network, are refused by name"
small_data
expect_exit 2 "$DTRAIN" "${small[@]}" --init nowhere.safetensors
expect_output '^dtrain: --init: nowhere.safetensors: No such file or directory$'
expect_exit 2 "$DTRAIN" eval "${ANY_BACKEND[@]}" --data data --weights nowhere.safetensors
expect_output '^dtrain: --weights: nowhere.safetensors: No such file or directory$'
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1 --export r18.safetensors
expect_exit 2 "$DTRAIN" "${small[@]}" --arch resnet34 --init r18.safetensors --out other
expect_output '^dtrain: --init: r18.safetensors has no tensor layer1.2.conv1.weight: it is of another network$'
expect_exit 2 "$DTRAIN" eval "${ANY_BACKEND[@]}" --data data --weights r18.safetensors --arch resnet50
expect_output '^dtrain: --arch resnet50, but r18.safetensors holds a resnet18$'
rm -r data/val/3 data/train/3
expect_exit 2 "$DTRAIN" eval "${ANY_BACKEND[@]}" --data data --weights r18.safetensors
expect_output "^dtrain: r18.safetensors knows 4 classes, and data/val has 3: the classes differ: the data lacks '[0-9]'$"
head -c 1000 r18.safetensors >cut.safetensors
expect_exit 1 "$DTRAIN" eval "${ANY_BACKEND[@]}" --data data --weights cut.safetensors
expect_output '^dtrain: --weights: cut.safetensors: '

begin "a batch larger than the data is refused"
small_data
expect_exit 2 "$DTRAIN" "${small[@]}" --batch 25
expect_output '^dtrain: the training set has 24 images, fewer than one global batch of 25 '

begin "--resume must without a checkpoint is refused"
small_data
expect_exit 2 "$DTRAIN" "${small[@]}" --resume must
expect_output '^dtrain: --resume must: there is no checkpoint in run/checkpoints$'

begin "a checkpoint of another network, data, seed or --ema is refused"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1
cp run/config.conf .
expect_exit 2 "$DTRAIN" "${small[@]}" --steps 2 --arch resnet34
expect_output '^dtrain: the checkpoint of step 1 is of resnet18, and --arch says resnet34: '
expect cmp config.conf run/config.conf
expect test ! -e run/config.conf.tmp
expect_exit 2 "$DTRAIN" "${small[@]}" --steps 2 --seed 9
expect_output '^dtrain: the checkpoint of step 1 has seed 1, and --seed says 9: '
expect_exit 2 "$DTRAIN" "${small[@]}" --steps 2 --ema 0.9
expect_output '^dtrain: the checkpoint of step 1 was made without --ema, and this run wants running averages: '
rm $(ls data/train/0/*.jpg | head -n 1)
expect_exit 2 "$DTRAIN" "${small[@]}" --steps 2
expect_output '^dtrain: the checkpoint of step 1 was made with other training data than data: '
rm -r data/train/3 data/val/3
expect_exit 2 "$DTRAIN" "${small[@]}" --steps 2
expect_output '^dtrain: the checkpoint of step 1 knows 4 classes, and the data has 3: '
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1 --ema 0.9 --out averaged
expect_exit 2 "$DTRAIN" "${small[@]}" --steps 2 --out averaged
expect_output '^dtrain: the checkpoint of step 1 was made with --ema, and this run has no running averages: '

begin "a checkpoint of another optimizer is accepted without its momentum, one of another form of LARS is refused"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 2 --optimizer lars --resume must
expect_output 'going on after step 1'
expect_output "the momentum starts from zero: the checkpoint's is another optimizer's"
expect_exit 2 "$DTRAIN" "${small[@]}" --steps 3 --optimizer lars --lars-form torch
expect_output '^dtrain: --lars-form: the checkpoint of step 2 was written with the form paper, .*: use --lars-form paper, another --out, or '

begin "if no checkpoint is whole, the training does not start over"
small_data
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 2 --checkpoint-every 1
for shard in run/checkpoints/step-0000000[12]/shard-0000-of-0001.h5; do truncate -s -1 $shard; done
for how in must auto; do
    expect_exit 1 "$DTRAIN" "${small[@]}" --steps 3 --resume $how
    expect_output 'checkpoint: passing over step 2: run/checkpoints/step-00000002/shard-0000-of-0001.h5: has [0-9]+ bytes, the manifest says [0-9]+'
    expect_output 'checkpoint: passing over step 1: run/checkpoints/step-00000001/shard-0000-of-0001.h5: has '
    expect_output '^dtrain: run/checkpoints: none of the 2 checkpoints there is whole; bring a good copy back, or start over with --resume never$'
done

begin "a loss that is not finite is reported with step, rank and learning rate"
small_data
expect_exit 1 "$DTRAIN" "${small[@]}" --epochs 20 --lr 1000 --warmup-epochs 0
expect_output '^dtrain: the loss is not finite .* at step [0-9]+, .* rank .*learning rate [0-9]+'

begin "an error in the options is reported once, for any number of ranks"
expect_exit 2 ranks 2 "$DTRAIN" --bacth 3
expect_times 1 "unknown option --bacth"

begin "an error that all ranks share is reported once, and one of a single rank with its rank"
small_data
expect_exit 2 ranks 2 "$DTRAIN" "${small[@]}" --resume must
expect_output '^dtrain: --resume must: there is no checkpoint in run/checkpoints$'
expect_times 1 "there is no checkpoint"
expect_exit 2 ranks 2 "$DTRAIN" "${small[@]}" --batch 13
expect_output '^dtrain: the training set has 24 images, fewer than one global batch of 26 '
expect_times 1 "fewer than one global batch"
expect_exit 1 ranks 2 "$DTRAIN" "${small[@]}" --epochs 20 --lr 1000 --warmup-epochs 0
expect_times 1 "the loss is not finite"
export DTRAIN_FAULT=train.step@1:2
expect_exit 1 ranks 2 "$DTRAIN" "${small[@]}" --out other
unset DTRAIN_FAULT
expect_output '^dtrain: rank 1 on .*: train.step: a fault was asked for at step 2$'
expect_times 1 "a fault was asked for"

begin "different options of ranks are refused, with the option and the ranks"
small_data
expect_exit 2 ranks 2 sh -c '[ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 0 ] || set -- "$@" --lr 0.5; exec "$@"' sh "$DTRAIN" "${small[@]}"
expect_output '^dtrain: --lr differs between ranks: 0.1 on rank 0.*0.5 on rank 1'
expect_times 1 "differs between ranks"

begin "different data of ranks is refused, with the difference and the ranks"
small_data
mkdir a b
mv data a/data
cp -r a/data b/data
two_folders=(ranks 2 sh -c 'if [ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 0 ]; then cd a; else cd b; fi; exec "$@"' sh "$DTRAIN" "${small[@]}")
mv b/data/val/0/$(ls b/data/val/0 | head -n 1) b/data/val/0/renamed.jpg
expect_exit 2 "${two_folders[@]}"
expect_output '^dtrain: the validation data \(fingerprint of names and sizes\) differs between ranks: [0-9a-f]+ on rank 0 .*, [0-9a-f]+ on rank 1 '
expect_times 1 "differs between ranks"
mv b/data/train/0/$(ls b/data/train/0 | head -n 1) b/data/train/0/renamed.jpg
expect_exit 2 "${two_folders[@]}"
expect_output '^dtrain: the training data \(fingerprint of names and sizes\) differs between ranks: [0-9a-f]+ on rank 0 .*, [0-9a-f]+ on rank 1 '
rm b/data/train/0/renamed.jpg
expect_exit 2 "${two_folders[@]}"
expect_output '^dtrain: the number of training images differs between ranks: 24 on rank 0 .*, 23 on rank 1 '

begin "--comm self is refused under mpirun"
expect_exit 2 ranks 2 "$DTRAIN" --comm self
expect_output '^dtrain: --comm self, but (mpirun|mpiexec) .* has started 2 processes'

finish
