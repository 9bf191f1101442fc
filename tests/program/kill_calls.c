/* kill_calls.c: wrappers of libc's functions, linked into a program: they kill it at the n-th call that
 * changes the files of a folder.
 *
 *   DT_KILL_UNDER=checkpoints DT_KILL_AT=12 DT_KILL_RANK=1 kill_job ...
 *
 * Counted are calls on paths (or descriptors of files) with DT_KILL_UNDER in their name: mkdir, open and
 * openat for writing, write, pwrite, fallocate, ftruncate, fsync, close of a written file, rename, renameat2,
 * unlink, unlinkat, rmdir. At call number DT_KILL_AT the process dies before the call; a write of more than
 * one byte has then written half of its bytes. At its end a process writes the number of its calls to
 * DT_KILL_COUNT.RANK. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long n_calls;
static _Atomic unsigned char written[4096]; /* by descriptor: a file that is counted */
static const char *under;
static long kill_at;
static int is_our_rank, rank;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("DT_KILL_AT"), *of = getenv("DT_KILL_RANK"),
               *mine = getenv("OMPI_COMM_WORLD_RANK");
    mine = mine ? mine : getenv("PMI_RANK"); /* MPICH */
    under = getenv("DT_KILL_UNDER");
    kill_at = at ? atol(at) : 0;
    rank = mine ? atoi(mine) : 0;
    is_our_rank = !of || atoi(of) == rank;
}

__attribute__((destructor)) static void end(void)
{
    const char *base = getenv("DT_KILL_COUNT");
    char path[4096];
    if (!base || !under || n_calls == 0)
        return;
    snprintf(path, sizeof path, "%s.%d", base, rank);
    FILE *f = fopen(path, "w");
    if (f) {
        fprintf(f, "%ld\n", (long)n_calls);
        fclose(f);
    }
}

static int concerns(const char *path)
{
    return under && is_our_rank && path && strstr(path, under);
}

static int concerns_fd(int fd)
{
    return under && is_our_rank && fd >= 0 && fd < 4096 && written[fd];
}

/* Counts a call. Returns true for the call to die at. */
static int is_the_call(void)
{
    return atomic_fetch_add(&n_calls, 1) + 1 == kill_at;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void count(int concerned)
{
    if (concerned && is_the_call())
        die();
}

static int opened(int fd, const char *path, int flags)
{
    if (fd >= 0 && fd < 4096)
        written[fd] = concerns(path) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_DIRECTORY));
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    count(concerns(path) && (flags & O_ACCMODE) != O_RDONLY);
    return opened(REAL(open)(path, flags, mode), path, flags);
}

int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    count(concerns(path) && (flags & O_ACCMODE) != O_RDONLY);
    return opened(REAL(open)(path, flags, mode), path, flags);
}

/* In a folder that is open, a path is a name: only paths from the working folder or the root are counted. */
int openat(int folder, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    count(concerns(path) && (flags & O_ACCMODE) != O_RDONLY);
    return opened(REAL(openat)(folder, path, flags, mode), path, flags);
}

int openat64(int folder, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return openat(folder, path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t n)
{
    if (concerns_fd(fd) && is_the_call()) {
        (void)!REAL(write)(fd, data, n / 2);
        die();
    }
    return REAL(write)(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (concerns_fd(fd) && is_the_call()) {
        (void)!REAL(pwrite)(fd, data, n / 2, at);
        die();
    }
    return REAL(pwrite)(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return pwrite(fd, data, n, at);
}

int close(int fd)
{
    count(concerns_fd(fd));
    if (fd >= 0 && fd < 4096)
        written[fd] = 0;
    return REAL(close)(fd);
}

int fsync(int fd)
{
    count(concerns_fd(fd));
    return REAL(fsync)(fd);
}

int ftruncate(int fd, off_t length)
{
    count(concerns_fd(fd));
    return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

int fallocate(int fd, int mode, off_t at, off_t length)
{
    count(concerns_fd(fd));
    return REAL(fallocate)(fd, mode, at, length);
}

int fallocate64(int fd, int mode, off64_t at, off64_t length)
{
    return fallocate(fd, mode, at, length);
}

int mkdir(const char *path, mode_t mode)
{
    count(concerns(path));
    return REAL(mkdir)(path, mode);
}

int rmdir(const char *path)
{
    count(concerns(path));
    return REAL(rmdir)(path);
}

int unlink(const char *path)
{
    count(concerns(path));
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags)
{
    count(under && is_our_rank && (strncmp(path, "shard-", 6) == 0 || strcmp(path, "manifest.json") == 0));
    return REAL(unlinkat)(folder, path, flags);
}

int rename(const char *from, const char *to)
{
    count(concerns(from));
    return REAL(rename)(from, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    count(concerns(from));
    return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}
