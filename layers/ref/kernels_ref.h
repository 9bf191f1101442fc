/* kernels_ref.h: core/kernels.h in plain C: the oracle that the other backends are tested against.
 *
 *   dt_kernels *k = NULL;
 *   DT_TRY(dt_kernels_ref_create(device, DT_F32, &k, err));
 *   ... k->ops->conv_forward(k, conv, &x, w, &y, sums, err) ...
 *   k->ops->destroy(k);
 *
 * Activations are float32 NCHW, weights OIHW. Every sum is in float64, in an order that does not depend on
 * the number of threads. All operations and all fusions are implemented. It is a few times slower than a
 * tuned backend, not hundreds of times.
 *
 * With dtype F16 or BF16 it is the oracle of mixed precision. Memory still holds float32, but what the cuda
 * backend stores in that dtype is rounded to it (layers/half.h): every activation, every gradient of one, and
 * the gradient of a weight before it is added to the flat vector. Weights, and the scale and bias before a
 * convolution, are rounded as they are read. Sums, statistics, per-channel vectors, the loss and the flat
 * vectors stay float32 or float64. BatchNorm's sums are sums of the rounded values, so fused and composed
 * operations agree.
 *
 * With dtype TF32 only the factors of matrix products are rounded, as they are read (dt_tf32_of_float).
 */
#ifndef DT_LAYERS_REF_KERNELS_REF_H
#define DT_LAYERS_REF_KERNELS_REF_H

#include "core/kernels.h"

/* Create the reference backend on a host device, which it borrows and which must outlive the kernels. dtype:
 * F32, F16, BF16 or TF32. Local, not blocking. The caller destroys it with (*kernels)->ops->destroy. Errors:
 * DT_ERR_UNSUPPORTED for another dtype or when the device's memory is not the host's, DT_ERR_MEMORY. */
dt_status dt_kernels_ref_create(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err);

#endif
