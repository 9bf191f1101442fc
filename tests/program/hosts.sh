# shellcheck shell=bash
# hosts.sh: for scripts whose ranks run on several hosts, which are namespaces on one switch (hosts.py). Source it after lib.sh. Wants root.
#
# need_hosts           skips and returns 1 where such hosts cannot be made
# "${alone[@]}" CMD    CMD in namespaces of its own, as hosts.py wants it: all that CMD starts ends with it
# checkpoint_hosts CASE [OPTION...]    runs a case of checkpoint_hosts.py with $job, the script's chaos_job, in $TMP/CASE and expects it to pass
alone=(unshare --net --mount --pid --fork --kill-child --mount-proc)

_no_hosts=
if [ "$(id -u)" != 0 ]; then
    _no_hosts="only root can make hosts of namespaces"
elif ! { command -v python3 && command -v ip && command -v unshare; } >/dev/null; then
    _no_hosts="there is no python3, ip or unshare"
elif ! "${alone[@]}" sh -c 'ip link add switch type bridge && ip link add port0 type veth peer name port1 && mount -t tmpfs none "$1"' sh "$_base" \
    >"$_base/log" 2>&1; then
    _no_hosts="no namespaces here: $(tail -n 1 "$_base/log")"
fi

need_hosts()
{
    [ -n "$_no_hosts" ] || return 0
    skip "$_no_hosts"
    return 1
}

checkpoint_hosts()
{
    mkdir "$TMP/$1"
    expect_exit 0 "${alone[@]}" python3 -B "$TOP_SRCDIR/tests/program/checkpoint_hosts.py" "$TMP/$1" "$@" --job "$job"
}
