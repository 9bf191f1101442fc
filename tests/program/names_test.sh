#!/bin/bash
# Names of any bytes, and a start that proves that it can write: paths that are not UTF-8, names too long, disks that refuse.
. "$(dirname "$0")/../lib.sh"

# possible: mounts are allowed; else skips.
possible()
{
    unshare -rm mount -t tmpfs none "$TMP" 2>/dev/null && return 0
    skip "mounting in a user namespace is not allowed here"
    return 1
}

small=(--arch resnet18 --image-size 16 --batch 4 --steps 2 --checkpoint-every 1 --eval-every 0 --epochs 1 "${ANY_BACKEND[@]}")

begin "paths that are not UTF-8 work in all commands, and JSON restores them"
mkdir $'caf\351 "\\x' && cd $'caf\351 "\\x' || exit 99
digits data 4 6 2
mv data $'d\377'
expect_exit 0 "$DTRAIN" "${small[@]}" --data $'d\377' --out $'r\351' --checkpoint-mirror "$PWD/"$'m\361' --export $'w\300.safetensors'
expect_exit 0 "$DTRAIN" "${small[@]}" --data $'d\377' --out $'r\351' --checkpoint-mirror "$PWD/"$'m\361' --steps 4
expect_output 'going on after step 2'
expect_exit 0 "$DTRAIN" inspect $'r\351' --verify
expect_exit 0 "$DTRAIN" eval --data $'d\377' --weights $'r\351' "${ANY_BACKEND[@]}"
expect_exit 0 "$DTRAIN" export $'r\351' --output $'x\300.safetensors'
expect test -e $'w\300.safetensors' -a -e $'x\300.safetensors'
expect python3 - <<'PY'
import json, os
def restored(text):
    return b"".join(bytes([ord(c) - 0xEF00]) if 0xEF80 <= ord(c) <= 0xEFFF else c.encode() for c in text)
config = restored(json.load(open(b"r\xe9/checkpoints/step-00000004/manifest.json"))["config"])
assert b'data = "d\xff";' in config and b'out = "r\xe9";' in config, config
paths = [restored(e["path"]) for e in map(json.loads, open(b"r\xe9/metrics.jsonl")) if e["event"] == "mirror"]
assert paths and all(p == os.getcwdb() + b"/m\xf1" for p in paths), paths
PY
cd ..

begin "a name that is too long for --export is refused before training"
digits data 4 6 2
long=$(printf 'x%.0s' {1..252})
expect_exit "1|2" "$DTRAIN" "${small[@]}" --data data --out run --export "$long"
expect_output '^dtrain: --export: .*File name too long'
expect test ! -e run
expect_exit 0 "$DTRAIN" "${small[@]}" --data data --out run --export "${long:1}"

begin "nothing of the trial is left"
digits data 4 6 2
echo old >w.safetensors
expect_exit 0 "$DTRAIN" "${small[@]}" --data data --out run --checkpoint-dir own --checkpoint-mirror shared --export w.safetensors
expect test "$(ls -A | tr '\n' ' ')" = "data own run shared w.safetensors "
expect test "$(ls -A own shared | grep -cvE '^(own:|shared:|lock|step-[0-9]+|)$')" = 0

# refused_by WHAT OPTION REASON ARGS...: on a disk that is WHAT (full or read_only) the start is refused, and leaves the disk as it was.
cat >"$_base/on_disk" <<'END2'
how=$1
shift
mkdir -p disk
mount -t tmpfs -o size=1m none disk
case $how in
full) cat /dev/zero >disk/filler 2>/dev/null ;;
read_only) mount -o remount,ro none disk ;;
esac
"$@"
code=$?
echo "left: $(ls -A disk)"
exit $code
END2
refused_by()
{
    local how=$1 option=$2 reason=$3 left=
    shift 3
    [ $how = read_only ] || left=filler
    expect_exit "1|2" unshare -rm bash "$_base/on_disk" "$how" "$DTRAIN" "${small[@]}" --data data "$@"
    expect_output "^dtrain: (rank 0 on .*: )?--$option.*$reason"
    expect_output "^left: $left\$"
    expect_no_output 'step 1/'
}

begin "a disk that is full or read-only is refused before training: --export, --checkpoint-dir, --checkpoint-mirror"
digits data 4 6 2
possible && {
    refused_by full export 'No space left on device' --out run --export disk/w.safetensors
    refused_by read_only export 'Read-only file system' --out run --export disk/w.safetensors
    refused_by full checkpoint-dir 'No space left on device' --out run --checkpoint-dir disk
    refused_by read_only checkpoint-dir 'Read-only file system' --out run --checkpoint-dir disk
    refused_by full checkpoint-mirror 'No space left on device' --out run --checkpoint-mirror disk
    refused_by read_only checkpoint-mirror 'Read-only file system' --out run --checkpoint-mirror disk
}

begin "a configuration in a file of another kind, or with @include, is refused"
mkfifo pipe
expect_exit 2 "$DTRAIN" --config pipe
expect_output 'pipe is a FIFO'
echo '@include "pipe"' >c.conf
expect_exit 2 "$DTRAIN" --config c.conf
expect_output 'c.conf:1: @include is not allowed'

finish
