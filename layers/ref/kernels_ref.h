/* kernels_ref.h: core/kernels.h in plain C: the oracle that the other backends are tested against.
 *
 *   dt_kernels *k = NULL;
 *   DT_TRY(dt_kernels_ref_create(device, DT_F32, &k, err));
 *   ... k->ops->conv_forward(k, conv, &x, w, &y, sums, err) ...
 *   k->ops->destroy(k);
 *
 * Activations are float32 NCHW, weights OIHW; every sum runs in float64, in an order that does not depend on the number
 * of threads. All fusions and all operations are there. It is a few times slower than a tuned backend, not hundreds.
 */
#ifndef DT_LAYERS_REF_KERNELS_REF_H
#define DT_LAYERS_REF_KERNELS_REF_H

#include "core/kernels.h"

/* The reference backend on a host device (borrowed; it must outlive the kernels). Local, not blocking. The caller gives it
 * back with (*kernels)->ops->destroy. Errors: DT_ERR_UNSUPPORTED when the device's memory is not the host's,
 * DT_ERR_MEMORY. */
dt_status dt_kernels_ref_create(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err);

#endif
