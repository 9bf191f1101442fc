#define _GNU_SOURCE
#include "tests/calls.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((weak)) void call_after(const call *c, int error)
{
    (void)c;
    (void)error;
}

/* -- what a call concerns -------------------------------------------------------------------------------- */

static size_t path_of(int fd, char path[CALL_PATH_BYTES])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = fd < 0 ? 0 : readlink(link, path, CALL_PATH_BYTES / 2);
    path[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void join(int folder, const char *name, char path[CALL_PATH_BYTES])
{
    const size_t n = folder == AT_FDCWD || name[0] == '/' ? 0 : path_of(folder, path);
    snprintf(path + n, CALL_PATH_BYTES - n, "%s%s", n ? "/" : "", name);
}

static void by_fd(call *c, const char *name, int fd)
{
    const int flags = REAL(fcntl)(fd, F_GETFL);
    c->name = name;
    c->changes = flags >= 0 && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_DIRECTORY) != 0);
    c->other[0] = '\0';
    (void)path_of(fd, c->path);
}

static void by_path(call *c, const char *name, bool changes, int folder, const char *path)
{
    c->name = name;
    c->changes = changes;
    c->other[0] = '\0';
    join(folder, path, c->path);
}

/* Returns -1 with the error, or makes the call. */
static bool is_refused(const call *c)
{
    int error = 0;
    if (call_before(c, &error) != CALL_FAIL)
        return false;
    call_after(c, error);
    errno = error;
    return true;
}

static int64_t done(const call *c, int64_t result)
{
    const int error = errno;
    call_after(c, result < 0 ? error : 0);
    errno = error;
    return result;
}

/* -- opening and closing --------------------------------------------------------------------------------- */

static int open_file(int folder, const char *path, int flags, mode_t mode)
{
    call c;
    by_path(&c, flags & O_CREAT ? "create" : "open", (flags & O_ACCMODE) != O_RDONLY, folder, path);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(openat)(folder, path, flags, mode));
}

#define MODE_OF(flags)                                                                                       \
    va_list list;                                                                                            \
    va_start(list, flags);                                                                                   \
    const mode_t mode = (flags)&O_CREAT ? va_arg(list, mode_t) : 0;                                          \
    va_end(list)

int open(const char *path, int flags, ...)
{
    MODE_OF(flags);
    return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags);
    return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags);
    return open_file(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags);
    return open_file(folder, path, flags, mode);
}

int close(int fd)
{
    call c;
    int error = 0;
    by_fd(&c, "close", fd);
    const bool fails = call_before(&c, &error) == CALL_FAIL;
    const int result = REAL(close)(fd);
    if (!fails)
        return (int)done(&c, result);
    call_after(&c, error);
    errno = error;
    return -1;
}

DIR *opendir(const char *path)
{
    call c;
    by_path(&c, "opendir", false, AT_FDCWD, path);
    if (is_refused(&c))
        return NULL;
    DIR *dir = REAL(opendir)(path);
    (void)done(&c, dir ? 0 : -1);
    return dir;
}

int fstatat(int folder, const char *restrict path, struct stat *restrict st, int flags)
{
    call c;
    by_path(&c, "stat", false, folder, path);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(fstatat)(folder, path, st, flags));
}

/* -- bytes ----------------------------------------------------------------------------------------------- */

/* `at` is negative for write. */
static ssize_t write_bytes(int fd, const void *data, size_t n, off_t at)
{
    call c;
    int error = 0;
    by_fd(&c, at < 0 ? "write" : "pwrite", fd);
    const call_action action = call_before(&c, &error);
    if (action == CALL_FAIL) {
        call_after(&c, error);
        errno = error;
        return -1;
    }
    char *changed = action == CALL_FLIP && n > 0 ? aligned_alloc(4096, (n + 4095) / 4096 * 4096) : NULL;
    if (changed) {
        memcpy(changed, data, n);
        changed[n - 1] ^= 1;
        data = changed;
    }
    n = action == CALL_HALF ? n / 2 : n;
    const ssize_t written = at < 0 ? REAL(write)(fd, data, n) : REAL(pwrite)(fd, data, n, at);
    (void)done(&c, written);
    free(changed);
    return written;
}

ssize_t write(int fd, const void *data, size_t n)
{
    return write_bytes(fd, data, n, -1);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return write_bytes(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return write_bytes(fd, data, n, at);
}

static ssize_t read_bytes(int fd, void *data, size_t n, off_t at)
{
    call c;
    int error = 0;
    by_fd(&c, at < 0 ? "read" : "pread", fd);
    const call_action action = call_before(&c, &error);
    if (action == CALL_FAIL) {
        call_after(&c, error);
        errno = error;
        return -1;
    }
    n = action == CALL_SKIP ? 0 : action == CALL_HALF ? n / 2 + 1 : n;
    const ssize_t got = at < 0 ? REAL(read)(fd, data, n) : REAL(pread)(fd, data, n, at);
    if (action == CALL_FLIP && got > 0)
        ((char *)data)[got - 1] ^= 1;
    return (ssize_t)done(&c, got);
}

ssize_t read(int fd, void *data, size_t n)
{
    return read_bytes(fd, data, n, -1);
}

ssize_t pread(int fd, void *data, size_t n, off_t at)
{
    return read_bytes(fd, data, n, at);
}

ssize_t pread64(int fd, void *data, size_t n, off64_t at)
{
    return read_bytes(fd, data, n, at);
}

/* -- files that are open --------------------------------------------------------------------------------- */

static int sync_file(const char *name, int fd, int (*real)(int))
{
    call c;
    int error = 0;
    by_fd(&c, name, fd);
    const call_action action = call_before(&c, &error);
    if (action != CALL_FAIL)
        return (int)done(&c, action == CALL_SKIP ? 0 : real(fd));
    call_after(&c, error);
    errno = error;
    return -1;
}

int fsync(int fd)
{
    return sync_file("fsync", fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return sync_file("fdatasync", fd, REAL(fdatasync));
}

int ftruncate(int fd, off_t length)
{
    call c;
    by_fd(&c, "ftruncate", fd);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(ftruncate)(fd, length));
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

int fallocate(int fd, int mode, off_t at, off_t length)
{
    call c;
    by_fd(&c, "fallocate", fd);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(fallocate)(fd, mode, at, length));
}

int fallocate64(int fd, int mode, off64_t at, off64_t length)
{
    return fallocate(fd, mode, at, length);
}

int flock(int fd, int operation)
{
    call c;
    by_fd(&c, "flock", fd);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(flock)(fd, operation));
}

static int control(int fd, int command, void *argument)
{
    call c;
    if (command != F_OFD_SETLK && command != F_OFD_SETLKW && command != F_SETLK && command != F_SETLKW)
        return REAL(fcntl)(fd, command, argument);
    by_fd(&c, "lock", fd);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(fcntl)(fd, command, argument));
}

int fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return control(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return control(fd, command, argument);
}

/* -- names ----------------------------------------------------------------------------------------------- */

int mkdir(const char *path, mode_t mode)
{
    call c;
    by_path(&c, "mkdir", true, AT_FDCWD, path);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(mkdir)(path, mode));
}

int rmdir(const char *path)
{
    call c;
    by_path(&c, "rmdir", true, AT_FDCWD, path);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(rmdir)(path));
}

int unlink(const char *path)
{
    call c;
    by_path(&c, "unlink", true, AT_FDCWD, path);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(unlink)(path));
}

int unlinkat(int folder, const char *path, int flags)
{
    call c;
    by_path(&c, "unlink", true, folder, path);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(unlinkat)(folder, path, flags));
}

int rename(const char *from, const char *to)
{
    call c;
    by_path(&c, "rename", true, AT_FDCWD, from);
    join(AT_FDCWD, to, c.other);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(rename)(from, to));
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    call c;
    by_path(&c, flags & RENAME_EXCHANGE ? "exchange" : "rename", true, from_folder, from);
    join(to_folder, to, c.other);
    return is_refused(&c) ? -1 : (int)done(&c, REAL(renameat2)(from_folder, from, to_folder, to, flags));
}
