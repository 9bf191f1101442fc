#include "io/store/checkpoint_folder.h"

#include "core/base/alloc.h"
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

bool dt_checkpoint_is_shard(const char *name)
{
    char again[64];
    unsigned rank = 0, n = 0;
    if (sscanf(name, "shard-%9u-of-%9u.h5", &rank, &n) != 2)
        return false;
    snprintf(again, sizeof again, "shard-%04u-of-%04u.h5", rank, n);
    return strcmp(name, again) == 0;
}

/* False for a folder with files in it of which none is dtrain's. One that is empty or cannot be listed
 * counts: reading it reports the reason. */
static bool has_checkpoint(int dir, const char *name)
{
    const int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *inside = fd < 0 ? NULL : fdopendir(fd);
    bool found = !inside, is_empty = true;
    if (!inside && fd >= 0)
        close(fd);
    for (struct dirent *entry; !found && (entry = readdir(inside));) {
        is_empty = is_empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
        found = strcmp(entry->d_name, DT_CHECKPOINT_MANIFEST) == 0 || dt_checkpoint_is_shard(entry->d_name);
    }
    if (inside)
        closedir(inside);
    return found || is_empty;
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
        if (step < 0 || !may_be_folder(dirfd(dir), entry->d_name) ||
            (!suffix[0] && !has_checkpoint(dirfd(dir), entry->d_name)))
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
