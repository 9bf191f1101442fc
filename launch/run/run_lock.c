#define _GNU_SOURCE /* F_OFD_SETLK, TEMP_FAILURE_RETRY */
#include "config.h"

#include "launch/run/run_lock.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/config.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/ticker.h"
#include "launch/run/lock_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEARTBEAT_S 2.0
#define RECENT_S 2.5
#define WATCH_S 10.0 /* how long to watch a count: five beats; NFS can show one 3 s late */
#define LOOK_S 0.5
#define ENDING_S 2.0 /* how long a killed process may take to end */
#define SETTLE_S 1.0 /* without the kernel's lock: until the other of two starts has written its line, too */

typedef enum kernel_lock { HELD_BY_OTHER, ACQUIRED, UNSUPPORTED } kernel_lock;

/* What the file says. */
typedef enum content { MISSING, UNREADABLE, EMPTY, NO_LINE, OWNED } content;

struct dt_run_lock {
    char path[DT_PATH_BYTES + 16], folder[DT_PATH_BYTES], option[32];
    int fd; /* holds the kernel's lock */
    dt_lock_owner mine;
    dt_ticker *ticker;
    pthread_mutex_t mutex; /* guards what follows, mine.count and the paths */
    double confirmed_s;    /* when the file was last seen to be ours, by boot_clock_s */
    bool is_lost;
    dt_error loss;
};

/* -- the file -------------------------------------------------------------------------------------------- */

/* A clock that goes on while the machine sleeps. */
static double boot_clock_s(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_BOOTTIME, &now) == 0 ? (double)now.tv_sec + 1e-9 * (double)now.tv_nsec : 0.0;
}

static content read_text(int fd, char text[DT_LOCK_TEXT_BYTES])
{
    const ssize_t n = TEMP_FAILURE_RETRY(pread(fd, text, DT_LOCK_TEXT_BYTES - 1, 0));
    text[n > 0 ? n : 0] = '\0';
    return n < 0 ? UNREADABLE : n == 0 ? EMPTY : NO_LINE;
}

/* Opens the file for each read: an NFS client then asks the server, and does not use what it has cached. */
static content read_path(const char *path, char text[DT_LOCK_TEXT_BYTES], dt_lock_owner *owner)
{
    int fd;
    text[0] = '\0';
    if (dt_file_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL) != DT_OK)
        return errno == ENOENT ? MISSING : UNREADABLE;
    const content c = read_text(fd, text);
    close(fd);
    return c == NO_LINE && dt_lock_owner_parse(text, owner) ? OWNED : c;
}

static bool is_at(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* In place, so that it works on a full disk. */
static dt_status write_line(int fd, const char *path, const dt_lock_owner *owner, dt_error *err)
{
    char text[DT_LOCK_TEXT_BYTES];
    const int length = dt_lock_owner_format(owner, text);
    const ssize_t n = TEMP_FAILURE_RETRY(pwrite(fd, text, (size_t)length, 0));
    if (n >= 0 && n < length)
        errno = ENOSPC;
    if (n != length || TEMP_FAILURE_RETRY(ftruncate(fd, length)) != 0)
        return dt_fail_errno(err, "%s: cannot write it", path);
    return DT_OK;
}

static kernel_lock try_lock(int fd)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (TEMP_FAILURE_RETRY(fcntl(fd, F_OFD_SETLK, &all)) == 0)
        return ACQUIRED;
    return errno == EAGAIN || errno == EACCES ? HELD_BY_OTHER : UNSUPPORTED;
}

/* -- an owner that may be alive -------------------------------------------------------------------------- */

static void pause_for(double seconds, dt_comm *comm)
{
    dt_clock_sleep_s(seconds);
    if (comm)
        (void)comm->ops->progress(comm, NULL); /* an error: the next collective has it too */
}

/* Whether the file changes. Looks are counted, too: this process may itself be paused meanwhile. */
static bool changes(const char *path, dt_comm *comm)
{
    char before[DT_LOCK_TEXT_BYTES], now[DT_LOCK_TEXT_BYTES];
    dt_lock_owner owner;
    const content first = read_path(path, before, &owner);
    const double until = dt_clock_s() + WATCH_S;
    for (int looks = 0; looks < (int)(WATCH_S / LOOK_S) || dt_clock_s() < until; looks++) {
        pause_for(LOOK_S, comm);
        const content c = read_path(path, now, &owner);
        if (c == MISSING)
            return false; /* its owner removed it */
        if (c != UNREADABLE && (c != first || strcmp(before, now) != 0))
            return true;
    }
    return false;
}

/* found: the owner that was read before; the file may name another one by now. */
static dt_status refuse(const dt_run_lock *l, const dt_lock_owner *found, dt_error *err)
{
    char text[DT_LOCK_TEXT_BYTES];
    dt_lock_owner now;
    const dt_lock_owner *o = read_path(l->path, text, &now) == OWNED ? &now : found;
    const bool same_kernel = dt_lock_owner_same_boot(o, &l->mine);
    if (!o->host[0])
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: another run has just started there", l->option,
                       l->folder);
    return dt_fail(
        err, DT_ERR_USAGE,
        "--%s %s: another run works there, process %lld on %s%s; wait for it, stop it, or use another "
        "--%s",
        l->option, l->folder, o->pid, o->host,
        same_kernel && o->pid_namespace != l->mine.pid_namespace ? ", in another container" : "", l->option);
}

static dt_status check_still(const dt_run_lock *l, const dt_lock_owner *o, dt_comm *comm, dt_error *err)
{
    if (o->host[0])
        dt_log_info("%s belongs to process %lld on %s: watching its heartbeat for %.0f s", l->path, o->pid,
                    o->host, WATCH_S);
    else
        dt_log_info("%s is damaged or from a newer dtrain: watching it for %.0f s", l->path, WATCH_S);
    return changes(l->path, comm) ? refuse(l, o, err) : DT_OK;
}

/* The kernel's lock is ours, or does not work here. Is the owner in the file gone? */
static dt_status check_owner(const dt_run_lock *l, kernel_lock kernel, dt_comm *comm, dt_error *err)
{
    char text[DT_LOCK_TEXT_BYTES];
    dt_lock_owner o = {.pid = 0};
    const content c = read_path(l->path, text, &o);
    if (c == EMPTY || c == MISSING)
        return DT_OK;
    if (c != OWNED)
        return check_still(l, &(dt_lock_owner){.pid = 0}, comm, err);
    dt_lock_life life = dt_lock_owner_life(&o, &l->mine);
    if (kernel == ACQUIRED && o.locked && dt_lock_owner_same_boot(&o, &l->mine))
        life = DT_LOCK_DEAD; /* in whatever PID namespace it was */
    if (life == DT_LOCK_ALIVE)
        return refuse(l, &o, err);
    if (life == DT_LOCK_UNKNOWN)
        DT_TRY(check_still(l, &o, comm, err));
    dt_log_info("%s was left by process %lld on %s, which is gone", l->path, o.pid, o.host);
    return DT_OK;
}

/* -- acquire --------------------------------------------------------------------------------------------- */

static dt_status open_file(dt_run_lock *l, dt_error *err)
{
    dt_error why = {0};
    if (dt_file_open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666, &l->fd, &why) == DT_OK)
        return DT_OK;
    if (errno == ELOOP)
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: %s is a link, not a run's lock; remove it", l->option,
                       l->folder, l->path);
    if (errno == EINVAL)
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: %s; remove it", l->option, l->folder, why.message);
    return dt_fail_errno(err, "%s: cannot write it", l->path);
}

/* Open the file and try the kernel's lock until it is ours in the file of that name, or another process has
 * had it for ENDING_S. */
static dt_status lock_file(dt_run_lock *l, dt_comm *comm, kernel_lock *kernel, dt_error *err)
{
    for (double until = dt_clock_s() + ENDING_S;;) {
        DT_TRY(open_file(l, err));
        *kernel = try_lock(l->fd);
        if (*kernel != HELD_BY_OTHER && is_at(l->fd, l->path))
            return DT_OK;
        if (*kernel == HELD_BY_OTHER && dt_clock_s() >= until)
            return DT_OK;
        close(l->fd); /* its owner removed it, or may be about to end */
        l->fd = -1;
        pause_for(0.05, comm);
    }
}

/* The kernel holds the lock for a host whose heartbeat has stopped: put another file in place. */
static dt_status replace_file(dt_run_lock *l, dt_error *err)
{
    char path[DT_PATH_BYTES + 64];
    int fd;
    snprintf(path, sizeof path, "%s.%s", l->path, l->mine.id);
    DT_TRY(dt_file_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0666, &fd, err));
    l->mine.locked = try_lock(fd) == ACQUIRED;
    dt_status status = write_line(fd, path, &l->mine, err);
    if (status == DT_OK && rename(path, l->path) != 0)
        status = dt_fail_errno(err, "cannot rename %s to %s", path, l->path);
    if (status != DT_OK) {
        unlink(path);
        close(fd);
        return status;
    }
    close(l->fd);
    l->fd = fd;
    return DT_OK;
}

/* Another process has the kernel's lock. */
static dt_status acquire_from_other_host(dt_run_lock *l, dt_comm *comm, dt_error *err)
{
    char text[DT_LOCK_TEXT_BYTES];
    dt_lock_owner o = {.pid = 0};
    if (read_path(l->path, text, &o) != OWNED)
        o = (dt_lock_owner){.pid = 0};
    if (!o.host[0] || !o.locked || dt_lock_owner_same_boot(&o, &l->mine))
        return refuse(l, &o, err);
    DT_TRY(check_still(l, &o, comm, err));
    dt_log_info("%s was left by process %lld on %s, which is gone", l->path, o.pid, o.host);
    return replace_file(l, err);
}

/* Write the first line. A file that has none, and cannot get one, is removed. */
static dt_status write_first(dt_run_lock *l, dt_error *err)
{
    char text[DT_LOCK_TEXT_BYTES];
    const bool is_new = read_text(l->fd, text) == EMPTY;
    const dt_status status = write_line(l->fd, l->path, &l->mine, err);
    if (status != DT_OK && is_new)
        unlink(l->path);
    return status;
}

static dt_status acquire(dt_run_lock *l, dt_comm *comm, dt_error *err)
{
    char text[DT_LOCK_TEXT_BYTES];
    dt_lock_owner o = {.pid = 0};
    kernel_lock kernel;
    do { /* again, if its owner removed the file meanwhile */
        if (l->fd >= 0)
            close(l->fd);
        l->fd = -1;
        DT_TRY(lock_file(l, comm, &kernel, err));
        if (kernel == HELD_BY_OTHER)
            DT_TRY(acquire_from_other_host(l, comm, err));
        else
            DT_TRY(check_owner(l, kernel, comm, err));
    } while (!is_at(l->fd, l->path));
    if (kernel != HELD_BY_OTHER) {
        l->mine.locked = kernel == ACQUIRED;
        DT_TRY(write_first(l, err));
    }
    if (kernel != ACQUIRED)
        pause_for(SETTLE_S, comm); /* of two starts, the line that was written last stays */
    if (read_path(l->path, text, &o) != OWNED || !dt_lock_owner_is(&o, &l->mine))
        return refuse(l, &o, err);
    l->confirmed_s = boot_clock_s();
    return DT_OK;
}

/* -- while the lock is held ------------------------------------------------------------------------------ */

static void lose(dt_run_lock *l, const dt_lock_owner *o)
{
    l->is_lost = true;
    if (o->host[0])
        dt_fail(
            &l->loss, DT_ERR_IO,
            "--%s %s: another run works there now, process %lld on %s, since this one was paused or did not "
            "reach the folder for a while; this one leaves and changes nothing more",
            l->option, l->folder, o->pid, o->host);
    else
        dt_fail(&l->loss, DT_ERR_IO,
                "--%s %s: %s was removed, so another run may have worked there; this one leaves and changes "
                "nothing more",
                l->option, l->folder, l->path);
}

/* With the mutex: looks at the file. True: it is ours. */
static bool confirm(dt_run_lock *l)
{
    char text[DT_LOCK_TEXT_BYTES];
    dt_lock_owner o = {.pid = 0};
    const content c = l->is_lost ? UNREADABLE : read_path(l->path, text, &o);
    if (c == MISSING || (c == OWNED && !dt_lock_owner_is(&o, &l->mine)))
        lose(l, &o);
    if ((c == EMPTY || c == NO_LINE) && is_at(l->fd, l->path))
        (void)write_line(l->fd, l->path, &l->mine, NULL); /* another program has damaged our line */
    if (c == OWNED && !l->is_lost)
        l->confirmed_s = boot_clock_s();
    return c == OWNED && !l->is_lost;
}

/* Opens and closes the file for each heartbeat: an NFS client sends a line to the server at close. */
static void write_heartbeat(dt_run_lock *l)
{
    int fd;
    l->mine.count++;
    if (dt_file_open(l->path, O_WRONLY | O_NOFOLLOW, 0, &fd, NULL) != DT_OK)
        return;
    (void)write_line(fd, l->path, &l->mine, NULL); /* checkpoints and metrics report a failing disk */
    close(fd);
}

static double tick(void *context)
{
    dt_run_lock *l = context;
    pthread_mutex_lock(&l->mutex);
    if (confirm(l))
        write_heartbeat(l);
    pthread_mutex_unlock(&l->mutex);
    return HEARTBEAT_S;
}

static dt_status check(dt_run_lock *l, double max_age_s, dt_error *err)
{
    pthread_mutex_lock(&l->mutex);
    const double age_s = boot_clock_s() - l->confirmed_s;
    if (age_s < 0.0 || age_s >= max_age_s)
        (void)confirm(l);
    const bool is_lost = l->is_lost;
    if (is_lost && err)
        *err = l->loss;
    pthread_mutex_unlock(&l->mutex);
    return is_lost ? DT_ERR_IO : DT_OK;
}

dt_status dt_run_lock_check(dt_run_lock *lock, dt_error *err)
{
    return check(lock, 0.0, err);
}

dt_status dt_run_lock_check_recent(dt_run_lock *lock, dt_error *err)
{
    return check(lock, RECENT_S, err);
}

/* -- the lock's life ------------------------------------------------------------------------------------- */

static void set_folder(dt_run_lock *l, const char *folder)
{
    snprintf(l->folder, sizeof l->folder, "%s", folder);
    snprintf(l->path, sizeof l->path, "%s/lock", folder);
}

static void destroy(dt_run_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    pthread_mutex_destroy(&l->mutex);
    dt_free(l);
}

dt_status dt_run_lock_acquire(const char *option, const char *folder, dt_comm *comm, dt_run_lock **lock,
                              dt_error *err)
{
    dt_run_lock *l = dt_calloc(1, sizeof *l);
    if (!l)
        return dt_fail_memory(err, sizeof *l, "the run's lock");
    l->fd = -1;
    pthread_mutex_init(&l->mutex, NULL); /* on Linux this does not fail */
    snprintf(l->option, sizeof l->option, "%s", option);
    set_folder(l, folder);
    dt_lock_owner_self(&l->mine);
    dt_status status = acquire(l, comm, err);
    if (status != DT_OK) {
        destroy(l);
        return status;
    }
    status = dt_ticker_create(tick, l, "the run's lock", &l->ticker, err);
    if (status != DT_OK)
        dt_run_lock_release(l);
    else
        *lock = l;
    return status;
}

dt_status dt_run_lock_rename_folder(dt_run_lock *l, const char *to, dt_error *err)
{
    DT_TRY(dt_run_lock_check(l, err));
    pthread_mutex_lock(&l->mutex);
    dt_status status = DT_OK;
    if (rename(l->folder, to) == 0)
        set_folder(l, to);
    else
        status = dt_fail_errno(err, "cannot rename %s to %s", l->folder, to);
    pthread_mutex_unlock(&l->mutex);
    return status;
}

void dt_run_lock_release(dt_run_lock *l)
{
    if (!l)
        return;
    dt_ticker_destroy(l->ticker);
    if (confirm(l))
        unlink(l->path);
    destroy(l);
}

static dt_status check_all(void *context, dt_error *err)
{
    const dt_run_locks *all = context;
    for (int i = 0; i < DT_RUN_LOCKS_MAX; i++)
        if (all->locks[i])
            DT_TRY(dt_run_lock_check(all->locks[i], err));
    return DT_OK;
}

static dt_status check_all_recent(void *context, dt_error *err)
{
    const dt_run_locks *all = context;
    for (int i = 0; i < DT_RUN_LOCKS_MAX; i++)
        if (all->locks[i])
            DT_TRY(dt_run_lock_check_recent(all->locks[i], err));
    return DT_OK;
}

void dt_run_locks_init(dt_run_locks *locks)
{
    *locks = (dt_run_locks){.now = {check_all, locks}, .recent = {check_all_recent, locks}};
}
