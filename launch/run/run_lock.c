#include "config.h"

#include "launch/run/run_lock.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/config.h"
#include "core/base/log.h"
#include "core/base/ticker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEARTBEAT_S 2.0
#define WATCH_S 10.0 /* how long to watch another host's count: five beats; NFS can show one 3 s late */
#define TEXT_BYTES 192

struct dt_run_lock {
    char path[DT_PATH_BYTES + 16], mine[96]; /* "host pid start" */
    dt_ticker *ticker;
    unsigned long long count; /* used by the ticker's thread only */
};

typedef struct owner {
    char host[65];
    long long pid;
    unsigned long long start; /* in clock ticks since that host was booted */
    unsigned long long count;
} owner;

/* Reads the state letter and the start time of a process of this host; false: there is none. */
static bool read_process(long long pid, char *state, unsigned long long *start)
{
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *p = strrchr(text, ')'); /* the process's name may hold any characters */
    if (!p || sscanf(p + 1, " %c", state) != 1)
        return false;
    for (int field = 2; p && field < 22; field++) /* the start is field 22 */
        p = strchr(p + 1, ' ');
    return p && sscanf(p, "%llu", start) == 1;
}

static bool read_lock(const char *path, owner *o)
{
    char text[TEXT_BYTES] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    *o = (owner){.count = 0};
    return n > 0 && sscanf(text, "%64s %lld %llu %llu", o->host, &o->pid, &o->start, &o->count) == 4;
}

/* Formats the file's text. Its length does not depend on the count: a heartbeat needs no space on disk. */
static int lock_text(const dt_run_lock *lock, unsigned long long count, char text[TEXT_BYTES])
{
    return snprintf(text, TEXT_BYTES, "%s %020llu\n", lock->mine, count);
}

/* Replaces the file, atomically. */
static dt_status write_lock(const dt_run_lock *lock, unsigned long long count, dt_error *err)
{
    char path[DT_PATH_BYTES + 128], text[TEXT_BYTES];
    int length = lock_text(lock, count, text);
    snprintf(path, sizeof path, "%s.%ld", lock->path, (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write(fd, text, (size_t)length) == length;
    int reason = errno;
    ok = (fd < 0 || close(fd) == 0) && ok;
    if (ok && rename(path, lock->path) == 0)
        return DT_OK;
    errno = ok ? errno : reason;
    dt_status status = dt_fail_errno(err, "%s: cannot write it", lock->path);
    if (fd >= 0)
        unlink(path);
    return status;
}

static bool same_owner(const owner *a, const owner *b)
{
    return strcmp(a->host, b->host) == 0 && a->pid == b->pid && a->start == b->start;
}

static bool is_own(const dt_run_lock *lock, const owner *o)
{
    char text[128];
    snprintf(text, sizeof text, "%s %lld %llu", o->host, o->pid, o->start);
    return strcmp(text, lock->mine) == 0;
}

static bool is_stale(const char *path, const char *host, const owner *o, dt_comm *comm)
{
    char state = 0;
    unsigned long long start = 0;
    if (strcmp(o->host, host) == 0)
        return !read_process(o->pid, &state, &start) || state == 'Z' || state == 'X' || start != o->start;
    dt_log_info("%s belongs to process %lld on %s: watching its heartbeat for %.0f s", path, o->pid, o->host,
                WATCH_S);
    for (double until = dt_clock_s() + WATCH_S; dt_clock_s() < until;) {
        owner now;
        dt_clock_sleep_s(0.5);
        if (comm)
            (void)comm->ops->progress(comm, NULL); /* an error: the next collective has it too */
        if (!read_lock(path, &now))
            return true; /* its owner removed it */
        if (!same_owner(&now, o) || now.count != o->count)
            return false;
    }
    return true;
}

/* Rewrites the count in place so that it works on a full disk; a stale heartbeat would let another host take
 * the lock over. Does nothing if the lock has another owner by now. */
static void write_heartbeat(const dt_run_lock *lock, unsigned long long count)
{
    owner o;
    char text[TEXT_BYTES];
    int length = lock_text(lock, count, text);
    if (!read_lock(lock->path, &o) || !is_own(lock, &o))
        return;
    int fd = open(lock->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!pwrite(fd, text, (size_t)length, 0); /* checkpoints and metrics report a failing disk */
    close(fd);
}

static double tick(void *context)
{
    dt_run_lock *lock = context;
    if (++lock->count > 1) /* write_lock wrote the first count */
        write_heartbeat(lock, lock->count);
    return HEARTBEAT_S;
}

static dt_status acquire(dt_run_lock *lock, const char *option, const char *folder, const char *host,
                         dt_comm *comm, dt_error *err)
{
    owner o;
    if (read_lock(lock->path, &o)) {
        if (!is_stale(lock->path, host, &o, comm))
            return dt_fail(err, DT_ERR_USAGE,
                           "--%s %s: another run works there, process %lld on %s; wait for it, stop it, or "
                           "use another --%s",
                           option, folder, o.pid, o.host, option);
        dt_log_info("%s was left by process %lld on %s, which is gone", lock->path, o.pid, o.host);
    }
    DT_TRY(write_lock(lock, 1, err));
    dt_clock_sleep_s(0.05); /* if two runs start at the same moment, the later rename wins */
    if (!read_lock(lock->path, &o) || !is_own(lock, &o))
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: another run has just started there", option, folder);
    return DT_OK;
}

dt_status dt_run_lock_acquire(const char *option, const char *folder, dt_comm *comm, dt_run_lock **lock,
                              dt_error *err)
{
    char host[65] = "", state;
    unsigned long long start = 0;
    dt_run_lock *l = dt_calloc(1, sizeof *l);
    if (!l)
        return dt_fail_memory(err, sizeof *l, "the run's lock");
    if (gethostname(host, sizeof host - 1) != 0 || !host[0])
        snprintf(host, sizeof host, "unknown");
    (void)read_process(getpid(), &state, &start);
    snprintf(l->path, sizeof l->path, "%s/lock", folder);
    snprintf(l->mine, sizeof l->mine, "%s %ld %llu", host, (long)getpid(), start);
    dt_status status = acquire(l, option, folder, host, comm, err);
    if (status == DT_OK && (status = dt_ticker_create(tick, l, "the run's lock", &l->ticker, err)) != DT_OK)
        unlink(l->path);
    if (status != DT_OK) {
        dt_free(l);
        return status;
    }
    *lock = l;
    return DT_OK;
}

void dt_run_lock_release(dt_run_lock *lock)
{
    owner o;
    if (!lock)
        return;
    dt_ticker_destroy(lock->ticker);
    if (read_lock(lock->path, &o) && is_own(lock, &o))
        unlink(lock->path);
    dt_free(lock);
}
