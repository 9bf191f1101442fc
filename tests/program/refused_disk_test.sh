#!/bin/bash
# The program's checkpoints on a disk that refuses writes for a while, or until the end: full, read-only, over quota. Needs to mount.
. "$(dirname "$0")/../lib.sh"

job=$TOP_BUILDDIR/tests/program/chaos_job # dtrain with a small network
export DT_CHAOS_RECORD=record DT_CHAOS_PACE_MS=20 DT_CHAOS_QUOTA=quota
"$DTRAIN" demo-data "$_base/data" >/dev/null || exit 99
train=(--data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --steps 60 --checkpoint-every 5 --threads 1 --workers 1 --log-every 0 --eval-every 0 --max-checkpoint-failures 0 --out run)

# In a namespace where run/checkpoints is a separate disk: trains while the disk refuses writes (HOW: full, read_only, quota; never) after the first checkpoint,
# until the program has logged that twice, or to the end (UNTIL: a while, the end). Exits with the training's code.
cat >"$_base/scenario" <<'END'
how=$1 until=$2
shift 2
logged() { [ "$(grep -c "$1" log)" -ge "$2" ]; }
wait_for() { while ! "$@"; do kill -0 $pid 2>/dev/null || exit 98; sleep 0.02; done; }
refuse() {
    case $how in
    full) cat /dev/zero >run/checkpoints/filler 2>/dev/null ;;
    read_only) until mount -o remount,ro none run/checkpoints 2>/dev/null; do sleep 0.005; done ;; # not while a file is open for writing
    quota) touch quota ;;
    esac
}
allow() {
    rm -f quota
    mount -o remount,rw none run/checkpoints
    rm -f run/checkpoints/filler
}
mkdir -p run/checkpoints record disk
mount -t tmpfs -o size=4m none run/checkpoints
cp -r disk/. run/checkpoints/
"$@" >log 2>&1 </dev/null &
pid=$!
[ $how = never ] || {
    wait_for test -d run/checkpoints/step-00000005
    refuse
    wait_for logged 'not written either' 1
    [ $until = end ] || allow
}
wait $pid
code=$?
allow
rm -rf disk
cp -r run/checkpoints disk # what is left of it
cat log
exit $code
END

# scenario CODE HOW UNTIL RANKS
scenario()
{
    expect_exit "$1" unshare -rm bash "$_base/scenario" "$2" "$3" "$RANKS" "$4" "$job" "${train[@]}" --export weights
}

possible()
{
    unshare -rm mount -t tmpfs none "$TMP" 2>/dev/null && return 0
    skip "mounting in a user namespace is not allowed here"
    return 1
}

expect_logged_once()
{
    expect_output "error: the checkpoint of step [0-9]+ was not written: $1.*\(training goes on; older checkpoints stand\)"
    expect test "$(grep -c 'was not written: ' "$OUTPUT")" = "$2"
    expect test "$(grep -c 'error: ' "$OUTPUT")" -gt 1
    expect test "$(grep 'error: ' "$OUTPUT" | grep -vc 'was not written')" = 0
}

while read -r how ranks reason; do
    begin "$how for a while, $ranks ranks: logged once, and the last checkpoint exists"
    possible && {
        scenario 0 $how while "$ranks"
        expect_logged_once "$reason" 1
        expect test -f disk/step-00000060/manifest.json
    }
done <<'END'
full 2 .*No space left on device
read_only 2 .*Read-only file system
quota 1 .*quota exceeded
END

begin "full to the end: code 1, older checkpoints stay, and the same command resumes from the newest to the same bits"
possible && {
    scenario 0 never end 2
    expect mv weights undisturbed
    rm -rf disk run
    scenario 1 full end 2
    expect_logged_once '.*No space left on device' 2
    expect_output '^dtrain: the training is done, but its last checkpoint was not written: .*No space left on device'
    newest=$(ls disk 2>/dev/null | tail -n 1)
    scenario 0 never end 2
    expect_output "going on after step $((10#0${newest#step-})), epoch 1"
    expect cmp weights undisturbed
}

finish
