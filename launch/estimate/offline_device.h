/* offline_device.h: a GPU that exists as a description only. It returns its properties. Its memory is
 * addresses, as many as are asked for, which nobody may read or write; its queues count what is enqueued
 * and do nothing. So a training step can be enqueued, and counted, without a GPU. */
#ifndef DT_LAUNCH_ESTIMATE_OFFLINE_DEVICE_H
#define DT_LAUNCH_ESTIMATE_OFFLINE_DEVICE_H

#include "core/device.h"
#include "launch/estimate/gpu_spec.h"

/* precision: of the FLOP/s that the device reports. The caller destroys *device. DT_ERR_MEMORY. */
dt_status dt_offline_device_create(const dt_gpu_spec *gpu, dt_dtype precision, dt_device **device,
                                   dt_error *err);

/* The number of copies and fills on the main stream so far. */
int64_t dt_offline_device_n_enqueued(const dt_device *device);

#endif
