#include "launch/estimate/offline_device.h"

#include "core/base/alloc.h"

#include <stdio.h>

typedef struct offline_device {
    dt_device base;
    dt_device_info info;
} offline_device;

static void destroy(dt_device *device)
{
    dt_free(device);
}

static void *no_memory(dt_device *device, int64_t bytes)
{
    (void)device, (void)bytes;
    return NULL;
}

static void nothing_to_free(dt_device *device, void *p)
{
    (void)device, (void)p;
}

static int64_t memory_free(dt_device *device)
{
    return ((const offline_device *)device)->info.memory_bytes;
}

static void *no_stream(dt_device *device, dt_stream *stream)
{
    (void)device, (void)stream;
    return NULL;
}

static void get_info(dt_device *device, dt_device_info *info)
{
    *info = ((const offline_device *)device)->info;
}

/* A net that is only planned calls no other operation. */
static const dt_device_ops ops = {.name = "offline",
                                  .destroy = destroy,
                                  .alloc = no_memory,
                                  .free = nothing_to_free,
                                  .host_alloc = no_memory,
                                  .host_free = nothing_to_free,
                                  .memory_free = memory_free,
                                  .native_stream = no_stream,
                                  .info = get_info};

dt_status dt_offline_device_create(const dt_gpu_spec *gpu, dt_dtype precision, dt_device **device,
                                   dt_error *err)
{
    offline_device *d = dt_calloc(1, sizeof *d);
    if (!d)
        return dt_fail_memory(err, sizeof *d, "a device");
    d->base.ops = &ops;
    d->info = (dt_device_info){.memory_bytes = gpu->memory_bytes,
                               .bandwidth_bytes_per_s = gpu->bandwidth_bytes_per_s,
                               .compute_flops = gpu->flops[precision]};
    snprintf(d->info.name, sizeof d->info.name, "%s", gpu->model);
    *device = &d->base;
    return DT_OK;
}
