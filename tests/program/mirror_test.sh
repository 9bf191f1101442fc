#!/bin/bash
# --checkpoint-dir and --checkpoint-mirror: what is in the mirror, disks that refuse writes, folders of several hosts.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/hosts.sh"

job=$TOP_BUILDDIR/tests/program/chaos_job # dtrain with a small network
export DT_CHAOS_RECORD=record DT_CHAOS_PACE_MS=5
"$DTRAIN" demo-data "$_base/data" >/dev/null || exit 99
train=(--data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --threads 1 --workers 1 --log-every 0 --eval-every 0 --out run
    --checkpoint-dir local --checkpoint-mirror mirror)

# shellcheck disable=SC2005 # in one line
checkpoints() { echo $(cd "$1" 2>/dev/null && ls -d step-* 2>/dev/null); }

begin "the mirror has the same bytes, the metrics record it, and a start without the first folder resumes from it"
mkdir record
expect_exit 0 ranks 2 "$job" "${train[@]}" --steps 12 --checkpoint-every 6
expect test -n "$(checkpoints mirror)"
expect diff -r local/step-00000012 mirror/step-00000012
expect grep -q '"event": "mirror", .*"step": 12, "bytes": [1-9][0-9]*, "elapsed_s": .*"path": "mirror"}$' run/metrics.jsonl
expect test -z "$(find local mirror -name '.*' -o -name '*.tmp' -o -name lock 2>/dev/null)"
rm -rf local
expect_exit 0 ranks 2 "$job" "${train[@]}" --steps 18
expect_output 'going on after step 12, '

begin "--resume never moves the checkpoints of both folders aside"
mkdir record
expect_exit 0 "$job" "${train[@]}" --steps 3
expect_exit 0 "$job" "${train[@]}" --steps 2 --resume never
expect_output 'the older checkpoints in mirror are in mirror/old-1 now$'
expect test "$(checkpoints local) $(checkpoints local/old-1) $(checkpoints mirror) $(checkpoints mirror/old-1)" = \
    "step-00000002 step-00000003 step-00000002 step-00000003"

begin "one run at a time uses a folder of checkpoints, and the mirror must be another folder"
mkdir -p record local mirror
echo "another-host 17 4711 00000000000000000001" >other
for folder in local mirror; do
    ( for i in $(seq 100); do cp other $folder/lock.new; echo "another-host 17 4711 $(printf %020d "$i")" >$folder/lock.new; mv $folder/lock.new $folder/lock; sleep 0.2; done ) &
    beating=$!
    sleep 0.3
    expect_exit 2 "$job" "${train[@]}" --steps 1
    expect_output "^dtrain: --checkpoint-(dir|mirror) $folder: another run works there, process 17 on another-host"
    kill $beating
    wait $beating 2>/dev/null
    rm -f $folder/lock*
done
expect_exit 2 "$job" "${train[@]}" --checkpoint-mirror ./local/ --steps 1
expect_output '--checkpoint-mirror: ./local/ is the folder of the checkpoints themselves'

# scenario HOW DISK COMMAND...: in a namespace where DISK is a small disk, which refuses writes (HOW: full, read_only) from the second start on.
cat >"$_base/scenario" <<'END'
how=$1 disk=$2
shift 2
mkdir -p record "$disk"
mount -t tmpfs -o size=4m none "$disk"
"$@" --steps 4 || exit 97
case $how in
full) cat /dev/zero >"$disk/filler" 2>/dev/null ;;
read_only) mount -o remount,ro none "$disk" ;;
esac
"$@" --steps 20 --checkpoint-every 4
code=$?
mount -o remount,rw none "$disk"
rm -f "$disk/filler"
ls "$disk"
exit $code
END

possible()
{
    unshare -rm mount -t tmpfs none "$TMP" 2>/dev/null && return 0
    skip "mounting in a user namespace is not allowed here"
    return 1
}

while read -r how ranks reason; do
    begin "a mirror that is $how, $ranks ranks: logged once, its older checkpoint stays, the training succeeds"
    possible && {
        expect_exit 0 unshare -rm bash "$_base/scenario" $how mirror "$RANKS" "$ranks" "$job" "${train[@]}"
        expect_output "warning: --checkpoint-mirror: mirror/lock: cannot write it: $reason: continuing without a lock there"
        expect_output "warning: --checkpoint-mirror: no checkpoint can be written: .*$reason.*goes on without copies"
        expect test "$(grep -c "warning: mirror: the checkpoint of step .* was not copied to mirror: .*$reason.*the checkpoint itself stands" "$OUTPUT")" = 1
        expect_output 'going on after step 4,'
        expect_output '^step-00000004$'
        expect_no_output '^step-00000020'
        expect test -f local/step-00000020/manifest.json
    }
done <<'REASONS'
full 1 No space left on device
full 2 No space left on device
read_only 2 Read-only file system
REASONS

begin "a full folder of checkpoints is refused at the start, and the mirror's checkpoints are not touched"
possible && {
    expect_exit 1 unshare -rm bash "$_base/scenario" full local "$RANKS" 2 "$job" "${train[@]}"
    expect_output '^dtrain: (rank 0 on .*: )?--checkpoint-dir: no checkpoint can be written: .*No space left on device'
    expect_no_output 'going on after step 4,'
    expect test "$(checkpoints mirror)" = step-00000004
}

begin "folders that only some hosts share, or that would be lost with a host, are refused"
need_hosts && checkpoint_hosts refused

begin "a full disk on one host is refused at the start, and the previous checkpoint stays on all hosts"
need_hosts && checkpoint_hosts one_full

finish
