/* linear.c: the fully connected layer.
 *
 * Forward:   y[n,k] = sum over c of x[n,c] * w[k,c] + bias[k]
 * Backward:  dx = dy w, dw = dy^T x, dbias[k] = sum over n of dy[n,k] */
#include "core/base/alloc.h"
#include "core/layer.h"

typedef struct linear_layer {
    dt_layer head;
    dt_linear *linear;
    int64_t n_in, n_out;
    float *w, *dw, *bias, *dbias;
} linear_layer;

static void destroy(dt_layer *base)
{
    linear_layer *layer = (linear_layer *)base;
    if (layer->linear)
        base->kernels->ops->linear_destroy(base->kernels, layer->linear);
    dt_free(layer);
}

static dt_status request_memory(dt_net_builder *b, linear_layer *layer, dt_error *err)
{
    int64_t in = layer->n_in, out = layer->n_out;
    const dt_param_request weight = {
        "weight", DT_PARAM_WEIGHT, DT_INIT_UNIFORM_FAN_IN, 2, {out, in}, in, out * in, &layer->w, &layer->dw};
    const dt_param_request bias = {"bias", DT_PARAM_BIAS, DT_INIT_UNIFORM_FAN_IN, 1, {out}, in,
                                   out,    &layer->bias,  &layer->dbias};
    DT_TRY(dt_builder_param(b, &weight, err));
    DT_TRY(dt_builder_param(b, &bias, err));
    return dt_builder_output(b, layer->head.inputs[0]->act.raw.n, out, 1, 1, err);
}

static dt_status create(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **out, dt_error *err)
{
    linear_layer *layer = dt_builder_layer(b, sizeof *layer);
    if (!layer)
        return dt_fail_memory(err, sizeof *layer, spec->name);
    dt_kernels *k = layer->head.kernels;
    const dt_tensor *x = &layer->head.inputs[0]->act.raw;
    layer->n_in = x->c;
    layer->n_out = spec->channels;
    dt_status status = DT_OK;
    if (layer->head.inputs[0]->has_bn || x->h != 1 || x->w != 1)
        status = dt_fail(err, DT_ERR_INTERNAL, "%s: a linear layer reads a plain tensor of 1x1", spec->name);
    if (status == DT_OK)
        status = k->ops->linear_create(k, x->n, x->c, spec->channels, &layer->linear, err);
    if (status == DT_OK)
        status = request_memory(b, layer, err);
    if (status != DT_OK) {
        destroy(&layer->head);
        return status;
    }
    *out = &layer->head;
    return DT_OK;
}

static dt_status forward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    (void)pass;
    linear_layer *layer = (linear_layer *)base;
    dt_kernels *k = base->kernels;
    return k->ops->linear_forward(k, layer->linear, &base->inputs[0]->act.raw, layer->w, layer->bias,
                                  &base->output->act.raw, err);
}

static dt_status backward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    linear_layer *layer = (linear_layer *)base;
    dt_kernels *k = base->kernels;
    dt_value *x = base->inputs[0];
    const dt_tensor *add = NULL;
    const dt_bn_backward *bn = NULL;
    dt_value_begin_grad(x, &add, &bn);
    if (add)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: a linear layer must be the last one that reads its input",
                       base->name);
    DT_TRY(k->ops->linear_backward(k, layer->linear, &x->act.raw, layer->w, &base->output->grad, &x->grad,
                                   layer->dw, layer->dbias, pass->accumulate, err));
    dt_value_end_grad(x, false);
    return DT_OK;
}

static int64_t forward_macs(const dt_layer *base)
{
    const linear_layer *layer = (const linear_layer *)base;
    return base->inputs[0]->act.raw.n * layer->n_in * layer->n_out;
}

static int64_t traffic_bytes(const dt_layer *base, dt_layer_phase phase)
{
    const linear_layer *layer = (const linear_layer *)base;
    const int64_t x = dt_layer_tensor_bytes(base, &base->inputs[0]->act.raw),
                  y = dt_layer_tensor_bytes(base, &base->output->act.raw);
    const int64_t weights = layer->n_in * layer->n_out, w = weights * dt_dtype_bytes(base->kernels->dtype);
    return phase == DT_LAYER_FORWARD ? x + w + y : 2 * x + w + 2 * y + weights * (int64_t)sizeof(float);
}

const dt_layer_ops dt_layer_linear = {.kind = "linear",
                                      .n_inputs = 1,
                                      .create = create,
                                      .forward = forward,
                                      .backward = backward,
                                      .forward_macs = forward_macs,
                                      .traffic_bytes = traffic_bytes,
                                      .destroy = destroy};
