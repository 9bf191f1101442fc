#!/bin/bash
# dtrain bench: what it measures, on what, the file that it writes, and what it leaves behind.
. "$(dirname "$0")/../lib.sh"

tiny=(--arch resnet18 --image-size 16 --batch 4 --seconds 0.1 "${ANY_BACKEND[@]}")

# json FILE EXPRESSION...: each is true of the file's object `f` and of its machine's training `t`.
json() { expect python3 -c 'import json, sys
f = json.load(open(sys.argv[1]))
t = f["machine"]["training"]
for test in sys.argv[2:]:
    if not eval(test):
        sys.exit(f"false: {test}: {f}")' "$@"; }

begin "the file names what was measured"
expect_exit 0 ranks 2 "$DTRAIN" bench "${tiny[@]}" --precision fp32 --output rates.json
expect_output '1/4 measuring the start, and steps on random pixels'
expect_output '4/4 measuring the disk'
expect_output '^training +.*resnet18 at 16 pixels, fp32, --batch 4, 2 ranks'
expect_output '^images +.*35 x 26 pixels, that bench wrote; --data DIR measures yours'
for row in start net training evaluation 'loader, 1 core' 'loader, all' checkpoint disk; do
    expect_output "^$row +[^ ]+ [0-9]+"
done
expect_no_output '^download'
expect_tables_of_80_columns
expect test "$(ls -A)" = rates.json
json rates.json 't["arch"] == "resnet18"' 't["precision"] == "fp32"' 't["image_size"] == 16' 't["batch"] == 4' 't["ranks"] == 2' \
    'len(f["rates"]) == 1' 'f["rates"][0]["gpus"] == 2' 'f["rates"][0]["gpu"] == "CPU"' 'f["rates"][0]["images_s"] > 0' \
    'all(s["confidence"] == "measured" for s in f["sources"].values())' 'len(f["sources"]) == 1'

begin "--data names the images that are measured"
digits data 10 8 4
expect_exit 0 "$DTRAIN" bench --data data "${tiny[@]}" --image-size 32
expect_output '^images +.* data *$'
expect_output '^evaluation '
expect_output 'reading images past the page cache'
expect test "$(ls -A)" = data
rm -r data/val
expect_exit 0 "$DTRAIN" bench --data data "${tiny[@]}" --image-size 32
expect_no_output '^evaluation '
expect_exit 2 "$DTRAIN" bench --data nowhere "${tiny[@]}" --output rates.json
expect_output '^dtrain: data: there is no folder nowhere'
expect_exit 2 "$DTRAIN" bench --data data "${tiny[@]}" --batch 1000
expect_output 'fewer than one global batch of 1000'
expect test "$(ls -A)" = data

begin "--url measures a download"
head -c 3000000 /dev/zero >zeros
python3 -c 'import functools, http.server
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
open("port.tmp", "w").write(str(server.server_port)); __import__("os").rename("port.tmp", "port")
server.serve_forever()' >/dev/null 2>&1 &
server=$!
for _ in {1..100}; do [ -e port ] && break || sleep 0.05; done
if grep -q '^#define HAVE_CURL 1' "$TOP_BUILDDIR/config.h"; then
    expect_exit 0 "$DTRAIN" bench "${tiny[@]}" --url "http://127.0.0.1:$(cat port)/zeros"
    expect_output '1/5 measuring the download'
    expect_output '^download +[^ ]+ [0-9.]+ MB/s'
    expect_exit 1 "$DTRAIN" bench "${tiny[@]}" --url "http://127.0.0.1:$(cat port)/gone" --output rates.json
    expect_output "^dtrain: --url: http://127.0.0.1:[0-9]+/gone: .*404"
    expect_exit 1 "$DTRAIN" bench "${tiny[@]}" --url "https://127.0.0.1:$(cat port)/zeros" --output rates.json
    expect_output "^dtrain: --url: https://127.0.0.1"
fi
kill $server
expect_exit 2 "$DTRAIN" bench "${tiny[@]}" --url zeros --output rates.json
expect_output "^dtrain: --url: 'zeros' does not begin with http://"
expect test "$(echo *)" = "port zeros"

begin "--seconds is how long each part takes"
start_job "$DTRAIN" bench "${tiny[@]}" --seconds 60 --output rates.json
for _ in {1..100}; do grep -q measuring "$OUTPUT" && break || sleep 0.1; done
expect_output '1/4 measuring the start, and steps on random pixels: about 60 s'
sleep 0.7
expect_no_output '2/4 measuring'

# The same run goes on.
kill -INT $pid 2>/dev/null
end_job
expect test "$code" = 130
expect test -z "$(ls -A)"

begin "--checkpoint-dir is where checkpoints are measured"
expect_exit 1 "$DTRAIN" bench "${tiny[@]}" --checkpoint-dir nowhere --output rates.json
expect_output '^dtrain: nowhere: cannot make a folder there: No such file or directory'
if unshare -rm mount -t tmpfs none "$TMP" 2>/dev/null; then
    mkdir small
    expect_exit 1 unshare -rm bash -c 'mount -t tmpfs -o size=60m none small && "$@"; code=$?; ls small; exit $code' bash \
        "$DTRAIN" bench "${tiny[@]}" --checkpoint-dir small --output rates.json
    expect_output '^dtrain: .*small/dtrain-bench-.*No space left on device'
    expect_no_output '^dtrain-bench'
    expect test "$(ls -A)" = small
fi

begin "an output that cannot be written is refused at once"
expect_exit 2 "$DTRAIN" bench "${tiny[@]}" --output nowhere/rates.json
expect_output '^dtrain: --output nowhere/rates.json: the folder nowhere: '
expect_exit 2 "$DTRAIN" bench "${tiny[@]}" --output .
expect_output '^dtrain: --output \.: this is a folder'
expect_no_output measuring
if unshare -rm mount -t tmpfs none "$TMP" 2>/dev/null; then
    mkdir full
    expect_exit 1 unshare -rm bash -c 'mount -t tmpfs -o size=4k none full && head -c 4096 /dev/zero >full/zeros && "$@"' bash \
        "$DTRAIN" bench "${tiny[@]}" --output full/rates.json
    expect_output '^dtrain: --output: .*No space left on device'
    expect_no_output measuring
fi
expect_exit 1 bash -c '"$@" >/dev/full' bash "$DTRAIN" bench "${tiny[@]}" --output rates.json
expect_output '^dtrain: cannot print .*: No space left on device'
expect test -s rates.json

finish
