/* add.c: the residual join.
 *
 * Forward:   y = relu(branch + skip); each input is plain or lazily normalised. Nothing is computed here if
 *            the first convolution that reads y computes the join as well (layers/conv.c)
 * Backward:  g = dy where y > 0, else 0. Both inputs have the gradient g, which is written over dy. The
 *            BatchNorm sums of normalised inputs are computed from g in the same pass. Nothing is computed
 *            here if that convolution computes g and the sums with its own gradient (join_grad_fused) */
#include "core/base/alloc.h"
#include "core/layer.h"

typedef struct add_layer {
    dt_layer head;
    void *mask; /* NULL: backward reads y */
} add_layer;

static void destroy(dt_layer *base)
{
    dt_free(base);
}

static dt_status request_memory(dt_net_builder *b, add_layer *layer, dt_error *err)
{
    const dt_tensor *x = &layer->head.inputs[0]->act.raw;
    DT_TRY(dt_builder_output(b, x->n, x->c, x->h, x->w, err));
    DT_TRY(dt_builder_share_grad(b, 0, err));
    return dt_builder_share_grad(b, 1, err);
}

static dt_status create(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **out, dt_error *err)
{
    add_layer *layer = dt_builder_layer(b, sizeof *layer);
    if (!layer)
        return dt_fail_memory(err, sizeof *layer, spec->name);
    dt_status status = request_memory(b, layer, err);
    if (status != DT_OK) {
        destroy(&layer->head);
        return status;
    }
    layer->head.output->branch = layer->head.inputs[0];
    layer->head.output->skip = layer->head.inputs[1];
    *out = &layer->head;
    return DT_OK;
}

/* The bytes of the mask that forward writes for residual_backward. A deferred join writes none. */
static int64_t mask_bytes(const dt_layer *base)
{
    const dt_value *y = base->output;
    return y->join_deferred || y->join_grad_fused
               ? 0
               : base->kernels->ops->residual_mask_bytes(base->kernels, &y->act.raw);
}

static dt_status complete(dt_net_builder *b, dt_layer *base, dt_error *err)
{
    int64_t bytes = dt_builder_training(b) ? mask_bytes(base) : 0;
    return bytes ? dt_builder_kept(b, bytes, &((add_layer *)base)->mask, err) : DT_OK;
}

static dt_status forward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    dt_kernels *k = base->kernels;
    if (base->output->join_deferred)
        return DT_OK;
    void *mask = pass->training ? ((add_layer *)base)->mask : NULL;
    return k->ops->residual_forward(k, &base->inputs[0]->act, &base->inputs[1]->act, &base->output->act.raw,
                                    mask, err);
}

static dt_status backward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    (void)pass;
    dt_kernels *k = base->kernels;
    const dt_bn_backward *bn[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        const dt_tensor *add = NULL;
        dt_value_begin_grad(base->inputs[i], &add, &bn[i]);
        if (add)
            return dt_fail(err, DT_ERR_INTERNAL,
                           "%s: a residual join must be the last layer that reads its inputs", base->name);
    }
    const dt_value *y = base->output;
    if (!y->join_grad_fused)
        DT_TRY(k->ops->residual_backward(k, &y->grad, &y->act.raw, ((add_layer *)base)->mask, bn[0], bn[1],
                                         &y->grad, err));
    for (int i = 0; i < 2; i++)
        dt_value_end_grad(base->inputs[i], bn[i] != NULL);
    return DT_OK;
}

/* Forward reads both inputs and writes y and its mask. Backward reads dy, the mask (or y) and, for the sums,
 * each normalised input; it writes g. The convolution that computes a deferred join counts its passes. */
static int64_t traffic_bytes(const dt_layer *base, dt_layer_phase phase)
{
    const int64_t y = dt_layer_tensor_bytes(base, &base->output->act.raw);
    const int64_t mask = mask_bytes(base);
    if (phase == DT_LAYER_FORWARD)
        return base->output->join_deferred ? 0 : 3 * y + mask;
    if (base->output->join_grad_fused)
        return 0;
    return 2 * y + (mask ? mask : y) + (base->inputs[0]->has_bn ? y : 0) + (base->inputs[1]->has_bn ? y : 0);
}

const dt_layer_ops dt_layer_add = {.kind = "add",
                                   .n_inputs = 2,
                                   .create = create,
                                   .complete = complete,
                                   .forward = forward,
                                   .backward = backward,
                                   .traffic_bytes = traffic_bytes,
                                   .destroy = destroy};
