/* plan_measure.h: measures and checks the candidates of dt_plan_choose on a device. Depends neither on cuDNN
 * nor on CUDA.
 *
 *   dt_plan_measurer m = {.device = device, .graph = &graph, .context = engines, .build = ..., ...};
 *   status = dt_plan_measurer_measure(&m, i, 5, &ms, err);
 *   status = dt_plan_measurer_check(&m, i, err);
 *   dt_plan_measurer_finish(&m);
 */
#ifndef DT_LAYERS_CUDA_PLAN_MEASURE_H
#define DT_LAYERS_CUDA_PLAN_MEASURE_H

#include "layers/cuda/plan_bench.h"

typedef struct dt_plan_measurer {
    dt_device *device; /* borrowed */
    const dt_graph *graph;
    void *context;
    /* Make candidate i runnable and return its workspace size. */
    dt_status (*build)(void *context, int i, int64_t *workspace_bytes, dt_error *err);
    /* Enqueue candidate i on the device's main stream. */
    dt_status (*execute)(void *context, int i, const dt_graph_binding *tensors, int n_tensors,
                         void *workspace, dt_error *err);
    /* used by the functions below: */
    dt_plan_bench *bench; /* created when it is first needed */
    int candidate;        /* that is being executed */
} dt_plan_measurer;

/* dt_plan_candidates.measure and .check. A candidate that fails while the device still works is unsupported:
 * DT_ERR_UNSUPPORTED (an engine may ask for too much shared memory, for example). DT_ERR_MEMORY: memory is
 * short for the graph's tensors or the workspace. DT_ERR_DEVICE: the device no longer works. */
dt_status dt_plan_measurer_measure(dt_plan_measurer *m, int i, int n_runs, double *ms, dt_error *err);
dt_status dt_plan_measurer_check(dt_plan_measurer *m, int i, dt_error *err);
void dt_plan_measurer_finish(dt_plan_measurer *m); /* free the memory */

#endif
