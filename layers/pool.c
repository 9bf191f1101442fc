/* pool.c: the stem's max pooling, and the average over the image before the linear layer.
 *
 * Max:      y[p,q] = the largest x in the window at (p*stride - pad, q*stride - pad); its gradient goes to
 *           the first of equal maxima
 * Average:  y[c] = sum over h,w of x[c,h,w] / (h*w); dx[c,h,w] = dy[c] / (h*w) */
#include "core/base/alloc.h"
#include "core/layer.h"

typedef struct max_pool_layer {
    dt_layer head;
    dt_pool_desc pool;
    void *argmax; /* uint8 for each element of y */
} max_pool_layer;

static void destroy(dt_layer *base)
{
    dt_free(base);
}

static int64_t pooled(int64_t size, const dt_pool_desc *pool)
{
    return (size + 2 * pool->pad - pool->window) / pool->stride + 1;
}

static dt_status max_create(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **out, dt_error *err)
{
    max_pool_layer *layer = dt_builder_layer(b, sizeof *layer);
    if (!layer)
        return dt_fail_memory(err, sizeof *layer, spec->name);
    const dt_tensor *x = &layer->head.inputs[0]->act.raw;
    layer->pool = (dt_pool_desc){.window = spec->kernel, .stride = spec->stride, .pad = spec->pad};
    int64_t p = pooled(x->h, &layer->pool), q = pooled(x->w, &layer->pool);
    dt_status status = dt_builder_output(b, x->n, x->c, p, q, err);
    if (status == DT_OK && dt_builder_training(b))
        status = dt_builder_kept(b, x->n * x->c * p * q, &layer->argmax, err);
    if (status != DT_OK) {
        destroy(&layer->head);
        return status;
    }
    *out = &layer->head;
    return DT_OK;
}

static dt_status max_forward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    max_pool_layer *layer = (max_pool_layer *)base;
    dt_kernels *k = base->kernels;
    return k->ops->max_pool_forward(k, &layer->pool, &base->inputs[0]->act, &base->output->act.raw,
                                    pass->training ? layer->argmax : NULL, err);
}

static dt_status max_backward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    (void)pass;
    max_pool_layer *layer = (max_pool_layer *)base;
    dt_kernels *k = base->kernels;
    dt_value *x = base->inputs[0];
    const dt_tensor *add = NULL;
    const dt_bn_backward *bn = NULL;
    dt_value_begin_grad(x, &add, &bn);
    if (add || !bn)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: max pooling must be the only reader of a batchnorm",
                       base->name);
    DT_TRY(k->ops->max_pool_backward(k, &layer->pool, &base->output->grad, layer->argmax, bn, &x->grad, err));
    dt_value_end_grad(x, true);
    return DT_OK;
}

/* One byte of argmax for each element of y. Backward reads x too, for the sums of its BatchNorm. */
static int64_t max_traffic_bytes(const dt_layer *base, dt_layer_phase phase)
{
    const dt_tensor *out = &base->output->act.raw;
    const int64_t x = dt_layer_tensor_bytes(base, &base->inputs[0]->act.raw),
                  y = dt_layer_tensor_bytes(base, out) + out->n * out->c * out->h * out->w;
    return phase == DT_LAYER_FORWARD ? x + y : 2 * x + y;
}

const dt_layer_ops dt_layer_max_pool = {.kind = "max_pool",
                                        .n_inputs = 1,
                                        .create = max_create,
                                        .forward = max_forward,
                                        .backward = max_backward,
                                        .traffic_bytes = max_traffic_bytes,
                                        .destroy = destroy};

static dt_status average_create(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **out, dt_error *err)
{
    dt_layer *layer = dt_builder_layer(b, sizeof *layer);
    if (!layer)
        return dt_fail_memory(err, sizeof *layer, spec->name);
    const dt_tensor *x = &layer->inputs[0]->act.raw;
    dt_status status = dt_builder_output(b, x->n, x->c, 1, 1, err);
    if (status == DT_OK && layer->inputs[0]->has_bn)
        status = dt_fail(err, DT_ERR_INTERNAL, "%s: average pooling reads a plain tensor", spec->name);
    if (status != DT_OK) {
        destroy(layer);
        return status;
    }
    *out = layer;
    return DT_OK;
}

static dt_status average_forward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    (void)pass;
    return base->kernels->ops->average_pool_forward(base->kernels, &base->inputs[0]->act.raw,
                                                    &base->output->act.raw, err);
}

static dt_status average_backward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    (void)pass;
    dt_value *x = base->inputs[0];
    const dt_tensor *add = NULL;
    const dt_bn_backward *bn = NULL;
    dt_value_begin_grad(x, &add, &bn);
    if (add)
        return dt_fail(err, DT_ERR_INTERNAL,
                       "%s: average pooling must be the last layer that reads its input", base->name);
    DT_TRY(base->kernels->ops->average_pool_backward(base->kernels, &base->output->grad, &x->grad, err));
    dt_value_end_grad(x, false);
    return DT_OK;
}

static int64_t average_traffic_bytes(const dt_layer *base, dt_layer_phase phase)
{
    (void)phase;
    return dt_layer_tensor_bytes(base, &base->inputs[0]->act.raw) +
           dt_layer_tensor_bytes(base, &base->output->act.raw);
}

const dt_layer_ops dt_layer_average_pool = {.kind = "average_pool",
                                            .n_inputs = 1,
                                            .create = average_create,
                                            .forward = average_forward,
                                            .backward = average_backward,
                                            .traffic_bytes = average_traffic_bytes,
                                            .destroy = destroy};
