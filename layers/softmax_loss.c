/* softmax_loss.c: cross-entropy of the softmax, with label smoothing (Szegedy et al. 2016), the last layer of
 * a net.
 *
 * With K classes, label t and smoothing s: target[k] = (1 - s) * [k = t] + s / K,
 *   loss = - sum over k of target[k] * log(softmax(logits)[k])
 *   dlogits = grad_scale * loss_scale * (softmax(logits) - target)
 * Loss, top-1 and top-5 are added up on the device (dt_loss_sums). Forward writes the gradient together with
 * the loss. */
#include "core/base/alloc.h"
#include "core/layer.h"

static void destroy(dt_layer *base)
{
    dt_free(base);
}

static dt_status create(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **out, dt_error *err)
{
    dt_layer *layer = dt_builder_layer(b, sizeof *layer);
    if (!layer)
        return dt_fail_memory(err, sizeof *layer, spec->name);
    *out = layer;
    return DT_OK;
}

static dt_status forward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    const dt_value *logits = base->inputs[0];
    return base->kernels->ops->softmax_loss(base->kernels, &logits->act.raw, pass->labels,
                                            pass->label_smoothing, pass->grad_scale, pass->loss_scale,
                                            pass->training ? &logits->grad : NULL, pass->loss, err);
}

static dt_status backward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    (void)pass;
    (void)err;
    dt_value_end_grad(base->inputs[0], false);
    return DT_OK;
}

static int64_t traffic_bytes(const dt_layer *base, dt_layer_phase phase)
{
    return phase == DT_LAYER_FORWARD ? 2 * dt_layer_tensor_bytes(base, &base->inputs[0]->act.raw) : 0;
}

const dt_layer_ops dt_layer_softmax_loss = {.kind = "softmax_loss",
                                            .n_inputs = 1,
                                            .create = create,
                                            .forward = forward,
                                            .backward = backward,
                                            .traffic_bytes = traffic_bytes,
                                            .destroy = destroy};
