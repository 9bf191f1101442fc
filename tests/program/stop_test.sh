#!/bin/bash
# A training is asked to stop at any moment, also where a disk does not answer: before the first step, in a wait for images, at the end.
. "$(dirname "$0")/../lib.sh"

hang=$TOP_BUILDDIR/tests/program/hang_dtrain
small=("${ANY_BACKEND[@]}" --data data --arch resnet18 --image-size 32 --batch 4 --lr 0.02 --threads 1 --spot off --log-every 0)

small_data() { digits data 4 12 5; }

# trained: in the case's folder, data and a run of one step on it.
trained()
{
    [ "$_state" != skipped ] || return 0
    if [ ! -d "$_base/trained" ]; then
        small_data
        expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1 --out run
        cp -r "$TMP" "$_base/trained"
    else
        cp -r "$_base/trained"/* .
    fi
}

# wait_for REGEX: waits until the job's output has such a line.
wait_for()
{
    local i
    for i in $(seq 1200); do
        grep -Eq -e "$1" "$OUTPUT" && return 0
        gone $pid && break
        sleep 0.05
    done
    fail "no line of the output matches: $1"
}

# ended_with CODE SECONDS: the job ends with this code, within so many seconds from now.
ended_with()
{
    local start=$SECONDS
    end_job
    [ "$code" = "$1" ] || { fail "exit code $code, expected $1"; sed 's/^/    | /' "$OUTPUT" | tail -n 20; }
    [ $((SECONDS - start)) -le "$2" ] || fail "the end took $((SECONDS - start)) s"
}

# ask SIGNAL: sends it to the job, which must be running.
ask()
{
    [ "$_state" != skipped ] || return 0
    gone $pid && fail "it has ended before SIG$1"
    kill -"$1" $pid 2>/dev/null
}

# handled SIGNAL: waits until the job handles it. bash ignores SIGINT in jobs in the background, and before dtrain handles it, it would be lost.
handled()
{
    local i caught
    for i in $(seq 400); do
        gone $pid && break
        caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null)
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != dtrain ] || ! ((16#${caught:-0} >> ($(kill -l "$1") - 1) & 1)) || break
        sleep 0.05
    done
}

# pause SECONDS: not in a case that is skipped.
pause()
{
    [ "$_state" = skipped ] || sleep "$1"
}

begin "each signal stops a training before its first step with code 75"
small_data
for signal_and_seconds in 'INT 0.1' 'TERM 0.3' 'HUP 0.1' 'USR1 0.3' 'USR2 0.1' 'XCPU 0.3' "$(if_long INT 0.3)" "$(if_long TERM 0.1)"; do
    [ -n "$signal_and_seconds" ] || continue
    set -- $signal_and_seconds
    start_job "$DTRAIN" "${small[@]}" --epochs 1000 --out run
    pause $2
    handled $1
    ask $1
    ended_with 75 20
    expect_output "^dtrain: stopped on SIG$1 (before the first step|after step)"
done

for call in opendir read $(if_long stat); do
    begin "a start that hangs in $call stops with code 75 and says where"
    small_data
    case $call in
    opendir) on=train/2 where='listing the images in data/train/2' ;;
    stat) on=train/2 where='listing the images' ;;
    read) on=train/2 where='comparing data/val/2/[^ ]* with data/train/2/[^ ]*' && cp data/train/2/* data/val/2 ;;
    esac
    start_job env DT_HANG_ON=$on DT_HANG_CALL=$call "$hang" "${small[@]}" --out run
    pause 2
    ask TERM
    ended_with 75 5
    expect_output "^dtrain: stopped on SIGTERM before the first step; nothing was lost, .*; it has been $where for "
    [ $call != opendir ] || expect_exit 0 "$DTRAIN" "${small[@]}" --out run --steps 1
done

begin "ranks that wait for one that hangs stop with code 75"
small_data
start_job ranks 2 env DT_HANG_ON=train/2 DT_HANG_CALL=opendir DT_HANG_RANK=1 "$hang" "${small[@]}" --out run
pause 3
for rank in $(ranks_of $pid); do kill -USR1 "$rank"; done
ended_with 75 10
expect_output '^dtrain: stopped on SIGUSR1 before the first step'

begin "a time limit ends a start that hangs, with an error"
small_data
start_job env DT_HANG_ON=train/2 DT_HANG_CALL=opendir "$hang" "${small[@]}" --out run --time-limit 2
ended_with 2 10
expect_output '^dtrain: the time limit of 2s is too short: it has passed before the first step; it has been listing the images in data/train/2'

# Three trainings wait for an image at the same time, each in a folder of its own.
begin "an image that does not come keeps no signal and no time limit waiting, on one rank and two, and the last step is saved"
small_data
late=("${small[@]}" --data "$TMP/data" --workers 1 --epochs 10)
mkdir one limit two
OUTPUT=$TMP/one/output start_job env DTRAIN_FAULT=loader.read:30:sleep=100000 "$DTRAIN" "${late[@]}" --out one/run
one=$pid
OUTPUT=$TMP/limit/output start_job env DTRAIN_FAULT=loader.read:30:sleep=100000 "$DTRAIN" "${late[@]}" --out limit/run --time-limit 15
limit=$pid
OUTPUT=$TMP/two/output start_job ranks 2 env DTRAIN_FAULT=loader.read@1:12:sleep=100000 "$DTRAIN" "${late[@]}" --out two/run
two=$pid
OUTPUT=$TMP/two/output
wait_for ' step +2/60 '
pause 3
pid=$one
ask TERM
for rank in $(ranks_of $two); do kill -USR1 "$rank"; done
OUTPUT=$TMP/one/output
ended_with 75 25
expect_output '^dtrain: stopped on SIGTERM after step [0-9]+; the same command goes on from one/run'
step=$(sed -n 's/^dtrain: stopped .* after step \([0-9]*\);.*/\1/p' "$OUTPUT")
pid=$two OUTPUT=$TMP/two/output
ended_with 75 25
expect_output 'rank 1 on .*: stopped on SIGUSR1 while .*data/train/.*\.jpg had not come for [0-9]+ s; the same command goes on'
pid=$limit OUTPUT=$TMP/limit/output
ended_with 75 40
expect_output '^dtrain: stopped on the time limit of 15s after step [0-9]+'
OUTPUT=$_base/output
expect_exit 0 "$DTRAIN" "${small[@]}" --data "$TMP/data" --epochs 10 --steps $((step + 2)) --out one/run
expect_output "going on after step $step,"

begin "a signal while a training ends does not change its code"
small_data
for point in store.rename:1 safetensors.rename:1; do
    case $point in store*) signals="TERM HUP $(if_long INT USR1)" ;; *) signals="INT $(if_long TERM HUP USR1)" ;; esac
    for signal in $signals; do
        rm -rf run w.safetensors
        start_job env DTRAIN_FAULT=$point:sleep=2 "$DTRAIN" "${small[@]}" --steps 1 --out run --export w.safetensors
        if [ $point = store.rename:1 ]; then wait_for ' eval +step '; else wait_for ' save '; fi
        pause 0.5
        ask $signal
        ended_with 0 20
        expect test -s w.safetensors
    done
done

begin "nohup: a hangup that is ignored stays ignored"
small_data
start_job nohup "$DTRAIN" "${small[@]}" --steps 4 --out run
pause 0.3
ask HUP
ended_with 0 60

begin "a file that is too large is an error of its write, and no signal"
small_data
expect_exit 1 bash -c 'ulimit -f 20; exec "$@"' - "$DTRAIN" "${small[@]}" --steps 2 --out run
expect_output 'File too large'

begin "other commands end on a signal as usual and leave nothing half written"
trained
for signal in TERM INT HUP; do
    start_job env DT_HANG_ON=w.safetensors.tmp DT_HANG_CALL=fsync "$hang" export run --output w.safetensors
    pause 1
    expect test -e w.safetensors.tmp
    ask $signal
    case $signal in TERM) ended_with 143 5 ;; INT) ended_with 130 5 ;; HUP) ended_with 129 5 ;; esac
    expect test -z "$(ls | grep safetensors)"
done

begin "a signal to demo-data removes what is half written"
for i in $(seq 50); do # again, where all files were there before the signal came
    start_job "$DTRAIN" demo-data digits
    until compgen -G 'digits.unfinished-*/val/*' >/dev/null || gone $pid; do :; done
    kill -TERM $pid 2>/dev/null
    end_job
    [ "$code" = 0 ] || break
    rm -rf digits
done
expect test "$code" = 143
expect test -z "$(ls)"

for what in OUT/lock OUT/metrics.jsonl OUT/config.conf --weights --init --config manifest.json shard; do
    begin "a FIFO as $what hangs nothing"
    trained
    [ "$_state" != skipped ] || continue
    mkfifo fifo
    case $what in
    OUT/lock | OUT/metrics.jsonl | OUT/config.conf)
        rm -f "run/${what#OUT/}" && mkfifo "run/${what#OUT/}"
        expect_exit "0|1|2" timeout 30 "$DTRAIN" "${small[@]}" --steps 2 --out run
        expect_exit "0|1|2" timeout 30 "$DTRAIN" inspect run
        ;;
    --weights) expect_exit "1|2" timeout 30 "$DTRAIN" eval "${ANY_BACKEND[@]}" --data data --weights fifo ;;
    --init) expect_exit "1|2" timeout 30 "$DTRAIN" "${small[@]}" --init fifo --steps 1 --out new ;;
    --config) expect_exit "1|2" timeout 30 "$DTRAIN" --config fifo ;;
    manifest.json | shard)
        file=$(ls run/checkpoints/step-*/manifest.json)
        [ $what = manifest.json ] || file=$(ls run/checkpoints/step-*/*.h5)
        rm "$file" && mkfifo "$file"
        expect_exit 1 timeout 30 "$DTRAIN" inspect run --verify
        expect_exit "0|1|2" timeout 60 "$DTRAIN" "${small[@]}" --steps 2 --out run
        expect_exit "0|1|2" timeout 30 "$DTRAIN" export run --output w.safetensors
        ;;
    esac
done

finish
