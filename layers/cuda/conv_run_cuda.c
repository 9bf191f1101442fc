/* conv_run_cuda.c: executes a convolution's graphs. */
#include "layers/cuda/cuda_internal.h"

dt_status dt_cuda_bind_scales(dt_cuda_kernels *ck, dt_cuda_call *c, const dt_act *x, int scale_id,
                              int bias_id, int nth, dt_error *err)
{
    char *halves = NULL;
    DT_TRY(dt_cuda_half_scales_get(ck, x, nth, &halves, err));
    dt_cuda_bind(c, scale_id, halves);
    dt_cuda_bind(c, bias_id, halves + x->raw.c * (int64_t)sizeof(uint16_t));
    return DT_OK;
}

static dt_status bind_prologue(dt_cuda_kernels *ck, dt_cuda_call *c, const dt_act *x, dt_error *err)
{
    if (!x->relu)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "convolution: the GPU's prologue has a ReLU, and this BatchNorm has none");
    return dt_cuda_bind_scales(ck, c, x, DT_GRAPH_SCALE, DT_GRAPH_BIAS, 0, err);
}

static dt_status weights_of(dt_cuda_kernels *ck, const dt_conv *conv, const float *w, void **weights,
                            dt_error *err)
{
    *weights = conv->stem.weights.data;
    return conv->stem.is_used ? DT_OK : dt_cuda_weights(ck, w, dt_cuda_filter_elems(conv), weights, err);
}

/* The plan with sums if the caller wants them (then conv_fusions has promised them) or if there is no other
 * plan. */
static int forward_plan(const dt_conv *conv, bool lazy, bool sums)
{
    int with = lazy ? DT_CUDA_FORWARD_LAZY_SUMS : DT_CUDA_FORWARD_SUMS,
        without = lazy ? DT_CUDA_FORWARD_LAZY : DT_CUDA_FORWARD;
    return conv->plans[without].plan && !sums ? without : with;
}

/* They must not overlap scales and biases in 16 bits, which may lie at the beginning of `vectors`. */
float *dt_cuda_unwanted_sums(const dt_cuda_kernels *ck, const dt_conv *conv)
{
    return (float *)ck->vectors.data + 2 * (conv->desc.c > conv->desc.k ? conv->desc.c : conv->desc.k);
}

dt_status dt_cuda_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                               const dt_tensor *y, void *sums, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_cuda_call c = {.n = 0};
    void *weights = NULL;
    int which = forward_plan(conv, x->scale != NULL, sums != NULL);
    bool has_sums = which == DT_CUDA_FORWARD_SUMS || which == DT_CUDA_FORWARD_LAZY_SUMS;
    DT_TRY(weights_of(ck, conv, w, &weights, err));
    dt_cuda_bind(&c, DT_GRAPH_X, x->raw.data);
    dt_cuda_bind(&c, DT_GRAPH_W, weights);
    dt_cuda_bind(&c, DT_GRAPH_Y, y->data);
    if (x->scale)
        DT_TRY(bind_prologue(ck, &c, x, err));
    if (has_sums) {
        float *sum = sums ? sums : dt_cuda_unwanted_sums(ck, conv);
        dt_cuda_bind(&c, DT_GRAPH_SUM, sum);
        dt_cuda_bind(&c, DT_GRAPH_SUMSQ, sum + conv->desc.k);
    }
    return dt_cuda_plan_run(ck, &conv->plans[which], c.tensors, c.n, err);
}

/* -- data gradient --------------------------------------------------------------------------------------- */

static dt_status run_data(dt_cuda_kernels *ck, const dt_conv *conv, int which, const dt_tensor *dy,
                          const void *weights, const void *dx, dt_error *err)
{
    dt_cuda_call c = {.n = 0};
    dt_cuda_bind(&c, DT_GRAPH_DY, dy->data);
    dt_cuda_bind(&c, DT_GRAPH_W, weights);
    dt_cuda_bind(&c, DT_GRAPH_DX, dx);
    return dt_cuda_plan_run(ck, &conv->plans[which], c.tensors, c.n, err);
}

static dt_status copy_on_device(dt_cuda_kernels *ck, const dt_tensor *from, const dt_tensor *to,
                                dt_error *err)
{
    int64_t bytes = dt_cuda_tensor_bytes(&ck->base, to->n, to->c, to->h, to->w);
    return ck->base.device->ops->copy(ck->base.device, to->data, from->data, bytes, DT_COPY_ON_DEVICE, NULL,
                                      err);
}

/* dx = dgrad(dy, w) + add */
static dt_status data_and_add(dt_cuda_kernels *ck, const dt_conv *conv, const dt_tensor *dy,
                              const void *weights, const dt_tensor *add, const dt_tensor *dx, dt_error *err)
{
    dt_device *device = ck->base.device;
    if (!add && conv->plans[DT_CUDA_DATA].plan)
        return run_data(ck, conv, DT_CUDA_DATA, dy, weights, dx->data, err);
    if (!add) /* the input is lazy, and another layer has already written its gradient: too rare for a plan
                 of its own */
        DT_TRY(device->ops->zero(device, dx->data,
                                 dt_cuda_tensor_bytes(&ck->base, dx->n, dx->c, dx->h, dx->w), NULL, err));
    else if (add->data != dx->data)
        DT_TRY(copy_on_device(ck, add, dx, err));
    if (conv->plans[DT_CUDA_DATA_ADD].plan)
        return run_data(ck, conv, DT_CUDA_DATA_ADD, dy, weights, dx->data, err);
    dt_tensor part = *dx;
    part.data = ck->spare.data;
    DT_TRY(run_data(ck, conv, DT_CUDA_DATA, dy, weights, part.data, err));
    DT_CUDA_LAUNCH("tensor_add", dt_cuda_tensor_add(ck->stream, &part, dx));
    return DT_OK;
}

/* dgrad, drelu and the BatchNorm's sums in one graph. The coefficients that the graph also computes are not
 * used: bn_backward_apply computes them when it adds dgamma and dbeta to the flat vector. */
static dt_status data_and_bn(dt_cuda_kernels *ck, const dt_conv *conv, const dt_tensor *dy,
                             const void *weights, const dt_bn_backward *bn, const dt_tensor *dx,
                             dt_error *err)
{
    dt_cuda_call c = {.n = 0};
    int64_t channels = conv->desc.c;
    float *sums = bn->sums, *unwanted = (float *)ck->vectors.data;
    dt_cuda_bind(&c, DT_GRAPH_DY, dy->data);
    dt_cuda_bind(&c, DT_GRAPH_W, weights);
    dt_cuda_bind(&c, DT_GRAPH_RAW, bn->x->raw.data);
    dt_cuda_bind(&c, DT_GRAPH_MEAN, bn->mean);
    dt_cuda_bind(&c, DT_GRAPH_INVSTD, bn->invstd);
    dt_cuda_bind(&c, DT_GRAPH_GAMMA, bn->gamma);
    dt_cuda_bind(&c, DT_GRAPH_BETA, bn->beta);
    dt_cuda_bind(&c, DT_GRAPH_DX, dx->data);
    dt_cuda_bind(&c, DT_GRAPH_DGAMMA, sums);
    dt_cuda_bind(&c, DT_GRAPH_DBETA, sums + channels);
    dt_cuda_bind(&c, DT_GRAPH_COEF_A, unwanted);
    dt_cuda_bind(&c, DT_GRAPH_COEF_B, unwanted + channels);
    dt_cuda_bind(&c, DT_GRAPH_COEF_C, unwanted + 2 * channels);
    return dt_cuda_plan_run(ck, &conv->plans[DT_CUDA_DATA_BN], c.tensors, c.n, err);
}

dt_status dt_cuda_conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                     const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                     dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    void *weights = NULL;
    DT_TRY(dt_cuda_weights(ck, w, dt_cuda_filter_elems(conv), &weights, err));
    if (bn && !add && bn->x->relu && conv->plans[DT_CUDA_DATA_BN].plan)
        return data_and_bn(ck, conv, dy, weights, bn, dx, err);
    DT_TRY(data_and_add(ck, conv, dy, weights, add, dx, err));
    if (bn)
        DT_CUDA_LAUNCH("bn_backward_reduce",
                       dt_cuda_bn_backward_reduce(ck->stream, bn, dx, ck->reduction.data, dx));
    return DT_OK;
}

/* -- weight gradient ------------------------------------------------------------------------------------- */

dt_status dt_cuda_conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                        float *dw, bool accumulate, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_cuda_call c = {.n = 0};
    int which = x->scale ? DT_CUDA_WEIGHTS_LAZY : DT_CUDA_WEIGHTS;
    void *target = conv->stem.is_used
                       ? ck->weights.data
                       : dt_cuda_gradient_target(ck, dw, dt_cuda_filter_elems(conv), accumulate);
    dt_cuda_bind(&c, DT_GRAPH_X, x->raw.data);
    dt_cuda_bind(&c, DT_GRAPH_DY, dy->data);
    dt_cuda_bind(&c, DT_GRAPH_DW, target);
    if (x->scale)
        DT_TRY(bind_prologue(ck, &c, x, err));
    DT_TRY(dt_cuda_plan_run(ck, &conv->plans[which], c.tensors, c.n, err));
    if (conv->stem.is_used)
        return dt_cuda_stem_gradient_finish(ck, conv, target, dw, accumulate, err);
    return dt_cuda_gradient_finish(ck, target, dt_cuda_filter_elems(conv), dw, accumulate, err);
}
