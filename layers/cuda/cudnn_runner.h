/* cudnn_runner.h: who runs operation graphs with cuDNN: on a GPU, or for one that is described and not there.
 * Built WITH_CUDA only.
 *
 *   dt_cudnn_options options = {.autotune = DT_AUTOTUNE_FULL, .workspace_limit_bytes = (int64_t)1 << 30};
 *   DT_TRY(dt_cudnn_runner_create(device, &options, &runner, err));
 *   DT_TRY(dt_cudnn_runner_create_offline("NVIDIA H200", properties, &options, &runner, err));
 *
 * Engines are taken that compute in FP32 as graph.h says, and give the same bits twice: not those that cuDNN
 * notes as nondeterministic, as reducing in less than FP32, as rounding inputs down, as FFT or Winograd; for
 * FP32 none with tensor cores (they would round to TF32). Engines that are compiled at run time are taken
 * only where there are no others (fused graphs of BF16): each takes a second to look at, and so what `dtrain
 * info --plans` says without a GPU is what happens on one.
 */
#ifndef DT_LAYERS_CUDA_CUDNN_RUNNER_H
#define DT_LAYERS_CUDA_CUDNN_RUNNER_H

#include "core/base/config.h"
#include "core/device.h"
#include "layers/cuda/graph.h"
#include "layers/cuda/plan_cache.h"

/* What a graph may want, in training. On sm_80 dgrad+drelu+dbn at batch 256 wants up to 0.83 GB; all graphs
 * share one workspace. */
#define DT_CUDNN_WORKSPACE_LIMIT_BYTES ((int64_t)1 << 30)

typedef struct dt_cudnn_options {
    dt_autotune_kind autotune;
    int64_t workspace_limit_bytes; /* per graph; one that wants more is not planned */
    const char *cache_path;        /* NULL: plan_cache.h's; "": none */
} dt_cudnn_options;

/* For this device, which has to be layers/cuda/device_cuda's and is borrowed. Plans are measured on its main
 * stream, with memory that is taken from the GPU while a plan is created and given back (inputs and outputs
 * of one graph, and a workspace). DT_ERR_DEVICE, DT_ERR_MEMORY. */
dt_status dt_cudnn_runner_create(dt_device *device, const dt_cudnn_options *options, dt_graph_runner **runner,
                                 dt_error *err);

/* For a GPU that is described by cuDNN's device properties (JSON text); nothing is measured, plan_execute is
 * DT_ERR_UNSUPPORTED, and no driver is asked. Engines that are compiled at run time are left out: cuDNN loads
 * what it compiles, which takes a driver. DT_ERR_FORMAT: cuDNN does not take these properties;
 * DT_ERR_UNSUPPORTED: built with a cuDNN before 9.8, which cannot. */
dt_status dt_cudnn_runner_create_offline(const char *gpu_name, const char *properties,
                                         const dt_cudnn_options *options, dt_graph_runner **runner,
                                         dt_error *err);

#endif
