/* trace_runner.h: a runner of graphs that plans as another runner does, and reports each graph in place of
 * executing it. For the trace of a step without a GPU. */
#ifndef DT_LAUNCH_ESTIMATE_TRACE_RUNNER_H
#define DT_LAUNCH_ESTIMATE_TRACE_RUNNER_H

#include "layers/cuda/graph.h"

/* Called by plan_execute. */
typedef dt_status dt_graph_executed(void *context, const dt_graph *graph, const dt_graph_plan_info *info,
                                    dt_error *err);

/* *runner owns `inner` and destroys it, also if this fails. DT_ERR_MEMORY. */
dt_status dt_trace_runner_create(dt_graph_runner *inner, dt_graph_runner **runner, dt_error *err);

/* Report to `executed` from now on; NULL: to nobody. `runner` is from dt_trace_runner_create. */
void dt_trace_runner_report(dt_graph_runner *runner, dt_graph_executed *executed, void *context);

#endif
