#!/bin/bash
# dtrain stage on several hosts: each byte leaves the store once, and all hosts get it. Needs root.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/hosts.sh"

# on_hosts CASE: of stage_hosts.py
on_hosts()
{
    need_hosts || return
    grep -qs '^#define HAVE_CURL 1' "$TOP_BUILDDIR/config.h" && grep -qs '^#define HAVE_EXPAT 1' "$TOP_BUILDDIR/config.h" || {
        skip "this build has no libcurl or no expat"
        return
    }
    mkdir "$TMP/$1"
    expect_exit 0 "${alone[@]}" python3 -B "$TOP_SRCDIR/tests/program/stage_hosts.py" "$TMP/$1" "$1" --dtrain "$DTRAIN"
}

begin "each object and each part is read once, and two hosts with two ranks each get all"
on_hosts once

begin "both hosts read, and one listing serves both"
on_hosts both_read

begin "a new host gets all from the one that has it, and nothing from the store"
on_hosts new_host

begin "after kill -9 nothing is read that is whole on some host"
on_hosts killed

begin "--split gives each host a part"
on_hosts split

begin "hosts that see one folder make one copy"
on_hosts shared

begin "a host whose disk is too small is named before anything is read"
on_hosts full

begin "a copy goes on after a host was lost"
on_hosts lost

finish
