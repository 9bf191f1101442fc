#include "config.h"

#include "launch/run/checkpoint_folders.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"
#include "io/durable.h"
#include "io/store/checkpoint_folder.h"
#include "io/store/hdf5_store.h"
#include "io/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VISIBLE_WITHIN_S 1.0 /* how late a network file system may show a folder that another host made */

enum { PATH_BYTES = DT_PATH_BYTES + 64 };

/* What one rank sees of a folder. */
typedef struct listing {
    int64_t n_seen;
    bool leads; /* it makes its host's probe file */
    char host[64];
} listing;

/* -- which hosts see a folder ---------------------------------------------------------------------------- */

static void probe_path(const char *folder, const char *nonce, int rank, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/.probe-%s-%d", folder, nonce, rank);
}

static dt_status make_probe(const char *folder, const char *nonce, int rank, dt_error *err)
{
    char path[PATH_BYTES];
    probe_path(folder, nonce, rank, path);
    DT_TRY(dt_durable_make_folder(folder, err));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return dt_fail_errno(err, "%s: cannot make a file there", folder);
    close(fd);
    return DT_OK;
}

static void wait_for_folder(const char *folder, dt_comm *comm)
{
    for (double until = dt_clock_s() + VISIBLE_WITHIN_S; access(folder, F_OK) != 0 && dt_clock_s() < until;) {
        dt_clock_sleep_s(0.05);
        (void)comm->ops->progress(comm, NULL); /* the next collective returns an error too */
    }
}

static dt_status choose_nonce(dt_comm *comm, char nonce[48], dt_error *err)
{
    snprintf(nonce, 48, "%ld-%.0f", (long)getpid(), dt_clock_unix_s() * 1e3);
    return comm->ops->broadcast(comm, nonce, 48, 0, err);
}

/* Collective. One rank of each host creates a probe file. *n_hosts: how many there are; all[r]: how many of
 * them rank r sees. */
static dt_status probe(const char *folder, dt_comm *comm, listing *all, int64_t *n_hosts, dt_error *err)
{
    char nonce[48], path[PATH_BYTES];
    const bool leads = comm->local_rank == 0;
    listing mine;
    memset(&mine, 0, sizeof mine); /* all of it is sent */
    snprintf(mine.host, sizeof mine.host, "%s", comm->host);
    mine.leads = leads;
    DT_TRY(choose_nonce(comm, nonce, err));
    dt_status status = dt_agree(comm, leads ? make_probe(folder, nonce, comm->rank, err) : DT_OK, err);
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, &mine, sizeof mine, all, err);
    if (status == DT_OK) {
        *n_hosts = 0;
        wait_for_folder(folder, comm);
        for (int r = 0; r < comm->size; r++) {
            if (!all[r].leads)
                continue;
            probe_path(folder, nonce, r, path);
            mine.n_seen += access(path, F_OK) == 0;
            ++*n_hosts;
        }
    }
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, &mine, sizeof mine, all,
                                       err); /* after this no rank needs the probes */
    probe_path(folder, nonce, comm->rank, path);
    if (leads)
        unlink(path);
    return status;
}

/* "a sees 1, b sees 2" */
static void list_folders(const listing *all, int size, char *text, size_t bytes)
{
    size_t used = 0;
    for (int r = 0; r < size; r++) {
        if (r > 0 && strcmp(all[r].host, all[r - 1].host) == 0 && all[r].n_seen == all[r - 1].n_seen)
            continue;
        used += (size_t)snprintf(text + used, bytes - used, "%s%s sees %lld", used ? ", " : "", all[r].host,
                                 (long long)all[r].n_seen);
        if (used + 96 > bytes) {
            snprintf(text + used, bytes - used, ", ...");
            return;
        }
    }
}

/* Collective. *per_host: every host has its own folder of this name. */
static dt_status check_shared(const char *option, const char *folder, dt_comm *comm, bool *per_host,
                              dt_error *err)
{
    char text[600];
    int64_t n_hosts = 0, n_all = 0, n_own = 0;
    *per_host = false;
    if (comm->local_size == comm->size) /* one host; all ranks return here */
        return DT_OK;
    listing *all = dt_alloc((size_t)comm->size * sizeof *all);
    dt_status status = dt_agree(
        comm,
        all ? DT_OK : dt_fail_memory(err, (size_t)comm->size * sizeof *all, "the hosts that see a folder"),
        err);
    if (status == DT_OK)
        status = probe(folder, comm, all, &n_hosts, err);
    for (int r = 0; r < comm->size && status == DT_OK; r++) {
        n_all += all[r].n_seen == n_hosts;
        n_own += all[r].n_seen == 1;
    }
    *per_host = n_hosts > 1 && n_own == comm->size;
    if (status == DT_OK && n_all != comm->size && !*per_host) {
        list_folders(all, comm->size, text, sizeof text);
        status = dt_fail_shared(err, DT_ERR_USAGE,
                                "--%s: %s must be one folder that all hosts see, or each host's own; of the "
                                "files that %lld hosts have made there, %s",
                                option, folder, (long long)n_hosts, text);
    }
    dt_free(all);
    return status;
}

/* -- opening the folders --------------------------------------------------------------------------------- */

/* Local. Moves the checkpoints to DIR/old-N (N: the first one free). */
static dt_status put_aside(const char *folder, dt_error *err)
{
    char old[PATH_BYTES], from[DT_DURABLE_PATH_BYTES], to[DT_DURABLE_PATH_BYTES];
    struct stat st;
    int64_t *steps, n;
    int number = 1;
    DT_TRY(dt_checkpoint_list(folder, "", &steps, &n, err));
    if (n == 0)
        return DT_OK;
    do
        snprintf(old, sizeof old, "%s/old-%d", folder, number++);
    while (lstat(old, &st) == 0);
    dt_status status = dt_durable_make_folder(old, err);
    for (int64_t i = 0; i < n && status == DT_OK; i++) {
        status = dt_checkpoint_path(folder, steps[i], "", from, err);
        if (status == DT_OK)
            status = dt_checkpoint_path(old, steps[i], "", to, err);
        if (status == DT_OK)
            status = dt_durable_rename(from, to, err);
    }
    dt_free(steps);
    if (status != DT_OK)
        return dt_error_prefix(err, "--resume never");
    dt_log_info("the older checkpoints in %s are in %s now", folder, old);
    return DT_OK;
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0) /* the folder may not exist yet */
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Local. Refuses a folder where another run works, without keeping a lock there. A folder without a file
 * `lock` is free. */
static dt_status check_free(const char *option, const char *folder, dt_comm *comm, dt_error *err)
{
    char path[DT_PATH_BYTES + 32];
    struct stat st;
    dt_run_lock *lock = NULL;
    snprintf(path, sizeof path, "%s/lock", folder);
    if (lstat(path, &st) != 0)
        return DT_OK;
    dt_status status = dt_run_lock_acquire(option, folder, comm, &lock, err);
    dt_run_lock_release(lock);
    return status == DT_ERR_USAGE ? status : DT_OK; /* DT_ERR_IO: the disk may recover */
}

/* Local. Refuses the usual folder of another run, whose lock is in the folder above. */
static dt_status check_no_other_run(const char *option, const char *folder, const char *out, dt_comm *comm,
                                    dt_error *err)
{
    char above[DT_PATH_BYTES + 16];
    snprintf(above, sizeof above, "%s/..", folder);
    return same_folder(above, out) ? DT_OK : check_free(option, above, comm, err);
}

/* Local; called by the rank that holds the folder's lock. */
static dt_status open_folder(const char *option, const char *folder, const char *out, dt_comm *comm,
                             dt_checkpoint_folders *f, int which, dt_error *err)
{
    struct stat st;
    f->made[which] = lstat(folder, &st) != 0;
    snprintf(f->owned[which], sizeof f->owned[which], "%s", folder);
    DT_TRY(dt_durable_make_folder(folder, err));
    DT_TRY(check_no_other_run(option, folder, out, comm, err));
    dt_status status = dt_run_lock_acquire(option, folder, comm, &f->locks[which], err);
    if (status == DT_ERR_IO) /* full or read-only: that may pass, and its checkpoints can be read */
        dt_log_warn("--%s: %s: continuing without a lock there", option, err->message);
    else if (status != DT_OK)
        return status;
    return DT_OK;
}

/* Local; called by the rank that commits checkpoints there. */
static dt_status try_folder(const char *option, const char *folder, dt_error *err)
{
    const dt_status status = dt_trial_folder(folder, err);
    return status == DT_OK ? DT_OK : dt_error_prefix(err, "--%s: no checkpoint can be written", option);
}

/* Local. A new training is refused if its mirror cannot be written. A restart goes on without: its own folder
 * has proved to be writable, and the mirror may recover. */
static dt_status try_mirror(const char *folder, dt_store *store, dt_error *err)
{
    int64_t *steps = NULL, n_mirrored = 0, n_here = 0, newest;
    dt_error why = {0};
    const dt_status status = try_folder("checkpoint-mirror", folder, &why);
    if (status == DT_OK)
        return DT_OK;
    if (dt_checkpoint_list(folder, "", &steps, &n_mirrored, NULL) == DT_OK)
        dt_free(steps);
    (void)store->ops->list(store, &newest, 1, &n_here, NULL);
    if (n_mirrored + n_here == 0) {
        if (err)
            *err = why;
        return status;
    }
    dt_log_warn("%s; this restart goes on without copies there until it can be written", why.message);
    return DT_OK;
}

static dt_status open_mirror(const dt_options *o, const char *folder, dt_comm *comm, dt_checkpoint_folders *f,
                             dt_error *err)
{
    bool per_host = false;
    dt_status status = DT_OK;
    DT_TRY(check_shared("checkpoint-mirror", o->checkpoint_mirror, comm, &per_host, err));
    if (per_host)
        return dt_fail_shared(err, DT_ERR_USAGE,
                              "--checkpoint-mirror: %s is a folder of each host's own; the mirror must be "
                              "one that all hosts see",
                              o->checkpoint_mirror);
    if (comm->rank == 0 && same_folder(folder, o->checkpoint_mirror))
        status =
            dt_fail(err, DT_ERR_USAGE, "--checkpoint-mirror: %s is the folder of the checkpoints themselves",
                    o->checkpoint_mirror);
    else if (comm->rank == 0)
        status = open_folder("checkpoint-mirror", o->checkpoint_mirror, o->out, comm, f, 1, err);
    if (status == DT_OK && comm->rank == 0)
        status = try_mirror(o->checkpoint_mirror, f->store, err);
    if (status == DT_OK)
        status = dt_store_hdf5_create(o->checkpoint_mirror, &f->mirror, err);
    return dt_agree(comm, status, err);
}

static dt_status open_folders(const dt_options *o, const char *usual, dt_comm *comm, dt_checkpoint_folders *f,
                              dt_error *err)
{
    const bool is_given = o->checkpoint_dir[0] != '\0';
    const char *folder = is_given ? o->checkpoint_dir : usual, *option = is_given ? "checkpoint-dir" : "out";
    dt_status status = DT_OK;
    DT_TRY(check_shared(option, folder, comm, &f->per_host, err));
    if (f->per_host && !o->checkpoint_mirror[0])
        return dt_fail_shared(
            err, DT_ERR_USAGE,
            "--%s: %s is a folder of each host's own: losing one host would lose every checkpoint; add "
            "--checkpoint-mirror DIR on storage that all hosts see, or use a folder there",
            option, folder);
    const bool leads = f->per_host ? comm->local_rank == 0 : comm->rank == 0;
    if (leads && (is_given || f->per_host))
        status = open_folder(option, folder, o->out, comm, f, 0, err);
    else if (leads) /* the run's lock covers it, but another run may have named it with --checkpoint-dir */
        status = check_free(option, folder, comm, err);
    if (status == DT_OK && leads)
        status = try_folder(option, folder, err);
    if (status == DT_OK)
        status = dt_store_hdf5_create(folder, &f->store, err);
    DT_TRY(dt_agree(comm, status, err));
    return o->checkpoint_mirror[0] ? open_mirror(o, folder, comm, f, err) : DT_OK;
}

dt_status dt_checkpoint_folders_open(const dt_options *o, const char *usual, dt_comm *comm,
                                     dt_run_locks *locks, dt_checkpoint_folders *f, dt_error *err)
{
    *f = (dt_checkpoint_folders){0};
    DT_TRY(open_folders(o, usual, comm, f, err));
    for (int i = 0; i < 2; i++)
        locks->locks[1 + i] = f->locks[i];
    dt_store_hdf5_set_guard(f->store, &locks->now);
    if (f->mirror)
        dt_store_hdf5_set_guard(f->mirror, &locks->now);
    return DT_OK;
}

dt_status dt_checkpoint_folders_put_aside(const dt_checkpoint_folders *f, dt_comm *comm, dt_error *err)
{
    dt_status status = DT_OK;
    for (int i = 0; i < 2 && status == DT_OK; i++)
        if (f->owned[i][0]) {
            status = f->locks[i] ? dt_run_lock_check(f->locks[i], err) : DT_OK;
            if (status == DT_OK)
                status = put_aside(f->owned[i], err);
        }
    return dt_agree(comm, status, err);
}

void dt_checkpoint_folders_close(dt_checkpoint_folders *f)
{
    for (int i = 0; i < 2; i++)
        dt_run_lock_release(f->locks[i]);
    if (f->mirror)
        f->mirror->ops->destroy(f->mirror);
    if (f->store)
        f->store->ops->destroy(f->store);
    for (int i = 0; i < 2; i++)
        if (f->made[i])
            (void)rmdir(f->owned[i]); /* only where it is empty */
    *f = (dt_checkpoint_folders){0};
}
