#include "io/source/host_memory.h"

#include "core/base/alloc.h"

void *dt_host_memory_alloc(dt_device *device, int64_t bytes)
{
    return device ? device->ops->host_alloc(device, bytes) : dt_alloc((size_t)bytes);
}

void dt_host_memory_free(dt_device *device, void *p)
{
    if (device && p)
        device->ops->host_free(device, p);
    else
        dt_free(p);
}
