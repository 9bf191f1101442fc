#!/bin/bash
# Objects in S3, as s3_job reads them: keys, signatures, faults, credentials. The store is s3_server.py, which checks signatures itself. Nothing leaves
# this machine.
. "$(dirname "$0")/../lib.sh"

job=$TOP_BUILDDIR/tests/program/s3_job
unset "${!AWS_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
servers=()
url=
with=(env) # replaced by serve
in_env=(env)
stop_servers()
{
    for server in "${servers[@]}"; do kill "$server" && wait "$server"; done 2>/dev/null
    servers=()
}
trap 'stop_servers; cd /; rm -rf "$_base"' EXIT

# No case may print a secret: each begins with the letters of this word.
secret=NEVERSHOW
keys='{"AKIDENV": {"secret": "NEVERSHOW/+env", "token": null}, "AKIDTOKEN": {"secret": "NEVERSHOWtoken", "token": "NEVERSHOW/+=token"},
       "AKIDWORK": {"secret": "NEVERSHOWwork", "token": null}}'
small='[{"bucket": "b", "key": "p/a", "text": "hello"}, {"bucket": "b", "key": "p/b", "text": "other"}]'

# serve OBJECTS [MODE...]: a store for this case, with an empty home and without credentials.
serve()
{
    stop_servers
    mkdir -p s3 home/.aws
    rm -f s3/port
    : >s3/requests
    [ "$_state" != skipped ] || return 0
    echo "$keys" >s3/keys.json
    echo "$1" >s3/objects.json
    shift
    echo "$*" >s3/mode
    python3 "$TOP_SRCDIR/tests/program/s3_server.py" s3 >s3/log 2>&1 </dev/null &
    servers+=($!)
    for _ in $(seq 200); do [ -e s3/port ] && break; sleep 0.05; done
    url=http$([ ! -e s3/cert.pem ] || echo s)://127.0.0.1:$(cat s3/port)
    with=(env "HOME=$PWD/home" "AWS_ENDPOINT_URL=$url" AWS_EC2_METADATA_DISABLED=true)
    in_env=("${with[@]}" AWS_ACCESS_KEY_ID=AKIDENV "AWS_SECRET_ACCESS_KEY=$secret/+env")
}

mode() { [ "$_state" = skipped ] || { : >s3/requests; echo "$*" >s3/mode.new && mv s3/mode.new s3/mode; }; }

server() { [ "$_state" = skipped ] || python3 "$TOP_SRCDIR/tests/program/s3_server.py" s3 "$@"; }

# ends CODE COMMAND...: as expect_exit, and no secret is printed.
ends()
{
    expect_exit "$@"
    expect_no_output $secret
    [ "$_state" = skipped ] || [ ! -s s3/log ] || fail "the server: $(tail -n 5 s3/log)"
}

# gets PREFIX [OPTION...]: reads all objects below PREFIX of bucket b, with the command in `reader`; they must be the server's, byte for byte.
reader=()
gets()
{
    local prefix=$1
    shift
    [ "$_state" != skipped ] || return 0
    ends 0 "${reader[@]}" "$job" get "s3://b/$prefix" wait=0.05 stats "$@"
    local wanted=s3/sums-${prefix//\//-}
    [ "$wanted" -nt s3/objects.json ] || server sums b "$prefix" >"$wanted"
    [ "$_state" = skipped ] || grep -E '^[0-9a-f]{8} [0-9]+ ' "$OUTPUT" | cut -d' ' -f1-3 >got
    expect cmp got "$wanted"
}

# number NAME: a number of the last command's statistics.
number() { [ "$_state" != skipped ] && sed -nE "s/^requests .*/ &/; s/.* $1 ([0-9.]+).*/\1/p" "$OUTPUT" | tail -n 1; }

# refused CODE COMMAND...: ends with the code, prints one line, and does not try for long.
refused()
{
    ends "$@"
    expect test "$(wc -l <"$OUTPUT")" = 1
}

if ! "$job" list s3://b anonymous endpoint=http://127.0.0.1:1 2>&1 | grep -q 'this build has no '; then

begin "objects with any key are listed and read, of any number and size"
serve '[{"bucket": "b", "key": "odd/a b+c&d%e\u00fc'"'"'(x)*~!@$,=:?#[]", "text": "1"}, {"bucket": "b", "key": "odd//x/../y/./z//", "text": "22"},
        {"bucket": "b", "key": "odd/line\nfeed;\t<&>\u0001", "text": "333"}, {"bucket": "b", "key": "odd/%41+%2B", "text": "4444"},
        {"bucket": "b", "key": "odd/empty", "text": ""}, {"bucket": "b", "key": "odd/\ud83d\ude00\u65e5", "text": "5"}, {"bucket": "b", "key": "other", "text": "6"},
        {"bucket": "b", "key": "many/%05d", "count": 2345, "bytes": 77, "seed": 1},
        {"bucket": "b", "key": "big/part", "bytes": 20000001, "seed": 2, "checksum": "crc32"}]'
reader=("${in_env[@]}")
gets odd/
gets many/
expect test "$(number lists)" = 3
expect test "$(number bytes)" = $((2345 * 77))
expect test "$(number connections)" -le 128
gets big/ part=1000000
expect test "$(number gets)" = 21
expect grep -q '^AKIDENV GET b big/part bytes=20000000-20000000 206$' s3/requests
gets big/ part=1000000 head
expect_output ' 20000001 big/part CRC32$'
expect test "$(number heads)" = 1
gets "" part=3000000
mode page=2
gets odd/
expect test "$(number lists)" = 3
ends 0 "${reader[@]}" "$job" list 's3://b/nothing/'
expect test ! -s "$OUTPUT"

begin "requests are signed by libcurl and by dtrain itself, with a session token too"
serve "$small"
for own in "" own; do
    reader=("${in_env[@]}")
    gets p/ ${own:+"$own"}
    reader=("${with[@]}" AWS_ACCESS_KEY_ID=AKIDTOKEN "AWS_SECRET_ACCESS_KEY=${secret}token" "AWS_SESSION_TOKEN=$secret/+=token")
    gets p/ ${own:+"$own"} payer head part=3
done
expect test "$(grep -c '^AKIDTOKEN HEAD .* 200$' s3/requests)" = 4
expect test "$(grep -cv ' 20[06]$' s3/requests)" = 0

begin "HTTPS is used with a certificate that is trusted, and refused with another"
mkdir -p s3
if ! command -v openssl >/dev/null; then
    skip "there is no openssl, which makes a certificate"
elif [ "$_state" != skipped ]; then
    openssl req -x509 -newkey rsa:2048 -nodes -keyout s3/key.pem -out s3/cert.pem -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>openssl.log
fi
serve '[{"bucket": "b", "key": "p/a", "bytes": 3000000}]'
refused 1 "${in_env[@]}" "$job" get s3://b/p/
expect_output '^dtrain: s3://b/p/: .*certificate'
reader=("${in_env[@]}" "AWS_CA_BUNDLE=$PWD/s3/cert.pem")
gets p/ part=1000000

begin "a wrong secret, key or token, a missing bucket, a wrong clock and what is not allowed are one clear line each"
serve "$small"
refused 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDENV "AWS_SECRET_ACCESS_KEY=${secret}x" "$job" get s3://b/p/
expect_output '^dtrain: s3://b: the store does not accept the signature \(SignatureDoesNotMatch\): the secret access key from the environment does not belong to the access key AKIDENV$'
refused 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDNOBODY "AWS_SECRET_ACCESS_KEY=${secret}x" "$job" get s3://b/p/
expect_output '^dtrain: s3://b: the store does not know the access key AKIDNOBODY from the environment \(InvalidAccessKeyId\)$'
refused 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDTOKEN "AWS_SECRET_ACCESS_KEY=${secret}token" "AWS_SESSION_TOKEN=${secret}x" "$job" get s3://b/p/
expect_output '^dtrain: s3://b: the session token from the environment is wrong \(InvalidToken\): get new credentials$'
refused 2 "${in_env[@]}" "$job" get s3://nobody/p/
expect_output "^dtrain: there is no bucket 'nobody' at http://127.0.0.1:[0-9]+$"
refused 2 "${with[@]}" "$job" get s3://b/p/
expect_output '^dtrain: there are no AWS credentials: .*; --anonymous reads public buckets without any$'
refused 2 "${in_env[@]}" "$job" get s3://b/p/ profile=nobody
expect_output "^dtrain: --profile is 'nobody': neither .* has such a profile; --anonymous"
refused 2 "${in_env[@]}" "$job" get s3://b/p/ endpoint=localhost:9000
expect_output "^dtrain: the endpoint 'localhost:9000' is not an address"
mode deny=LIST
refused 2 "${in_env[@]}" "$job" get s3://b/p/
expect_output '^dtrain: the credentials from the environment may not list s3://b/p/ \(AccessDenied\): a policy that allows s3:ListBucket does; a bucket whose readers pay needs --requester-pays$'
mode deny=GET
refused 2 "${in_env[@]}" "$job" get s3://b/p/
expect_output '^dtrain: the credentials from the environment may not read s3://b/p/[ab] \(AccessDenied\): a policy that allows s3:GetObject does'
mode
refused 2 "${with[@]}" "$job" get s3://b/p/ anonymous
expect_output '^dtrain: s3://b/p/ is not public: without --anonymous'
mode clock=1200
refused 2 "${in_env[@]}" "$job" get s3://b/p/
expect_output "^dtrain: s3://b: this machine's clock is 20 minutes slow \(RequestTimeTooSkewed\): set it$"
mode garbage
refused 1 "${in_env[@]}" "$job" get s3://b/p/
expect_output '^dtrain: s3://b/p/: the store answers with something else than a listing$'
refused 1 "${with[@]}" AWS_ENDPOINT_URL=http://127.0.0.1:1 "$job" get s3://b/p/ anonymous wait=0.05
expect_output '^dtrain: s3://b/p/: '

begin "listings and refusals with wrong bytes do no harm"
serve "$small"
for n in $(seq 20) $(if_long $(seq 21 200)); do
    mode "mangle=$n"
    ends '0|1|2' "${in_env[@]}" "$job" get s3://b/p/ wait=0.01 tries=2 part=3
    expect_no_output 'bug of dtrain'
    ends 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDENV "AWS_SECRET_ACCESS_KEY=${secret}x" "$job" get s3://b/p/ wait=0.01 tries=2
done

begin "public buckets need no credentials, and a bucket whose readers pay says so"
serve "$small" public
reader=("${with[@]}")
gets p/ anonymous
expect test "$(grep -cv '^- ' s3/requests)" = 0
mode payer
reader=("${in_env[@]}")
refused 2 "${in_env[@]}" "$job" get s3://b/p/
expect_output 'needs --requester-pays$'
gets p/ payer

begin "the bucket's region is found, and asked from then on"
serve "$small" region=eu-west-2
for own in "" own; do
    : >s3/requests
    reader=("${in_env[@]}" AWS_REGION=us-west-1)
    gets p/ ${own:+"$own"}
    expect test "$(grep -c ' 400$' s3/requests)" = 1
done
: >s3/requests
reader=("${in_env[@]}" AWS_REGION=eu-west-2)
gets p/
expect test "$(grep -c ' 400$' s3/requests)" = 0
gets p/ region=us-east-1

begin "profiles name keys, region and endpoint"
serve "$small" region=eu-west-2
printf '[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = %swork\n' $secret >home/.aws/credentials
printf '[profile work]\nregion = eu-west-2\nendpoint_url = %s\n' "$url" >home/.aws/config
plain=(env "HOME=$PWD/home" AWS_EC2_METADATA_DISABLED=true)
reader=("${plain[@]}" AWS_PROFILE=work)
gets p/
reader=("${plain[@]}" AWS_ACCESS_KEY_ID=AKIDENV "AWS_SECRET_ACCESS_KEY=${secret}x") # the option comes before the environment
gets p/ profile=work
expect test "$(grep -cv '^AKIDWORK .* 20[06]$' s3/requests)" = 0
reader=("${plain[@]}" AWS_PROFILE=work AWS_ENDPOINT_URL=http://127.0.0.1:1 "AWS_ENDPOINT_URL_S3=$url")
gets p/
reader=("${plain[@]}" AWS_PROFILE=work AWS_ENDPOINT_URL=http://127.0.0.1:1)
gets p/ endpoint="$url"

begin "refusals that pass, cut connections, short answers and stalls are tried again, and no byte is fetched twice"
serve '[{"bucket": "b", "key": "p/%02d", "count": 20, "bytes": 300000, "seed": 1}]'
reader=("${in_env[@]}")
for fault in throttle=6 error=6 many=6 broken=6 cut=15 short=15; do
    mode "$fault"
    gets p/ part=200000
    expect test "$(number retries)" -ge 6
    expect test "$(number bytes)" = 6000000
done
mode throttle=7
gets p/ part=200000
expect test "$(number slow)" -ge 7
mode stall=3
gets p/ part=200000 stall=1
expect test "$(number bytes)" = 6000000
mode throttle=9999
refused 1 "${in_env[@]}" "$job" get s3://b/p/ wait=0.01 tries=4
expect_output '^dtrain: s3://b/p/: the store answers 503 SlowDown: Please reduce your request rate\.$'
expect test "$(wc -l <s3/requests)" = 4

begin "an object that changes while it is being read is an error with its name"
serve '[{"bucket": "b", "key": "p/one", "bytes": 30000000, "seed": 1}]' change=4
refused 1 "${in_env[@]}" "$job" get s3://b/p/ part=1000000 connections=1
expect_output '^dtrain: s3://b/p/one has changed since it was listed: begin again$'

begin "the store's checksums are compared"
sums='[{"bucket": "b", "key": "p/crc32", "text": "one", "checksum": "crc32", "etag": "parts"}, {"bucket": "b", "key": "p/crc32c", "text": "two", "checksum": "crc32c"},
       {"bucket": "b", "key": "p/crc64", "text": "three", "checksum": "crc64nvme"}, {"bucket": "b", "key": "p/md5", "text": "four"},
       {"bucket": "b", "key": "p/composite", "text": "five", "checksum": "composite"}, {"bucket": "b", "key": "p/none", "text": "six", "etag": "parts"}]'
serve "$sums"
reader=("${in_env[@]}")
gets p/
for row in 'crc32 CRC32' 'crc32c CRC32C' 'crc64 CRC64NVME' 'md5 MD5' 'composite MD5' 'none -'; do expect_output " p/$row\$"; done
for key in crc32c crc64 md5; do
    serve "$sums" corrupt=1 # a new server, which counts from 0
    refused 1 "${in_env[@]}" "$job" get "s3://b/p/$key" connections=1
    expect_output "^dtrain: p/$key: the (CRC32C|CRC64NVME|MD5) is another\$"
done

begin "credentials are renewed before they expire, and when the store says that they have"
serve '[{"bucket": "b", "key": "p/%02d", "count": 30, "bytes": 1000, "seed": 1}]' latency=0.2 lifetime=5
reader=("${with[@]}" "AWS_CONTAINER_CREDENTIALS_FULL_URI=$url/credentials")
gets p/ connections=1
expect test "$(number renewals)" -ge 1
expect test "$(grep -c ' 400$' s3/requests)" = 0
mode uses=7
gets p/ connections=4 head part=500
expect test "$(number renewals)" -ge 4
expect test "$(grep -c ' 400$' s3/requests)" -ge 4
mode uses=0
refused 2 "${reader[@]}" "$job" get s3://b/p/ wait=0.01 tries=2
expect_output '^dtrain: s3://b: the session token from .* has expired \(ExpiredToken\): get new credentials$'

begin "the number of connections follows the rate, and what the store can bear"
serve '[{"bucket": "b", "key": "p/%03d", "count": 400, "bytes": 50000, "seed": 1}]' latency=0.1
reader=("${in_env[@]}")
gets p/
expect test "$(number most)" -ge 32
mode latency=0.02 parallel=8
gets p/
expect test "$(number width)" -le 12
gets p/ connections=3 # a number that is given does not change
expect test "$(number most)" = 3
expect test "$(number connections)" -le 3

begin "files of a plain server are read in parts, too"
serve '[{"bucket": "b", "key": "p/a", "bytes": 5000001, "seed": 3}]' public
ends 0 "${with[@]}" "$job" http "$url/b/p/a" 5000001 part=1000000
expect test "$(cut -d' ' -f1,2 <"$OUTPUT")" = "$(server sums b p/a | cut -d' ' -f1,2)"
mode public no_range
refused 1 "${with[@]}" "$job" http "$url/b/p/a" 5000001 part=1000000
expect_output "^dtrain: $url/b/p/a: the server does not send ranges$"
refused 2 "${with[@]}" "$job" http "$url/b/p/none" 5 part=1000000
expect_output 'p/none: there is no such file \(the server answers 404\)$'

begin "Ctrl-C ends a transfer that hangs"
serve "$small" hang
start_job "${in_env[@]}" env --default-signal=INT "$job" get s3://b/p/
sleep 1
[ "$_state" = skipped ] || kill -0 "$pid" 2>/dev/null || fail "it has ended before Ctrl-C"
expect test "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -c "$secret")" = 0
[ "$_state" = skipped ] || kill -INT "$pid"
end_job
[ "$_state" = skipped ] || expect test "$code" = 130

begin "an object of 5 GB is read in parts"
long_case && {
    serve '[{"bucket": "b", "key": "p/large", "bytes": 5368709121, "seed": 4, "checksum": "crc32"}]'
    reader=("${in_env[@]}")
    gets p/ head
    expect_output ' 5368709121 p/large CRC32$'
    expect test "$(number bytes)" = 5368709121
}

else
    begin "without libcurl or expat S3 is not there, which is said"
    refused 1 "$job" list s3://b anonymous endpoint=http://127.0.0.1:1
    expect_output '^dtrain: .*this build has no (libcurl|expat)'
fi

finish
