#define _GNU_SOURCE /* renameat2 */
#include "io/store/checkpoint_prune.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "io/durable.h"
#include "io/store/checkpoint_folder.h"
#include "io/store/checkpoint_hold.h"
#include "io/store/manifest_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that is being removed. */
typedef struct victim {
    int fd;
    char path[DT_DURABLE_PATH_BYTES];
    char name[48];
    bool has_manifest;    /* a valid one: only what it lists is dtrain's */
    dt_manifest manifest; /* owned */
} victim;

void dt_pruner_clear(dt_pruner *p)
{
    dt_free(p->reported);
    p->reported = NULL;
    p->n_reported = 0;
}

/* -- what is left alone ---------------------------------------------------------------------------------- */

/* True the first time for each name. */
static bool is_first_report(dt_pruner *p, const char *name)
{
    const size_t bytes = sizeof *p->reported;
    for (int64_t i = 0; i < p->n_reported; i++)
        if (strcmp(p->reported[i], name) == 0)
            return false;
    void *more = dt_realloc(p->reported, (size_t)p->n_reported * bytes, (size_t)(p->n_reported + 1) * bytes);
    if (!more)
        return false;
    p->reported = more;
    snprintf(p->reported[p->n_reported++], bytes, "%s", name);
    return true;
}

static void report_kept(dt_pruner *p, const char *name, const char *why)
{
    if (is_first_report(p, name))
        dt_log_warn("checkpoint: %s/%s stays: %s", p->folder, name, why);
}

static bool is_listed(const dt_manifest *m, const char *name)
{
    for (int64_t i = 0; i < m->n_shards; i++)
        if (strcmp(m->shards[i].file, name) == 0)
            return true;
    return false;
}

static bool is_ours(const victim *v, const char *name)
{
    struct stat st;
    if (fstatat(v->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return false;
    if (strcmp(name, DT_CHECKPOINT_MANIFEST) == 0)
        return true;
    return dt_checkpoint_is_shard(name) && (!v->has_manifest || is_listed(&v->manifest, name));
}

/* -- one folder ------------------------------------------------------------------------------------------ */

static void close_victim(victim *v)
{
    dt_manifest_clear(&v->manifest);
    if (v->fd >= 0)
        close(v->fd);
    v->fd = -1;
}

/* Open the folder; v->fd is -1 if there is none, or if it is not a folder itself. */
static dt_status open_victim(dt_pruner *p, int64_t step, const char *suffix, victim *v, dt_error *err)
{
    struct stat st;
    *v = (victim){.fd = -1};
    DT_TRY(dt_checkpoint_path(p->folder, step, suffix, v->path, err));
    snprintf(v->name, sizeof v->name, "%s", strrchr(v->path, '/') + 1);
    v->fd = dt_file_open_folder(v->path, O_NOFOLLOW);
    if (v->fd >= 0)
        return DT_OK;
    const int why = errno;
    if (lstat(v->path, &st) != 0)
        return errno == ENOENT ? DT_OK : dt_fail_errno(err, "%s: cannot read its attributes", v->path);
    if (!S_ISDIR(st.st_mode)) {
        report_kept(p, v->name, S_ISLNK(st.st_mode) ? "it is a link" : "it is not a folder");
        return DT_OK;
    }
    errno = why;
    return dt_fail_errno(err, "%s: cannot open the folder to remove it", v->path);
}

/* Read the manifest. A folder whose manifest a newer dtrain wrote, or is unreadable, is closed: it stays. */
static dt_status read_list(dt_pruner *p, victim *v, dt_error *err)
{
    dt_error why = {0};
    struct stat st;
    if (fstatat(v->fd, DT_CHECKPOINT_MANIFEST, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return DT_OK;
    const dt_status status =
        dt_manifest_read_file(v->fd, DT_CHECKPOINT_MANIFEST, v->path, O_NOFOLLOW, &v->manifest, &why);
    v->has_manifest = status == DT_OK;
    if (status == DT_OK || status == DT_ERR_FORMAT)
        return DT_OK;
    close_victim(v);
    if (status == DT_ERR_UNSUPPORTED) {
        report_kept(p, v->name, "a newer dtrain wrote it");
        return DT_OK;
    }
    if (err)
        *err = why;
    return status;
}

/* Remove the files that dtrain wrote, the manifest last: it lists them, so an interrupted removal can go on.
 * other[]: the name of a file that stays; "": none. */
static void remove_files(const victim *v, char other[64])
{
    const int copy = openat(v->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    other[0] = '\0';
    if (!dir) {
        if (copy >= 0)
            close(copy);
        return;
    }
    /* on some file systems readdir misses entries while others are removed: repeat until a pass removes
     * nothing */
    for (bool removed = true; removed; rewinddir(dir)) {
        removed = false;
        for (struct dirent *entry; (entry = readdir(dir));) {
            const char *name = entry->d_name;
            if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
                strcmp(name, DT_CHECKPOINT_MANIFEST) == 0)
                continue;
            if (is_ours(v, name))
                removed |= unlinkat(v->fd, name, 0) == 0;
            else if (strncmp(name, ".nfs", 4) != 0) /* what NFS keeps of a file that another process reads */
                snprintf(other, 64, "%.60s", name);
        }
    }
    closedir(dir);
    struct stat st;
    if (is_ours(v, DT_CHECKPOINT_MANIFEST))
        (void)unlinkat(v->fd, DT_CHECKPOINT_MANIFEST, 0);
    else if (fstatat(v->fd, DT_CHECKPOINT_MANIFEST, &st, AT_SYMLINK_NOFOLLOW) == 0)
        snprintf(other, 64, DT_CHECKPOINT_MANIFEST);
}

/* A folder that was renamed to be removed, and in which files of others remain, gets its name back. */
static void restore_name(const dt_pruner *p, victim *v)
{
    char path[DT_DURABLE_PATH_BYTES];
    const int64_t step = dt_checkpoint_step_of(v->name, ".old");
    if (step < 0 || dt_checkpoint_path(p->folder, step, "", path, NULL) != DT_OK ||
        renameat2(AT_FDCWD, v->path, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
        return;
    snprintf(v->name, sizeof v->name, "%s", strrchr(path, '/') + 1);
}

static dt_status remove_victim(dt_pruner *p, victim *v, dt_error *err)
{
    char other[64], why[160];
    remove_files(v, other);
    if (rmdir(v->path) == 0 || errno == ENOENT)
        return DT_OK;
    if ((errno != ENOTEMPTY && errno != EEXIST) || !other[0])
        return dt_fail_errno(err, "%s: cannot remove the folder", v->path);
    restore_name(p, v);
    snprintf(why, sizeof why, "dtrain did not write %s in it; remove it yourself, if it is not needed",
             other);
    report_kept(p, v->name, why);
    return DT_OK;
}

dt_status dt_pruner_remove(dt_pruner *p, int64_t step, const char *suffix, dt_error *err)
{
    victim v;
    DT_TRY(dt_guard_check(p->guard, err));
    DT_TRY(open_victim(p, step, suffix, &v, err));
    dt_status status = v.fd >= 0 ? read_list(p, &v, err) : DT_OK;
    if (v.fd >= 0)
        status = remove_victim(p, &v, err);
    close_victim(&v);
    return status;
}

/* -- all folders ----------------------------------------------------------------------------------------- */

static dt_status clean_suffix(dt_pruner *p, const char *suffix, dt_error *err)
{
    int64_t *steps, n;
    dt_status status = DT_OK;
    DT_TRY(dt_checkpoint_list(p->folder, suffix, &steps, &n, err));
    for (int64_t i = 0; i < n; i++) {
        const dt_status s = dt_pruner_remove(p, steps[i], suffix, status == DT_OK ? err : NULL);
        status = status == DT_OK ? s : status;
    }
    dt_free(steps);
    return status;
}

dt_status dt_pruner_clean(dt_pruner *p, dt_error *err)
{
    const dt_status status = clean_suffix(p, ".tmp", err);
    const dt_status s = clean_suffix(p, ".old", status == DT_OK ? err : NULL);
    return status == DT_OK ? s : status;
}

/* Remove a checkpoint. It is renamed first, so that a kill leaves no half folder under a final name.
 * *may_stay: it stays if a reader holds it, and then this becomes false. */
static dt_status remove_checkpoint(dt_pruner *p, int64_t step, bool *may_stay, dt_error *err)
{
    char gone[DT_DURABLE_PATH_BYTES];
    victim v;
    DT_TRY(dt_guard_check(p->guard, err));
    DT_TRY(dt_checkpoint_path(p->folder, step, ".old", gone, err));
    DT_TRY(open_victim(p, step, "", &v, err));
    if (v.fd >= 0 && dt_checkpoint_is_held(v.fd) && *may_stay) {
        *may_stay = false;
        close_victim(&v);
        return DT_OK;
    }
    dt_status status = v.fd >= 0 ? read_list(p, &v, err) : DT_OK;
    if (v.fd >= 0) {
        if (rename(v.path, gone) == 0) {
            memcpy(v.path, gone, sizeof gone);
            snprintf(v.name, sizeof v.name, "%s", strrchr(gone, '/') + 1);
        } else if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) {
            status = dt_fail_errno(err, "cannot rename %s to %s", v.path, gone);
        } /* else other files have that name: the folder is emptied where it is */
        if (status == DT_OK)
            status = remove_victim(p, &v, err);
    }
    close_victim(&v);
    return status;
}

static bool is_linked(const dt_pruner *p, int64_t step)
{
    char path[DT_DURABLE_PATH_BYTES];
    struct stat st;
    return dt_checkpoint_path(p->folder, step, "", path, NULL) == DT_OK && lstat(path, &st) == 0 &&
           !S_ISDIR(st.st_mode);
}

static dt_status prune_steps(dt_pruner *p, int64_t step, int64_t keep, dt_error *err)
{
    int64_t *steps, n, kept = 0;
    bool one_may_stay = true, none = false;
    dt_status status = DT_OK;
    DT_TRY(dt_checkpoint_list(p->folder, "", &steps, &n, err));
    for (int64_t i = 0; i < n; i++) {
        const bool linked = is_linked(p, steps[i]); /* stays, does not count, and is reported */
        if (steps[i] <= step && (linked ? kept < keep : kept++ < keep))
            continue;
        if (steps[i] > step && !linked)
            dt_log_info("checkpoint: removing step %lld in %s: training went on from before it",
                        (long long)steps[i], p->folder);
        const dt_status s = remove_checkpoint(p, steps[i], steps[i] > step ? &none : &one_may_stay,
                                              status == DT_OK ? err : NULL);
        status = status == DT_OK ? s : status;
    }
    dt_free(steps);
    return status;
}

dt_status dt_pruner_prune(dt_pruner *p, int64_t step, int64_t keep, dt_error *err)
{
    const dt_status status = dt_pruner_clean(p, err);
    const dt_status s = prune_steps(p, step, keep < 1 ? 1 : keep, status == DT_OK ? err : NULL);
    return status == DT_OK ? s : status;
}

/* -- replacing ------------------------------------------------------------------------------------------- */

/* Exchange the unfinished folder `from` with the checkpoint `to`. *left: the suffix that the replaced one has
 * then. */
static dt_status exchange(dt_pruner *p, int64_t step, const char *from, const char *to, const char **left,
                          dt_error *err)
{
    char old[DT_DURABLE_PATH_BYTES];
    *left = ".tmp";
    if (!dt_fault("store.exchange") && renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
        return DT_OK;
    /* not every file system can exchange names (NFS): for a moment this step has no checkpoint */
    *left = ".old";
    DT_TRY(dt_checkpoint_path(p->folder, step, ".old", old, err));
    DT_TRY(dt_pruner_remove(p, step, ".old", err));
    if (rename(to, old) != 0)
        return dt_fail_errno(err, "cannot rename %s to %s", to, old);
    if (!dt_fault("store.gap") && rename(from, to) == 0)
        return DT_OK;
    const dt_status status = dt_fail_errno(err, "cannot rename %s to %s", from, to);
    (void)rename(old, to); /* the caller discards the unfinished one */
    return status;
}

static dt_status sync_names(const dt_pruner *p, dt_error *err)
{
    if (!dt_fault("store.parent.fsync"))
        return dt_durable_sync_folder(p->folder, err);
    errno = EIO;
    return dt_fail_errno(err, "%s: fsync of the folder failed", p->folder);
}

dt_status dt_pruner_put_in_place(dt_pruner *p, int64_t step, dt_error *err)
{
    char from[DT_DURABLE_PATH_BYTES], to[DT_DURABLE_PATH_BYTES];
    const char *left;
    struct stat st;
    dt_error why;
    DT_TRY(dt_checkpoint_path(p->folder, step, ".tmp", from, err));
    DT_TRY(dt_checkpoint_path(p->folder, step, "", to, err));
    DT_TRY(dt_guard_check(p->guard, err));
    if (rename(from, to) == 0)
        return sync_names(p, err);
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
        return dt_fail_errno(err, "cannot rename %s to %s", from, to);
    if (lstat(to, &st) == 0 && !S_ISDIR(st.st_mode))
        return dt_fail(err, DT_ERR_IO, "%s is a %s, not a checkpoint of this run; move it elsewhere", to,
                       S_ISLNK(st.st_mode) ? "link" : "file");
    DT_TRY(exchange(p, step, from, to, &left, err));
    DT_TRY(sync_names(p, err)); /* before the replaced checkpoint goes */
    if (dt_pruner_remove(p, step, left, &why) != DT_OK)
        dt_log_warn("checkpoint: the replaced checkpoint could not be removed: %s", why.message);
    return DT_OK;
}
