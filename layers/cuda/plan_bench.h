/* plan_bench.h: memory for one graph on a device, and the time of a plan there. Depends neither on cuDNN nor
 * on CUDA.
 *
 *   DT_TRY(dt_plan_bench_create(device, &graph, &bench, err));
 *   DT_TRY(dt_plan_bench_measure(bench, workspace_bytes, 5, execute, plan, &ms, err));
 *   dt_plan_bench_destroy(bench);
 */
#ifndef DT_LAYERS_CUDA_PLAN_BENCH_H
#define DT_LAYERS_CUDA_PLAN_BENCH_H

#include "core/device.h"
#include "layers/cuda/graph.h"

typedef struct dt_plan_bench dt_plan_bench;

/* Enqueue a plan once on the device's main stream; its tensors are those of the graph. */
typedef dt_status dt_plan_execute(void *context, const dt_graph_binding *tensors, int n_tensors,
                                  void *workspace, dt_error *err);

/* Allocate memory for all tensors of the graph (copied) and fill it with random numbers from -1 to 1: with
 * zeros, engines have other times and draw other currents. The device is borrowed. DT_ERR_MEMORY: the device
 * has not enough memory; DT_ERR_DEVICE. */
dt_status dt_plan_bench_create(dt_device *device, const dt_graph *graph, dt_plan_bench **bench,
                               dt_error *err);
void dt_plan_bench_destroy(dt_plan_bench *bench); /* may be NULL */

/* *ms = milliseconds per execution: the average of n_runs in a row, so that enqueueing one overlaps with
 * executing the one before it, after a first one that is not counted. Blocking. The workspace grows as
 * needed. Errors: those of execute; DT_ERR_MEMORY; DT_ERR_DEVICE. */
dt_status dt_plan_bench_measure(dt_plan_bench *bench, int64_t workspace_bytes, int n_runs,
                                dt_plan_execute *execute, void *context, double *ms, dt_error *err);

#endif
