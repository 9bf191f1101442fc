/* graph.h: operation graphs as data, and the interface of runners, which execute them.
 *
 *   dt_graph graph;
 *   dt_graph_conv_forward(&desc, DT_F16, true, true, &graph);                     layers/cuda/graph_conv.h
 *   status = runner->ops->plan_create(runner, &graph, NULL, &plan, err);          DT_ERR_UNSUPPORTED: compose
 *                                                                                 it of smaller graphs
 *   dt_graph_binding tensors[] = {{DT_GRAPH_X, x}, {DT_GRAPH_W, w}, ...};
 *   runner->ops->plan_execute(runner, plan, tensors, n, workspace, stream, err);  enqueues
 *
 * A graph is plain data: no pointers, no library. layers/cuda/cudnn_runner.c translates it into cuDNN's
 * descriptors and an execution plan; tests/emulated interprets it on the CPU. The comments in this file are
 * the only definition of a graph's meaning.
 *
 * Tensors have 4 dimensions n, c, h, w, in this order, with strides in elements. In memory they are NHWC (c
 * has stride 1), filters KRSC (dims k, c, r, s), vectors per channel [1, c, 1, 1]. A virtual tensor has no
 * memory: it exists between two operations. Values are computed in FP32: inputs are widened, and outputs that
 * have memory are rounded to their dtype (to nearest even) when they are written. Virtual tensors are FP32.
 * (An engine may round them to the graph's dtype; a test allows for that, and for sums in any order.)
 */
#ifndef DT_LAYERS_CUDA_GRAPH_H
#define DT_LAYERS_CUDA_GRAPH_H

#include "core/base/error.h"
#include "core/tensor.h"

#include <stddef.h>
#include <stdint.h>

/* The id of a tensor of a graph. One name per role, the same in every graph; the builders list the tensors of
 * each graph. */
typedef enum dt_graph_tensor_id {
    DT_GRAPH_NONE = 0,
    DT_GRAPH_X,  /* input of the convolution in forward */
    DT_GRAPH_W,  /* filters */
    DT_GRAPH_Y,  /* output of the convolution */
    DT_GRAPH_DX, /* gradients of the three */
    DT_GRAPH_DW,
    DT_GRAPH_DY,
    DT_GRAPH_SCALE, /* [1, c, 1, 1] of the lazily normalised x */
    DT_GRAPH_BIAS,
    DT_GRAPH_SUM, /* [1, k, 1, 1] FP32: sum, and sum of squares, of y over n, h, w */
    DT_GRAPH_SUMSQ,
    DT_GRAPH_RAW,  /* input of BatchNorm: the raw tensor whose normalised value is x */
    DT_GRAPH_MEAN, /* [1, c, 1, 1] FP32, computed by bn_finalize */
    DT_GRAPH_INVSTD,
    DT_GRAPH_GAMMA, /* [1, c, 1, 1] FP32: BatchNorm's parameters */
    DT_GRAPH_BETA,
    DT_GRAPH_DGAMMA, /* [1, c, 1, 1] FP32 */
    DT_GRAPH_DBETA,
    DT_GRAPH_COEF_A, /* [1, c, 1, 1] FP32: the gradient of raw is a * dz + b * raw + c */
    DT_GRAPH_COEF_B,
    DT_GRAPH_COEF_C,
    DT_GRAPH_SKIP,       /* the second input of a residual join, whose first is RAW, normalised */
    DT_GRAPH_SKIP_SCALE, /* [1, c, 1, 1], as SCALE and BIAS, where the skip is normalised lazily */
    DT_GRAPH_SKIP_BIAS,
    DT_GRAPH_ADD,  /* a gradient that is added to DX's: [n, c, h, w] */
    DT_GRAPH_ZERO, /* [1, c, 1, 1] FP32: only 0, only 1 */
    DT_GRAPH_ONE,
    DT_GRAPH_SKIP_MEAN, /* as MEAN ... COEF_C, of the BatchNorm whose raw tensor is SKIP */
    DT_GRAPH_SKIP_INVSTD,
    DT_GRAPH_SKIP_GAMMA,
    DT_GRAPH_SKIP_DGAMMA,
    DT_GRAPH_SKIP_DBETA,
    DT_GRAPH_SKIP_COEF_A,
    DT_GRAPH_SKIP_COEF_B,
    DT_GRAPH_SKIP_COEF_C,
    DT_GRAPH_VIRTUAL = 100 /* and above: virtual tensors */
} dt_graph_tensor_id;

typedef struct dt_graph_tensor {
    int id;
    dt_dtype dtype; /* F32, F16, BF16; TF32: FP32 in memory, products may round their factors to TF32 */
    bool is_virtual;
    bool is_output;     /* written by the graph */
    int64_t dims[4];    /* n, c, h, w; of a filter k, c, r, s */
    int64_t strides[4]; /* elements */
} dt_graph_tensor;

/* What an operation computes. in[] and out[] hold tensor ids. A vector [1, c, 1, 1] is broadcast over a whole
 * tensor. */
typedef enum dt_graph_op_kind {
    /* out0 = alpha * conv(in0 = x, in1 = w) + beta * out0: y[n,k,p,q] = sum over c, r, s of w[k,c,r,s] * x[n,
     * c, p*stride - pad + r*dilation, ...] (cross-correlation; x is 0 outside) */
    DT_GRAPH_OP_CONV_FORWARD,
    /* out0 = alpha * dgrad(in0 = dy, in1 = w) + beta * out0: dx[n,c,h,w] = sum over k, r, s, p, q with h =
     * p*stride - pad + r*dilation (and w likewise) of w[k,c,r,s] * dy[n,k,p,q] */
    DT_GRAPH_OP_CONV_BACKWARD_DATA,
    /* out0 = alpha * wgrad(in0 = x, in1 = dy) + beta * out0: dw[k,c,r,s] = sum over n, p, q of dy[n,k,p,q] *
     * x[n, c, p*stride - pad + r*dilation, ...] */
    DT_GRAPH_OP_CONV_BACKWARD_FILTER,
    DT_GRAPH_OP_ADD,           /* out0 = in0 + in1 */
    DT_GRAPH_OP_SUB,           /* out0 = in0 - in1 */
    DT_GRAPH_OP_MUL,           /* out0 = in0 * in1 */
    DT_GRAPH_OP_RELU,          /* out0 = in0 < 0 ? 0 : in0; a NaN may become 0 */
    DT_GRAPH_OP_RELU_BACKWARD, /* out0 = in1 > 0 ? in0 : 0;  in0 = dy, in1 = what ReLU read in forward */
    /* out0 = sum of in0, out1 = sum of in0^2, over n, h, w, per channel. FP32 sums of the values before or
     * after in0's rounding to its dtype:
     * the engine's choice */
    DT_GRAPH_OP_CHANNEL_SUMS,
    /* BatchNorm's parameter gradients and coefficients. in0 = raw, in1 = dz (the gradient of gamma * (raw -
     * mean) * invstd + beta), in2 = mean, in3 = invstd, in4 = gamma; m = n * h * w of raw.
     *   out0 = dgamma = sum over n, h, w of dz * (raw - mean) * invstd         out1 = dbeta = sum of dz
     *   out2 = a = gamma * invstd     out3 = b = -a * invstd * dgamma / m      out4 = c = -a * dbeta / m - b
     *                                                                          * mean
     * so that the gradient of raw is a * dz + b * raw + c. */
    DT_GRAPH_OP_BN_BACKWARD_WEIGHTS
} dt_graph_op_kind;

typedef struct dt_graph_op {
    dt_graph_op_kind kind;
    int in[5], out[5]; /* DT_GRAPH_NONE after the last one */
    /* convolutions only: */
    int64_t pad[2], stride[2], dilation[2]; /* rows, columns; pad on both sides */
    float alpha, beta;                      /* beta != 0: out0 is read too */
} dt_graph_op;

#define DT_GRAPH_MAX_TENSORS 48
#define DT_GRAPH_MAX_OPS 16

/* The operations are in an order in which they can be executed one by one. */
typedef struct dt_graph {
    char name[96];  /* for messages: "dgrad+drelu+dbn 3x3/2 128->128 56x56 n256 fp16" */
    dt_dtype dtype; /* of activations: F32, F16, BF16, TF32 */
    int n_tensors, n_ops;
    dt_graph_tensor tensors[DT_GRAPH_MAX_TENSORS];
    dt_graph_op ops[DT_GRAPH_MAX_OPS];
} dt_graph;

/* The tensor with this id; NULL if the graph has none. */
const dt_graph_tensor *dt_graph_find(const dt_graph *graph, int id);

/* Bytes that the tensor spans in memory; 0 for a virtual one. */
int64_t dt_graph_tensor_bytes(const dt_graph_tensor *tensor);

/* bytes_moved: what one execution moves if every tensor with memory is read or written once (twice for an
 * output with beta != 0). flops: what it computes, 2 operations per multiply-add of its convolution, padding
 * not counted. */
int64_t dt_graph_bytes_moved(const dt_graph *graph);
double dt_graph_flops(const dt_graph *graph);

/* Write the graph's key, for caches. Two graphs have the same key exactly if they differ at most in their
 * names. The key is a line of printable ASCII without spaces, made of every field, so it stays the same
 * between versions of dtrain as long as the graph does. */
#define DT_GRAPH_KEY_BYTES 4096
void dt_graph_key(const dt_graph *graph, char key[DT_GRAPH_KEY_BYTES]);

/* Check a graph for mistakes of our own builders: unknown ids, a virtual tensor that no operation writes,
 * dims that do not fit. DT_ERR_INTERNAL. */
dt_status dt_graph_check(const dt_graph *graph, dt_error *err);

/* -- running --------------------------------------------------------------------------------------------- */

#define DT_GRAPH_ENGINE_BYTES 256

typedef struct dt_graph_runner dt_graph_runner;
typedef struct dt_graph_plan dt_graph_plan;

typedef struct dt_graph_binding {
    int id;     /* dt_graph_tensor_id */
    void *data; /* device memory, 16-byte aligned; inputs are only read */
} dt_graph_binding;

/* An engine that a run has chosen before, here or on another GPU of the same kind. */
typedef struct dt_graph_engine {
    char name[DT_GRAPH_ENGINE_BYTES]; /* as dt_graph_plan_info.engine says */
    double time_ms;                   /* likewise */
} dt_graph_engine;

typedef struct dt_graph_plan_info {
    char engine[DT_GRAPH_ENGINE_BYTES]; /* its name, without spaces: "22:2=1,13=4" */
    int64_t workspace_bytes;            /* that plan_execute needs */
    double time_ms;                     /* measured by autotuning; 0: not measured */
    int n_candidates;                   /* engine configurations that were considered */
    bool from_cache;                    /* the choice was read from the disk */
} dt_graph_plan_info;

typedef struct dt_graph_runner_ops {
    const char *name; /* "cudnn", "cudnn, no GPU", "interpreter" */
    void (*destroy)(dt_graph_runner *runner);

    /* What plans are for: the GPU's model, its driver, the library ("NVIDIA H200, CUDA driver 13.0, cuDNN
     * 9.19.0"). Equal on two GPUs if an engine of one runs on the other and gives the same bits there. Static
     * storage or the runner's. */
    const char *(*describe)(dt_graph_runner *runner);

    /* Prepare a graph; may time candidates on the GPU (blocking). `chosen`: the engine to use, with its time,
     * if it can run here; NULL, or one that cannot: the runner chooses. The graph is copied. The plan is
     * destroyed before the runner. DT_ERR_UNSUPPORTED: no engine runs this graph within the workspace limit
     * (the caller composes it of smaller graphs); the message begins with the graph's name. DT_ERR_DEVICE,
     * DT_ERR_MEMORY. */
    dt_status (*plan_create)(dt_graph_runner *runner, const dt_graph *graph, const dt_graph_engine *chosen,
                             dt_graph_plan **plan, dt_error *err);
    void (*plan_destroy)(dt_graph_runner *runner, dt_graph_plan *plan); /* may be NULL */
    void (*plan_info)(const dt_graph_plan *plan, dt_graph_plan_info *info);

    /* Enqueue on a stream (a cudaStream_t). Every tensor of the graph that has memory is bound once, in any
     * order; no output may overlap another tensor. workspace: workspace_bytes of device memory, 256-byte
     * aligned, which nothing else may use until the stream has executed the plan (plans on one stream share
     * one). Allocates nothing; a CUDA graph may capture it. DT_ERR_DEVICE; DT_ERR_UNSUPPORTED from a runner
     * without a GPU; DT_ERR_INTERNAL: a tensor is missing. */
    dt_status (*plan_execute)(dt_graph_runner *runner, dt_graph_plan *plan, const dt_graph_binding *tensors,
                              int n_tensors, void *workspace, void *stream, dt_error *err);
} dt_graph_runner_ops;

/* Implementations begin with this. */
struct dt_graph_runner {
    const dt_graph_runner_ops *ops;
};

#endif
