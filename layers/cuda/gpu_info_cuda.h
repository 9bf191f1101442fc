/* gpu_info_cuda.h: the GPUs and libraries that the CUDA runtime finds. Built WITH_CUDA only.
 *
 *   char why[200];
 *   int n = dt_device_cuda_count(why, sizeof why);
 *   if (n == 0) puts(why);                          "no NVIDIA driver: ..."
 *
 * `ordinal` is a GPU's number among those that the process sees, from 0. Nothing here makes a CUDA context.
 */
#ifndef DT_LAYERS_CUDA_GPU_INFO_CUDA_H
#define DT_LAYERS_CUDA_GPU_INFO_CUDA_H

#include "core/device.h"

/* Return how many GPUs this process could use. 0: none, and `why` gets the reason. */
int dt_device_cuda_count(char *why, size_t why_bytes);

/* Write "NVIDIA H200, sm_90, 139.8 GiB, 132 multiprocessors", or the error, into `text`. */
void dt_device_cuda_describe(int ordinal, char *text, size_t text_bytes);

/* The version of the CUDA runtime that is linked ("13.0"), and the newest CUDA that the driver supports
 * ("none" without a driver). */
typedef struct dt_cuda_versions {
    char runtime[32], driver[32];
} dt_cuda_versions;
void dt_device_cuda_versions(dt_cuda_versions *versions);

/* Fill in `info` (core/device.h). Bandwidth and FLOP/s are computed from clocks, bus width and the number of
 * multiprocessors. */
void dt_cuda_gpu_info(int ordinal, dt_device_info *info);

/* DT_ERR_UNSUPPORTED if this build has no kernels for the GPU. Local. */
dt_status dt_cuda_check_built_for(int ordinal, dt_error *err);

/* `code` is the cudaError_t of a call whose failure says nothing about work that was enqueued earlier. Clear
 * CUDA's record of it, so that the next cudaGetLastError does not return it. */
void dt_cuda_forget(int code);

#endif
