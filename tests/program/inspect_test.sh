#!/bin/bash
# dtrain inspect and dtrain export: tables, JSON, damaged folders, differences; the weights of a checkpoint.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

# One training of two ranks, with averages, that every case copies: checkpoints of steps 3 and 6.
trained()
{
    if [ ! -e "$_base/run/config.conf" ]; then
        expect_exit 0 ranks 2 "$DTRAIN" --data "$_base/digits" --arch resnet18 --image-size 32 --batch 8 --accumulate 2 --steps 6 --checkpoint-every 3 \
            --ema 0.9 --eval-every 0 --epochs 1 --out "$_base/run" --export "$_base/at-the-end.safetensors"
    fi
    cp -r "$_base/run" run
}
[ -e "$_base/digits" ] || "$DTRAIN" demo-data "$_base/digits" >/dev/null || exit 99

step6=run/checkpoints/step-00000006
flip_a_bit() { # FILE OFFSET
    python3 - "$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); b = f.read(1)[0]
    f.seek(int(sys.argv[2])); f.write(bytes([b ^ 1]))
PY
}
# json EXPRESSION: it is true; j is the JSON object that the last command printed
json()
{
    [ "$_state" != skipped ] || return 0
    python3 -c 'import json, sys
text = open(sys.argv[1]).read()
j = json.loads(text[text.index("{"):text.rindex("}") + 1])
sys.exit(0 if eval(sys.argv[2]) else 1)' "$OUTPUT" "$1" && return 0
    fail "not true: $1"
    tail -n 30 "$OUTPUT" | sed 's/^/    | /'
}

begin "the table shows step, epoch, size, ranks and age; unfinished and put-aside folders are listed"
trained
mkdir run/checkpoints/step-00000009.tmp run/checkpoints/old-1 run.old-1
for dir in run run/ run/checkpoints $step6; do
    expect_exit 0 "$DTRAIN" inspect $dir
    expect_output '^ +6 .* 1 .* [0-9.]+ MB .* 2 .* complete'
    expect_output 'only sizes were compared'
done
expect_no_output '^ +3 ' # one checkpoint's folder
expect_exit 0 "$DTRAIN" inspect run
expect_output '^ +3 '
expect_tables_of_80_columns
expect_output 'step-00000009.tmp: unfinished'
expect_output '^old-1: put aside'
expect_output '^run.old-1: an older run'
expect_output '^steps 3 to 6 were computed with dtrain [0-9.]+, backend [a-z]+, .*compiler [A-Za-z]+ [0-9.]+ for '
expect_exit 0 "$DTRAIN" inspect run --verify
expect_output '^ +6 .* whole, [0-9]+ MB/s'
expect_output "^$(cat run/checkpoints/step-*/*.h5 | wc -c | awk '{ printf "%.1f", $1 / 1e6 }') MB read and verified in "
expect_exit 0 "$DTRAIN" inspect run --verify --json
json 'j["verified"] and j["n_generations"] == 2 and j["n_sound"] == 2 and j["n_damaged"] == 0 and len(j["folders"]) == 1'
json 'j["older_runs"] == ["run.old-1"]'
json 'all(list(g["computed_by"])[:2] == ["dtrain", "backend"] and "compiler" in g["computed_by"] for g in j["folders"][0]["generations"])'
json '[g["step"] for g in j["folders"][0]["generations"]] == [6, 3]'
json 'j["folders"][0]["unfinished"] == ["step-00000009.tmp"] and j["folders"][0]["put_aside"] == ["old-1"]'
json 'all(g["state"] == "whole" and g["epoch"] == 1 and g["position"] == 32 * g["step"] and g["world_size"] == g["shards"] == g["shards_here"] == 2 and g["bytes"] == g["bytes_read"] for g in j["folders"][0]["generations"])'

begin "damaged checkpoints are reported: truncated, a flipped bit, a missing shard, no manifest, a future version, a pipe"
trained
shard=$step6/shard-0000-of-0002.h5
# damaged WORDS CODE-WITHOUT-VERIFY: step 6 is, step 3 is not
damaged()
{
    expect_exit 1 "$DTRAIN" inspect run --verify
    expect_output "^step 6: .*$1"
    expect_output '^ +3 .* whole'
    expect_output '1 of 2 checkpoints is damaged'
    expect_exit 1 "$DTRAIN" inspect run --verify --json
    json 'j["n_damaged"] == 1 and j["n_sound"] == 1'
    rm -rf run/checkpoints
    cp -r "$_base/run/checkpoints" run/
}
truncate -s 100000 $shard
expect_exit 0 "$DTRAIN" inspect run
expect_output 'damaged: shard-0000-of-0002.h5 has 100000 bytes, the manifest says'
damaged 'has 100000 bytes'
flip_a_bit $shard 3000000
expect_exit 0 "$DTRAIN" inspect run
expect_output '^ +6 .* complete'
damaged 'damaged: .*XXH3'
rm $shard
damaged 'damaged: shard-0000-of-0002.h5 is missing'
rm $step6/manifest.json
damaged 'damaged: .*manifest.json: cannot open'
flip_a_bit $step6/manifest.json 500
damaged 'damaged: .*manifest.json'
sed -i 's/"format_version": [0-9]*/"format_version": 999/' $step6/manifest.json
damaged '(newer|damaged): .*manifest.json'
rm $shard && mkfifo $shard
damaged 'damaged: shard-0000-of-0002.h5 is not a file'
rm $step6/manifest.json && mkfifo $step6/manifest.json
damaged 'damaged: .*manifest.json'
rm -r $step6 && mkdir $step6
damaged 'damaged'
truncate -s 1000 run/checkpoints/*/shard-0001-of-0002.h5
expect_exit 1 "$DTRAIN" inspect run --verify
expect_output '2 of 2 checkpoints are damaged'

begin "a host's own folder with some of the shards is partial, not damaged; the run's folder shows it and the mirror"
expect_exit 0 "$DTRAIN" --data "$_base/digits" --arch resnet18 --image-size 32 --batch 8 --steps 1 --eval-every 0 --epochs 1 --out run --checkpoint-dir own \
    --checkpoint-mirror shared
expect_exit 0 "$DTRAIN" inspect run --verify
expect_output '^own$'
expect_output '^shared .mirror.$'
expect_exit 0 ranks 2 "$DTRAIN" --data "$_base/digits" --arch resnet18 --image-size 32 --batch 8 --steps 2 --eval-every 0 --epochs 1 --out run --checkpoint-dir own \
    --checkpoint-mirror shared
rm own/step-00000002/shard-0001-of-0002.h5
expect_exit 0 "$DTRAIN" inspect own
expect_output '^ +2 .* 1 of 2 shards here'
expect_exit 0 "$DTRAIN" inspect run --verify --json
json 'j["folders"][0]["generations"][0]["state"] == "partial" and j["folders"][0]["generations"][0]["shards_here"] == 1 and j["folders"][1]["mirror"]'
expect_exit 1 "$DTRAIN" inspect own/step-00000002 --verify
expect_output '1 of 2 shards here, whole'
expect_output 'no checkpoint has all its shards here'
expect_exit 0 "$DTRAIN" eval --data "$_base/digits" --weights run # it reads some shards from the mirror
expect_output 'n 360$'
expect_exit 0 "$DTRAIN" export run --output a.safetensors
expect_exit 0 "$DTRAIN" export shared --output b.safetensors
expect cmp a.safetensors b.safetensors
expect_exit 1 "$DTRAIN" export own/step-00000002 --output c.safetensors
rm shared/step-00000002/shard-0000-of-0002.h5
expect_exit 1 "$DTRAIN" inspect shared --verify
expect_output 'shard-0000-of-0002.h5 is missing'

begin "--diff reports what differs between two checkpoints, and that the same bits are the same"
trained
expect_exit 0 "$DTRAIN" inspect --diff run $step6
expect_output 'tensors are the same bits'
expect_exit 1 "$DTRAIN" inspect run --diff 3 6
expect_tables_of_80_columns
expect_output '^step .* 3 .* 6'
expect_output '^param/conv1.weight .*9408'
expect_output '^momentum/fc.bias '
expect_output 'the two checkpoints differ'
expect_exit 1 "$DTRAIN" inspect run --diff 3 6 --json
json 'not j["same"] and j["a"]["step"] == 3 and j["b"]["step"] == 6 and j["only_in_a"] == j["only_in_b"] == []'
json '{s["name"]: (s["a"], s["b"]) for s in j["scalars"]}["position"] == ("96", "192")'
json 'all(0 < t["different"] <= t["elements"] and t["max_abs"] > 0 and t["nan_a"] == t["nan_b"] == 0 for t in j["tensors"])'
"$DTRAIN" export run --step 3 --output 3.safetensors 2>/dev/null
"$DTRAIN" export run --step 6 --output 6.safetensors 2>/dev/null
expect python3 - "$OUTPUT" <<'PY'
import json, math, struct, sys
def load(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    begin, end = header["fc.weight"]["data_offsets"]
    return struct.unpack("<%df" % ((end - begin) // 4), data[8 + n + begin:8 + n + end])
text = open(sys.argv[1]).read()
reported = [t for t in json.loads(text[text.index("{"):text.rindex("}") + 1])["tensors"] if t["name"] == "param/fc.weight"][0]
a, b = load("3.safetensors"), load("6.safetensors")
assert reported["elements"] == len(a) and reported["different"] == sum(x != y for x, y in zip(a, b))
assert reported["max_abs"] == max(abs(x - y) for x, y in zip(a, b))
relative = math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b))) / math.sqrt(sum(x * x for x in a))
assert abs(reported["relative"] - relative) < 1e-9 * relative, (reported, relative)
PY
expect_exit 0 "$DTRAIN" --data "$_base/digits" --arch resnet18 --image-size 32 --batch 8 --accumulate 2 --steps 3 --eval-every 0 --epochs 1 --out one
expect_exit 1 "$DTRAIN" inspect --diff run one --json
json 'len(j["only_in_a"]) > 0 and all(n.startswith("ema/") for n in j["only_in_a"]) and [s["counts"] for s in j["scalars"] if s["name"] == "world_size"] == [False]'
expect_exit 2 "$DTRAIN" inspect --diff run
expect_exit 2 "$DTRAIN" inspect run --diff 3 4
expect_output 'there is no checkpoint of step 4'

begin "export writes the same bytes as --export at the end of the training"
trained
expect_exit 0 "$DTRAIN" export run --ema --output a.safetensors
expect cmp a.safetensors "$_base/at-the-end.safetensors"
expect_exit 0 "$DTRAIN" export run --output b.safetensors
expect_exit 0 "$DTRAIN" export $step6 --output c.safetensors
expect cmp b.safetensors c.safetensors
cmp -s a.safetensors b.safetensors && fail "the averages are the weights"
expect test ! -e a.safetensors.tmp
expect_exit 0 "$DTRAIN" --data "$_base/digits" --arch resnet18 --image-size 32 --batch 8 --accumulate 2 --steps 2 --eval-every 0 --epochs 1 --out plain \
    --export d.safetensors
expect_exit 0 "$DTRAIN" export plain --output e.safetensors
expect cmp d.safetensors e.safetensors
expect_exit 2 "$DTRAIN" export plain --ema --output f.safetensors
expect_output '--ema: .*step 2.*trained without --ema'
expect test ! -e f.safetensors -a ! -e f.safetensors.tmp

begin "export --fp16 rounds float32 values and keeps counts"
trained
expect_exit 0 "$DTRAIN" export run --output full.safetensors
expect_exit 0 "$DTRAIN" export run --output half.safetensors --fp16
expect python3 - <<'PY'
import json, struct
def load(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    return header, lambda t: data[8 + n + header[t]["data_offsets"][0]:8 + n + header[t]["data_offsets"][1]]
full, get_full = load("full.safetensors")
half, get_half = load("half.safetensors")
assert list(full) == list(half)
for name in full:
    if name == "__metadata__":
        assert full[name] == half[name]
    elif full[name]["dtype"] == "I64":
        assert half[name]["dtype"] == "I64" and get_half(name) == get_full(name) == struct.pack("<q", 12), name
    else:
        assert full[name]["dtype"] == "F32" and half[name]["dtype"] == "F16" and full[name]["shape"] == half[name]["shape"]
        n = min(len(get_full(name)) // 4, 5000)
        assert struct.pack("<%de" % n, *struct.unpack("<%df" % n, get_full(name)[:4 * n])) == get_half(name)[:2 * n], name
PY

begin "torchvision loads exported weights"
trained
python3 -c 'import torch, torchvision' 2>/dev/null || skip "no torchvision"
expect_exit 0 "$DTRAIN" export run --output w.safetensors
[ "$_state" = skipped ] || expect python3 - <<'PY'
import json, struct, torch, torchvision
data = open("w.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
types = {"F32": torch.float32, "I64": torch.int64}
state = {}
for name, t in json.loads(data[8:8 + n]).items():
    if name != "__metadata__":
        part = bytearray(data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
        state[name] = torch.frombuffer(part, dtype=types[t["dtype"]]).reshape(t["shape"])
torchvision.models.resnet18(num_classes=10).load_state_dict(state)
PY

begin "export skips damaged checkpoints, with a line for each"
trained
truncate -s 1000 $step6/shard-0001-of-0002.h5
expect_exit 0 "$DTRAIN" export run --output a.safetensors
expect_output 'passing over step 6: .*shard-0001-of-0002.h5: has 1000 bytes'
expect_output 'the weights of step 3 are in a.safetensors'
expect_exit 1 "$DTRAIN" export run --step 6 --output b.safetensors
expect test ! -e b.safetensors
rm run/checkpoints/step-00000003/manifest.json
expect_exit 1 "$DTRAIN" export run --output b.safetensors
expect_output 'none of the 2 checkpoints there is whole'

begin "a training keeps the checkpoint that another process reads, until that has ended"
trained
more()
{
    expect_exit 0 ranks 2 "$DTRAIN" --data "$_base/digits" --arch resnet18 --image-size 32 --batch 8 --accumulate 2 --checkpoint-every 3 --ema 0.9 \
        --eval-every 0 --epochs 1 --out run --keep 1 --steps "$1"
}
start_job env DT_HANG_ON=step-00000006/shard-0001 DT_HANG_CALL=open "$TOP_BUILDDIR/tests/program/hang_dtrain" inspect run --verify
for _ in $(seq 100); do
    grep -q step-00000006 < <(ls -l /proc/$pid/fd 2>/dev/null) && break
    sleep 0.1
done
more 9
expect test -e $step6/shard-0001-of-0002.h5 -a ! -e run/checkpoints/step-00000003
kill -9 $pid
end_job
more 12
expect test ! -e $step6 -a -e run/checkpoints/step-00000012

begin "on a full disk export reports one line and keeps the older file"
trained
mkdir disk
unshare --mount true 2>/dev/null || skip "mounting is not allowed"
expect_exit 1 unshare --mount sh -c 'mount -t tmpfs -o size=1m none disk && echo old >disk/a.safetensors && { "$@"; code=$?; ls disk; cat disk/a.safetensors; exit $code; }' sh \
    "$DTRAIN" export run --output disk/a.safetensors
expect_output 'disk/a.safetensors.*No space left on device'
expect_output '^a.safetensors$'
expect_output '^old$'
expect_no_output '^a.safetensors.tmp'

begin "wrong usage is reported in one line, with code 2"
trained
mkdir empty
expect_exit 2 "$DTRAIN" inspect
expect_output '^dtrain: DIR is missing: dtrain inspect DIR$'
expect_exit 2 "$DTRAIN" inspect run --verfy
expect_output 'did you mean --verify'
expect_exit 2 "$DTRAIN" inspect nowhere
expect_output '^dtrain: nowhere: No such file or directory$'
expect_exit 2 "$DTRAIN" inspect run/config.conf
expect_output 'is not a folder'
expect_exit 2 "$DTRAIN" inspect empty
expect_output '^dtrain: empty: there is no checkpoint in it$'
expect_exit 1 "$DTRAIN" inspect empty --verify
expect_exit 2 "$DTRAIN" inspect run empty
expect_output "unexpected argument 'empty'"
expect_exit 2 "$DTRAIN" inspct run
expect_output "did you mean 'inspect'"
expect_exit 2 "$DTRAIN" export
expect_exit 2 "$DTRAIN" export run
expect_output '^dtrain: --output is missing'
expect_exit 2 "$DTRAIN" export run --ouput a
expect_output 'did you mean --output'
expect_exit 2 "$DTRAIN" export run --output nowhere/a.safetensors
expect_output 'nowhere: No such file'
expect_exit 2 "$DTRAIN" export run --output empty
expect_output '--output empty: this is a folder'
expect_exit 2 "$DTRAIN" export empty --output a.safetensors
expect_exit 2 "$DTRAIN" export run --step 5 --output a.safetensors
expect_output 'there is no checkpoint of step 5'
expect_exit 2 "$DTRAIN" export run --step x --output a.safetensors

finish
