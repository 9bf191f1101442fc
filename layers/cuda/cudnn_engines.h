/* cudnn_engines.h: the engine configurations that cuDNN proposes for a graph, and plans made of them. Inside
 * layers/cuda, with CUDA only. */
#ifndef DT_LAYERS_CUDA_CUDNN_ENGINES_H
#define DT_LAYERS_CUDA_CUDNN_ENGINES_H

#include "layers/cuda/cudnn_graph.h"
#include "layers/cuda/plan_cache.h"

#define DT_CUDNN_MAX_ENGINES 96

/* The target of plans: a GPU that is present, or the properties of one that is not. */
typedef struct dt_cudnn_target {
    cudnnHandle_t handle;                /* NULL: no GPU is present */
    cudnnBackendDescriptor_t properties; /* NULL: the handle's */
} dt_cudnn_target;

typedef struct dt_cudnn_engines {
    int n;
    cudnnBackendDescriptor_t configs[DT_CUDNN_MAX_ENGINES];
    cudnnBackendDescriptor_t plans[DT_CUDNN_MAX_ENGINES];   /* NULL until made */
    bool is_compiled[DT_CUDNN_MAX_ENGINES];                 /* at run time */
    char names[DT_CUDNN_MAX_ENGINES][DT_PLAN_ENGINE_BYTES]; /* "22:2=1,13=4": engine, then knobs and their
                                                               values */
} dt_cudnn_engines;

/* Find the configurations that cudnn_runner.h allows, in cuDNN's order, each once. The caller zeroes *engines
 * before. Finding none is no error. */
dt_status dt_cudnn_engines_find(const dt_graph *graph, const dt_cudnn_graph *cudnn_graph,
                                const dt_cudnn_target *target, dt_cudnn_engines *engines, dt_error *err);
void dt_cudnn_engines_destroy(dt_cudnn_engines *engines); /* may be zeroed */

/* Make configuration i's plan unless it exists, and return its workspace size. */
dt_status dt_cudnn_engines_plan(dt_cudnn_engines *engines, int i, const dt_graph *graph,
                                const dt_cudnn_target *target, int64_t *workspace_bytes, dt_error *err);

#endif
