#define _GNU_SOURCE /* sync_file_range */
#include "io/file_writer.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "io/durable.h"
#include "io/file_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES ((int64_t)8 << 20) /* with less, the disk waits too often for the next block */

typedef struct block {
    char *data;
    int64_t bytes, at; /* at: the offset in the file */
    bool is_read;      /* back, from the file; else it is written */
} block;

struct dt_file_writer {
    dt_file_writer_options options;
    dt_durable_hasher *hasher;
    char hex[33];     /* of what was written */
    char *buffers[2]; /* one is filled while the other one is written */
    int64_t capacity; /* of each, as far as this file needs it */
    dt_file_writer_memory own;
    int current;  /* the one that is filled */
    int64_t used; /* bytes of it */
    int64_t at;   /* the offset of its first byte in the file; a multiple of DT_FILE_PAGE_BYTES */
    bool direct;  /* the descriptor has O_DIRECT; changed by the thread that writes */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    block block;  /* to be written or read, if `busy` */
    bool busy;    /* the thread is not done with the block yet */
    bool leave;   /* the thread is to end */
    dt_error why; /* of the first block that failed */
    dt_status status;
};

/* -- writing --------------------------------------------------------------------------------------------- */

static void leave_direct(dt_file_writer *w)
{
    if (w->direct)
        (void)dt_file_set_direct(w->options.fd, false); /* what cannot be taken back was not set */
    w->direct = false;
}

/* Past the page cache. False: this file system does not do that, after all; write the rest of the block as
 * usual. *bytes: of the block that were written. */
static bool write_direct(const dt_file_writer *w, const block *b, int64_t *written)
{
    while (*written < b->bytes) {
        const ssize_t n = pwrite(w->options.fd, b->data + *written, (size_t)(b->bytes - *written),
                                 (off_t)(b->at + *written));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || n % DT_FILE_PAGE_BYTES != 0)
            return false; /* the usual write returns the reason if there is one */
        *written += n;
    }
    return true;
}

static dt_status write_block(dt_file_writer *w, const block *b, dt_error *err)
{
    const dt_file_writer_options *o = &w->options;
    int64_t written = 0;
    if (o->fault_write && dt_fault(o->fault_write)) {
        leave_direct(w);
        (void)dt_durable_write(o->fd, o->path, b->data, b->bytes / 2, b->at, NULL);
        return dt_durable_write_failed(o->fd, o->path, EIO, b->bytes, err);
    }
    if (o->fault_space && dt_fault(o->fault_space))
        return dt_durable_write_failed(o->fd, o->path, ENOSPC, b->bytes, err);
    if (w->direct && write_direct(w, b, &written))
        return DT_OK;
    leave_direct(w);
    DT_TRY(dt_durable_write(o->fd, o->path, b->data + written, b->bytes - written, b->at + written, err));
    /* No harm if it fails: fsync writes the block. */
    (void)sync_file_range(o->fd, (off_t)b->at, (off_t)b->bytes, SYNC_FILE_RANGE_WRITE);
    return DT_OK;
}

/* -- the thread ------------------------------------------------------------------------------------------ */

static dt_status transfer(dt_file_writer *w, const block *b, dt_error *err)
{
    if (!b->is_read)
        return write_block(w, b, err);
    return dt_file_read_block(w->options.fd, w->options.path, &w->direct, b->data, b->bytes, b->at, err);
}

static void *transfer_blocks(void *context)
{
    dt_file_writer *w = context;
    dt_error why = {0};
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->busy && !w->leave)
            pthread_cond_wait(&w->changed, &w->mutex);
        if (!w->busy)
            break;
        const block b = w->block;
        pthread_mutex_unlock(&w->mutex);
        const dt_status status = transfer(w, &b, &why);
        pthread_mutex_lock(&w->mutex);
        if (w->status == DT_OK) {
            w->status = status;
            w->why = why;
        }
        w->busy = false;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* Wait until no block is under way; returns the error of the first that failed. */
static dt_status wait_idle(dt_file_writer *w, dt_error *err)
{
    pthread_mutex_lock(&w->mutex);
    while (w->busy)
        pthread_cond_wait(&w->changed, &w->mutex);
    const dt_status status = w->status;
    if (status != DT_OK && err)
        *err = w->why;
    pthread_mutex_unlock(&w->mutex);
    return status;
}

/* In the thread; without one, at once. */
static dt_status start_block(dt_file_writer *w, const block *b, dt_error *err)
{
    if (!w->has_thread)
        return transfer(w, b, err);
    pthread_mutex_lock(&w->mutex);
    w->block = *b;
    w->busy = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    return DT_OK;
}

/* Hand the buffer's whole pages to the disk, and go on in the other buffer with the bytes after them. */
static dt_status submit(dt_file_writer *w, dt_error *err)
{
    const int64_t rest = w->used % DT_FILE_PAGE_BYTES;
    const block b = {w->buffers[w->current], w->used - rest, w->at, false};
    char *other = w->buffers[1 - w->current];
    DT_TRY(wait_idle(w, err));
    memcpy(other, b.data + b.bytes, (size_t)rest);
    if (b.bytes > 0)
        DT_TRY(start_block(w, &b, err));
    w->current = 1 - w->current;
    w->used = rest;
    w->at += b.bytes;
    return DT_OK;
}

/* -- the interface --------------------------------------------------------------------------------------- */

void dt_file_writer_memory_clear(dt_file_writer_memory *m)
{
    dt_free(m->buffers[0]);
    dt_free(m->buffers[1]);
    *m = (dt_file_writer_memory){0};
}

static dt_status provide_buffers(dt_file_writer *w, dt_error *err)
{
    dt_file_writer_memory *m = w->options.memory ? w->options.memory : &w->own;
    if (m->capacity < w->capacity)
        dt_file_writer_memory_clear(m);
    for (int i = 0; i < 2; i++) {
        m->buffers[i] = m->buffers[i] ? m->buffers[i] : dt_alloc_large((size_t)w->capacity);
        w->buffers[i] = m->buffers[i];
    }
    m->capacity = m->capacity > 0 ? m->capacity : w->capacity;
    if (m->buffers[0] && m->buffers[1])
        return DT_OK;
    dt_file_writer_memory_clear(m);
    return dt_fail_memory(err, (size_t)w->capacity, "writing a file");
}

dt_status dt_file_writer_create(const dt_file_writer_options *options, dt_file_writer **writer, dt_error *err)
{
    dt_file_writer *w = dt_calloc(1, sizeof *w);
    if (!w)
        return dt_fail_memory(err, sizeof *w, "writing a file");
    dt_status status = DT_OK;
    const bool is_large = options->bytes > BLOCK_BYTES;
    w->options = *options;
    w->capacity = (is_large ? BLOCK_BYTES : options->bytes) + DT_FILE_PAGE_BYTES + options->largest;
    pthread_mutex_init(&w->mutex, NULL); /* on Linux neither fails */
    pthread_cond_init(&w->changed, NULL);
    DT_TRY_OR_FAIL(status, dt_durable_reserve(options->fd, options->path, options->bytes, err));
    DT_TRY_OR_FAIL(status, dt_durable_hasher_create(&w->hasher, err));
    DT_TRY_OR_FAIL(status, provide_buffers(w, err));
    w->direct = is_large && dt_file_set_direct(options->fd, true);
    /* without a thread (the system may refuse one) the caller's own writes */
    w->has_thread = is_large && pthread_create(&w->thread, NULL, transfer_blocks, w) == 0;
    *writer = w;
    return DT_OK;
fail:
    dt_file_writer_destroy(w);
    return status;
}

void *dt_file_writer_room(dt_file_writer *w, int64_t bytes)
{
    (void)bytes; /* always there: append leaves less than a block in the buffer */
    return w->buffers[w->current] + w->used;
}

dt_status dt_file_writer_append(dt_file_writer *w, int64_t bytes, dt_error *err)
{
    dt_durable_hasher_add(w->hasher, w->buffers[w->current] + w->used, bytes);
    w->used += bytes;
    return w->used >= BLOCK_BYTES ? submit(w, err) : DT_OK;
}

dt_status dt_file_writer_finish(dt_file_writer *w, char hex[33], dt_error *err)
{
    DT_TRY(submit(w, err));
    DT_TRY(wait_idle(w, err));
    leave_direct(w); /* the last bytes are no whole page */
    const block last = {w->buffers[w->current], w->used, w->at, false};
    if (last.bytes > 0)
        DT_TRY(write_block(w, &last, err));
    if (w->at + w->used != w->options.bytes)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: %lld bytes were written instead of %lld", w->options.path,
                       (long long)(w->at + w->used), (long long)w->options.bytes);
    dt_durable_hasher_get(w->hasher, w->hex);
    memcpy(hex, w->hex, sizeof w->hex);
    return DT_OK;
}

/* The disk reads a block, as large as the buffers are, while the one before is hashed. */
static dt_status hash_file(dt_file_writer *w, dt_error *err)
{
    const int64_t bytes = w->options.bytes, most = w->capacity / DT_FILE_PAGE_BYTES * DT_FILE_PAGE_BYTES;
    block hashed = {0};
    dt_durable_hasher_reset(w->hasher);
    for (int64_t at = 0; at < bytes; at += most) {
        w->current = 1 - w->current;
        const int64_t n = bytes - at < most ? bytes - at : most;
        const block b = {w->buffers[w->current], n, at, true};
        DT_TRY(start_block(w, &b, err));
        dt_durable_hasher_add(w->hasher, hashed.data, hashed.bytes);
        DT_TRY(wait_idle(w, err));
        hashed = b;
    }
    dt_durable_hasher_add(w->hasher, hashed.data, hashed.bytes);
    return DT_OK;
}

dt_status dt_file_writer_sync_and_check(dt_file_writer *w, dt_error *err)
{
    const dt_file_writer_options *o = &w->options;
    char hex[sizeof w->hex];
    if (o->fault_fsync && dt_fault(o->fault_fsync)) {
        errno = EIO;
        return dt_fail_errno(err, "%s: fsync failed, so the file may not be on the disk", o->path);
    }
    DT_TRY(dt_durable_sync(o->fd, o->path, err));
    if (o->fault_hash && dt_fault(o->fault_hash)) {
        errno = EIO;
        return dt_fail_errno(err, "%s: cannot read it back", o->path);
    }
    /* so that without O_DIRECT the disk is read, too; a file system without a disk may keep it */
    (void)posix_fadvise(o->fd, 0, 0, POSIX_FADV_DONTNEED);
    w->direct = o->bytes > BLOCK_BYTES && dt_file_set_direct(o->fd, true);
    const dt_status status = hash_file(w, err);
    (void)wait_idle(w, NULL);
    leave_direct(w);
    DT_TRY(status);
    dt_durable_hasher_get(w->hasher, hex);
    if (strcmp(hex, w->hex) != 0)
        return dt_fail(
            err, DT_ERR_IO,
            "%s: was read back with XXH3-128 %s, but %s was written: the disk changed it; check the "
            "disk or choose another folder",
            o->path, hex, w->hex);
    return DT_OK;
}

void dt_file_writer_destroy(dt_file_writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->leave = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    leave_direct(w);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    dt_durable_hasher_destroy(w->hasher);
    dt_file_writer_memory_clear(&w->own);
    dt_free(w);
}
