/* kernels_cpu.h: core/kernels.h on the CPU: convolutions by oneDNN, everything between them by kernels of our
 * own.
 *
 *   dt_kernels *k = NULL;
 *   DT_TRY(dt_kernels_cpu_create(device, 2, &k, err));
 *   ... k->ops->conv_forward(k, conv, &x, w, &y, sums, err) ...
 *   k->ops->destroy(k);
 *
 * Activations are float32 in blocks of 16 or 8 channels, chosen once for the processor; a tensor is never
 * reordered. All fusions and all operations are there. layers/cpu/README.md says what is fused where, and
 * what was measured.
 */
#ifndef DT_LAYERS_CPU_KERNELS_CPU_H
#define DT_LAYERS_CPU_KERNELS_CPU_H

#include "core/base/computed_by.h"
#include "core/kernels.h"

/* The oneDNN backend on a host device (borrowed; it must outlive the kernels), computing with n_threads
 * OpenMP threads, which becomes the OpenMP setting of every thread that calls an operation; call them one at
 * a time. Local, not blocking. The caller gives it back with (*kernels)->ops->destroy. Errors:
 * DT_ERR_UNSUPPORTED when the device's memory is not the host's, DT_ERR_INTERNAL for n_threads < 1,
 * DT_ERR_DEVICE when oneDNN fails, DT_ERR_MEMORY. */
dt_status dt_kernels_cpu_create(dt_device *device, int64_t n_threads, dt_kernels **kernels, dt_error *err);

/* Appends oneDNN's version, the instruction set that it may use ("isa") and that of our own kernels
 * ("simd"). */
void dt_kernels_cpu_computed_by(dt_kernels *kernels, dt_computed_by *out);

#endif
