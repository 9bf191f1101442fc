/* graph_conv.h: builds the graphs of a residual network. All compute in FP32. The functions only fill in a
 * struct and cannot fail.
 *
 * desc->c is the number of channels in memory: 4 for the image, whose fourth channel is 0 (and so is w's).
 * desc->for_training and desc->reads_image are ignored. dtype: F16, BF16, TF32 (FP32 in memory) or F32, of
 * every tensor unless a comment says otherwise. Shapes: x, dx, raw [n, c, h, w]; w, dw [k, c, r, s]; y, dy
 * [n, k, p, q]; all packed, NHWC or KRSC in memory. layers/cuda/README.md lists which of them cuDNN has for
 * which GPU.
 */
#ifndef DT_LAYERS_CUDA_GRAPH_CONV_H
#define DT_LAYERS_CUDA_GRAPH_CONV_H

#include "core/kernels.h"
#include "layers/cuda/graph.h"

/* Y = conv(v, W), with v = X, or relu(SCALE * X + BIAS) if prologue (padding is 0 of v, not of X). sums: SUM
 * and SUMSQ (FP32 [1, k, 1, 1]) of Y. SCALE and BIAS are [1, c, 1, 1] of dtype (FP16 for FP16: cuDNN's
 * pattern). SCALE * X + BIAS may be rounded to dtype in between. On some GPUs cuDNN has the prologue only
 * with sums; evaluation then requests sums too and ignores them. Tensors: X, W, Y; SCALE, BIAS; SUM,
 * SUMSQ. */
void dt_graph_conv_forward(const dt_conv_desc *desc, dt_dtype dtype, bool prologue, bool sums,
                           dt_graph *graph);

/* DX = dgrad(DY, W), or DX += if accumulate.
 * Tensors: DY, W, DX. */
void dt_graph_conv_backward_data(const dt_conv_desc *desc, dt_dtype dtype, bool accumulate, dt_graph *graph);

/* dgrad, backward of ReLU, and BatchNorm's parameter gradients, in one graph:
 *   DX = dz = dgrad(DY, W) where ((RAW - MEAN) * INVSTD) * GAMMA + BETA > 0, else 0
 *   DGAMMA, DBETA, COEF_A, COEF_B, COEF_C = DT_GRAPH_OP_BN_BACKWARD_WEIGHTS(RAW, dz, MEAN, INVSTD, GAMMA),
 *   m = n * h * w
 * MEAN ... COEF_C are FP32 [1, c, 1, 1]. Tensors: DY, W, RAW, MEAN, INVSTD, GAMMA, BETA, DX, DGAMMA, DBETA,
 * COEF_A, COEF_B, COEF_C. DX may not be RAW. */
void dt_graph_conv_backward_data_bn(const dt_conv_desc *desc, dt_dtype dtype, dt_graph *graph);

/* DW = wgrad(v, DY), v as in forward. DW is of dtype (cuDNN writes no FP32 gradient next to FP16 inputs). It
 * overflows where the loss scale is too large, which the optimizer's inspection of the gradients detects.
 * Tensors: X, DY, DW; SCALE, BIAS. */
void dt_graph_conv_backward_weights(const dt_conv_desc *desc, dt_dtype dtype, bool prologue, dt_graph *graph);

/* The fully connected layer, as a 1x1 convolution of images of one pixel: x [n][c], w [n_out][c], y
 * [n][n_out], row-major, no bias.
 *   forward:  Y = X W^T         Tensors: X, W, Y
 *   data:     DX = DY W         Tensors: DY, W, DX
 *   weights:  DW = DY^T X       Tensors: X, DY, DW */
void dt_graph_linear_forward(int64_t n, int64_t c, int64_t n_out, dt_dtype dtype, dt_graph *graph);
void dt_graph_linear_backward_data(int64_t n, int64_t c, int64_t n_out, dt_dtype dtype, dt_graph *graph);
void dt_graph_linear_backward_weights(int64_t n, int64_t c, int64_t n_out, dt_dtype dtype, dt_graph *graph);

#endif
