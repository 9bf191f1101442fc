/* lagging_kernels.h: layers/ref on a device whose work is done later: every operation is enqueued on the
 * emulated device's main stream with copies of its arguments, and can be captured, as on a GPU. So tests need
 * no GPU for the training loop's lag, slots, order of releases and captured graphs.
 *
 *   dt_device_emulated_create(&(dt_emulated_options){.lazy = true, .capture = true}, &device, &err);
 *   lagging_kernels_create(device, DT_F32, &kernels, &err);
 */
#ifndef DTRAIN_TESTS_FAKES_LAGGING_KERNELS_H
#define DTRAIN_TESTS_FAKES_LAGGING_KERNELS_H

#include "core/kernels.h"

/* Borrows the device. The caller ends it with (*kernels)->ops->destroy. */
dt_status lagging_kernels_create(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err);

#endif
