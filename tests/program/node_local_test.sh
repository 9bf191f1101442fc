#!/bin/bash
# Checkpoints on the hosts' own disks, with a mirror that all see: trainings that resume after disks were emptied and hosts replaced. Needs root.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/hosts.sh"

job=$TOP_BUILDDIR/tests/program/chaos_job # dtrain with a small network
whole=$_base/whole.safetensors

# on_hosts CASE: of checkpoint_hosts.py
on_hosts()
{
    need_hosts || return
    [ "$1" = undisturbed ] || [ -e "$whole" ] || checkpoint_hosts undisturbed --whole "$whole"
    checkpoint_hosts "$1" --whole "$whole"
}

begin "each host keeps its ranks' shards, and the mirror all of them"
on_hosts undisturbed

begin "a host whose disk is empty gets its shards from the mirror: the same bits"
on_hosts one_empty

begin "two new hosts get all shards from the mirror"
on_hosts first_replaced

begin "hosts whose disks are all empty get all shards from the mirror"
on_hosts all_empty

begin "a shard that is damaged on its host is reported, and comes from the mirror"
on_hosts damaged

begin "three ranks on three hosts instead of four on two: the new host gets all shards from the others"
on_hosts one_more

begin "a host and the mirror are lost: it is reported, and the training does not start over"
on_hosts lost

finish
