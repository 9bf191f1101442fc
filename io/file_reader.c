#define _GNU_SOURCE /* O_DIRECT, preadv2 */
#include "io/file_reader.h"

#include "core/base/alloc.h"
#include "io/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#define PART_BYTES ((int64_t)4 << 20)
#define N_PARTS 4 /* all but one are read at a time: with fewer, the disk waits for the next one */

typedef struct part {
    int fd;
    const char *path;
    bool direct;
    char *data;
    int64_t bytes, at;

    pthread_t thread;
    bool has_thread;
    dt_status status;
    dt_error error;
} part;

bool dt_file_set_direct(int fd, bool direct)
{
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* As far as this file system does that; *done: bytes that were read. */
static dt_status read_direct(int fd, const char *path, char *data, int64_t bytes, int64_t at, int64_t *done,
                             dt_error *err)
{
    while (*done < bytes && *done % DT_FILE_PAGE_BYTES == 0) {
        /* the last page ends early */
        const int64_t pages = (bytes - *done + DT_FILE_PAGE_BYTES - 1) / DT_FILE_PAGE_BYTES;
        const ssize_t n = pread(fd, data + *done, (size_t)(pages * DT_FILE_PAGE_BYTES), (off_t)(at + *done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EINVAL)
            return dt_fail_errno(err, "%s: cannot read %lld bytes at %lld", path, (long long)bytes,
                                 (long long)at);
        if (n <= 0)
            break; /* the usual read returns the reason */
        *done += n;
    }
    return DT_OK;
}

dt_status dt_file_read_block(int fd, const char *path, bool *direct, char *data, int64_t bytes, int64_t at,
                             dt_error *err)
{
    int64_t done = 0;
    if (*direct)
        DT_TRY(read_direct(fd, path, data, bytes, at, &done, err));
    if (done >= bytes)
        return DT_OK;
    if (*direct)
        (void)dt_file_set_direct(fd, false);
    *direct = false;
    return dt_durable_read(fd, path, data + done, bytes - done, at + done, err);
}

bool dt_file_is_cached(int fd, int64_t bytes)
{
    enum { N = 8 };
    bool cached = true;
    for (int64_t i = 0; i < N && cached; i++) {
        char byte;
        const struct iovec to = {&byte, 1};
        errno = 0;
        cached =
            preadv2(fd, &to, 1, (off_t)(bytes / N * i + bytes / N / 2), RWF_NOWAIT) == 1 || errno != EAGAIN;
    }
    return cached;
}

static void *read_part(void *context)
{
    part *p = context;
    p->status = dt_file_read_block(p->fd, p->path, &p->direct, p->data, p->bytes, p->at, &p->error);
    return NULL;
}

/* The i-th part of [at, at + bytes), in a thread of its own; if the system refuses one, at once. */
static void start(part *p, int64_t i, int64_t at, int64_t bytes)
{
    const int64_t done = i * PART_BYTES, left = bytes - done;
    p->bytes = left < PART_BYTES ? left : PART_BYTES;
    p->at = at + done;
    p->has_thread = pthread_create(&p->thread, NULL, read_part, p) == 0;
    if (!p->has_thread)
        (void)read_part(p);
}

static void wait_for(part *p)
{
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    p->has_thread = false;
}

dt_status dt_file_read_past_cache(int fd, const char *path, int64_t at, int64_t bytes,
                                  dt_file_consume *consume, void *context, dt_error *err)
{
    const int64_t n = (bytes + PART_BYTES - 1) / PART_BYTES;
    dt_status status = DT_OK;
    part parts[N_PARTS];
    char *data = dt_alloc_large(N_PARTS * PART_BYTES);
    if (!data)
        return dt_fail_memory(err, N_PARTS * PART_BYTES, "reading a file");
    const bool direct = dt_file_set_direct(fd, true);
    for (int64_t i = 0; i < N_PARTS; i++) {
        parts[i] = (part){.fd = fd, .path = path, .direct = direct, .data = data + i * PART_BYTES};
        if (i < n)
            start(&parts[i], i, at, bytes);
    }
    for (int64_t i = 0; i < n && status == DT_OK; i++) {
        part *p = &parts[i % N_PARTS];
        wait_for(p);
        status = p->status;
        if (status != DT_OK && err)
            *err = p->error;
        if (status == DT_OK)
            consume(context, p->data, p->bytes);
        if (status == DT_OK && i + N_PARTS < n)
            start(p, i + N_PARTS, at, bytes);
    }
    for (int64_t i = 0; i < N_PARTS; i++)
        wait_for(&parts[i]);
    (void)dt_file_set_direct(fd, false);
    dt_free(data);
    return status;
}
