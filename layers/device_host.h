/* device_host.h: the host as a device (core/device.h): memory from dt_alloc, copies at once, streams and
 * events that are always done, no capture. */
#ifndef DT_LAYERS_DEVICE_HOST_H
#define DT_LAYERS_DEVICE_HOST_H

#include "core/device.h"

/* `n_threads` compute threads are reported in info; creating them is the backend's affair. The caller
 * destroys it with (*device)->ops->destroy. */
dt_status dt_device_host_create(int64_t n_threads, dt_device **device, dt_error *err);

#endif
