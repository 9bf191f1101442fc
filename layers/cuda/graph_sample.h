/* graph_sample.h: single elements of a graph's outputs, computed on the host in float64 from the definitions
 * in graph.h. plan_check.c compares with them what an engine wrote.
 *
 *   dt_graph_sampler sampler;
 *   dt_graph_sampler_init(&sampler, &graph);
 *   sampler.initial = ..., sampler.written = ..., sampler.context = ...;
 *   dt_graph_value expected = dt_graph_sample(&sampler, DT_GRAPH_Y, (const int64_t[4]){0, 5, 3, 3});
 *   if (!expected.is_unsure && fabs(y - expected.value) > dt_graph_tolerance(dtype, expected)) ...
 */
#ifndef DT_LAYERS_CUDA_GRAPH_SAMPLE_H
#define DT_LAYERS_CUDA_GRAPH_SAMPLE_H

#include "layers/cuda/graph.h"

#define DT_GRAPH_SAMPLER_IDS 256

typedef struct dt_graph_sampler {
    const dt_graph *graph;
    /* An element of a tensor with memory before the execution: of inputs, and of outputs with beta != 0.
     * at: n, c, h, w. */
    double (*initial)(void *context, const dt_graph_tensor *tensor, const int64_t at[4]);
    /* An element of an output after the execution: the sums over n, h, w are those of what the engine wrote,
     * since to compute all their terms would take too long. May be NULL if no sums are sampled. */
    double (*written)(void *context, const dt_graph_tensor *tensor, const int64_t at[4]);
    void *context;
    /* by the tensor's id; set by init: */
    const dt_graph_tensor *tensors[DT_GRAPH_SAMPLER_IDS];
    const dt_graph_op *writers[DT_GRAPH_SAMPLER_IDS]; /* NULL: an input */
    int slots[DT_GRAPH_SAMPLER_IDS];                  /* which of the writer's outputs it is */
    /* The latest sums, which several outputs share: those of op over channel c. */
    struct dt_graph_sums {
        const dt_graph_op *op;
        int64_t c;
        double sum[2], squares[2]; /* of two kinds of terms, and of their squares */
    } sums[4];
    int n_sums;
} dt_graph_sampler;

/* Prepare a sampler for a graph, which must outlive it. The caller then sets the two functions. */
void dt_graph_sampler_init(dt_graph_sampler *sampler, const dt_graph *graph);

typedef struct dt_graph_value {
    double value;
    double scale; /* the root of the sum of the squares of the terms: what rounding errors are relative to */
    bool is_unsure; /* it depends on the sign of a value near 0, or on sums of a virtual tensor: nothing to
                       compare with */
} dt_graph_value;

/* Compute one element of an output. The graph has passed dt_graph_check. */
dt_graph_value dt_graph_sample(dt_graph_sampler *sampler, int id, const int64_t at[4]);

/* About how many multiply-adds a sample of this output takes. */
double dt_graph_sample_cost(const dt_graph_sampler *sampler, int id);

/* Whether the output is a sum over n, h, w per channel, or is computed from such sums: then a sample reads a
 * channel of *summed[0] and *summed[1], the ids of tensors of the graph (DT_GRAPH_NONE: fewer). */
bool dt_graph_is_sum(const dt_graph_sampler *sampler, int id, int summed[2]);

/* How far an engine may be from the exact value: 1/64 in FP16 and TF32, 1/16 in BF16, 1/1000 in FP32, times
 * the larger one of the scale and the value. Engines differ from each other by less than a tenth of that
 * (order of sums, virtual tensors in 16 bits); a wrong sign, operand or border by more. */
double dt_graph_tolerance(dt_dtype dtype, dt_graph_value expected);

#endif
