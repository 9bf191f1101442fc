/* plan_check.h: whether a plan computes what graph.h defines, and the same bits each time. Depends neither on
 * cuDNN nor on CUDA.
 *
 *   status = dt_plan_check(bench, &run, err);        DT_ERR_UNSUPPORTED: use another engine
 */
#ifndef DT_LAYERS_CUDA_PLAN_CHECK_H
#define DT_LAYERS_CUDA_PLAN_CHECK_H

#include "layers/cuda/plan_bench.h"

/* Execute the plan on the bench's random numbers, and compare with graph_sample.h: elements of every output,
 * among them its corners, at most 64; of sums over n, h, w, those of three channels. Then execute it three
 * times more and compare the bits. Blocking. Errors: those of the plan; DT_ERR_UNSUPPORTED: an element
 * deviates by more than dt_graph_tolerance, or bits differ; the message names the graph, the element, both
 * values and the tolerance; DT_ERR_MEMORY; DT_ERR_DEVICE. */
dt_status dt_plan_check(dt_plan_bench *bench, const dt_plan_run *run, dt_error *err);

#endif
