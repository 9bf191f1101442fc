/* kernels_cpu.h: core/kernels.h on the CPU: oneDNN computes convolutions, our own kernels everything else.
 *
 *   dt_kernels *k = NULL;
 *   DT_TRY(dt_kernels_cpu_create(device, 2, &k, err));
 *   ... k->ops->conv_forward(k, conv, &x, w, &y, sums, err) ...
 *   k->ops->destroy(k);
 *
 * Activations are float32 in blocks of 16 or 8 channels; the processor decides which, once. No tensor is ever
 * reordered. All operations and all fusions are implemented. layers/cpu/README.md lists what is fused where,
 * and the measurements.
 */
#ifndef DT_LAYERS_CPU_KERNELS_CPU_H
#define DT_LAYERS_CPU_KERNELS_CPU_H

#include "core/base/computed_by.h"
#include "core/kernels.h"

/* What a compute thread's stack needs at least. With 16 KiB, ResNet-50 ends with a segmentation fault; with
 * 64 KiB it does not. */
#define DT_CPU_LEAST_STACK_BYTES (INT64_C(128) << 10)

/* The threads that OpenMP provides for n_threads, found when the kernels were created. Results do not depend
 * on it. */
typedef struct dt_cpu_team {
    int n_threads;             /* the caller included */
    int n_cpus;                /* processors that any of them may use */
    int64_t least_stack_bytes; /* of OpenMP's threads; INT64_MAX: it created none. With less than
                                  DT_CPU_LEAST_STACK_BYTES the backend must not compute. */
} dt_cpu_team;

/* Create the cpu backend on a host device, which it borrows and which must outlive the kernels. It computes
 * with n_threads OpenMP threads, or as many of them as OpenMP provides; every thread that calls an
 * operation gets the OpenMP setting of one thread, for oneDNN. Calls must not overlap. Local, not blocking.
 * The caller destroys it with (*kernels)->ops->destroy. Errors: DT_ERR_UNSUPPORTED when the device's memory
 * is not the host's or the system does not start the threads, DT_ERR_INTERNAL for n_threads < 1,
 * DT_ERR_DEVICE when oneDNN fails, DT_ERR_MEMORY. */
dt_status dt_kernels_cpu_create(dt_device *device, int64_t n_threads, dt_kernels **kernels, dt_error *err);

dt_cpu_team dt_kernels_cpu_team(dt_kernels *kernels);

/* Append oneDNN's version, the instruction set that it may use ("isa") and that of our own kernels
 * ("simd"). */
void dt_kernels_cpu_computed_by(dt_kernels *kernels, dt_computed_by *out);

#endif
