#include "launch/estimate/offline_device.h"

#include "core/base/alloc.h"

#include <stdio.h>

/* The first address; no memory of a process is there, so an access ends the program. */
#define FIRST_ADDRESS ((uintptr_t)1 << 44)
#define ADDRESS_ALIGNMENT 256

typedef struct offline_device {
    dt_device base;
    dt_device_info info;
    uintptr_t next_address;
    int64_t n_enqueued;
} offline_device;

static void destroy(dt_device *device)
{
    dt_free(device);
}

/* -- memory: addresses only ------------------------------------------------------------------------------ */

static void *alloc_address(dt_device *device, int64_t bytes)
{
    offline_device *d = (offline_device *)device;
    const uintptr_t address = d->next_address;
    d->next_address += ((uintptr_t)bytes / ADDRESS_ALIGNMENT + 1) * ADDRESS_ALIGNMENT;
    return (void *)address; /* NOLINT(performance-no-int-to-ptr): nothing reads or writes there */
}

static void nothing_to_free(dt_device *device, void *p)
{
    (void)device, (void)p;
}

static void *host_alloc(dt_device *device, int64_t bytes)
{
    (void)device;
    return dt_calloc(1, (size_t)bytes);
}

static void host_free(dt_device *device, void *p)
{
    (void)device;
    dt_free(p);
}

static int64_t memory_free(dt_device *device)
{
    return ((const offline_device *)device)->info.memory_bytes;
}

/* -- queues: work is counted, and is done at once -------------------------------------------------------- */

static dt_status count_copy(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                            dt_stream *stream, dt_error *err)
{
    (void)dst, (void)src, (void)bytes, (void)kind, (void)err;
    if (!stream)
        ((offline_device *)device)->n_enqueued++;
    return DT_OK;
}

static dt_status count_zero(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err)
{
    return count_copy(device, dst, NULL, bytes, DT_COPY_ON_DEVICE, stream, err);
}

static dt_status stream_create(dt_device *device, dt_stream **stream, dt_error *err)
{
    (void)err;
    *stream = (dt_stream *)device;
    return DT_OK;
}

static void stream_destroy(dt_device *device, dt_stream *stream)
{
    (void)device, (void)stream;
}

static dt_status stream_wait(dt_device *device, dt_stream *stream, dt_error *err)
{
    (void)device, (void)stream, (void)err;
    return DT_OK;
}

static void *native_stream(dt_device *device, dt_stream *stream)
{
    (void)device, (void)stream;
    return NULL;
}

static dt_status event_create(dt_device *device, bool timed, dt_event **event, dt_error *err)
{
    (void)timed, (void)err;
    *event = (dt_event *)device;
    return DT_OK;
}

static void event_destroy(dt_device *device, dt_event *event)
{
    (void)device, (void)event;
}

static dt_status event_record(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err)
{
    (void)device, (void)event, (void)stream, (void)err;
    return DT_OK;
}

static dt_status stream_wait_event(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err)
{
    return event_record(device, event, stream, err);
}

static dt_status event_done(dt_device *device, dt_event *event, bool *done, dt_error *err)
{
    (void)device, (void)event, (void)err;
    *done = true;
    return DT_OK;
}

static void get_info(dt_device *device, dt_device_info *info)
{
    *info = ((const offline_device *)device)->info;
}

/* It neither measures time nor captures. */
static const dt_device_ops ops = {.name = "offline",
                                  .destroy = destroy,
                                  .alloc = alloc_address,
                                  .free = nothing_to_free,
                                  .host_alloc = host_alloc,
                                  .host_free = host_free,
                                  .memory_free = memory_free,
                                  .copy = count_copy,
                                  .zero = count_zero,
                                  .stream_create = stream_create,
                                  .stream_destroy = stream_destroy,
                                  .stream_wait = stream_wait,
                                  .native_stream = native_stream,
                                  .event_create = event_create,
                                  .event_destroy = event_destroy,
                                  .event_record = event_record,
                                  .stream_wait_event = stream_wait_event,
                                  .event_done = event_done,
                                  .info = get_info};

int64_t dt_offline_device_n_enqueued(const dt_device *device)
{
    return ((const offline_device *)device)->n_enqueued;
}

dt_status dt_offline_device_create(const dt_gpu_spec *gpu, dt_dtype precision, dt_device **device,
                                   dt_error *err)
{
    offline_device *d = dt_calloc(1, sizeof *d);
    if (!d)
        return dt_fail_memory(err, sizeof *d, "a device");
    d->base.ops = &ops;
    d->next_address = FIRST_ADDRESS;
    d->info = (dt_device_info){.memory_bytes = gpu->memory_bytes,
                               .bandwidth_bytes_per_s = gpu->bandwidth_bytes_per_s,
                               .compute_flops = gpu->flops[precision]};
    snprintf(d->info.name, sizeof d->info.name, "%s", gpu->model);
    *device = &d->base;
    return DT_OK;
}
