#include "io/replace.h"

#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes the folder of a path with its slash, "" for the current one. */
static dt_status folder_of(const char *path, char folder[DT_DURABLE_PATH_BYTES], dt_error *err)
{
    const char *slash = strrchr(path, '/');
    return dt_durable_path(folder, err, "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
}

/* Replaces `path` by what it links to: one step. A link into /proc, such as /dev/stdout's, leads to a file
 * that some process has open. That file is not ours to replace, so this function refuses such a link. */
static dt_status follow(const char *shown, char path[DT_DURABLE_PATH_BYTES], dt_error *err)
{
    char link[DT_DURABLE_PATH_BYTES], folder[DT_DURABLE_PATH_BYTES];
    const ssize_t n = readlink(path, link, sizeof link - 1);
    if (n < 0)
        return dt_fail_errno(err, "%s", shown);
    link[n] = '\0';
    if (strncmp(link, "/proc/", 6) == 0)
        return dt_fail(err, DT_ERR_IO, "%s: is not a regular file, and would be replaced by one", shown);
    DT_TRY(folder_of(path, folder, err));
    return dt_durable_path(path, err, "%s%s", link[0] == '/' ? "" : folder, link);
}

/* Refuses what a rename must not replace. A folder like /tmp keeps a file for its owner. */
static dt_status check_kind(const char *shown, const char *path, const struct stat *st, dt_error *err)
{
    struct stat folder;
    char parent[DT_DURABLE_PATH_BYTES];
    if (S_ISDIR(st->st_mode))
        return dt_fail(err, DT_ERR_IO, "%s: there is a folder where a file should be", shown);
    if (!S_ISREG(st->st_mode))
        return dt_fail(err, DT_ERR_IO, "%s: is not a regular file, and would be replaced by one", shown);
    DT_TRY(folder_of(path, parent, err));
    if (stat(parent[0] ? parent : ".", &folder) == 0 && folder.st_mode & S_ISVTX && geteuid() != 0 &&
        st->st_uid != geteuid() && folder.st_uid != geteuid())
        return dt_fail(err, DT_ERR_IO,
                       "%s: belongs to another user, and only that user may replace it in its folder", shown);
    return DT_OK;
}

dt_status dt_replace_target(const char *path, char target[DT_DURABLE_PATH_BYTES], dt_error *err)
{
    enum { MOST_LINKS = 40 }; /* as Linux follows */
    struct stat st;
    char folder[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(target, err, "%s", path));
    for (int i = 0; i <= MOST_LINKS; i++) {
        if (lstat(target, &st) != 0) {
            if (errno != ENOENT)
                return dt_fail_errno(err, "%s", path);
            DT_TRY(folder_of(target, folder, err));
            if (stat(folder[0] ? folder : ".", &st) == 0)
                return DT_OK;
            return dt_fail_errno(err, "%s%s", path, errno == ENOENT ? ": its folder does not exist" : "");
        }
        if (!S_ISLNK(st.st_mode))
            return check_kind(path, target, &st, err);
        DT_TRY(follow(path, target, err));
    }
    errno = ELOOP;
    return dt_fail_errno(err, "%s", path);
}

dt_status dt_replace_open(const char *target, const char *temporary, int flags, int *fd, dt_error *err)
{
    struct stat old;
    const bool exists = stat(target, &old) == 0;
    const mode_t mode = exists ? old.st_mode & 0600 : 0666; /* private until its mode is set */
    DT_TRY(dt_file_open(temporary, flags | O_CREAT | O_TRUNC | O_NOFOLLOW, mode, fd, err));
    if (!exists)
        return DT_OK;
    if (fchown(*fd, old.st_uid, old.st_gid) != 0)
        errno = 0; /* only root may give files away */
    if (fchmod(*fd, old.st_mode & 0777) == 0)
        return DT_OK;
    const dt_status status = dt_fail_errno(err, "%s: cannot set its mode", temporary);
    (void)close(*fd);
    (void)unlink(temporary);
    *fd = -1;
    return status;
}

dt_status dt_replace_file(const char *path, const void *data, int64_t bytes, dt_error *err)
{
    int fd = -1;
    char target[DT_DURABLE_PATH_BYTES], temporary[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_replace_target(path, target, err));
    DT_TRY(dt_durable_path(temporary, err, "%s.tmp", target));
    DT_TRY(dt_replace_open(target, temporary, O_WRONLY, &fd, err));
    dt_status status = dt_durable_write(fd, temporary, data, bytes, 0, err);
    if (status == DT_OK)
        status = dt_durable_sync(fd, temporary, err);
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: cannot close it", temporary);
    if (status == DT_OK)
        status = dt_durable_rename(temporary, target, err);
    if (status != DT_OK)
        (void)unlink(temporary);
    return status;
}
