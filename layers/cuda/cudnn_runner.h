/* cudnn_runner.h: runs operation graphs with cuDNN on a GPU, or plans them for a GPU that is described and
 * not present. Built WITH_CUDA only.
 *
 *   dt_cudnn_options options = {.autotune = DT_AUTOTUNE_FULL, .workspace_limit_bytes = (int64_t)1 << 30};
 *   DT_TRY(dt_cudnn_runner_create(device, &options, &runner, err));
 *   DT_TRY(dt_cudnn_runner_create_offline("NVIDIA H200", properties, &options, &runner, err));
 *
 * Only engines are used that compute in FP32 as graph.h requires and give the same bits on every run: none
 * that cuDNN notes as nondeterministic, as reducing in less than FP32, as rounding inputs down, as FFT or
 * Winograd; for FP32 none with tensor cores (they would round to TF32). Engines that are compiled at run time
 * are used only where there are no others (fused graphs of BF16), since each takes a second to inspect. So
 * `dtrain info --plans` without a GPU lists what a GPU would run.
 */
#ifndef DT_LAYERS_CUDA_CUDNN_RUNNER_H
#define DT_LAYERS_CUDA_CUDNN_RUNNER_H

#include "core/base/config.h"
#include "core/device.h"
#include "layers/cuda/graph.h"
#include "layers/cuda/plan_cache.h"

/* Most workspace of one graph in training. On sm_80 dgrad+drelu+dbn at batch 256 needs up to 0.84 GB, with
 * the backward of a join 0.85; all graphs share one workspace. */
#define DT_CUDNN_WORKSPACE_LIMIT_BYTES ((int64_t)1 << 30)

typedef struct dt_cudnn_options {
    dt_autotune_kind autotune;
    int64_t workspace_limit_bytes; /* per graph; an engine that needs more is not used */
    const char *cache_path;        /* NULL: plan_cache.h's; "": none */
} dt_cudnn_options;

/* Create a runner for this device, which must be one of layers/cuda/device_cuda and is borrowed. Plans are
 * measured on its main stream. While a plan is created, the runner allocates device memory for the inputs and
 * outputs of one graph and a workspace, and frees it. DT_ERR_UNSUPPORTED: there is no cuDNN
 * (cudnn_library.h). DT_ERR_DEVICE, DT_ERR_MEMORY. */
dt_status dt_cudnn_runner_create(dt_device *device, const dt_cudnn_options *options, dt_graph_runner **runner,
                                 dt_error *err);

/* Create a runner for a GPU that is described by cuDNN's device properties (JSON text). It needs no driver
 * and measures nothing; plan_execute returns DT_ERR_UNSUPPORTED. Engines that are compiled at run time are
 * left out, since cuDNN loads what it compiles, which needs a driver. DT_ERR_FORMAT: cuDNN rejects the
 * properties. DT_ERR_UNSUPPORTED: there is no cuDNN, or this one, or the one that the program was built with,
 * is older than 9.8 and cannot do this. */
dt_status dt_cudnn_runner_create_offline(const char *gpu_name, const char *properties,
                                         const dt_cudnn_options *options, dt_graph_runner **runner,
                                         dt_error *err);

#endif
