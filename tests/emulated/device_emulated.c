/* device_emulated.c: the device's table of functions. memory_emulated.c implements memory, streams_emulated.c
 * queues. */
#include "tests/emulated/device_emulated.h"

#include "tests/emulated/device_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Finish all enqueued work before something that it may use is destroyed. The next wait returns its error. */
static void finish_all(emulated_device *d)
{
    dt_error err = {0};
    if (dt_emulated_drain_all(d, &err) != DT_OK && d->error.status == DT_OK)
        d->error = err;
}

/* -- copies ---------------------------------------------------------------------------------------------- */

typedef struct copy_work {
    unsigned char *dst;
    const unsigned char *src; /* NULL: zeros */
    size_t bytes;
    unsigned char staged[]; /* content of a pageable source when the copy was enqueued */
} copy_work;

static dt_status run_copy(void *context, dt_error *err)
{
    const copy_work *c = context;
    (void)err;
    if (c->src)
        memmove(c->dst, c->src, c->bytes);
    else
        memset(c->dst, 0, c->bytes);
    return DT_OK;
}

static dt_status push_copy(emulated_device *d, void *dst, const void *src, int64_t bytes, bool staged,
                           dt_stream *stream, dt_error *err)
{
    copy_work *c = malloc(sizeof *c + (staged ? (size_t)bytes : 0));
    if (!c)
        return dt_fail(err, DT_ERR_MEMORY, "emulated device: out of memory");
    *c = (copy_work){.dst = dst, .src = src, .bytes = (size_t)bytes};
    if (staged) {
        memcpy(c->staged, src, (size_t)bytes);
        c->src = c->staged;
    }
    const item it = {
        .kind = ITEM_WORK,
        .work = {.name = src ? "a copy" : "zero", .run = run_copy, .destroy = free, .context = c}};
    return dt_emulated_push(d, dt_emulated_stream(d, stream), &it, err);
}

/* Check that `p` lies in memory of the kind that the copy needs. *pinned: whether it is in a block of
 * host_alloc. */
static dt_status check_end(emulated_device *d, const void *p, int64_t bytes, bool wants_device, bool *pinned,
                           dt_error *err)
{
    const block *b = dt_emulated_find(d, p);
    *pinned = b && b->is_host;
    if (wants_device)
        return dt_emulated_check_range(&d->base, p, bytes, "copy", err);
    if (b && !b->is_host)
        return dt_emulated_set_fault(d, err, "copy: %p is device memory where the copy needs host memory", p);
    return DT_OK;
}

static dt_status copy_locked(emulated_device *d, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                             dt_stream *stream, dt_error *err)
{
    bool dst_pinned = false, src_pinned = false;
    dt_stream *s = dt_emulated_stream(d, stream);
    if (bytes == 0)
        return DT_OK;
    DT_TRY(check_end(d, dst, bytes, kind != DT_COPY_TO_HOST, &dst_pinned, err));
    DT_TRY(check_end(d, src, bytes, kind != DT_COPY_TO_DEVICE, &src_pinned, err));
    bool pageable = (kind == DT_COPY_TO_DEVICE && !src_pinned) || (kind == DT_COPY_TO_HOST && !dst_pinned);
    if (pageable && s->capturing)
        return dt_emulated_set_fault(d, err, "copy of pageable host memory in a capture");
    DT_TRY(push_copy(d, dst, src, bytes, pageable && kind == DT_COPY_TO_DEVICE, s, err));
    if (pageable && kind == DT_COPY_TO_HOST) /* CUDA returns after the copy */
        return dt_emulated_drain(d, s, err);
    return DT_OK;
}

/* -- the table ------------------------------------------------------------------------------------------- */

static emulated_device *lock(dt_device *device)
{
    emulated_device *d = dt_emulated(device);
    pthread_mutex_lock(&d->lock);
    return d;
}

static dt_status unlock(emulated_device *d, dt_status status)
{
    pthread_mutex_unlock(&d->lock);
    return status;
}

static void *alloc_device(dt_device *device, int64_t bytes)
{
    emulated_device *d = lock(device);
    void *p = dt_emulated_alloc(d, bytes, false);
    (void)unlock(d, DT_OK);
    return p;
}

static void *alloc_host(dt_device *device, int64_t bytes)
{
    emulated_device *d = lock(device);
    void *p = dt_emulated_alloc(d, bytes, true);
    (void)unlock(d, DT_OK);
    return p;
}

static void free_block(dt_device *device, void *p, bool is_host)
{
    if (!p)
        return;
    emulated_device *d = lock(device);
    finish_all(d);
    dt_emulated_free(d, p, is_host);
    (void)unlock(d, DT_OK);
}

static void free_device(dt_device *device, void *p)
{
    free_block(device, p, false);
}

static void free_host(dt_device *device, void *p)
{
    free_block(device, p, true);
}

static int64_t memory_free(dt_device *device)
{
    emulated_device *d = lock(device);
    int64_t bytes = d->options.memory_bytes > 0 ? d->options.memory_bytes - d->counts.live_bytes : 0;
    (void)unlock(d, DT_OK);
    return bytes;
}

static dt_status copy(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                      dt_stream *stream, dt_error *err)
{
    emulated_device *d = lock(device);
    return unlock(d, copy_locked(d, dst, src, bytes, kind, stream, err));
}

static dt_status zero(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err)
{
    emulated_device *d = lock(device);
    dt_status status = bytes > 0 ? dt_emulated_check_range(device, dst, bytes, "zero", err) : DT_OK;
    if (status == DT_OK && bytes > 0)
        status = push_copy(d, dst, NULL, bytes, false, stream, err);
    return unlock(d, status);
}

static dt_status stream_create(dt_device *device, dt_stream **stream, dt_error *err)
{
    dt_stream *s = calloc(1, sizeof *s);
    if (!s)
        return dt_fail(err, DT_ERR_MEMORY, "emulated device: out of memory");
    emulated_device *d = lock(device);
    s->next = d->streams;
    d->streams = s;
    *stream = s;
    return unlock(d, DT_OK);
}

static void stream_destroy(dt_device *device, dt_stream *stream)
{
    if (!stream)
        return;
    emulated_device *d = lock(device);
    finish_all(d);
    for (dt_stream **at = &d->streams; *at; at = &(*at)->next)
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    free(stream);
    (void)unlock(d, DT_OK);
}

static dt_status return_earlier_error(emulated_device *d, dt_error *err)
{
    dt_status status = d->error.status;
    if (status != DT_OK && err)
        *err = d->error;
    d->error.status = DT_OK;
    return status;
}

static dt_status stream_wait(dt_device *device, dt_stream *stream, dt_error *err)
{
    emulated_device *d = lock(device);
    dt_stream *s = dt_emulated_stream(d, stream);
    if (s->capturing)
        return unlock(d, dt_emulated_set_fault(d, err, "a wait for a stream that is being captured"));
    d->counts.n_host_waits += s->first ? 1 : 0;
    dt_status status = dt_emulated_drain(d, s, err);
    return unlock(d, status != DT_OK ? status : return_earlier_error(d, err));
}

/* The native handle is the dt_stream itself. */
static void *native_stream(dt_device *device, dt_stream *stream)
{
    return dt_emulated_stream(dt_emulated(device), stream);
}

static dt_status event_create(dt_device *device, bool timed, dt_event **event, dt_error *err)
{
    (void)device;
    dt_event *e = calloc(1, sizeof *e);
    if (!e)
        return dt_fail(err, DT_ERR_MEMORY, "emulated device: out of memory");
    e->timed = timed;
    *event = e;
    return DT_OK;
}

static void event_destroy(dt_device *device, dt_event *event)
{
    if (!event)
        return;
    emulated_device *d = lock(device);
    finish_all(d);
    free(event);
    (void)unlock(d, DT_OK);
}

static dt_status event_record(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err)
{
    emulated_device *d = lock(device);
    event->stream = dt_emulated_stream(d, stream);
    event->captured = false;
    const item it = {.kind = ITEM_RECORD, .event = event, .sequence = ++event->n_recorded};
    return unlock(d, dt_emulated_push(d, event->stream, &it, err));
}

static dt_status stream_wait_event(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err)
{
    emulated_device *d = lock(device);
    const item it = {.kind = ITEM_WAIT, .event = event, .sequence = event->n_recorded};
    return unlock(d, dt_emulated_push(d, dt_emulated_stream(d, stream), &it, err));
}

/* Each query runs one piece of pending work, so that polling ends. */
static dt_status event_done(dt_device *device, dt_event *event, bool *done, dt_error *err)
{
    emulated_device *d = lock(device);
    *done = event->n_done >= event->n_recorded;
    if (*done || d->capture)
        return unlock(d, return_earlier_error(d, err));
    return unlock(d, dt_emulated_step(d, event->stream, err));
}

static dt_status event_elapsed_ms(dt_device *device, dt_event *from, dt_event *to, double *ms, dt_error *err)
{
    emulated_device *d = lock(device);
    if (!from->timed || !to->timed || from->n_done < from->n_recorded || to->n_done < to->n_recorded)
        return unlock(
            d, dt_emulated_set_fault(d, err, "event_elapsed_ms of an event that is not timed or not done"));
    *ms = (to->time_s - from->time_s) * 1e3;
    return unlock(d, DT_OK);
}

static dt_status capture_begin(dt_device *device, dt_error *err)
{
    emulated_device *d = lock(device);
    return unlock(d, dt_emulated_capture_begin(d, err));
}

static dt_status capture_end(dt_device *device, void **graph, dt_error *err)
{
    emulated_device *d = lock(device);
    return unlock(d, dt_emulated_capture_end(d, graph, err));
}

static dt_status graph_launch(dt_device *device, void *graph, dt_error *err)
{
    emulated_device *d = lock(device);
    return unlock(d, dt_emulated_launch(d, graph, err));
}

static void graph_destroy(dt_device *device, void *graph)
{
    captured_graph *g = graph;
    if (!g)
        return;
    emulated_device *d = lock(device);
    finish_all(d);
    dt_emulated_free_items(g->first);
    free(g);
    d->counts.n_graphs--;
    (void)unlock(d, DT_OK);
}

static void info(dt_device *device, dt_device_info *info)
{
    const emulated_device *d = dt_emulated(device);
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "emulated GPU");
    info->memory_bytes = d->options.memory_bytes;
    info->multiprocessors = 4;
}

/* All memory, streams, events and graphs must have been freed. */
static void destroy(dt_device *device)
{
    emulated_device *d = dt_emulated(device);
    dt_error err = {0};
    if (!d)
        return;
    (void)dt_emulated_drain_all(d, &err);
    while (d->blocks) {
        block *b = d->blocks;
        fprintf(stderr, "emulated device: %lld bytes of %s memory were not freed\n", (long long)b->bytes,
                b->is_host ? "host" : "device");
        dt_emulated_free(d, b->memory, b->is_host);
    }
    if (d->fault[0] != '\0' && !d->fault_was_read)
        fprintf(stderr, "emulated device: %s\n", d->fault);
    while (d->streams)
        stream_destroy(device, d->streams);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const dt_device_ops emulated_ops = {
    .name = "emulated",
    .destroy = destroy,
    .alloc = alloc_device,
    .free = free_device,
    .host_alloc = alloc_host,
    .host_free = free_host,
    .memory_free = memory_free,
    .copy = copy,
    .zero = zero,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_wait = stream_wait,
    .native_stream = native_stream,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .stream_wait_event = stream_wait_event,
    .event_done = event_done,
    .event_elapsed_ms = event_elapsed_ms,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
    .info = info,
};

dt_status dt_device_emulated_create(const dt_emulated_options *options, dt_device **device, dt_error *err)
{
    emulated_device *d = calloc(1, sizeof *d);
    pthread_mutexattr_t recursive;
    if (!d)
        return dt_fail(err, DT_ERR_MEMORY, "emulated device: out of memory");
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE); /* running work checks ranges */
    pthread_mutex_init(&d->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    d->options = *options;
    d->ops = emulated_ops;
    if (!options->capture) {
        d->ops.capture_begin = NULL;
        d->ops.capture_end = NULL;
        d->ops.graph_launch = NULL;
        d->ops.graph_destroy = NULL;
    }
    d->base.ops = &d->ops;
    *device = &d->base;
    return DT_OK;
}

dt_status dt_emulated_enqueue(dt_device *device, void *stream, const dt_emulated_work *work, dt_error *err)
{
    emulated_device *d = lock(device);
    const item it = {.kind = ITEM_WORK, .work = *work};
    return unlock(d, dt_emulated_push(d, dt_emulated_stream(d, stream), &it, err));
}

const char *dt_emulated_fault(dt_device *device)
{
    emulated_device *d = dt_emulated(device);
    d->fault_was_read = true;
    return d->fault;
}

void dt_emulated_get_counts(dt_device *device, dt_emulated_counts *counts)
{
    emulated_device *d = lock(device);
    *counts = d->counts;
    (void)unlock(d, DT_OK);
}
