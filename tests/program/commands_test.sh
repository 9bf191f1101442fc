#!/bin/bash
# The help of each command, demo-data, and (long) the demo as a new user starts it.
. "$(dirname "$0")/../lib.sh"

begin "demo-data respects the umask"
expect_exit 0 bash -c "umask 027; exec '$DTRAIN' demo-data digits"
expect test "$(stat -c %a digits digits/train digits/val/0 digits/val/0/0000.jpg | xargs)" = "750 750 750 640"
expect_exit 0 bash -c "umask 0; exec '$DTRAIN' demo-data open"
expect test "$(stat -c %a open open/train | xargs)" = "777 777"

begin "help and version are commands, too"
expect_exit 0 "$DTRAIN" --help
cp "$OUTPUT" train.help
for words in help "help train" "train --help" -h "help help" "help version" "help --help" "version --help"; do
    expect_exit 0 "$DTRAIN" $words
    expect cmp "$OUTPUT" train.help
done
for command in eval inspect export info bench plan cluster stage demo-data where; do
    expect_exit 0 "$DTRAIN" $command --help
    cp "$OUTPUT" command.help
    [ -z "$(tail -c 1 command.help)" ] || fail "$command --help does not end with a newline"
    expect_exit 0 "$DTRAIN" help $command
    expect cmp "$OUTPUT" command.help
done
for word in version --version -V; do
    expect_exit 0 "$DTRAIN" $word
    expect_output '^dtrain [0-9]+\.[0-9]+\.[0-9]+'
done
expect_exit 2 "$DTRAIN" help evla
expect_output "^dtrain: unknown command 'evla'; did you mean 'eval'?"
expect_exit 2 "$DTRAIN" help eval info
expect_exit 2 "$DTRAIN" version x

begin "every command has --help, --usage and --version"
for command in '' train eval inspect export info bench plan cluster stage demo-data where; do
    expect_exit 0 "$DTRAIN" $command --help
    expect_output '^Usage: dtrain'
    expect_exit 0 "$DTRAIN" $command --usage
    expect_exit 0 "$DTRAIN" $command --version
    expect_output '^dtrain [0-9]+\.[0-9]+\.[0-9]+'
done

begin "the help lists every option with its default, and the commands"
expect_exit 0 "$DTRAIN" --help
options=$(tr -d '\n' <"$TOP_SRCDIR/launch/options/table.c" | grep -oE '[{]ROW[(]"[a-z-]+", *("[^"]*"|NULL), *[^,]*' | grep -E 'TRAIN|BOTH' | sed 's/[^"]*"\([^"]*\).*/\1/')
expect test "$(wc -w <<<"$options")" -ge 50
for option in $options; do
    expect_output "^ +(-[a-z], )?--$option(=|\[| |$)"
done
expect_output 'default 224'
tr -s ' \n' ' ' <"$OUTPUT" >joined # the formula may be broken into lines
expect grep -q 'average = DECAY x average + (1 - DECAY) x weight' joined
expect_output 'dtrain eval'

begin "ps and pgrep show a training by its program's name"
digits data
start_job "$DTRAIN" "${ANY_BACKEND[@]}" --data data --arch resnet18 --image-size 16 --batch 4 --out run
for _ in {1..50}; do
    grep -qs 'going\|step' "$OUTPUT" && break
    sleep 0.1
done
expect test "$(cat /proc/$pid/comm)" = "$(basename "$DTRAIN")"
kill $pid
end_job
expect test $code = 75

begin "info shows what was built in and what the machine has"
expect_exit 0 "$DTRAIN" info
expect_tables_of_80_columns
for line in '^dtrain ' '^MPI .*(Open MPI|MPICH)' '^HDF5 ' '^backends .*ref' '^CPU features ' '^GPUs ' '^memory ' 'started by .*hand'; do
    expect_output "$line"
done
expect_exit 0 ranks 2 "$DTRAIN" info
expect_output 'started by .*(mpirun|mpiexec) .*rank 1 of 2'

begin "info --json has the same rows: what was built in apart from the machine's"
expect_exit 0 "$DTRAIN" info --json
expect python3 - "$OUTPUT" <<'END'
import json, sys
info = json.load(open(sys.argv[1]))
assert list(info) == ["built_in", "machine"], info
assert {"dtrain", "compiler", "MPI", "HDF5", "oneDNN"} <= set(info["built_in"]), info
assert {"host", "CPUs", "memory", "GPUs"} <= set(info["machine"]), info
END
expect_exit 2 "$DTRAIN" info --json --plans --device h200 --batch 8
expect_output '^dtrain: --json does not go with --plans'

begin "info shows for each optional part whether it is built in"
expect_exit 0 "$DTRAIN" info
while read -r macro part; do
    if grep -q "^#define $macro 1" "$TOP_BUILDDIR/config.h"; then
        expect_output "^$part .*built (in,|with)"
    else
        expect_output "(^|, )${part}[, ].*not built in"
    fi
done <<'END'
DT_WITH_CPU oneDNN
DT_WITH_CUDA CUDA
DT_WITH_NCCL NCCL
HAVE_CURL libcurl
HAVE_EXPAT expat
HAVE_HWLOC hwloc
END

begin "where prints the run's folder, its newest checkpoint and how a start would resume"
# where_is TEXT OPTION...: the lines of dtrain where, joined, begin with TEXT.
where_is()
{
    local text=$1
    shift
    expect_exit 0 "$DTRAIN" where "$@"
    case $(tr '\n' ' ' <"$OUTPUT") in "$text"*) ;; *) fail "dtrain where $* printed $(tr '\n' ' ' <"$OUTPUT"), expected $text" ;; esac
}
small=(--data data --arch resnet18 --image-size 16 --batch 4 --eval-every 0 --checkpoint-every 1 "${ANY_BACKEND[@]}")
where_is "out runs/demo step 0 resume auto gpus "
expect_output '^launcher mpi'
where_is "out runs/data-resnet18 step 0 resume auto " "${small[@]}"
echo 'out = "elsewhere"; resume = "must";' >dtrain.conf
where_is "out elsewhere step 0 resume must " "${small[@]}"
rm dtrain.conf
digits data 3 8 2
expect_exit 0 "$DTRAIN" "${small[@]}" --steps 2 --checkpoint-dir fast --checkpoint-mirror slow --out run
where_is "out run step 2 resume auto " "${small[@]}" --checkpoint-dir fast --checkpoint-mirror slow --out run
rm -r fast/step-00000002
where_is "out run step 2 resume auto " "${small[@]}" --checkpoint-dir fast --checkpoint-mirror slow --out run
echo x >slow/step-00000002/manifest.json # damaged
where_is "out run step 1 resume auto " "${small[@]}" --checkpoint-dir fast --checkpoint-mirror slow --out run
where_is "out run step 0 resume auto " "${small[@]}" --out run
where_is "out run step 0 resume never " "${small[@]}" --out run --resume never
DTRAIN_RUN_ID=a DTRAIN_RUN_START=1 expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1 --out run --resume never
DTRAIN_RUN_ID=a DTRAIN_RUN_START=1 where_is "out run step 1 resume never " "${small[@]}" --out run --resume never
DTRAIN_RUN_ID=a DTRAIN_RUN_START=2 where_is "out run step 1 resume auto " "${small[@]}" --out run --resume never
where_is "gpus 0 launcher " "${small[@]}" --input synthetic --backend ref
expect_exit 2 "$DTRAIN" where --bacth 3
expect_output '^dtrain: unknown option --bacth; did you mean --batch\?$'

begin "demo-data writes the digits, keeps them if they exist, and changes nothing else"
expect_exit 0 "$DTRAIN" demo-data digits
expect test "$(find digits/train -name '*.jpg' | wc -l)" = 1437
expect test "$(find digits/val -name '*.jpg' | wc -l)" = 360
expect_exit 0 "$DTRAIN" demo-data digits
mkdir mine
touch mine/letter
expect_exit 2 "$DTRAIN" demo-data mine
expect_output '^dtrain: .*mine'
expect test "$(ls mine)" = letter
expect_exit 2 "$DTRAIN" demo-data
expect_output '^dtrain: DIR is missing: dtrain demo-data DIR$'

begin "the demo reaches 97% on digits it was not trained on"
long_case && {
    TIME_LIMIT_S=600
    expect_exit 0 ranks 2 "$DTRAIN"
    expect_output 'no --data and no ./dtrain.conf: training the built-in demo'
    expect_output 'What to do next'
    top1=$(sed -n 's/^final .*top-1 \([0-9.]*\)%.*/\1/p' "$OUTPUT")
    awk -v top1="$top1" 'BEGIN { exit !(top1 >= 97) }' || fail "top-1 is $top1%"
    expect_exit 0 ranks 2 "$DTRAIN"
    expect_output 'there was nothing left to do'
    expect_exit 0 "$DTRAIN" eval --data demo-data --weights runs/demo
    expect_output 'n 360$'
}

finish
