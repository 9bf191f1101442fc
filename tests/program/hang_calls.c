/* hang_calls.c: wrappers of libc's functions, linked into dtrain: calls on some paths do not return, as on a
 * network's disk whose server is gone.
 *
 *   DT_HANG_ON=/train/3 DT_HANG_CALL=opendir DT_HANG_RANK=1 hang_dtrain ...
 *
 * DT_HANG_ON is a part of the path (or of the path of the descriptor); DT_HANG_CALL is open, read, opendir,
 * stat or fsync, and DT_HANG_RANK a rank, or all if it is not set. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void hang_if(const char *call, const char *path)
{
    const char *on = getenv("DT_HANG_ON"), *calls = getenv("DT_HANG_CALL"), *of = getenv("DT_HANG_RANK"),
               *mine = getenv("OMPI_COMM_WORLD_RANK");
    mine = mine ? mine : getenv("PMI_RANK"); /* MPICH */
    if (!on || !calls || strcmp(calls, call) != 0 || !path || !strstr(path, on))
        return;
    if (of && strcmp(of, mine ? mine : "0") != 0)
        return;
    for (;;)
        pause();
}

static void hang_if_at(const char *call, int folder, const char *name)
{
    char link[64], path[8192];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    const ssize_t n = folder == AT_FDCWD || name[0] == '/' ? 0 : readlink(link, path, 4096);
    snprintf(path + (n > 0 ? n : 0), 4096, "%s%s", n > 0 ? "/" : "", name);
    hang_if(call, path);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    hang_if_at("open", folder, path);
    return REAL(openat)(folder, path, flags, mode);
}

ssize_t read(int fd, void *buffer, size_t bytes)
{
    if (fd > STDERR_FILENO)
        hang_if_at("read", fd, "");
    return REAL(read)(fd, buffer, bytes);
}

int fsync(int fd)
{
    hang_if_at("fsync", fd, "");
    return REAL(fsync)(fd);
}

DIR *opendir(const char *path)
{
    hang_if("opendir", path);
    return REAL(opendir)(path);
}

int fstatat(int folder, const char *restrict path, struct stat *restrict st, int flags)
{
    hang_if_at("stat", folder, path);
    return REAL(fstatat)(folder, path, st, flags);
}
