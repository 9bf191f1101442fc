#!/bin/bash
# Checkpoints on the hosts' own disks, with a mirror that all see: trainings that go on after disks were emptied and hosts exchanged. Wants root.
. "$(dirname "$0")/../lib.sh"

alone=(unshare --net --mount --pid --fork --kill-child --mount-proc)
whole=$_base/whole.safetensors

why=
[ "$(id -u)" = 0 ] || why="only root can make hosts of namespaces"
command -v python3 >/dev/null && command -v ip >/dev/null && command -v unshare >/dev/null || why="there is no python3, ip or unshare"
[ -n "$why" ] || "${alone[@]}" sh -c 'ip link add switch type bridge && ip link add port0 type veth peer name port1 && mount -t tmpfs none "$1"' sh "$_base" \
    >"$_base/log" 2>&1 || why="no namespaces here: $(tail -n 1 "$_base/log")"

# on_hosts CASE: of node_local.py
on_hosts()
{
    [ -z "$why" ] || { skip "$why"; return 1; }
    [ "$1" = undisturbed ] || [ -e "$whole" ] || run_case undisturbed
    run_case "$1"
}

run_case()
{
    mkdir "$TMP/$1"
    expect_exit 0 "${alone[@]}" python3 -B "$TOP_SRCDIR/tests/program/node_local.py" "$TMP/$1" "$1" --job "$TOP_BUILDDIR/tests/program/chaos_job" --whole "$whole"
}

begin "each host keeps its ranks' shards, and the mirror all of them"
on_hosts undisturbed

begin "a host whose disk is empty gets its shards from the mirror: the same bits"
on_hosts one_empty

begin "two new hosts, which know nothing of the training"
on_hosts first_replaced

begin "all disks are empty: the mirror has everything"
on_hosts all_empty

begin "a shard is damaged on its host: it is told, and comes from the mirror"
on_hosts damaged

begin "three ranks on three hosts instead of four on two: the new one gets everything from its peers"
on_hosts one_more

begin "a host and the mirror are lost: it is told, and nothing is started anew"
on_hosts lost

finish
