#!/bin/bash
# comm/mpi and comm/nccl (with a fake NCCL) on two hosts: network namespaces with a virtual cable between them, each with its own host name. Needs root and iproute2.
. "$(dirname "$0")/../lib.sh"

cases=$TOP_BUILDDIR/tests/comm/mpi_cases
failing=$TOP_BUILDDIR/tests/comm/mpi_failures
nccl_failing=$TOP_BUILDDIR/tests/comm/nccl_failures
TIME_LIMIT_S=$((60 * ${DTRAIN_TEST_SLOWER:-1}))
net=10.77.0
a=dta$$ b=dtb$$ # names of the hosts, their namespaces and the ends of the cable

pull_down()
{
    local host pid
    for host in $a $b; do
        for pid in $(ip netns pids $host 2>/dev/null); do kill -9 "$pid"; done
        ip netns del $host 2>/dev/null # this removes the cable too
    done
}

build_up()
{
    local host
    ip netns add $a && ip netns add $b && ip link add $a netns $a type veth peer name $b netns $b || return 1
    for host in $a $b; do ip -n $host link set lo up && ip -n $host link set $host up || return 1; done
    ip -n $a addr add $net.1/24 dev $a && ip -n $b addr add $net.2/24 dev $b || return 1
    # How often TCP retransmits before it closes the connection. The default of 15 takes a quarter of an hour: comm/README.md.
    for host in $a $b; do ip netns exec $host sh -c 'echo 3 >/proc/sys/net/ipv4/tcp_retries2' || return 1; done
    # mpirun starts its daemon on the other host with this instead of ssh.
    cat >"$_base/agent" <<'END'
#!/bin/sh
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c "hostname $host; $*"
END
    chmod +x "$_base/agent"
}

why=
[ "$(id -u)" = 0 ] || why="only root can make network namespaces"
command -v ip >/dev/null && command -v unshare >/dev/null || why="there is no ip or no unshare (Debian: iproute2, util-linux)"
[ "$MPI_KIND" != mpich ] || why="MPICH's mpiexec needs host names that every host resolves"
if [ -z "$why" ]; then
    trap 'pull_down; cd /; rm -rf "$_base"' EXIT
    reason=$(build_up 2>&1) || why="no network namespaces here: $reason"
fi

two_hosts()
{
    [ -z "$why" ] || { skip "$why"; return 1; }
}

# on_two_hosts N COMMAND: run it with N ranks on each host; mpirun runs on the first.
on_two_hosts=$_base/on_two_hosts
cat >"$on_two_hosts" <<END
#!/bin/sh
n=\$1
shift
export DT_TEST_RANKS_PER_HOST=\$n
exec ip netns exec $a unshare --uts sh -c 'hostname $a; exec "\$@"' sh $RANKS --hosts $a:\$n,$b:\$n --agent $_base/agent --net $net.0/24 \\
    --pass DT_TEST_RANKS_PER_HOST --pass DTRAIN_FAULT \$((2 * n)) "\$@"
END
chmod +x "$on_two_hosts"
export DTRAIN_FAULT=
export DT_FAKE_NCCL_ADDRESS=$net.1

# expect_that_all_leave HOST: expect that its processes end by themselves soon, where mpirun cannot end them or does not wait for them.
expect_that_all_leave()
{
    local left_by=$((SECONDS + 20))
    while [ -n "$(ip netns pids $1)" ] && [ $SECONDS -lt $left_by ]; do sleep 0.2; done
    expect test -z "$(ip netns pids $1)"
}

for n in 1 2; do
    begin "all_operations_on_2_hosts_of_$n"
    need_cunit
    two_hosts && {
        expect_exit 0 "$on_two_hosts" $n "$cases"
        expect_output '^[0-9]+ passed, 0 failed'
    }
done

begin "a_killed_rank_ends_the_ranks_of_both_hosts"
two_hosts && expect_exit "$KILLED_CODE" "$on_two_hosts" 2 "$failing" kill 3

begin "killing_all_processes_of_a_host_ends_the_ranks_of_the_other"
two_hosts && {
    expect_exit "$KILLED_HOST_CODE" env DT_TEST_BEFORE_SUM_40="kill -9 \$(ip netns pids $b)" "$on_two_hosts" 2 "$failing" sum
    expect_that_all_leave $a
}

begin "a_rank_that_hangs_is_named_with_its_host"
two_hosts && {
    expect_exit 9 "$on_two_hosts" 2 "$failing" stop 3
    expect_output "^rank [012]: lost peer: .* there is no sign of rank 3 \\($b\\):"
    expect_no_output 'no sign of rank [012]'
}

begin "a_broken_cable_ends_the_ranks_on_both_sides"
two_hosts && {
    # Rank 0 takes the cable down itself in the middle of a sum, so that the test does not depend on timing.
    expect_exit "${LOST_HOST_CODE:-9}" env DT_TEST_BEFORE_SUM_40="ip -n $b link set $b down" "$on_two_hosts" 2 "$failing" sum
    expect_output "^rank [01]: lost peer: .* there is no sign of rank 2 \\($b\\), rank 3 \\($b\\):"
    expect_that_all_leave $b
}

begin "gpus_sum_between_hosts"
two_hosts && {
    ip -n $b link set $b up
    expect_exit 0 "$on_two_hosts" 2 "$nccl_failing" none
    expect test "$(grep -c 'left in order' "$OUTPUT")" = 4
}

begin "a_frozen_rank_is_named_with_its_host_when_gpus_sum"
two_hosts && {
    expect_exit 9 "$on_two_hosts" 2 "$nccl_failing" stop 3
    expect_output "^rank [012]: lost peer: (rank [012] \\([^)]+\\) has given up: )?after 2 s in the sum of gradient bucket 2 of step 41 \\(100000 bytes\\) there is no sign of rank 3 \\($b\\): .* 1 aborted"
    expect_no_output 'no sign of rank [012]'
}

begin "a_broken_cable_when_gpus_sum_ends_the_ranks_on_both_sides"
two_hosts && {
    expect_exit "${LOST_HOST_CODE:-9}" env DT_TEST_BEFORE_STEP_41="ip -n $b link set $b down" "$on_two_hosts" 2 "$nccl_failing" cut
    expect_output "^rank [01]: lost peer: (rank [01] \\([^)]+\\) has given up: )?after 2 s in the sum of gradient bucket [0-9] of step 41 .* there is no sign of rank 2 \\($b\\), rank 3 \\($b\\):"
    expect_that_all_leave $b
}

finish
