#!/bin/bash
# Which processors ranks run on: those of ranks that are not bound are divided, others stay. Limits of control groups hold for threads of all kinds.
. "$(dirname "$0")/../lib.sh"

digits "$_base/data" 2 40 4
small=(--data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --eval-every 0 --resume never --out run "${ANY_BACKEND[@]}")

# processors RANK: those that the table of ranks shows, as a list. Its lines depend on the locale.
processors() { sed -nE 's/ (│|[|]) /\t/gp' "$OUTPUT" | awk -F'\t' -v rank="$1" 'NF >= 6 && $1 + 0 == rank && $1 ~ /^ *[0-9]+$/ { gsub(/ /, "", $6); print $6; exit }'; }
# counts RANK: its threads and workers, of the same table.
counts() { sed -nE 's/ (│|[|]) /\t/gp' "$OUTPUT" | awk -F'\t' -v rank="$1" 'NF >= 6 && $1 + 0 == rank && $1 ~ /^ *[0-9]+$/ { print $4 + 0, $5 + 0; exit }'; }
# numbers LIST: "0-2,5" as "0 1 2 5".
numbers() { local part; for part in ${1//,/ }; do seq -s ' ' "${part%-*}" "${part#*-}"; done | tr '\n' ' ' | sed 's/ *$//'; }
# is WHAT EXPECTED
is() { [ "$_state" != passed ] || [ "$1" = "$2" ] || fail "'$1', expected '$2'"; }

all=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
has_hwloc() { grep -q '^#define HAVE_HWLOC 1' "$TOP_BUILDDIR/config.h"; }
need_hwloc() { has_hwloc || skip "hwloc is not built in"; [ "$_state" = passed ]; }
need_two() { [ "$(numbers "$all" | wc -w)" -gt 1 ] || skip "there is one processor only"; [ "$_state" = passed ]; }

begin "ranks that are not bound get processors of their own"
need_two && need_hwloc && {
    expect_exit 0 "$RANKS" 2 --bind-to none "$DTRAIN" "${small[@]}" --steps 1
    a=$(numbers "$(processors 0)") b=$(numbers "$(processors 1)")
    is "$(tr ' ' '\n' <<<"$a $b" | sort -n | tr '\n' ' ')" "$(numbers "$all") "
    [ -n "$a" ] && [ -n "$b" ] || fail "a rank has no processor: '$a', '$b'"
}

begin "the host's sockets are in the table, and ranks in different ones"
need_two && need_hwloc && {
    [ "$all" = 0-1 ] || skip "the processors are $all, not 0-1"
    expect_exit 0 "$RANKS" 2 --bind-to none env HWLOC_SYNTHETIC="pack:2 core:1 pu:1" "$DTRAIN" "${small[@]}" --steps 1
    is "$(processors 0) $(processors 1)" "0 1"
    expect_output '^ +0 .* (│|[|]) 0 +(│|[|]) socket 0 *$'
    expect_output '^ +1 .* (│|[|]) 1 +(│|[|]) socket 1 *$'
}

begin "threads that compute, and those that decode, run on their rank's processors"
need_two && need_hwloc && {
    start_job "$RANKS" 2 --bind-to none "$DTRAIN" "${small[@]}" --workers 2 --epochs 1000
    for _ in $(seq 300); do
        ! grep -q '"event": *"step"' run/metrics.jsonl 2>/dev/null || break
        sleep 0.1
    done
    n=0
    for rank in $(ranks_of "$pid"); do
        own=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "/proc/$rank/status")
        for task in "/proc/$rank/task"/*; do
            [ "$(cat "$task/comm")" = dtrain-load ] || continue
            is "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$task/status")" "$own"
            n=$((n + 1))
        done
        [ "$own" != "$all" ] || fail "rank $rank runs on all processors"
    done
    is "$n" 4
    kill -USR1 "$pid"
    end_job
}

begin "--bind none leaves ranks where the launcher has put them"
need_two && {
    expect_exit 0 "$RANKS" 2 --bind-to none "$DTRAIN" "${small[@]}" --steps 1 --bind none
    is "$(processors 0) $(processors 1)" "$all $all"
    case $MPI_KIND in
    openmpi*)
        expect_exit 0 "$RANKS" 1 "$DTRAIN" "${small[@]}" --steps 1 --bind none # mpirun's default: one core
        is "$(counts 0)" "1 1"
        ;;
    esac
}

begin "places that the user gives to OpenMP's threads stay"
need_two && {
    expect_exit 0 env OMP_PLACES=threads OMP_PROC_BIND=true "$RANKS" 2 --bind-to none "$DTRAIN" "${small[@]}" --steps 1
    is "$(processors 0) $(processors 1)" "$all $all"
}

begin "without hwloc ranks that are not bound are left alone"
need_two && {
    if has_hwloc; then
        skip "hwloc is built in"
    else
        expect_exit 0 "$RANKS" 2 --bind-to none "$DTRAIN" "${small[@]}" --steps 1
        is "$(processors 0) $(processors 1)" "$all $all"
    fi
}

begin "processors that the user has chosen stay"
need_two && {
    last=$(numbers "$all") last=${last##* }
    expect_exit 0 taskset -c "$last" "$DTRAIN" "${small[@]}" --steps 1
    is "$(processors 0): $(counts 0)" "$last: 1 1"
    expect_exit 0 "$RANKS" 1 --bind-to core "$DTRAIN" "${small[@]}" --steps 1
    is "$(counts 0)" "1 1"
}

# -- control groups ------------------------------------------------------------------------------------------------------------------------------------

# new_group CONTROLLER: sets $group, the folder of a new group with that controller, of either version; or skips.
new_group()
{
    group=/sys/fs/cgroup/$1/dtrain-test-$$
    version=1
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        group=/sys/fs/cgroup/dtrain-test-$$
        version=2
        grep -qw "$1" /sys/fs/cgroup/cgroup.subtree_control || { skip "the kernel gives the controller $1 to no group"; return 1; }
    fi
    [ "$(id -u)" = 0 ] && mkdir "$group" 2>/dev/null || { skip "this user can make no group in /sys/fs/cgroup"; return 1; }
}

# in_group CMD...: in the new group; removes it.
in_group()
{
    expect_exit 0 bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

end_group()
{
    local i
    for i in $(seq 50); do ! rmdir "$group" 2>/dev/null || return; sleep 0.1; done
    fail "$group cannot be removed"
}

begin "a quota of one processor's time gives one thread of each kind"
need_two && new_group cpu && {
    case $version in
    1) echo 100000 >"$group/cpu.cfs_period_us"; echo 100000 >"$group/cpu.cfs_quota_us" ;;
    2) echo "100000 100000" >"$group/cpu.max" ;;
    esac
    in_group "$DTRAIN" "${small[@]}" --steps 1
    is "$(counts 0)" "1 1"
    in_group "$DTRAIN" info
    expect_output "control group .*limits this to 1.00 CPUs' worth"
    expect_output '^cores .*1 for a single rank'
    end_group
}

begin "a control group's processors are all that a rank uses"
need_two && new_group cpuset && {
    last=$(numbers "$all") last=${last##* }
    cat /sys/fs/cgroup/cpuset.mems.effective >"$group/cpuset.mems" 2>/dev/null || cat "${group%/*}/cpuset.mems" >"$group/cpuset.mems"
    echo "$last" >"$group/cpuset.cpus"
    in_group "$DTRAIN" "${small[@]}" --steps 1
    is "$(processors 0): $(counts 0)" "$last: 1 1"
    in_group "$RANKS" 2 --bind-to none "$DTRAIN" "${small[@]}" --steps 1 # two ranks share it
    is "$(processors 0) $(processors 1)" "$last $last"
    in_group "$DTRAIN" info
    expect_output '^CPUs .*1 of [0-9]+ may be used'
    ! has_hwloc || expect_output '^topology .* 1 core *$'
    end_group
}

finish
