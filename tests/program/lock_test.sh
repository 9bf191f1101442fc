#!/bin/bash
# One run at a time in a folder: in containers, without the kernel's locks, after pauses, and when files are slow.
. "$(dirname "$0")/../lib.sh"

# The kernel's locks as on an NFS without them; and slow writes to the lock's file, and slow renames of it.
cat >"$_base/preload.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static void wait_for(const char *path)
{
    const char *s = getenv("SLOW_S"), *name = strrchr(path, '/');
    if (!s || strncmp(name ? name + 1 : path, "lock", 4) != 0)
        return;
    struct timespec t = {(time_t)atof(s), (long)(1e9 * (atof(s) - (double)(time_t)atof(s)))};
    nanosleep(&t, NULL);
}
static int no_lock(int command)
{
    if (!getenv("NO_LOCKS") || (command != F_OFD_SETLK && command != F_OFD_SETLKW))
        return 0;
    errno = ENOLCK;
    return 1;
}
#define WRAP(name)                                                                        \
    int name(int fd, int command, ...)                                                    \
    {                                                                                     \
        va_list a;                                                                        \
        va_start(a, command);                                                             \
        void *argument = va_arg(a, void *);                                               \
        va_end(a);                                                                        \
        return no_lock(command) ? -1 : ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(fd, command, argument); \
    }
WRAP(fcntl)
WRAP(fcntl64)
int rename(const char *from, const char *to)
{
    wait_for(to);
    return ((__typeof__(&rename))dlsym(RTLD_NEXT, "rename"))(from, to);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) > 0)
        wait_for(path);
    return ((__typeof__(&pwrite64))dlsym(RTLD_NEXT, "pwrite64"))(fd, data, n, at);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return pwrite64(fd, data, n, at);
}
END

train=("$DTRAIN" --data data --out run --arch resnet18 --image-size 32 --batch 4 --threads 1 --checkpoint-every 5 --keep 2 "${ANY_BACKEND[@]}")
without_locks=(env NO_LOCKS=1 "LD_PRELOAD=$_base/preload.so")
container=(unshare -rupf --mount-proc)

need_preload()
{
    [ -f "$_base/preload.so" ] || ${CC:-gcc} -shared -fPIC -o "$_base/preload.so" "$_base/preload.c" -ldl 2>"$_base/preload.log" && return 0
    skip "no library to preload: $(head -n 1 "$_base/preload.log")"
    return 1
}

need_containers()
{
    "${container[@]}" true 2>/dev/null && return 0
    skip "PID and UTS namespaces are not allowed here"
    return 1
}

# Starts a run that trains until it is stopped, and waits for its first checkpoint. Sets $first, and $ranks to its processes.
start_first()
{
    start_job "$@" --epochs 1000
    first=$pid
    for _ in $(seq 600); do
        [ ! -e run/checkpoints/step-00000005 ] || break
        gone "$first" && break
        sleep 0.1
    done
    expect test -e run/checkpoints/step-00000005/manifest.json
}

processes_of() # all below a process
{
    local child
    for child in $(children "$1"); do echo "$child"; processes_of "$child"; done
}

end_first()
{
    kill -USR1 $(processes_of "$first") "$first" 2>/dev/null
    for _ in $(seq 200); do gone "$first" && break; sleep 0.1; done
    kill -9 $(processes_of "$first") "$first" 2>/dev/null
    wait "$first" 2>/dev/null
}

second() # CODE COMMAND...: its output in $OUTPUT, while the first goes on
{
    local keep=$OUTPUT
    OUTPUT=$_base/second
    expect_exit "$@"
}

begin "a run in another PID and UTS namespace keeps its lock; after kill -9 the next start has it at once"
need_containers && {
    digits data 2 8 2
    start_first "${container[@]}" bash -c 'hostname other 2>/dev/null; exec "$@"' - "${train[@]}"
    second 2 "${train[@]}" --epochs 1000
    expect_output 'another run works there, process [0-9]+ on [^ ]+, in another container; wait for it, stop it, or use another --out'
    second 2 "${container[@]}" "${train[@]}" --epochs 1000
    expect_output 'another run works there, process [0-9]+ on '
    kill -9 $(processes_of "$first")
    wait "$first" 2>/dev/null
    start_s=$SECONDS
    second 0 "${train[@]}" --steps 10 --epochs 1000
    expect_output 'run/lock was left by process [0-9]+ on .*, which is gone'
    expect test $((SECONDS - start_s)) -lt 9
    expect test ! -e run/lock
}

begin "without the kernel's locks a run in another PID namespace keeps its lock by its heartbeat" # in each run: launch/run/run_lock_test
long_case && need_preload && need_containers && {
    digits data 2 8 2
    start_first "${without_locks[@]}" "${container[@]}" "${train[@]}"
    second 2 "${without_locks[@]}" "${train[@]}" --epochs 1000
    expect_output 'watching its heartbeat for 10 s'
    expect_output 'another run works there'
    end_first
}

begin "a stopped run keeps the kernel's lock, and goes on"
digits data 2 8 2
start_first "${train[@]}"
kill -STOP "$first"
second 2 "${train[@]}" --epochs 1000
expect_output 'another run works there'
kill -CONT "$first"
sleep 1
kill -TERM "$first"
OUTPUT=$_base/output
pid=$first
end_job
expect test "$code" = 75
expect_no_output 'works there now'

begin "no other run gets the folder of a run's checkpoints, whichever of them names it"
digits data 2 8 2
start_first "${train[@]}"
for option in checkpoint-dir checkpoint-mirror; do
    second 2 "${train[@]}" --epochs 1000 --out other --$option run/checkpoints
    expect_output "^dtrain: --$option run/checkpoints/..: another run works there, process $first "
    expect test ! -e other
done
end_first
rm -rf run
start_first "${train[@]}" --out first --checkpoint-dir run/checkpoints
second 2 "${train[@]}" --epochs 1000
expect_output '^dtrain: --out run/checkpoints: another run works there'
end_first

begin "a paused run that has lost its lock leaves with code 1, says who has it, and changes nothing more, on 2 ranks"
need_preload && need_containers && {
    digits data 2 8 2
    start_first "${without_locks[@]}" "$RANKS" 2 "${train[@]}" --peer-timeout 600
    paused=$(ranks_of "$first")
    kill -STOP $paused
    second 0 "${without_locks[@]}" "${container[@]}" "${train[@]}" --steps 40 --epochs 1000
    expect_output 'which is gone'
    find run -type f ! -name lock -exec cksum {} + | sort >before
    find run | sort >>before
    mkdir -p run && echo "elsewhere 17 4711 00000000000000000001" >run/lock # the other one still runs
    kill -CONT $paused
    OUTPUT=$_base/output
    pid=$first
    end_job
    expect test "$code" = 1
    expect_output 'another run works there now, process 17 on elsewhere, since this one was paused .*; this one leaves and changes nothing more'
    rm -f run/lock
    find run -type f ! -name lock -exec cksum {} + | sort >after
    find run | sort >>after
    expect cmp before after
}

begin "a run whose lock was removed leaves, since another may have worked there"
digits data 2 8 2
start_first "${train[@]}"
rm run/lock
pid=$first
end_job
expect test "$code" = 1
expect_output 'run/lock was removed, so another run may have worked there; this one leaves'

# one_of_two LOCKS: of two starts in the folder LOCKS, with or without the kernel's locks, one trains; says so in the file LOCKS.codes.
one_of_two()
{
    local slow=(env SLOW_S=2 "LD_PRELOAD=$_base/preload.so") one codes
    [ "$1" = with ] || slow+=(NO_LOCKS=1)
    "${slow[@]}" "${train[@]}" --out "$1" --steps 40 --epochs 1000 >"$1.one" 2>&1 </dev/null &
    one=$!
    sleep 1.5
    "${slow[@]}" "${train[@]}" --out "$1" --steps 40 --epochs 1000 >"$1.two" 2>&1 </dev/null &
    wait $one
    codes=$?
    wait $!
    echo "$codes $?" >"$1.codes"
}

begin "of two starts while writes and renames of the lock are slow one trains, with the kernel's locks and without" # in each run: many starts in launch/run/run_lock_test
long_case && need_preload && {
    digits data 2 8 2
    one_of_two with &
    with=$!
    one_of_two without
    wait $with
    for locks in with without; do
        case $(cat $locks.codes) in
        "0 2" | "2 0" | "0 1" | "1 0") ;;
        *) fail "exit codes $locks the kernel's locks: $(cat $locks.codes)"; tail -n 5 $locks.one $locks.two | sed 's/^/    | /' ;;
        esac
    done
}

begin "a lock of before a reboot is watched, and a live run of another kernel is respected" # in each run: launch/run/run_lock_test
if ! long_case; then
    :
elif unshare -rm mount --bind /dev/null /dev/zero 2>/dev/null; then
    digits data 2 8 2
    echo 11111111-2222-3333-4444-555555555555 >boot
    other_boot=(unshare -rm bash -c 'mount --bind boot /proc/sys/kernel/random/boot_id && exec "$@"' -)
    if [ "$("${other_boot[@]}" cat /proc/sys/kernel/random/boot_id 2>/dev/null)" = 11111111-2222-3333-4444-555555555555 ]; then
        start_first "${other_boot[@]}" "${train[@]}"
        second 2 "${train[@]}" --epochs 1000
        expect_output 'watching its heartbeat'
        kill -9 "$first"
        wait "$first" 2>/dev/null
        second 0 "${train[@]}" --steps 10 --epochs 1000
        expect_output 'watching its heartbeat'
        expect_output 'which is gone'
    else
        skip "the boot id cannot be replaced here"
    fi
else
    skip "mounting in a user namespace is not allowed here"
fi

begin "a lock that is no file is refused with code 2, and its target stays"
digits data 2 8 2
mkdir run
echo mine >target
for kind in 'ln -s ../target' 'ln -s /nowhere' mkfifo mkdir; do
    $kind run/lock
    expect_exit 2 "${train[@]}" --steps 1
    expect_output 'remove it'
    expect test -e run/lock -o -L run/lock
    rm -rf run/lock
done
expect test "$(cat target)" = mine

finish
