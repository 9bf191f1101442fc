# shellcheck shell=bash
# stage.sh: for scripts that copy from S3. Source it after lib.sh. The store is s3_server.py, which checks signatures; nothing leaves this machine.
#
# serve OBJECTS [MODE...]   a store for this case with these objects (JSON); its folder is s3/, its address $url, and $stage the command
# mode [WORD...]            changes what it does
# "${stage[@]}" ARGS        dtrain stage with credentials for it;  expect_exit 0 ranks 2 "${stage[@]}" ...
# forget                    the requests so far
# requests METHOD           how many there were since: GET, HEAD, LIST
# is_copy PREFIX DIR        DIR holds the objects of the bucket b with this prefix, and nothing else
# got DIR                   how many files are in it, without dtrain's own
unset "${!AWS_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
server=
url=
stage=("$DTRAIN" stage)
in_env=(env)
secret=NEVERSHOW
stop_server()
{
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
    server=
}
trap 'stop_server; cd /; umount "$_base"/mounted-* 2>/dev/null; rm -rf "$_base"' EXIT

serve()
{
    local objects=$1
    shift
    stop_server
    [ "$_state" != skipped ] || return 0
    mkdir -p s3 home
    echo '{"AKIDTEST": {"secret": "'$secret'secret", "token": null}, "AKIDTOKEN": {"secret": "'$secret'other", "token": "'$secret'token+/="}}' >s3/keys.json
    echo "$objects" >s3/objects.json
    echo "$*" >s3/mode
    : >s3/requests
    rm -f s3/port
    python3 -B "$TOP_SRCDIR/tests/program/s3_server.py" s3 >s3/log 2>&1 </dev/null &
    server=$!
    for _ in $(seq 200); do [ -e s3/port ] && break; sleep 0.05; done
    url=http://${S3_SERVER_ADDRESS:-127.0.0.1}:$(cat s3/port)
    in_env=(env "HOME=$PWD/home" AWS_EC2_METADATA_DISABLED=true "AWS_ENDPOINT_URL_S3=$url" AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=${secret}secret)
    stage=("${in_env[@]}" "$DTRAIN" stage)
}

mode() { [ "$_state" = skipped ] || { echo "$*" >s3/mode.new && mv s3/mode.new s3/mode; }; }

# The store records a request after its last byte, which the copy does not wait for.
settle()
{
    local before=x
    for _ in $(seq 50); do
        [ "$before" != "$(wc -c <s3/requests)" ] || return 0
        before=$(wc -c <s3/requests)
        sleep 0.1
    done
}

forget()
{
    [ "$_state" != skipped ] || return 0
    settle
    : >s3/requests
}

requests()
{
    [ "$_state" != skipped ] || { echo 0; return; }
    settle
    awk -v method="$1" '$2 == method && $6 < 300' s3/requests | wc -l
}

is_copy()
{
    local wrong
    [ "$_state" != skipped ] || return 0
    wrong=$(python3 -B "$TOP_SRCDIR/tests/program/s3_server.py" s3 compare b "$1" "$2") || fail "$2 is no copy: $(head -n 5 <<<"$wrong")"
}

got() { find "$1" -path '*/.dtrain-stage' -prune -o -type f -print 2>/dev/null | wc -l; }

# ends CODE COMMAND...: as expect_exit, and no secret is printed, and the store has not failed.
ends()
{
    expect_exit "$@"
    expect_no_output $secret
    [ "$_state" = skipped ] || [ ! -s s3/log ] || fail "the store: $(tail -n 5 s3/log)"
}
