#!/bin/bash
# dtrain stage: copies from S3, HTTP and a folder; what is whole is not read again; faults of the store and of the disk.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stage.sh"

need_stage()
{
    command -v python3 >/dev/null || { skip "there is no python3"; return 1; }
    grep -qs '^#define HAVE_CURL 1' "$TOP_BUILDDIR/config.h" && grep -qs '^#define HAVE_EXPAT 1' "$TOP_BUILDDIR/config.h" && return 0
    skip "this build has no libcurl or no expat"
    return 1
}
all_cases_need need_stage

small='{"bucket": "b", "key": "data/train/c%d.jpg", "bytes": 20000, "count": 300, "checksum": "crc32"}'

begin "a prefix is copied: each object once, with all pages of the listing"
serve '[{"bucket": "b", "key": "data/train/%d.jpg", "bytes": 300, "count": 2500}, {"bucket": "b", "key": "data/empty", "bytes": 0},
        {"bucket": "b", "key": "data/folder/", "bytes": 0}, {"bucket": "b", "key": "data-2/x", "bytes": 5}]'
ends 0 "${stage[@]}" s3://b/data "$TMP/t"
is_copy data/ t
expect test "$(requests LIST)" = 3
expect test "$(requests GET)" = 2500
expect_output "t holds 2501 objects, .* of s3://b/data; read .* requests \(3 LIST, 2500 GET, 0 HEAD; 0 repeated\), at AWS .0\.0010"
expect_output "1 empty object whose key ends with '/'"
forget
ends 0 "${stage[@]}" s3://b/data/ "$TMP/t"
expect test "$(requests GET)" = 0
expect_output "all there"
ends 2 "${stage[@]}" s3://b/data-2 "$TMP/t"
expect_output "is a copy of s3://b/data; copy s3://b/data-2 to another folder"

begin "one object, a token, a whole bucket"
serve '[{"bucket": "b", "key": "a/shard.tar", "bytes": 50000}, {"bucket": "b", "key": "a/shard.tar.old", "bytes": 1}]'
ends 0 "${stage[@]}" s3://b/a/shard.tar "$TMP/one"
expect test "$(got one)" = 1
expect test -s one/shard.tar
ends 0 env AWS_ACCESS_KEY_ID=AKIDTOKEN AWS_SECRET_ACCESS_KEY=${secret}other "AWS_SESSION_TOKEN=${secret}token+/=" "AWS_ENDPOINT_URL=$url" AWS_EC2_METADATA_DISABLED=true \
    "$DTRAIN" stage s3://b "$TMP/all"
is_copy "" all

begin "options in place of variables"
serve "[$small]" parallel=2 region=eu-west-1
mkdir -p home/.aws
printf '[mine]\naws_access_key_id = AKIDTEST\naws_secret_access_key = %ssecret\n' $secret >home/.aws/credentials
by_options=(env "HOME=$PWD/home" AWS_EC2_METADATA_DISABLED=true "$DTRAIN" stage s3://b --endpoint-url "$url")
ends 0 "${by_options[@]}" "$TMP/t" --profile mine --connections 2 --region eu-west-1
is_copy "" t
expect test -z "$(awk '$6 != 200' s3/requests 2>/dev/null)" # not one too many at a time, and none to another region
mode public
ends 0 env "HOME=$PWD/none" "$DTRAIN" stage s3://b "$TMP/public" --endpoint-url "$url" --anonymous
is_copy "" public
mode payer
ends 2 "${by_options[@]}" --profile mine "$TMP/payer"
ends 0 "${by_options[@]}" --profile mine "$TMP/payer" --requester-pays
is_copy "" payer

begin "the progress is logged every --log-every seconds"
serve '[{"bucket": "b", "key": "k/%d.jpg", "bytes": 100000, "count": 60}]' rate=1000000
ends 0 "${stage[@]}" s3://b/k "$TMP/t" --connections 2 --log-every 0.3
expect test "$(grep -cE '^copy +[0-9]+%  .* MB of +6\.0 MB  .*/s .* left' "$OUTPUT")" -ge 4
ends 0 "${stage[@]}" s3://b/k "$TMP/t2" --connections 2 --log-every 100
expect test "$(grep -c '^copy' "$OUTPUT")" = 1

begin "keys that are no safe names stay in the target"
serve '[{"bucket": "b", "key": "k/../../../escape", "text": "1"}, {"bucket": "b", "key": "k//double", "text": "2"}, {"bucket": "b", "key": "k/new\nline", "text": "3"},
        {"bucket": "b", "key": "k/a b+&%;=~(1)*.jpg", "text": "4"}, {"bucket": "b", "key": "k/\u00fc\u20ac.jpg", "text": "5"}, {"bucket": "b", "key": "k/.", "text": "6"},
        {"bucket": "b", "key": "k/file", "text": "7"}, {"bucket": "b", "key": "k/file/below", "text": "8"}, {"bucket": "b", "key": "k/.dtrain-stage/journal", "text": "9"},
        {"bucket": "b", "key": "k/'"$(printf 'x%.0s' $(seq 300))"'.jpg", "text": "10"}]'
mkdir deep
ends 0 "${stage[@]}" s3://b/k "$TMP/deep/t"
expect test "$(got deep)" = 10
expect test "$(got .)" -le 17 # and those of the store
expect test "$(cat 'deep/t/%2E%2E/%2E%2E/%2E%2E/escape')" = 1
expect test "$(cat 'deep/t/%2F/double')" = 2
expect test "$(cat 'deep/t/new%0Aline')" = 3
expect test "$(cat 'deep/t/a b+&%;=~(1)*.jpg')" = 4
expect test "$(cat deep/t/ü€.jpg)" = 5
expect test "$(cat deep/t/%2E)" = 6
expect test "$(cat deep/t/file~*)" = 7
expect test "$(cat deep/t/file/below)" = 8
expect test "$(cat deep/t/%2Edtrain-stage/journal)" = 9
expect test "$(cat deep/t/xxx*.jpg)" = 10
expect_output '5 keys are no safe names? for a file, 1 is too long, and 1 clashes with others'
expect test "$(wc -l <deep/t/.dtrain-stage/names)" = 7
forget
ends 0 "${stage[@]}" s3://b/k "$TMP/deep/t"
expect test "$(requests GET)" = 0

begin "large objects come in parts, and all kinds of checksums are compared"
serve '[{"bucket": "b", "key": "l/crc32.tar", "bytes": 30000000, "checksum": "crc32"}, {"bucket": "b", "key": "l/md5.tar", "bytes": 20000000, "etag": "md5"},
        {"bucket": "b", "key": "l/none.tar", "bytes": 9000000}, {"bucket": "b", "key": "l/parts.tar", "bytes": 9000000, "checksum": "composite"},
        {"bucket": "b", "key": "l/c.jpg", "bytes": 5000, "checksum": "crc32c"}, {"bucket": "b", "key": "l/64.jpg", "bytes": 5000, "checksum": "crc64nvme"}]'
ends 0 "${stage[@]}" s3://b/l "$TMP/t"
is_copy l/ t
expect test "$(requests HEAD)" = 4
expect test "$(requests GET)" = 13 # 4 + 3 + 2 + 2, and two small ones

begin "a wrong byte is noticed, whatever the checksum, and the next start puts it right"
for spec in '"bytes": 5000, "checksum": "crc32c"' '"bytes": 5000' '"bytes": 20000000, "checksum": "crc32"' '"bytes": 20000000, "etag": "md5"'; do
    rm -rf t
    serve "[{\"bucket\": \"b\", \"key\": \"k/x\", $spec}]" corrupt=1
    ends 1 "${stage[@]}" s3://b/k "$TMP/t"
    expect_output "k/x: the [0-9]* bytes that came do not have the (CRC32|CRC32C|MD5) that the source has"
    expect test "$(got t)" = 0
    ends 0 "${stage[@]}" s3://b/k "$TMP/t"
    is_copy k/ t
done

begin "several ranks on a host: one works, and each byte is read once"
serve "[$small]"
ends 0 ranks 3 "${stage[@]}" s3://b/data "$TMP/t"
is_copy data/ t
expect test "$(requests GET)" = 300
expect test "$(grep -c 'holds 300 objects' "$OUTPUT")" = 1

begin "503, 500, 429, cut, short and refused connections are repeated"
serve "[$small, {\"bucket\": \"b\", \"key\": \"data/l\", \"bytes\": 20000000}]" throttle=2 error=1 many=1 broken=1 cut=5 short=5
ends 0 "${stage[@]}" s3://b/data "$TMP/t"
is_copy data/ t
expect_output '[1-9][0-9]* repeated\)'

begin "credentials that expire halfway are fetched again"
serve "[$small]" uses=40
ends 0 env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY AWS_CONTAINER_CREDENTIALS_FULL_URI="$url/credentials" AWS_ENDPOINT_URL_S3="$url" "$DTRAIN" stage s3://b/data "$TMP/t"
is_copy data/ t
expect test "$(requests CREDENTIALS)" -ge 5

begin "an object that changes meanwhile is an error, and the next start copies the new one"
serve "[$small]" change=100 rate=2000000
ends 1 "${stage[@]}" s3://b/data "$TMP/t" --connections 4
expect_output 'data/train/c[0-9]*.jpg.*changed'
mode
serve "[${small/\"count\"/\"version\": 1, \"count\"}]"
ends 0 "${stage[@]}" s3://b/data "$TMP/t"
is_copy data/ t

begin "a wrong secret, a missing bucket and an empty prefix: one clear line"
serve "[$small]"
ends 2 env "${in_env[@]:1}" AWS_SECRET_ACCESS_KEY=wrong "$DTRAIN" stage s3://b/data "$TMP/t"
expect test "$(wc -l <"$OUTPUT")" = 1
ends 2 "${stage[@]}" s3://nothing/data "$TMP/t2"
expect_output 'nothing'
expect test "$(wc -l <"$OUTPUT")" = 1
ends 2 "${stage[@]}" s3://b/dat "$TMP/t3"
expect_output 's3://b/dat: no object there'
ends 2 env HOME=/nowhere AWS_EC2_METADATA_DISABLED=true "$DTRAIN" stage s3://b/data "$TMP/t4" --endpoint-url "$url"
expect test "$(wc -l <"$OUTPUT")" = 1

begin "wrong usage is refused"
ends 2 "$DTRAIN" stage
ends 2 "$DTRAIN" stage /somewhere
expect_output 'takes a SOURCE and a TARGET'
ends 2 "$DTRAIN" stage /somewhere s3://b/up
expect_output 'does not upload'
ends 2 "$DTRAIN" stage "$TMP/none" "$TMP/t"
expect_output 'no such folder'
ends 2 "$DTRAIN" stage s3:/b "$TMP/t"
ends 2 "$DTRAIN" stage s3://b "$TMP/t" --splitt
expect_output "did you mean"

# whole DIR: how many files and parts the journal says are whole.
whole() { cut -d ' ' -f 2- "$1/.dtrain-stage/journal" 2>/dev/null | grep -c "^${2:-whole}"; }

# wait_for N KIND DIR: waits until so many records of this kind are in its journal.
wait_for()
{
    [ "$_state" != skipped ] || return 0
    for _ in $(seq 600); do
        [ "$(whole "$3" "$2")" -lt "$1" ] || return 0
        sleep 0.05
    done
    fail "$3 has $(whole "$3" "$2") records"
}

# kill_halfway N KIND: kills the job -9 when N records of this kind are in the journal of t.
kill_halfway()
{
    [ "$_state" != skipped ] || return 0
    wait_for "$1" "$2" t
    kill -9 $pid $(children $pid) 2>/dev/null
    wait $pid 2>/dev/null
}

begin "after kill -9 small files that are whole are not read again"
serve '[{"bucket": "b", "key": "k/%d.jpg", "bytes": 100000, "count": 200}]' rate=1000000
start_job "${stage[@]}" s3://b/k "$TMP/t" --connections 4
kill_halfway 40 whole
[ "$_state" = skipped ] || n=$(whole t)
expect test "$(got t)" -ge "${n:-0}"
mode
forget
ends 0 "${stage[@]}" s3://b/k "$TMP/t"
is_copy k/ t
expect test "$(requests GET)" = $((200 - ${n:-0}))

begin "after kill -9 parts of a large object that are there are not read again"
serve '[{"bucket": "b", "key": "k/large", "bytes": 130000000, "checksum": "crc32"}]' rate=16000000
start_job "${stage[@]}" s3://b/k "$TMP/t" --connections 4
kill_halfway 3 part
[ "$_state" = skipped ] || n=$(whole t part)
expect test "$(got t)" = 0
mode
forget
ends 0 "${stage[@]}" s3://b/k "$TMP/t"
is_copy k/ t
expect test "$(requests GET)" = $((16 - ${n:-0}))

begin "SIGTERM keeps what has come"
serve '[{"bucket": "b", "key": "k/%d.jpg", "bytes": 100000, "count": 200}]' rate=1000000
start_job "${stage[@]}" s3://b/k "$TMP/t" --connections 4
wait_for 20 whole t
[ "$_state" = skipped ] || kill "$pid"
end_job
expect test "$code" = 143
mode
n=$(whole t)
forget
ends 0 "${stage[@]}" s3://b/k "$TMP/t"
is_copy k/ t
expect test "$(requests GET)" = $((200 - n))

# disk SIZE: mounts one, as $disk.
disk()
{
    [ "$(id -u)" = 0 ] || { skip "only root can mount a small disk"; return 1; }
    disk=$_base/mounted-$RANDOM
    mkdir "$disk"
    mount -t tmpfs -o "size=$1" none "$disk" 2>/dev/null || { skip "tmpfs cannot be mounted here"; return 1; }
}

begin "a disk that is too small is refused before anything is read"
disk 20m && {
    serve '[{"bucket": "b", "key": "k/%d.tar", "bytes": 9000000, "count": 3}]'
    ends 1 "${stage[@]}" s3://b/k "$disk/t"
    expect_output '0\.03 GB are to be copied there, and its disk has 0\.02 GB free'
    expect test "$(requests GET)" = 0
    umount "$disk"
}

begin "a disk that fills up meanwhile is an error, and the copy goes on when there is space"
disk 60m && {
    serve '[{"bucket": "b", "key": "k/%d.jpg", "bytes": 100000, "count": 300}, {"bucket": "b", "key": "k/z", "bytes": 9000000}]' rate=2000000
    start_job "${stage[@]}" s3://b/k "$disk/t" --connections 4
    wait_for 20 whole "$disk/t"
    dd if=/dev/zero of="$disk/other" bs=1M 2>/dev/null
    end_job
    expect test "$code" = 1
    expect_output 'No space left on device'
    rm "$disk/other"
    mode
    n=$(whole "$disk/t")
    forget
    ends 0 "${stage[@]}" s3://b/k "$disk/t"
    is_copy k/ "$disk/t"
    expect test "$(requests GET)" -le $((302 - n))
    expect_output 'is in memory \(tmpfs\)'
    umount "$disk"
}

begin "files of an HTTP server, with a range of numbers in the address"
if [ "$_state" != skipped ]; then
    mkdir www
    for i in 08 09 10; do head -c 100000 /dev/urandom >www/shard-$i.tar; done
    stop_server
    python3 -u -B -m http.server --bind 127.0.0.1 --directory www 0 >www.log 2>&1 </dev/null &
    server=$!
    for _ in $(seq 200); do
        port=$(sed -nE 's/.*port ([0-9]+).*/\1/p' www.log)
        [ -z "$port" ] || break
        sleep 0.05
    done
fi
expect_exit 0 "$DTRAIN" stage "http://127.0.0.1:${port:-}/shard-{08..10}.tar?signature=NEVERSHOW" "$TMP/t"
expect_no_output NEVERSHOW
for i in 08 09 10; do expect cmp www/shard-$i.tar t/shard-$i.tar; done
expect_exit 2 "$DTRAIN" stage "http://127.0.0.1:${port:-}/" "$TMP/t2"
expect_output 'does not list folders'
expect_exit '1|2' "$DTRAIN" stage "http://127.0.0.1:${port:-}/none" "$TMP/t3"
expect_output '404'

begin "a folder is copied, and another source is refused in the same target"
digits data 2 20 5
expect_exit 0 "$DTRAIN" stage data "$TMP/t"
expect diff -r data t -x .dtrain-stage
expect_exit 0 ranks 2 "$DTRAIN" stage data "$TMP/t"
expect_output 'all there'
mkdir other && echo x >other/y
expect_exit 2 "$DTRAIN" stage other "$TMP/t"
expect_output "is a copy of $TMP/data"
expect_exit 2 "$DTRAIN" stage data "$TMP/data/copy"
expect_output 'is in data, which is to be copied'

# images PREFIX: the files of data/ as objects.
images() { python3 -c 'import json, os, sys
print(json.dumps([{"bucket": "b", "key": sys.argv[1] + os.path.join(w, f)[5:], "file": os.path.abspath(os.path.join(w, f))} for w, _, fs in os.walk("data") for f in fs]))' "$1"; }

begin "a training begins with the copy of --data, and the next start uses it"
digits data 2 20 5
serve "$(images digits/)"
at=(env "HOME=$PWD/none" AWS_EC2_METADATA_DISABLED=true "TMPDIR=$TMP/local")
train=("${at[@]}" "$DTRAIN" "${ANY_BACKEND[@]}" --endpoint-url "$url" --anonymous --arch resnet18 --image-size 32 --batch 4 --epochs 1)
mkdir local
mode public
ends 0 ranks 2 "${train[@]}" --data s3://b/digits --steps 2 --out "$TMP/run"
expect test "$(requests GET)" = 50
expect_output 'dtrain-data-[0-9]*/b-digits-[0-9a-f]{8} holds 50 objects'
expect grep -q 'data = "s3://b/digits"' run/config.conf
forget
ends 0 ranks 2 "${train[@]}" --data s3://b/digits --steps 4 --out "$TMP/run"
expect_output 'is the copy of s3://b/digits from .* UTC, with 50 objects'
expect test ! -s s3/requests
ends 2 "${train[@]}" --data s3://b/none --stage-dir "$TMP/none" --out "$TMP/run2"
expect_output 'data: s3://b/none: no object there'
expect test ! -e run2
eval=("${at[@]}" "$DTRAIN" eval "${ANY_BACKEND[@]}" --endpoint-url "$url" --weights "$TMP/run")
ends 0 "${eval[@]}" --data s3://b/digits --anonymous --stage-dir "$TMP/chosen"
is_copy digits/ chosen
mode payer
eval=("${in_env[@]}" "${eval[@]:4}")
ends 2 "${eval[@]}" --data s3://b/digits --stage-dir "$TMP/paid"
ends 0 "${eval[@]}" --data s3://b/digits --stage-dir "$TMP/paid" --requester-pays
is_copy digits/ paid
ends 2 "${in_env[@]}" "$DTRAIN" --data s3://b/none --stage-dir "$TMP/none" --out "$TMP/run2" --requester-pays
expect_output 'no object there'

begin "5 GB come in 597 parts"
long_case && {
    serve '[{"bucket": "b", "key": "k/five", "bytes": 5000000000}]'
    ends 0 "${stage[@]}" s3://b/k "$TMP/t"
    is_copy k/ t
    expect test "$(requests GET)" = 597
}

finish
