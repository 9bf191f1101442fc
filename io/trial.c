#include "io/trial.h"

#include "core/base/fault.h"
#include "core/base/file.h"
#include "core/base/waits.h"
#include "io/durable.h"
#include "io/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096 };

/* As long as the real ones. The caller holds the folder's lock: no other process tries the same name. */
#define FOLDER_NAME ".trial-000000"
#define FILE_NAME "shard-0000-of-0001.h5"

/* Write, fsync and close a new file. A file that cannot be finished is removed. */
static dt_status write_file(const char *path, int flags, dt_error *err)
{
    static const char block[BLOCK_BYTES];
    int fd = -1;
    DT_TRY(dt_file_open(path, O_RDWR | O_CREAT | flags | O_NOFOLLOW, 0666, &fd, err));
    dt_status status = dt_fault("trial.write") ? dt_durable_write_failed(fd, path, ENOSPC, BLOCK_BYTES, err)
                                               : dt_durable_write(fd, path, block, BLOCK_BYTES, 0, err);
    if (status == DT_OK)
        status = dt_durable_sync(fd, path, err);
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: cannot close it", path);
    if (status != DT_OK)
        unlink(path);
    return status;
}

static dt_status rename_trial(const char *from, const char *to, dt_error *err)
{
    if (!dt_fault("trial.rename"))
        return dt_durable_rename(from, to, err);
    errno = EPERM;
    return dt_fail_errno(err, "cannot rename %s to %s", from, to);
}

/* Make the folder `unfinished` with a file, and rename it. *now: the name that it has then. */
static dt_status make_checkpoint(const char *unfinished, const char *final, const char **now, dt_error *err)
{
    char file[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(file, err, "%s/" FILE_NAME, unfinished));
    if (mkdir(unfinished, 0777) != 0 && errno != EEXIST)
        return dt_fail_errno(err, "%s: cannot make a folder", unfinished);
    DT_TRY(write_file(file, O_TRUNC, err));
    DT_TRY(dt_durable_sync_folder(unfinished, err));
    DT_TRY(rename_trial(unfinished, final, err));
    *now = final;
    return DT_OK;
}

/* Remove a folder that make_checkpoint made. */
static dt_status remove_checkpoint(const char *path, dt_error *err)
{
    char file[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(file, err, "%s/" FILE_NAME, path));
    if ((unlink(file) != 0 && errno != ENOENT) || rmdir(path) != 0)
        return dt_fail_errno(err, "%s: cannot remove it", path);
    return DT_OK;
}

static dt_status try_folder(const char *folder, dt_error *err)
{
    char unfinished[DT_DURABLE_PATH_BYTES], final[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(unfinished, err, "%s/" FOLDER_NAME ".tmp", folder));
    DT_TRY(dt_durable_path(final, err, "%s/" FOLDER_NAME, folder));
    const char *now = unfinished;
    (void)remove_checkpoint(final, NULL); /* left by a start that was killed */
    dt_status status = make_checkpoint(unfinished, final, &now, err);
    const dt_status removed = remove_checkpoint(now, status == DT_OK ? err : NULL);
    if (status != DT_OK)
        (void)remove_checkpoint(final, NULL); /* it was renamed, and the fsync after that has failed */
    return status == DT_OK ? removed : status;
}

dt_status dt_trial_folder(const char *folder, dt_error *err)
{
    const bool existed = dt_durable_is_folder(folder);
    DT_TRY(dt_durable_make_folder(folder, err));
    dt_status status = try_folder(folder, err);
    if (status != DT_OK && !existed)
        (void)rmdir(folder);
    return status;
}

/* "PATH.01a", as long as "PATH.tmp", for which there is no file. */
static dt_status free_name(const char *path, unsigned first, char *name, dt_error *err)
{
    struct stat st;
    for (unsigned i = 0; i < 0x1000; i++) {
        DT_TRY(dt_durable_path(name, err, "%s.%03x", path, (first + i) & 0xfff));
        if (lstat(name, &st) != 0)
            return DT_OK;
    }
    return dt_fail(err, DT_ERR_IO, "%s: too many files have its name with another ending", path);
}

/* The real export writes PATH.tmp and renames it to PATH; these names are as long. */
dt_status dt_trial_file(const char *path, dt_error *err)
{
    char target[DT_DURABLE_PATH_BYTES], temporary[DT_DURABLE_PATH_BYTES], from[DT_DURABLE_PATH_BYTES],
        to[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_replace_target(path, target, err));
    DT_TRY(dt_durable_path(from, err, "%s.tmp", target));
    DT_TRY(dt_replace_target(from, temporary, err));
    DT_TRY(free_name(target, (unsigned)getpid(), from, err));
    DT_TRY(free_name(target, (unsigned)getpid() + 0x800, to, err));
    dt_waits_set_unfinished(from);
    dt_status status = write_file(from, O_EXCL, err);
    if (status == DT_OK) {
        status = rename_trial(from, to, err);
        if (unlink(to) != 0 && status == DT_OK)
            status = dt_fail_errno(err, "%s: cannot remove it", to);
        if (status != DT_OK)
            unlink(from);
    }
    dt_waits_set_unfinished(NULL);
    return status;
}
