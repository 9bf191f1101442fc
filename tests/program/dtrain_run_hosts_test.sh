#!/bin/bash
# dtrain-run on two hosts, which are namespaces: one is lost while the training runs, and comes back. Needs root.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/hosts.sh"

job=$TOP_BUILDDIR/tests/program/chaos_job # dtrain with a small network

# on_hosts CASE: of dtrain_run_hosts.py
on_hosts()
{
    need_hosts && need_mpi openmpi4 openmpi5 || return
    mkdir "$TMP/$1"
    expect_exit 0 "${alone[@]}" python3 -B "$TOP_SRCDIR/tests/program/dtrain_run_hosts.py" "$TMP/$1" "$1" --job "$job" \
        --script "$TOP_SRCDIR/launch/deploy/dtrain-run" --mpirun "$MPIRUN $(net_options 10.78.0.0/24)"
}

# whole: the weights of the run that nothing disturbs
whole()
{
    [ "$_state" = skipped ] || [ -e "$_base/whole" ] || { on_hosts undisturbed && cp "$TMP/undisturbed/weights.safetensors" "$_base/whole"; }
}

begin "a host without power: dtrain-run waits until it is back, and the training ends with the same bits"
whole && on_hosts power && expect cmp "$TMP/power/weights.safetensors" "$_base/whole"

begin "a host that shuts down and is back at once"
whole && on_hosts killed && expect cmp "$TMP/killed/weights.safetensors" "$_base/whole"

begin "a pulled cable: the launcher, which would wait for a quarter of an hour, is ended"
long_case && whole && on_hosts cable && expect cmp "$TMP/cable/weights.safetensors" "$_base/whole"

begin "a lost host that is taken out of the hostfile: the training goes on without it"
long_case && on_hosts removed

begin "SIGTERM while dtrain-run waits for a host ends it with code 75"
on_hosts stop

finish
