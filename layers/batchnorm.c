/* batchnorm.c: batch normalisation (Ioffe and Szegedy 2015), optionally followed by a ReLU, with no pass over
 * memory of its own in forward.
 *
 * Forward, in training, per channel, over the m = n*h*w values of this rank's micro-batch:
 *   mean = sum(x) / m, var = sum(x^2) / m - mean^2
 *   scale = gamma / sqrt(var + eps), bias = beta - mean * scale
 *   y = relu?(scale * x + bias) is not computed here: the output is the input's tensor with scale and bias,
 *   which the layers that read it apply
 * Backward, with dz the gradient of y after the ReLU's mask, xhat = (x - mean) / sqrt(var + eps):
 *   dbeta = sum(dz), dgamma = sum(dz * xhat)      (computed by the layer that wrote dz, if it could)
 *   dx = scale * (dz - dbeta / m - xhat * dgamma / m) = a * dz + b * x + c, written over x
 *
 * Evaluation uses the running mean and variance. They are updated as one more "gradient" (core/model/net.h):
 * running += 0.1 * (batch's - running). The batch's statistics are averaged over all ranks and micro-batches;
 * the variance is unbiased as in PyTorch. */
#include "core/base/alloc.h"
#include "core/layer.h"

#define BN_EPSILON 1e-5f /* PyTorch's default */

typedef struct bn_layer {
    dt_layer head;
    int64_t c, count;
    bool relu;
    float *gamma, *dgamma, *beta, *dbeta;
    float *running_mean, *stat_mean, *running_var, *stat_var;
    float *scale, *bias, *mean, *invstd, *coefficients; /* [c], the last [3][c] */
    void *sums;                                         /* forward's, then backward's */
} bn_layer;

static dt_status request_params(dt_net_builder *b, bn_layer *layer, dt_error *err)
{
    int64_t c = layer->c;
    const dt_param_request requests[] = {
        {"weight", DT_PARAM_BN, DT_INIT_ONE, 1, {c}, c, c, &layer->gamma, &layer->dgamma},
        {"bias", DT_PARAM_BN, DT_INIT_ZERO, 1, {c}, c, c, &layer->beta, &layer->dbeta},
        {"running_mean",
         DT_PARAM_STATISTIC,
         DT_INIT_ZERO,
         1,
         {c},
         c,
         c,
         &layer->running_mean,
         &layer->stat_mean},
        {"running_var", DT_PARAM_STATISTIC, DT_INIT_ONE, 1, {c}, c, c, &layer->running_var, &layer->stat_var},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        DT_TRY(dt_builder_param(b, &requests[i], err));
    return DT_OK;
}

static dt_status request_vectors(dt_net_builder *b, bn_layer *layer, dt_error *err)
{
    int64_t bytes = layer->c * (int64_t)sizeof(float);
    DT_TRY(dt_builder_vector(b, bytes, (void **)&layer->scale, err));
    DT_TRY(dt_builder_vector(b, bytes, (void **)&layer->bias, err));
    if (!dt_builder_training(b))
        return DT_OK;
    DT_TRY(dt_builder_vector(b, bytes, (void **)&layer->mean, err));
    DT_TRY(dt_builder_vector(b, bytes, (void **)&layer->invstd, err));
    DT_TRY(dt_builder_vector(b, 3 * bytes, (void **)&layer->coefficients, err));
    return dt_builder_vector(b, layer->head.kernels->ops->bn_sums_bytes(layer->head.kernels, layer->c),
                             &layer->sums, err);
}

static void destroy(dt_layer *base)
{
    dt_free(base);
}

static dt_status create(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **out, dt_error *err)
{
    bn_layer *layer = dt_builder_layer(b, sizeof *layer);
    if (!layer)
        return dt_fail_memory(err, sizeof *layer, spec->name);
    const dt_tensor *x = &layer->head.inputs[0]->act.raw;
    layer->c = x->c;
    layer->count = x->n * x->h * x->w;
    layer->relu = spec->relu;
    dt_status status = dt_builder_output_view(b, 0, err);
    if (status == DT_OK)
        status = request_params(b, layer, err);
    if (status == DT_OK)
        status = request_vectors(b, layer, err);
    if (status != DT_OK) {
        destroy(&layer->head);
        return status;
    }
    layer->head.output->has_bn = true;
    layer->head.output->act.relu = layer->relu;
    *out = &layer->head;
    return DT_OK;
}

static dt_status bind(dt_layer *base, dt_error *err)
{
    (void)err;
    bn_layer *layer = (bn_layer *)base;
    dt_value *y = base->output;
    y->act.scale = layer->scale;
    y->act.bias = layer->bias;
    y->bn = (dt_bn_backward){.x = &y->act,
                             .mean = layer->mean,
                             .invstd = layer->invstd,
                             .gamma = layer->gamma,
                             .beta = layer->beta,
                             .sums = layer->sums};
    base->inputs[0]->sums = layer->sums;
    return DT_OK;
}

static dt_status forward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    bn_layer *layer = (bn_layer *)base;
    dt_kernels *k = base->kernels;
    if (!pass->training)
        return k->ops->bn_inference(k, layer->c, layer->gamma, layer->beta, layer->running_mean,
                                    layer->running_var, BN_EPSILON, layer->scale, layer->bias, err);
    dt_bn_forward bn = {.c = layer->c,
                        .count = layer->count,
                        .sums = layer->sums,
                        .gamma = layer->gamma,
                        .beta = layer->beta,
                        .eps = BN_EPSILON,
                        .mean = layer->mean,
                        .invstd = layer->invstd,
                        .scale = layer->scale,
                        .bias = layer->bias,
                        .stat_mean = layer->stat_mean,
                        .stat_var = layer->stat_var,
                        .stat_weight = pass->stat_weight,
                        .accumulate = pass->accumulate};
    return k->ops->bn_finalize(k, &bn, err);
}

static dt_status backward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    bn_layer *layer = (bn_layer *)base;
    dt_kernels *k = base->kernels;
    dt_value *x = base->inputs[0], *y = base->output;
    const dt_tensor *dz = &y->grad;
    const dt_tensor *add = NULL;
    const dt_bn_backward *bn = NULL;
    dt_value_begin_grad(x, &add, &bn);
    if (!y->grad_reduced)
        DT_TRY(k->ops->bn_backward_reduce(k, &y->bn, dz, dz, err));
    const dt_bn_backward_apply apply = {.c = layer->c,
                                        .count = layer->count,
                                        .sums = layer->sums,
                                        .gamma = layer->gamma,
                                        .mean = layer->mean,
                                        .invstd = layer->invstd,
                                        .dgamma = layer->dgamma,
                                        .dbeta = layer->dbeta,
                                        .accumulate = pass->accumulate,
                                        .coefficients = layer->coefficients};
    dt_act act = y->act;
    act.relu = layer->relu && !y->grad_reduced; /* the layer that reduced dz has applied the mask */
    /* x->grad lies over raw */
    DT_TRY(k->ops->bn_backward_apply(k, &apply, &act, dz, &x->grad, err));
    dt_value_end_grad(x, false);
    return DT_OK;
}

/* Forward moves vectors only. Backward reads dz and x and writes dx. Where dz came without its sums, the
 * layer that wrote dz counts the pass that adds them up. */
static int64_t traffic_bytes(const dt_layer *base, dt_layer_phase phase)
{
    return phase == DT_LAYER_FORWARD ? 0 : 3 * dt_layer_tensor_bytes(base, &base->inputs[0]->act.raw);
}

const dt_layer_ops dt_layer_batchnorm = {.kind = "batchnorm",
                                         .n_inputs = 1,
                                         .create = create,
                                         .bind = bind,
                                         .forward = forward,
                                         .backward = backward,
                                         .traffic_bytes = traffic_bytes,
                                         .destroy = destroy};
