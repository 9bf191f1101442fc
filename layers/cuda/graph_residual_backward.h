/* graph_residual_backward.h: builds the graph that begins a residual block's backward: the data gradient of
 * the first convolution that reads a join's output, and the backward of that join. Conventions as in
 * graph_conv.h: the function cannot fail, and desc is the convolution's. */
#ifndef DT_LAYERS_CUDA_GRAPH_RESIDUAL_BACKWARD_H
#define DT_LAYERS_CUDA_GRAPH_RESIDUAL_BACKWARD_H

#include "core/kernels.h"
#include "layers/cuda/graph.h"

/* The join is relu(z), z = ((RAW - ZERO) * SCALE) * ONE + BIAS + skip, with skip = SKIP, or
 * ((SKIP - ZERO) * SKIP_SCALE) * ONE + SKIP_BIAS if lazy_skip.
 *   DX = dz = dgrad(DY, W) + ADD where z > 0, else 0
 *   DGAMMA, DBETA, COEF_A, COEF_B, COEF_C = DT_GRAPH_OP_BN_BACKWARD_WEIGHTS(RAW, dz, MEAN, INVSTD, GAMMA),
 *   and SKIP_DGAMMA ... SKIP_COEF_C likewise if lazy_skip; m = n * h * w
 * ADD is the gradient that comes by the next block's shortcut. cuDNN has no graph that reads the join's
 * output as the ReLU's input, so the graph computes z again. The caller binds scale and bias as the forward
 * graph read them, rounded to the dtype: computed from MEAN, INVSTD, GAMMA and BETA, z has another sign where
 * it is small. cuDNN has only the form with four operations and FP32 vectors [1, c, 1, 1], thus ZERO and ONE.
 * Tensors: DY, W, ADD, RAW, MEAN, INVSTD, GAMMA, ZERO, ONE, SCALE, BIAS, SKIP, DX, DGAMMA, DBETA, COEF_A,
 * COEF_B, COEF_C; SKIP_MEAN, SKIP_INVSTD, SKIP_GAMMA, SKIP_SCALE, SKIP_BIAS, SKIP_DGAMMA, SKIP_DBETA,
 * SKIP_COEF_A, SKIP_COEF_B, SKIP_COEF_C. DX may not overlap another tensor. */
void dt_graph_conv_backward_data_join(const dt_conv_desc *desc, dt_dtype dtype, bool lazy_skip,
                                      dt_graph *graph);

#endif
