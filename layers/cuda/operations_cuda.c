/* operations_cuda.c: the operations that are one kernel of our own each. Contracts: core/kernels.h; kernels:
 * the .cu files. */
#include "layers/cuda/operations_cuda.h"

/* -- input ----------------------------------------------------------------------------------------------- */

dt_status dt_cuda_op_normalize_input(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                     const float std[3], const dt_tensor *y, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    const dt_cuda_stem *stem = dt_cuda_stem_find(ck, y->n, y->c, y->h, y->w);
    if (stem)
        DT_CUDA_LAUNCH("normalize_blocks",
                       dt_cuda_normalize_blocks(ck->stream, pixels, mean, std, y, stem->pad, stem->blocks.h,
                                                stem->blocks.w));
    else
        DT_CUDA_LAUNCH("normalize_input", dt_cuda_normalize_input(ck->stream, pixels, mean, std, y));
    return DT_OK;
}

/* -- batch normalisation --------------------------------------------------------------------------------- */

int64_t dt_cuda_op_bn_sums_bytes(dt_kernels *k, int64_t c)
{
    (void)k;
    return 2 * c * (int64_t)sizeof(float);
}

dt_status dt_cuda_op_bn_sums(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    DT_CUDA_LAUNCH("bn_sums", dt_cuda_bn_sums(ck->stream, y, ck->reduction.data, sums));
    return DT_OK;
}

dt_status dt_cuda_op_bn_finalize(dt_kernels *k, const dt_bn_forward *bn, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    void *halves = dt_cuda_half_scales_put(ck, bn->scale, bn->bias, bn->c);
    const dt_cuda_bn_outputs out = {k->dtype, halves, (uint8_t *)ck->not_finite.data};
    DT_CUDA_LAUNCH("bn_finalize", dt_cuda_bn_finalize(ck->stream, bn, &out));
    return DT_OK;
}

dt_status dt_cuda_op_bn_inference(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                                  const float *running_mean, const float *running_var, float eps,
                                  float *scale, float *bias, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    void *halves = dt_cuda_half_scales_put(ck, scale, bias, c);
    const dt_cuda_bn_outputs out = {k->dtype, halves, (uint8_t *)ck->not_finite.data};
    DT_CUDA_LAUNCH("bn_inference", dt_cuda_bn_inference(ck->stream, c, gamma, beta, running_mean, running_var,
                                                        eps, scale, bias, &out));
    return DT_OK;
}

/* In place dz is not written: bn_backward_apply applies the mask where it reads dz. */
dt_status dt_cuda_op_bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                        const dt_tensor *dz, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    const dt_tensor *masked = dz->data != dv->data ? dz : NULL;
    DT_CUDA_LAUNCH("bn_backward_reduce",
                   dt_cuda_bn_backward_reduce(ck->stream, bn, dv, ck->reduction.data, masked));
    return DT_OK;
}

dt_status dt_cuda_op_bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                       const dt_tensor *dz, const dt_tensor *dy, dt_error *err)
{
    DT_CUDA_LAUNCH("bn_backward_apply", dt_cuda_bn_backward_apply(dt_cuda(k)->stream, bn, x, dz, dy));
    return DT_OK;
}

dt_status dt_cuda_op_act_materialize(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    DT_CUDA_LAUNCH("act_materialize", dt_cuda_act_materialize(dt_cuda(k)->stream, x, y));
    return DT_OK;
}

/* -- residual join --------------------------------------------------------------------------------------- */

int64_t dt_cuda_op_residual_mask_bytes(dt_kernels *k, const dt_tensor *y)
{
    (void)k;
    return dt_cuda_residual_mask_bytes(y);
}

dt_status dt_cuda_op_residual_forward(dt_kernels *k, const dt_act *branch, const dt_act *skip,
                                      const dt_tensor *y, void *mask, dt_error *err)
{
    DT_CUDA_LAUNCH("residual_forward", dt_cuda_residual_forward(dt_cuda(k)->stream, branch, skip, y, mask));
    return DT_OK;
}

dt_status dt_cuda_op_residual_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y,
                                       const void *mask, const dt_bn_backward *branch,
                                       const dt_bn_backward *skip, const dt_tensor *g, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    (void)y; /* the mask replaces it */
    DT_CUDA_LAUNCH("residual_backward",
                   dt_cuda_residual_backward(ck->stream, dy, mask, branch, skip, ck->reduction.data, g));
    return DT_OK;
}

/* -- pooling --------------------------------------------------------------------------------------------- */

dt_status dt_cuda_op_max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                      const dt_tensor *y, uint8_t *argmax, dt_error *err)
{
    DT_CUDA_LAUNCH("max_pool_forward", dt_cuda_max_pool_forward(dt_cuda(k)->stream, pool, x, y, argmax));
    return DT_OK;
}

dt_status dt_cuda_op_max_pool_backward(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                       const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                       dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    DT_CUDA_LAUNCH("max_pool_backward",
                   dt_cuda_max_pool_backward(ck->stream, pool, dy, argmax, bn, ck->reduction.data, dz));
    return DT_OK;
}

dt_status dt_cuda_op_average_pool_forward(dt_kernels *k, const dt_tensor *x, const dt_tensor *y,
                                          dt_error *err)
{
    DT_CUDA_LAUNCH("average_pool_forward", dt_cuda_average_pool_forward(dt_cuda(k)->stream, x, y));
    return DT_OK;
}

dt_status dt_cuda_op_average_pool_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx,
                                           dt_error *err)
{
    DT_CUDA_LAUNCH("average_pool_backward", dt_cuda_average_pool_backward(dt_cuda(k)->stream, dy, dx));
    return DT_OK;
}

/* -- loss ------------------------------------------------------------------------------------------------ */

dt_status dt_cuda_op_softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels,
                                  float smoothing, float grad_scale, const float *loss_scale,
                                  const dt_tensor *dlogits, dt_loss_sums *sums, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    int64_t bytes = dt_cuda_softmax_loss_scratch_bytes(logits->n);
    if (bytes > ck->reduction.bytes)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "softmax_loss of %lld rows needs %lld bytes of scratch memory, and there are %lld",
                       (long long)logits->n, (long long)bytes, (long long)ck->reduction.bytes);
    DT_CUDA_LAUNCH("softmax_loss",
                   dt_cuda_softmax_loss(ck->stream, logits, labels, smoothing, grad_scale, loss_scale,
                                        ck->reduction.data, dlogits, (uint8_t *)ck->not_finite.data, sums));
    return DT_OK;
}
