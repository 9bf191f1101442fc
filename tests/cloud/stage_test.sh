#!/bin/bash
# `dtrain stage` from S3: moto's server, which checks signatures (moto_server.py says how strictly). What must come of each bucket is in $store.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cloud.sh"

store=$_base/store
declare -A key
seen=0 # lines of the server's log before the last stage

# The server is filled once, for all cases.
mkdir -p "$store"
moto "$_base/moto" INITIAL_NO_AUTH_ACTION_COUNT=1000000
if ! "${in_cloud[@]}" python "$cloud/s3_fill.py" "$store" >"$_base/fill" 2>&1; then
    echo "the server could not be filled:"
    tail -n 20 "$_base/fill" "$_base/moto/log"
    exit 1
fi
# shellcheck source=/dev/null
. "$store/keys"

# stage CODE AS SOURCE [OPTION...]: SOURCE to the folder got; AS is reader, getter, role or nobody. No secret is printed.
stage()
{
    local code=$1 as=$2 source=$3 id secret variables
    shift 3
    [ "$_state" != skipped ] || return 0
    id=${key[${as}_id]:-} secret=${key[${as}_secret]:-}
    seen=$(wc -l <"$_base/moto/requests")
    variables=(HOME="$TMP" AWS_ENDPOINT_URL="$url" AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true)
    [ "$as" = nobody ] || variables+=("AWS_ACCESS_KEY_ID=$id" "AWS_SECRET_ACCESS_KEY=${use_secret:-$secret}")
    [ "$as" != role ] || variables+=("AWS_SESSION_TOKEN=${use_token:-${key[role_token]}}")
    expect_exit "$code" env "${variables[@]}" "$DTRAIN" stage "$source" got "$@"
    [ "$as" = nobody ] || ! grep -qF -e "$secret" "$OUTPUT" || fail "the output has the secret"
}

# requests [REGEX]: how many requests of the last stage match.
requests() { tail -n +$((seen + 1)) "$_base/moto/requests" | grep -cE -e "${1:-.}"; }

# same BUCKET: got has the bytes of the bucket, and nothing more.
same() { expect diff -r -x .dtrain-stage "$store/$1" got; }

# refused REGEX: an error in one line, which matches; nothing has been left.
refused()
{
    expect_output "^dtrain: .*$1"
    expect test "$(grep -c '^dtrain: ' "$OUTPUT")" = 1
    expect test -z "$(find got -type f ! -path "*/.dtrain-stage/*" 2>/dev/null)"
}

begin "the server checks signatures, also those of the AWS command line"
expect_exit 0 "${in_cloud[@]}" AWS_ACCESS_KEY_ID="${key[reader_id]}" AWS_SECRET_ACCESS_KEY="${key[reader_secret]}" aws s3 ls s3://odd
expect_exit "1|254|255" "${in_cloud[@]}" AWS_ACCESS_KEY_ID="${key[reader_id]}" AWS_SECRET_ACCESS_KEY="${key[reader_secret]}x" aws s3 ls s3://odd
expect_output SignatureDoesNotMatch
expect_exit "1|254|255" "${in_cloud[@]}" AWS_ACCESS_KEY_ID="${key[getter_id]}" AWS_SECRET_ACCESS_KEY="${key[getter_secret]}" aws s3 ls s3://odd
expect_output AccessDenied

# get STATUS TARGET [HEADER:VALUE]: signed_get.py as reader.
get()
{
    expect_exit 0 "${in_cloud[@]}" AWS_ACCESS_KEY_ID="${key[reader_id]}" AWS_SECRET_ACCESS_KEY="${key[reader_secret]}" python "$cloud/signed_get.py" "${@:2}"
    expect_output "^$1\$"
}

begin "the server wants S3's own form of paths, queries and headers"
get 200 /odd/%C3%BCml%C3%A4ut
get 403 /odd/%c3%bcml%c3%a4ut
get 200 /odd/quote%27
get 403 "/odd/quote'"
get 200 '/odd?list-type=2&prefix=a%20'
get 403 '/odd?list-type=2&prefix=a+'
get 200 /odd/plain x-amz-request-payer:requester
get 403 /odd/plain !x-amz-request-payer:requester

begin "keys with odd characters: the bytes are equal"
stage 0 reader s3://odd
same odd

begin "prefixes that are no names of folders"
n=0
for prefix in double// up/../ ./ $'line\n/'; do
    stage 0 reader "s3://prefixes/$prefix"
    same prefixes/$n
    rm -rf got
    n=$((n + 1))
done

begin "more than 1,000 keys, and empty objects"
stage 0 reader s3://many
same many
expect test "$(requests 'GET 200 .* /many/?[?]')" = 3

begin "large objects come in ranges, each byte once"
stage 0 reader s3://large
same large
expect test "$(requests 'GET 206')" -ge 4
expect test "$(tail -n +$((seen + 1)) "$_base/moto/requests" | awk '$1 == "GET" && $6 !~ /[?]/ { sum += $4 } END { print sum }')" = "$(cat "$store"/large/* | wc -c)"

begin "what is whole is not fetched again"
stage 0 reader s3://many
stage 0 reader s3://many
same many
expect test "$(requests 'GET .* /many/[^?]+$')" = 0

begin "the same as aws s3 sync"
stage 0 reader s3://many
expect_exit 0 "${in_cloud[@]}" AWS_ACCESS_KEY_ID="${key[reader_id]}" AWS_SECRET_ACCESS_KEY="${key[reader_secret]}" aws s3 sync --only-show-errors s3://many by-aws
expect diff -r -x .dtrain-stage by-aws got

begin "the credentials of a role, with a session token"
stage 0 role s3://everybody
same everybody
expect test "$(requests "^GET 20[06] ${key[role_id]} ")" -ge 4
rm -rf got
use_token=wrong stage 2 role s3://everybody
refused 'token'

begin "a wrong secret is one clear line"
use_secret=NEVERSHOWNtoanybody stage 2 reader s3://odd
refused 'SignatureDoesNotMatch'
expect_no_output NEVERSHOWN

begin "a missing bucket is one clear line"
stage 2 reader s3://there-is-none
refused "there-is-none"

begin "a key that may not list is one clear line"
stage 2 getter s3://odd
refused "ListBucket"

begin "a bucket whose readers pay"
stage 2 reader s3://pays-data
refused 'requester-pays'
stage 0 reader s3://pays-data --requester-pays
same pays-data

begin "a public bucket, without credentials"
stage 0 nobody s3://everybody --anonymous
same everybody
expect test "$(requests "^GET 20[06] - ")" -ge 4
rm -rf got
stage 0 reader s3://everybody --anonymous # credentials that are there are not used
expect test "$(requests "${key[reader_id]}")" = 0
rm -rf got
stage 2 nobody s3://nobody --anonymous
refused 'nobody'

begin "without credentials and without --anonymous nothing is asked"
stage 2 nobody s3://everybody
refused 'credentials'
expect test "$(requests)" = 0

finish
