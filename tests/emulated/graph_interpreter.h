/* graph_interpreter.h: a dt_graph_runner (layers/cuda/graph.h) that computes a graph on the CPU, operation by
 * operation, in float64.
 *
 *   dt_graph_runner *runner = NULL;
 *   dt_graph_interpreter_create(device, &(dt_interpreter_options){.gpu = DT_INTERPRET_A100}, &runner, &err);
 *
 * It follows the graph literally: strides as they are, operands as the operation names them. So a wrong
 * stride, a swapped operand or a missing term gives wrong numbers. Tensors are rounded as graph.h says: those
 * with memory to their dtype, virtual ones to FP32, a convolution's factors to the graph's dtype (which
 * tensor cores read).
 *
 * An execution is refused, and a fault of the emulated device, when a tensor is missing, bound twice,
 * unknown, not 16-byte aligned, not wholly inside one allocation, or overlaps an output; or when an input has
 * an unwritten element. The workspace is overwritten with ones before each execution, so data that is kept
 * there is lost.
 */
#ifndef DTRAIN_TESTS_EMULATED_GRAPH_INTERPRETER_H
#define DTRAIN_TESTS_EMULATED_GRAPH_INTERPRETER_H

#include "core/device.h"
#include "layers/cuda/graph.h"
#include "layers/cuda/plan_cache.h"

/* The GPU whose engines are imitated: which graphs have an engine, by the table in layers/cuda/README.md. */
typedef enum dt_interpreted_gpu {
    DT_INTERPRET_ALL,  /* any graph */
    DT_INTERPRET_A100, /* FP16 and BF16: any but fusions around the image's 4 channels; TF32 and FP32:
                          single operations */
    DT_INTERPRET_T4    /* single operations */
} dt_interpreted_gpu;

/* One of several engines that run every graph. Each multiplies the results of convolutions by a number of its
 * own, close to 1, so that bits show which one ran. */
typedef struct dt_interpreted_engine {
    const char *name;
    double ms; /* what a measurement finds */
} dt_interpreted_engine;

typedef struct dt_interpreter_options {
    dt_interpreted_gpu gpu;
    bool refuse_accumulate; /* no engine for beta != 0 */
    /* Called with each graph before it is stored; may plant a mistake. NULL: none. */
    void (*spoil)(dt_graph *graph, void *context);
    void *spoil_context;
    /* The engines of a library, from which dt_plan_choose chooses by their times; n_engines 0: there is one,
     * which is not measured. They, the cache and the text must outlive the runner. */
    const dt_interpreted_engine *engines;
    int n_engines;
    const char *rejected; /* the engine that fails the check; NULL: none */
    dt_plan_cache *cache; /* of choices; NULL: none */
    const char *kind;     /* for describe; NULL: by `gpu` */
    bool relu_loses_nan;  /* ReLU makes a NaN 0, as a library may */
    /* The operation that writes the tensor nan_tensor makes its first element NaN, in every graph whose name
     * contains this text. NULL: none. */
    const char *nan_graph;
    int nan_tensor;
    bool checks_names; /* refuse a graph that has the name of a different one: lists of engines go by names */
} dt_interpreter_options;

/* Create a runner on an emulated device (device_emulated.h), which it borrows. Errors: DT_ERR_MEMORY. */
dt_status dt_graph_interpreter_create(dt_device *device, const dt_interpreter_options *options,
                                      dt_graph_runner **runner, dt_error *err);

/* The number of plans that exist, and of executions so far. */
int64_t dt_graph_interpreter_live_plans(const dt_graph_runner *runner);
int64_t dt_graph_interpreter_executions(const dt_graph_runner *runner);
/* The number of graphs for which engines were measured. */
int64_t dt_graph_interpreter_tunings(const dt_graph_runner *runner);

#endif
