#!/bin/bash
# Spot instances: notices and recommendations of EC2's metadata service, and a service that fails. The service is imds_server.py.
. "$(dirname "$0")/../lib.sh"

# The demo's 1,797 files are written once: the kernel takes longer for files in a folder where thousands were just removed.
need_demo()
{
    need_cpu_backend || return
    [ -d "$_base/demo-data" ] || "$DTRAIN" demo-data "$_base/demo-data" >/dev/null || fail "dtrain demo-data"
    ln -s "$_base/demo-data" demo-data
}
all_cases_need need_demo

small=(--backend cpu --arch resnet18 --image-size 16 --batch 8 --log-every 0 --eval-every 0 --threads 1 --out run)

server=
stop_server()
{
    [ -z "$server" ] || { kill "$server"; wait "$server"; } 2>/dev/null
    server=
}
trap 'stop_server; cd /; rm -rf "$_base"' EXIT

# serve MODE...: starts the service in this mode; sets $imds, the options that poll it.
serve()
{
    stop_server
    [ "$_state" != skipped ] || return 0
    rm -rf imds && mkdir imds
    echo "$*" >imds/mode
    python3 "$TOP_SRCDIR/tests/program/imds_server.py" imds >imds/log 2>&1 </dev/null &
    server=$!
    for _ in $(seq 200); do [ -e imds/port ] && break; sleep 0.05; done
    imds=(--spot imds --imds-endpoint "http://127.0.0.1:$(cat imds/port)")
}

mode()
{
    [ "$_state" = skipped ] || { echo "$*" >imds/mode.new && mv imds/mode.new imds/mode; }
}

# wait_for COMMAND...: until it succeeds, as long as the job of $pid runs.
wait_for()
{
    local i
    [ "$_state" != skipped ] || return 0
    for i in $(seq $((TIME_LIMIT_S * 20))); do
        "$@" && return 0
        gone $pid && break
        sleep 0.05
    done
    fail "this never became true: $*"
    tail -n 30 "$OUTPUT" | sed 's/^/    | /'
}

ended_with()
{
    end_job
    [ "$_state" = skipped ] || [ "$code" -eq "$1" ] || fail "exit code $code, expected $1"
}

has_checkpoint()
{
    ls run/checkpoints/step-*[0-9]/manifest.json >/dev/null 2>&1
}

# Prints the step that the message of the stop names.
stopped_at()
{
    sed -n 's/^dtrain: stopped on .* after step \([0-9]*\).*/\1/p' "$OUTPUT"
}

if "$DTRAIN" info | grep -q 'libcurl .*not built in'; then
    begin "without libcurl --spot imds is refused with advice, and auto does nothing"
    expect_exit 2 "$DTRAIN" "${small[@]}" --spot imds
    expect_output '^dtrain: --spot imds: this build has no libcurl: install '
    expect_exit 0 "$DTRAIN" "${small[@]}" --steps 1
    finish
fi

for seconds_and_ranks in '120 1' '30 2'; do
    set -- $seconds_and_ranks
    seconds=$1 ranks=$2
    begin "a notice with $seconds s left stops $ranks ranks with a checkpoint and code 75, and the same command goes on"
    serve
    start_job ranks $ranks "$DTRAIN" "${small[@]}" "${imds[@]}" --epochs 1000
    wait_for grep -qs '"event": "step"' run/metrics.jsonl
    mode notice=$seconds
    ended_with 75
    expect_output 'warning: EC2 will take this instance back: terminate at [0-9T:-]*Z, in [0-9]+ s; stopping with a checkpoint'
    expect_output '^dtrain: stopped on an EC2 spot notice: terminate at [0-9T:-]*Z after step [0-9]+; the same command goes on from run'
    expect test -f "run/checkpoints/step-$(printf %08d "$(stopped_at)")/manifest.json"
    expect test "$(grep -c '^PUT /latest/api/token 200' imds/requests)" = 1 # one rank of the node polls
    mode
    expect_exit 0 ranks $ranks "$DTRAIN" "${small[@]}" "${imds[@]}" --epochs 1000 --steps $(($(stopped_at) + 1))
    expect_output "going on after step"
    expect_no_output warning
done

begin "a notice before the first step ends a training with code 75 and nothing to save"
serve notice=120
expect_exit 75 "$DTRAIN" "${small[@]}" "${imds[@]}" --epochs 1000
expect_output '^dtrain: stopped on an EC2 spot notice: terminate at [0-9T:-]*Z (before the first step; nothing was lost|after step)'

begin "a recommendation to rebalance writes a checkpoint at once, refused tokens are renewed, and a later notice stops the run"
serve rebalance token_s=1
start_job ranks 2 "$DTRAIN" "${small[@]}" "${imds[@]}" --epochs 100000 --checkpoint-every 1000000
wait_for grep -q 'rebalance recommendation' "$OUTPUT"
wait_for has_checkpoint
saved=$(ls run/checkpoints 2>/dev/null | head -n 1)
mode rebalance token_s=1 notice=60
ended_with 75
expect test "$(grep -c 'rebalance recommendation' "$OUTPUT")" = 1
expect test "$(grep -c '^PUT /latest/api/token 200' imds/requests)" -ge 2
expect grep -q '^GET .* 401' imds/requests
expect test "$((10#${saved#step-}))" -lt "0$(stopped_at)"
expect test "$(ls run/checkpoints | wc -l)" = 2

begin "with 5 s left and a slow disk no checkpoint is started, and the older one stays"
serve
slow=
for write in 1 2 3 4 5 6; do slow=$slow,store.manifest:$write:sleep=4.5; done
DTRAIN_FAULT=${slow#,} start_job "$DTRAIN" "${small[@]}" "${imds[@]}" --epochs 100000 --checkpoint-every 5 --max-checkpoint-failures 0
wait_for has_checkpoint
mode notice=5
ended_with 75
expect_output '^dtrain: stopped on an EC2 spot notice: .* s are left and a checkpoint takes [0-9]+ s, so none was written: the newest is that of step [0-9]+'

for trouble in garbage fail=500 hang slow=1; do
    begin "a failing metadata service is reported at most once and does no harm: $trouble"
    serve $trouble
    expect_exit 0 "$DTRAIN" "${small[@]}" "${imds[@]}" --steps 3
    [ $trouble = hang ] || [ $trouble = slow=1 ] || expect_output 'warning: --spot: the metadata service cannot be polled for interruptions: '
    expect test "$(grep -c 'metadata service cannot be polled' "$OUTPUT")" -le 1
    expect test -s imds/requests
done

begin "without a metadata service training goes on"
expect_exit 0 "$DTRAIN" "${small[@]}" --spot imds --imds-endpoint http://127.0.0.1:9 --steps 3
expect_output 'warning: --spot: the metadata service cannot be polled for interruptions: PUT http://127.0.0.1:9/latest/api/token: .*; retrying every 5 s'

begin "nothing is polled with --spot off, nor by default outside EC2, and no proxy is used"
serve fail=500
port=${imds[3]#http://}
expect_exit 0 "$DTRAIN" "${small[@]}" "${imds[@]}" --spot off --steps 2
expect test ! -e imds/requests
if ! grep -qs '^Amazon EC2' /sys/class/dmi/id/sys_vendor && ! grep -qs '^i-' /sys/class/dmi/id/board_asset_tag && ! grep -qs ^ec2 /sys/hypervisor/uuid; then
    expect_exit 0 "$DTRAIN" "${small[@]}" "${imds[@]}" --spot auto --steps 3
    expect test ! -e imds/requests
fi
expect_exit 0 env http_proxy="$port" all_proxy="$port" "$DTRAIN" "${small[@]}" --spot imds --imds-endpoint http://127.0.0.1:9 --steps 4
expect test ! -e imds/requests

finish
