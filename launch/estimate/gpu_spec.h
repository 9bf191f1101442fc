/* gpu_spec.h: GPUs as described by files, for `dtrain info --plans` and tests: what cuDNN wants to know of
 * one, and what a roofline does.
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
    char model[96];        /* as CUDA calls it: "NVIDIA H200" */
    int sm;                /* 90 */
    int64_t memory_bytes;
    double bandwidth_bytes_per_s; /* of its memory, on paper */
    double flops[DT_TF32 + 1];    /* dense, with FP32 sums, on paper, by dt_dtype; 0: not given */
    char *properties;             /* cuDNN's JSON text; malloc'ed */
} dt_gpu_spec;

/* DT_ERR_USAGE: no such GPU is built in, or the file is not what it should be (one line says what);
 * DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_gpu_spec_load(const char *name_or_path, dt_gpu_spec *gpu, dt_error *err);
void dt_gpu_spec_free(dt_gpu_spec *gpu); /* a zeroed one is fine */

/* The names of those that are built in, ended by NULL. */
const char *const *dt_gpu_spec_names(void);

#endif
