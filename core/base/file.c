#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a folder";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "of an unknown kind";
    }
}

static dt_status fail_kind(const char *shown, mode_t mode, dt_error *err)
{
    dt_status status =
        dt_fail(err, DT_ERR_IO, "%s is %s; dtrain opens regular files only", shown, kind_of(mode));
    errno = EINVAL;
    return status;
}

/* Fails with the reason in errno, which stays. */
static dt_status fail_open(int folder, const char *path, const char *shown, dt_error *err)
{
    const int reason = errno;
    struct stat st;
    /* A FIFO without a reader, a socket or a folder opened to write: open fails before fstat can say why. */
    if ((reason == ENXIO || reason == EISDIR) && fstatat(folder, path, &st, 0) == 0 && !S_ISREG(st.st_mode))
        return fail_kind(shown, st.st_mode, err);
    errno = reason;
    dt_status status = dt_fail_errno(err, "%s", shown);
    errno = reason;
    return status;
}

dt_status dt_file_open_at(int folder, const char *path, const char *shown, int flags, mode_t mode, int *fd,
                          dt_error *err)
{
    int opened;
    do
        opened = openat(folder, path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);
    while (opened < 0 && errno == EINTR);
    if (opened >= 0 && opened <= STDERR_FILENO) {
        int above = fcntl(opened, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        const int reason = errno;
        (void)close(opened);
        errno = reason;
        opened = above;
    }
    if (opened < 0)
        return fail_open(folder, path, shown, err);
    struct stat st;
    if (fstat(opened, &st) != 0) {
        dt_status status = fail_open(folder, path, shown, err);
        (void)close(opened);
        return status;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)close(opened);
        return fail_kind(shown, st.st_mode, err);
    }
    *fd = opened;
    return DT_OK;
}

dt_status dt_file_open(const char *path, int flags, mode_t mode, int *fd, dt_error *err)
{
    return dt_file_open_at(AT_FDCWD, path, path, flags, mode, fd, err);
}

int dt_file_open_folder(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int dt_file_close(int fd)
{
    return close(fd) == 0 || errno == EINTR ? 0 : -1;
}

dt_status dt_file_open_stream(const char *path, FILE **stream, dt_error *err)
{
    int fd = -1;
    DT_TRY(dt_file_open(path, O_RDONLY, 0, &fd, err));
    FILE *opened = fdopen(fd, "r");
    if (!opened) {
        const int reason = errno;
        dt_status status = dt_fail_errno(err, "%s", path);
        (void)close(fd);
        errno = reason;
        return status;
    }
    *stream = opened;
    return DT_OK;
}
