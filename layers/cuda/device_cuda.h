/* device_cuda.h: core/device.h on the CUDA runtime: one NVIDIA GPU. Built WITH_CUDA only.
 *
 *   dt_status status = dt_device_cuda_create(comm->local_rank, comm->local_size, &device, err);
 *   if (status == DT_ERR_UNSUPPORTED) ...          no driver, no GPU, or one that this build has no code for:
 *                                                  err says which
 *
 * Nothing here needs a driver to be linked or started: the runtime is linked statically and asks for one when
 * it is first called.
 */
#ifndef DT_LAYERS_CUDA_DEVICE_CUDA_H
#define DT_LAYERS_CUDA_DEVICE_CUDA_H

#include "core/device.h"

/* Rank local_rank of the local_size on this host takes GPU number local_rank, of those that
 * CUDA_VISIBLE_DEVICES shows; where a launcher shows each rank a GPU of its own, that one. Local.
 * DT_ERR_UNSUPPORTED: no driver, one too old, no GPU, or a GPU that the kernels were not compiled for;
 * DT_ERR_USAGE: more ranks than GPUs; DT_ERR_MEMORY; DT_ERR_DEVICE: the GPU reports an error. */
dt_status dt_device_cuda_create(int local_rank, int local_size, dt_device **device, dt_error *err);

/* How many GPUs a process could use here; 0: none, and `why` says why. Makes no context. */
int dt_device_cuda_count(char *why, size_t why_bytes);

/* "NVIDIA H200, sm_90, 139.8 GiB, 132 multiprocessors" of GPU `ordinal`, without making a context. */
void dt_device_cuda_describe(int ordinal, char *text, size_t text_bytes);

/* What is linked and found: "13.0", "9.19.0"; the driver's as the newest CUDA that it supports, "none"
 * without one. */
typedef struct dt_cuda_versions {
    char runtime[32], driver[32], cudnn[32];
} dt_cuda_versions;
void dt_device_cuda_versions(dt_cuda_versions *versions);

#endif
