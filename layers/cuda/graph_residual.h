/* graph_residual.h: builds the graphs that include a residual join. Conventions as in graph_conv.h. */
#ifndef DT_LAYERS_CUDA_GRAPH_RESIDUAL_H
#define DT_LAYERS_CUDA_GRAPH_RESIDUAL_H

#include "core/kernels.h"
#include "layers/cuda/graph.h"

/* The join, and the convolution that reads it first:
 *   X = relu((SCALE * RAW + BIAS) + skip), Y = conv(X, W), SUM and SUMSQ of Y as in dt_graph_conv_forward
 * with skip = SKIP, or SKIP_SCALE * SKIP + SKIP_BIAS if skip_is_lazy. RAW is the branch's tensor; RAW,
 * SKIP and X are [n, c, h, w]; X is written, because later layers and backward read it. The convolution reads
 * X as it is rounded to dtype. The scales and biases are [1, c, 1, 1] of dtype. cuDNN has no graph without
 * the sums. Tensors: RAW, SCALE, BIAS, SKIP (SKIP_SCALE, SKIP_BIAS), X, W, Y, SUM, SUMSQ. */
void dt_graph_conv_forward_join(const dt_conv_desc *desc, dt_dtype dtype, bool skip_is_lazy, dt_graph *graph);

#endif
