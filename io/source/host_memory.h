/* host_memory.h: memory for batches in a device's host memory: pinned, where the device has such. */
#ifndef DT_IO_SOURCE_HOST_MEMORY_H
#define DT_IO_SOURCE_HOST_MEMORY_H

#include "core/device.h"

/* `bytes` from the device's host_alloc, or from dt_alloc if `device` is NULL. NULL: out of memory. Free it
 * with dt_host_memory_free and the same device. */
void *dt_host_memory_alloc(dt_device *device, int64_t bytes);
void dt_host_memory_free(dt_device *device, void *p); /* NULL is fine */

#endif
