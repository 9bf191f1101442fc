/* device_host.h: the host as a device (core/device.h). Memory comes from dt_alloc, copies finish at once,
 * streams and events are always done, and there is no capture. */
#ifndef DT_LAYERS_DEVICE_HOST_H
#define DT_LAYERS_DEVICE_HOST_H

#include "core/device.h"

/* Create the device. `n_threads` is only reported by info; the backend creates the threads. The caller
 * destroys the device with (*device)->ops->destroy. */
dt_status dt_device_host_create(int64_t n_threads, dt_device **device, dt_error *err);

#endif
