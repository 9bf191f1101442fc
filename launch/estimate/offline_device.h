/* offline_device.h: a device that exists as a description only: it returns its properties, and every
 * allocation fails. For nets that are planned and never run. */
#ifndef DT_LAUNCH_ESTIMATE_OFFLINE_DEVICE_H
#define DT_LAUNCH_ESTIMATE_OFFLINE_DEVICE_H

#include "core/device.h"
#include "launch/estimate/gpu_spec.h"

/* precision: of the FLOP/s that the device reports. The caller destroys *device. DT_ERR_MEMORY. */
dt_status dt_offline_device_create(const dt_gpu_spec *gpu, dt_dtype precision, dt_device **device,
                                   dt_error *err);

#endif
