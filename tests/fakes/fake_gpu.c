/* fake_gpu.c: the device, its memory and events. See fake_gpu.h. */
#include "tests/fakes/fake_gpu_internal.h"

#include "core/base/alloc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_llong n_allocs;

int64_t fake_gpu_n_allocs(void)
{
    return atomic_load(&n_allocs);
}

static void *native_stream(dt_device *device, dt_stream *stream)
{
    return fake_gpu_stream(fake_gpu_of(device), stream);
}

/* -- events ---------------------------------------------------------------------------------------------- */

static dt_status event_create(dt_device *device, bool timed, dt_event **event, dt_error *err)
{
    (void)device;
    (void)timed;
    (void)err;
    *event = fake_gpu_must(calloc(1, sizeof **event));
    return DT_OK;
}

static void event_destroy(dt_device *device, dt_event *event)
{
    (void)device;
    free(event);
}

static dt_status event_record(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err)
{
    (void)err;
    fake_gpu_push(
        fake_gpu_of(device),
        (node){.kind = RECORD, .stream = fake_gpu_stream(fake_gpu_of(device), stream), .event = event});
    return DT_OK;
}

static dt_status stream_wait_event(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err)
{
    (void)err;
    fake_gpu_push(
        fake_gpu_of(device),
        (node){.kind = WAIT, .stream = fake_gpu_stream(fake_gpu_of(device), stream), .event = event});
    return DT_OK;
}

static dt_status event_done(dt_device *device, dt_event *event, bool *done, dt_error *err)
{
    fake_gpu *g = fake_gpu_of(device);
    pthread_mutex_lock(&g->mutex);
    const bool captured = event->of_capture;
    *done = event->done == event->recorded;
    pthread_mutex_unlock(&g->mutex);
    return captured ? dt_fail(err, DT_ERR_DEVICE, "fake GPU: an event of a capture cannot be asked") : DT_OK;
}

static dt_status event_elapsed_ms(dt_device *device, dt_event *from, dt_event *to, double *ms, dt_error *err)
{
    (void)device;
    (void)from;
    (void)to;
    (void)err;
    *ms = 1.0;
    return DT_OK;
}

/* -- memory ---------------------------------------------------------------------------------------------- */

static void *device_alloc(dt_device *device, int64_t bytes)
{
    (void)device;
    atomic_fetch_add(&n_allocs, 1);
    return dt_alloc((size_t)bytes);
}

static void device_free(dt_device *device, void *p)
{
    (void)device;
    dt_free(p);
}

static int64_t memory_free(dt_device *device)
{
    (void)device;
    return 0;
}

typedef struct copy_arguments {
    void *dst;
    const void *src;
    int64_t bytes;
} copy_arguments;

static void copy_work(void *p)
{
    const copy_arguments *a = p;
    if (a->src)
        memcpy(a->dst, a->src, (size_t)a->bytes);
    else
        memset(a->dst, 0, (size_t)a->bytes);
}

static dt_status copy(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                      dt_stream *stream, dt_error *err)
{
    (void)kind;
    (void)err;
    fake_gpu_enqueue(fake_gpu_stream(fake_gpu_of(device), stream), copy_work,
                     &(copy_arguments){dst, src, bytes}, sizeof(copy_arguments));
    return DT_OK;
}

static dt_status zero(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err)
{
    return copy(device, dst, NULL, bytes, DT_COPY_ON_DEVICE, stream, err);
}

/* -- the device ------------------------------------------------------------------------------------------ */

static void info(dt_device *device, dt_device_info *out)
{
    (void)device;
    *out = (dt_device_info){.multiprocessors = 1};
    snprintf(out->name, sizeof out->name, "fake GPU");
}

static void destroy(dt_device *device)
{
    fake_gpu *g = fake_gpu_of(device);
    if (!g)
        return;
    fake_gpu_end_streams(g);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->mutex);
    free(g);
}

dt_device *fake_gpu_create(void)
{
    static const dt_device_ops ops = {.name = "fake GPU",
                                      .destroy = destroy,
                                      .alloc = device_alloc,
                                      .free = device_free,
                                      .host_alloc = device_alloc,
                                      .host_free = device_free,
                                      .memory_free = memory_free,
                                      .copy = copy,
                                      .zero = zero,
                                      .stream_create = fake_gpu_stream_create,
                                      .stream_destroy = fake_gpu_stream_destroy,
                                      .stream_wait = fake_gpu_stream_wait,
                                      .native_stream = native_stream,
                                      .event_create = event_create,
                                      .event_destroy = event_destroy,
                                      .event_record = event_record,
                                      .stream_wait_event = stream_wait_event,
                                      .event_done = event_done,
                                      .event_elapsed_ms = event_elapsed_ms,
                                      .capture_begin = fake_gpu_capture_begin,
                                      .capture_end = fake_gpu_capture_end,
                                      .graph_launch = fake_gpu_graph_launch,
                                      .graph_destroy = fake_gpu_graph_destroy,
                                      .info = info};
    fake_gpu *g = fake_gpu_must(calloc(1, sizeof *g));
    dt_stream *main_stream = NULL;
    g->head.ops = &ops;
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
    (void)fake_gpu_stream_create(&g->head, &main_stream, NULL);
    return &g->head;
}
