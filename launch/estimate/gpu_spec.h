/* gpu_spec.h: descriptions of GPUs, for `dtrain info --plans` and tests: the properties that cuDNN needs to
 * plan for a GPU, and the figures that a roofline needs.
 *
 *   dt_gpu_spec gpu;
 *   DT_TRY(dt_gpu_spec_load("h200", &gpu, err));            built in: layers/cuda/devices/h200.json
 *   DT_TRY(dt_gpu_spec_load("my/gpu.json", &gpu, err));     a file: its name has a '/' or ends with ".json"
 *   dt_gpu_spec_free(&gpu);
 *
 * To add a GPU: layers/cuda/devices/NAME.json, and its name in launch/launch.mk. Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_GPU_SPEC_H
#define DT_LAUNCH_ESTIMATE_GPU_SPEC_H

#include "core/base/error.h"
#include "core/tensor.h"

typedef struct dt_gpu_spec {
    char name[64];         /* "h200" */
    char description[128]; /* "NVIDIA H200 SXM5, 141 GB: ..." */
    char model[96];        /* CUDA's name: "NVIDIA H200" */
    int sm;                /* compute capability: 90 is 9.0 */
    int64_t memory_bytes;
    double bandwidth_bytes_per_s; /* of its memory, from the data sheet */
    double flops[DT_TF32 + 1]; /* FLOP/s by dt_dtype, dense, with FP32 sums, from the data sheet; 0: none */
    char *properties;          /* device properties in cuDNN's JSON; malloc'ed */
} dt_gpu_spec;

/* On success the caller frees *gpu with dt_gpu_spec_free. DT_ERR_USAGE: no such GPU is built in, or the file
 * is missing or malformed; the message names the reason. DT_ERR_MEMORY. */
dt_status dt_gpu_spec_load(const char *name_or_path, dt_gpu_spec *gpu, dt_error *err);
void dt_gpu_spec_free(dt_gpu_spec *gpu); /* a zeroed one is fine */

/* The names of the built-in GPUs, ended by NULL. Static storage. */
const char *const *dt_gpu_spec_names(void);

#endif
