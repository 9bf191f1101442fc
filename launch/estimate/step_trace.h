/* step_trace.h: what one training step enqueues on a GPU that this machine need not have: the trainer's own
 * step (core/training/step.h) runs with the cuda backend on an offline device, whose launches are counted.
 *
 *   dt_step_trace_create(net, kernels, runner, &config, &trace, err);
 *   trace->n_kernels + trace->n_graphs + trace->n_copies          launches of a step on one rank
 *   dt_step_trace_destroy(trace);
 *
 * Local. One thread.
 */
#ifndef DT_LAUNCH_ESTIMATE_STEP_TRACE_H
#define DT_LAUNCH_ESTIMATE_STEP_TRACE_H

#include "core/base/config.h"
#include "core/model/net.h"
#include "layers/cuda/graph.h"

/* Something that was enqueued one after the other: a layer in one direction, or what is before or after all
 * layers (the step's beginning, the update, the record). */
typedef struct dt_step_part {
    int64_t layer; /* of dt_net_layer_traffic, from -1; DT_STEP_NO_LAYER: none */
    dt_layer_phase phase;
    int64_t n_kernels;                 /* of our own */
    int64_t n_copies;                  /* copies and fills by the CUDA runtime */
    int64_t first_graph, n_graphs;     /* in dt_step_trace.graphs */
    int64_t bytes_moved, graphs_moved; /* at least, by all of the part (0: no layer); by its graphs */
} dt_step_part;
#define DT_STEP_NO_LAYER (-2)

/* An execution of a library's graph. */
typedef struct dt_step_graph {
    int64_t bytes_moved, workspace_bytes;
    double flops;
    bool is_weight_gradient;
    bool has_sums;      /* per channel, of its output or for BatchNorm's gradient */
    int64_t n_channels; /* of the convolution's input, in memory */
} dt_step_graph;

typedef struct dt_step_trace {
    dt_step_part *parts;
    int64_t n_parts;
    dt_step_graph *graphs;
    int64_t n_graphs, n_kernels, n_copies; /* of all parts */
    int64_t n_trained;                     /* elements of the flat vector that are updated */
} dt_step_trace;

/* Enqueue one step of one micro-batch on one rank. `kernels` are of layers/cuda on an offline device, not
 * plan_only; `runner` is theirs, from trace_runner.h; `net` is built for training with them, and no
 * observer of it stays. `config`: batch, image_size, precision and what concerns the update. The caller
 * destroys *trace. DT_ERR_MEMORY, and errors of the step. */
dt_status dt_step_trace_create(dt_net *net, dt_kernels *kernels, dt_graph_runner *runner,
                               const dt_config *config, dt_step_trace **trace, dt_error *err);
void dt_step_trace_destroy(dt_step_trace *trace); /* NULL is fine */

#endif
