/* interpreter_internal.h: shared by graph_interpreter.c (plans), interpreter_memory.c and interpreter_ops.c
 * (arithmetic). */
#ifndef DTRAIN_TESTS_EMULATED_INTERPRETER_INTERNAL_H
#define DTRAIN_TESTS_EMULATED_INTERPRETER_INTERNAL_H

#include "layers/cuda/graph.h"

/* A tensor's values, packed in the order n, c, h, w. */
typedef struct dt_values {
    int64_t dims[4];
    double *v;
} dt_values;

/* Round to what the dtype holds. */
double dt_interpreter_round(double v, dt_dtype dtype);

/* Compute one operation. in[] and out[] are in the operation's order; out[0] of a convolution holds its old
 * values if beta != 0. Results are not rounded. Returns NULL on success, or what is wrong with the graph
 * (static storage). */
const char *dt_interpreter_op(const dt_graph_op *op, dt_dtype dtype, const dt_values *const in[5],
                              dt_values *const out[5]);

/* values = what is at `data`. DT_ERR_DEVICE: an element was never written; the message names the graph. */
dt_status dt_interpreter_load(const char *graph, const dt_graph_tensor *t, const void *data,
                              dt_values *values, dt_error *err);
/* Write values to `data`, rounded to the tensor's dtype. */
void dt_interpreter_store(const dt_graph_tensor *t, void *data, const dt_values *values);

static inline int64_t dt_values_count(const dt_values *a)
{
    return a->dims[0] * a->dims[1] * a->dims[2] * a->dims[3];
}

#endif
