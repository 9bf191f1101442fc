#define _GNU_SOURCE /* renameat2 */
#include "io/store/checkpoint_folder.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "io/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

dt_status dt_checkpoint_path(const char *folder, int64_t step, const char *suffix, char *path, dt_error *err)
{
    return dt_durable_path(path, err, "%s/step-%08" PRId64 "%s", folder, step, suffix);
}

dt_status dt_checkpoint_file_path(const char *folder, int64_t step, const char *suffix, const char *file,
                                  char *path, dt_error *err)
{
    return dt_durable_path(path, err, "%s/step-%08" PRId64 "%s/%s", folder, step, suffix, file);
}

int64_t dt_checkpoint_step_of(const char *name, const char *suffix)
{
    char again[64];
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9')
        return -1;
    errno = 0;
    int64_t step = strtoll(name + 5, NULL, 10);
    snprintf(again, sizeof again, "step-%08" PRId64 "%s", step, suffix);
    return errno == 0 && strcmp(name, again) == 0 ? step : -1;
}

static bool is_ours(const char *name)
{
    const size_t n = strlen(name);
    return strcmp(name, DT_CHECKPOINT_MANIFEST) == 0 ||
           (n > 9 && strncmp(name, "shard-", 6) == 0 && strcmp(name + n - 3, ".h5") == 0);
}

dt_status dt_checkpoint_remove(const char *path, dt_error *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? DT_OK : dt_fail_errno(err, "%s: cannot open the folder to remove it", path);
    /* on some file systems readdir misses entries while others are removed: repeat until a pass removes
     * nothing */
    for (bool removed = true; removed; rewinddir(dir)) {
        removed = false;
        for (struct dirent *entry; (entry = readdir(dir));)
            removed |= is_ours(entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0) == 0;
    }
    closedir(dir);
    if (rmdir(path) != 0)
        return dt_fail_errno(err, "%s: cannot remove the folder", path);
    return DT_OK;
}

/* Whether this is a folder, or something whose attributes cannot be read (a dangling link, a failing disk).
 * Reading the checkpoint then reports the reason. */
static bool may_be_folder(int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, 0) == 0)
        return S_ISDIR(st.st_mode);
    return errno != ENOENT || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

dt_status dt_checkpoint_list(const char *folder, const char *suffix, int64_t **steps, int64_t *n,
                             dt_error *err)
{
    *steps = NULL;
    *n = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        const int why = errno;
        struct stat st;
        if (why == ENOENT && lstat(folder, &st) != 0)
            return DT_OK;
        errno = why; /* this includes a link to a disk that is not mounted */
        return dt_fail_errno(err, "%s: cannot list the checkpoints", folder);
    }
    dt_status status = DT_OK;
    struct dirent *entry;
    for (errno = 0; (entry = readdir(dir)); errno = 0) {
        int64_t step = dt_checkpoint_step_of(entry->d_name, suffix);
        if (step < 0 || !may_be_folder(dirfd(dir), entry->d_name))
            continue;
        int64_t *more = dt_realloc(*steps, (size_t)*n * sizeof **steps, (size_t)(*n + 1) * sizeof **steps);
        if (!more) {
            status = dt_fail_memory(err, (size_t)(*n + 1) * sizeof **steps, "the list of checkpoints");
            goto fail;
        }
        *steps = more;
        int64_t at = (*n)++;
        for (; at > 0 && more[at - 1] < step; at--)
            more[at] = more[at - 1];
        more[at] = step;
    }
    if (errno != 0) {
        status = dt_fail_errno(err, "%s: cannot list the checkpoints", folder);
        goto fail;
    }
    closedir(dir);
    return DT_OK;
fail:
    closedir(dir);
    dt_free(*steps);
    *steps = NULL;
    *n = 0;
    return status;
}

dt_status dt_checkpoint_put_in_place(const char *from, const char *to, dt_error *err)
{
    if (rename(from, to) == 0)
        return DT_OK;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return dt_fail_errno(err, "cannot rename %s to %s", from, to);
    char old[DT_DURABLE_PATH_BYTES];
    if (dt_fault("store.exchange") || renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) != 0) {
        /* not every file system can exchange names (NFS): for a moment this step has no checkpoint */
        DT_TRY(dt_durable_path(old, err, "%s.old", to));
        DT_TRY(dt_checkpoint_remove(old, err));
        if (rename(to, old) != 0 || dt_fault("store.gap") || rename(from, to) != 0)
            return dt_fail_errno(err, "cannot rename %s to %s", from, to);
        from = old;
    }
    dt_error ignored;
    if (dt_checkpoint_remove(from, &ignored) != DT_OK)
        dt_log_warn("checkpoint: the replaced checkpoint could not be removed: %s", ignored.message);
    return DT_OK;
}
