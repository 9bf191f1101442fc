/* operations_cuda.h: the operations of operations_cuda.c, for the table in kernels_cuda.c. */
#ifndef DT_LAYERS_CUDA_OPERATIONS_CUDA_H
#define DT_LAYERS_CUDA_OPERATIONS_CUDA_H

#include "layers/cuda/cuda_internal.h"

dt_status dt_cuda_op_normalize_input(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                     const float std[3], const dt_tensor *y, dt_error *err);
int64_t dt_cuda_op_bn_sums_bytes(dt_kernels *k, int64_t c);
dt_status dt_cuda_op_bn_sums(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err);
dt_status dt_cuda_op_bn_finalize(dt_kernels *k, const dt_bn_forward *bn, dt_error *err);
dt_status dt_cuda_op_bn_inference(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                                  const float *running_mean, const float *running_var, float eps,
                                  float *scale, float *bias, dt_error *err);
dt_status dt_cuda_op_bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                        const dt_tensor *dz, dt_error *err);
dt_status dt_cuda_op_bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                       const dt_tensor *dz, const dt_tensor *dy, dt_error *err);
dt_status dt_cuda_op_act_materialize(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err);
int64_t dt_cuda_op_residual_mask_bytes(dt_kernels *k, const dt_tensor *y);
dt_status dt_cuda_op_residual_forward(dt_kernels *k, const dt_act *branch, const dt_act *skip,
                                      const dt_tensor *y, void *mask, dt_error *err);
dt_status dt_cuda_op_residual_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y,
                                       const void *mask, const dt_bn_backward *branch,
                                       const dt_bn_backward *skip, const dt_tensor *g, dt_error *err);
dt_status dt_cuda_op_max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                      const dt_tensor *y, uint8_t *argmax, dt_error *err);
dt_status dt_cuda_op_max_pool_backward(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                       const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                       dt_error *err);
dt_status dt_cuda_op_average_pool_forward(dt_kernels *k, const dt_tensor *x, const dt_tensor *y,
                                          dt_error *err);
dt_status dt_cuda_op_average_pool_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx,
                                           dt_error *err);
dt_status dt_cuda_op_softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels,
                                  float smoothing, float grad_scale, const float *loss_scale,
                                  const dt_tensor *dlogits, dt_loss_sums *sums, dt_error *err);

#endif
