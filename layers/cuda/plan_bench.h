/* plan_bench.h: memory for one graph on a device, executions of a plan there, their time, and whether they
 * write the same bits. Depends neither on cuDNN nor on CUDA.
 *
 *   DT_TRY(dt_plan_bench_create(device, &graph, &bench, err));
 *   const dt_plan_run run = {.execute = execute, .context = plan, .workspace_bytes = workspace_bytes};
 *   DT_TRY(dt_plan_bench_measure(bench, &run, 5, &ms, err));
 *   dt_plan_bench_destroy(bench);
 */
#ifndef DT_LAYERS_CUDA_PLAN_BENCH_H
#define DT_LAYERS_CUDA_PLAN_BENCH_H

#include "core/device.h"
#include "layers/cuda/graph.h"

typedef struct dt_plan_bench dt_plan_bench;

/* A plan that the bench executes. */
typedef struct dt_plan_run {
    /* Enqueue the plan once on the device's main stream; its tensors are those of the graph. */
    dt_status (*execute)(void *context, const dt_graph_binding *tensors, int n_tensors, void *workspace,
                         dt_error *err);
    void *context;
    int64_t workspace_bytes; /* that it needs */
} dt_plan_run;

/* Allocate memory for all tensors of the graph (copied) and fill it, outputs too, with random numbers from -1
 * to 1, of which every 17th is 0: with zeros alone, engines have other times and draw other currents. Every
 * tensor has other numbers. The device is borrowed. DT_ERR_MEMORY: the device has not enough memory;
 * DT_ERR_DEVICE. */
dt_status dt_plan_bench_create(dt_device *device, const dt_graph *graph, dt_plan_bench **bench,
                               dt_error *err);
void dt_plan_bench_destroy(dt_plan_bench *bench); /* may be NULL */

/* *ms = milliseconds per execution: the average of n_runs in a row, so that enqueueing one overlaps with
 * executing the one before it, after a first one that is not counted. The bits of the first and of the last
 * execution are compared; a graph that adds to its output is executed once more for that. Blocking. The
 * workspace grows as needed. Errors: those of execute; DT_ERR_UNSUPPORTED: the bits differ; DT_ERR_MEMORY;
 * DT_ERR_DEVICE. */
dt_status dt_plan_bench_measure(dt_plan_bench *bench, const dt_plan_run *run, int n_runs, double *ms,
                                dt_error *err);

/* -- single executions, for plan_check.c ----------------------------------------------------------------- */

const dt_graph *dt_plan_bench_graph(const dt_plan_bench *bench);

/* Fill all outputs with their random numbers again, execute the plan once, and wait for it. */
dt_status dt_plan_bench_run(dt_plan_bench *bench, const dt_plan_run *run, dt_error *err);

/* keep_bits: enqueue copies of the outputs' bits; compare_bits: compare them, blocking, with the outputs. Of
 * an output of more than 1 MiB, 8 parts of 128 KiB are compared. DT_ERR_UNSUPPORTED: they differ; the message
 * names the graph and the tensor. */
dt_status dt_plan_bench_keep_bits(dt_plan_bench *bench, dt_error *err);
dt_status dt_plan_bench_compare_bits(dt_plan_bench *bench, dt_error *err);

/* An element, at n, c, h, w, of a tensor with memory as it was filled. */
double dt_plan_bench_initial(const dt_plan_bench *bench, const dt_graph_tensor *tensor, const int64_t at[4]);

/* n elements of a tensor with memory as they are now. Blocking. */
dt_status dt_plan_bench_read(dt_plan_bench *bench, const dt_graph_tensor *tensor, const int64_t (*at)[4],
                             int n, double *values, dt_error *err);

/* n channels of a packed NHWC tensor with memory as they are now, values[n][dims n * h * w]. Blocking;
 * copies the whole tensor to the host piece by piece. */
dt_status dt_plan_bench_read_channels(dt_plan_bench *bench, const dt_graph_tensor *tensor,
                                      const int64_t *channels, int n, float *values, dt_error *err);

#endif
