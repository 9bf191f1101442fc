/* graph_build.h: the parts of which graph_conv.c and the graphs of residual joins are built. All functions
 * append to a graph that begin has emptied, and return the id of the tensor that they add or write. */
#ifndef DT_LAYERS_CUDA_GRAPH_BUILD_H
#define DT_LAYERS_CUDA_GRAPH_BUILD_H

#include "core/kernels.h"
#include "layers/cuda/graph.h"

/* Begin an empty graph whose name gives the operations (`what`), the filter, the channels and the size. */
void dt_graph_begin(dt_graph *g, const dt_conv_desc *desc, dt_dtype dtype, const char *what);

/* Tensors in memory: x, y or w of the convolution, in the graph's dtype; a vector [1, c, 1, 1]. */
int dt_graph_add_x(dt_graph *g, const dt_conv_desc *desc, int id, bool is_output);
int dt_graph_add_y(dt_graph *g, const dt_conv_desc *desc, int id, bool is_output);
int dt_graph_add_w(dt_graph *g, const dt_conv_desc *desc, int id, bool is_output);
int dt_graph_add_vector(dt_graph *g, int64_t c, int id, dt_dtype dtype, bool is_output);
/* A virtual tensor of x's shape: the output of one operation and the input of another. */
int dt_graph_add_virtual(dt_graph *g, const dt_conv_desc *desc);

/* in1: DT_GRAPH_NONE for an operation with one input. */
int dt_graph_add_op(dt_graph *g, dt_graph_op_kind kind, int in0, int in1, int out);
/* A convolution of desc's padding and stride: out = conv + beta * out. */
int dt_graph_add_conv(dt_graph *g, const dt_conv_desc *desc, dt_graph_op_kind kind, int in0, int in1, int out,
                      float beta);

/* SUM and SUMSQ of the convolution's output y. */
void dt_graph_add_sums(dt_graph *g, const dt_conv_desc *desc, int y);

/* The tensors of one BatchNorm: raw and the vectors that backward reads and writes. */
typedef struct dt_graph_bn {
    int raw, mean, invstd, gamma, beta;        /* inputs */
    int dgamma, dbeta, coef_a, coef_b, coef_c; /* outputs */
} dt_graph_bn;

/* add_bn_inputs: raw [n, c, h, w] and the FP32 vectors that are read; beta may be NONE if add_bn_value is not
 * called. add_bn_value: return the normalised value, ((raw - mean) * invstd) * gamma + beta; cuDNN requires
 * these four operations. add_bn_weights: the outputs, by DT_GRAPH_OP_BN_BACKWARD_WEIGHTS from raw and dz. */
void dt_graph_add_bn_inputs(dt_graph *g, const dt_conv_desc *desc, const dt_graph_bn *bn);
int dt_graph_add_bn_value(dt_graph *g, const dt_conv_desc *desc, const dt_graph_bn *bn);
void dt_graph_add_bn_weights(dt_graph *g, const dt_conv_desc *desc, const dt_graph_bn *bn, int dz);

#endif
