/* conv.c: a convolution without a bias.
 *
 * Forward:   y[n,k,p,q] = sum over c,r,s of w[k,c,r,s] * x[n, c, p*stride - pad + r, q*stride - pad + s]
 * Backward:  dx = the transposed convolution of dy with w, plus what other readers of x have added;
 *            dw[k,c,r,s] = sum over n,p,q of dy[n,k,p,q] * x[n, c, p*stride - pad + r, ...]
 *
 * Where the backend can (conv_fusions), the convolution reads x lazily normalised and computes the BatchNorm
 * sums of y, and the first convolution that reads a residual join's output computes that output as well (the
 * join is deferred). Where it cannot, this file calls plain operations of the same interface, which make
 * passes of their own through scratch memory. */
#include "core/base/alloc.h"
#include "core/layer.h"

typedef struct conv_layer {
    dt_layer head;
    dt_conv *conv;
    dt_conv_desc desc;
    unsigned fusions;
    int nth_reader; /* of the readers of x: reader 1 is the first, and the last in backward */
    float *w, *dw;
    void *plain_x_forward, *plain_x_backward; /* scratch memory; NULL where the backend has the prologue */
} conv_layer;

static dt_status request_memory(dt_net_builder *b, conv_layer *layer, dt_error *err)
{
    const dt_conv_desc *d = &layer->desc;
    dt_kernels *k = layer->head.kernels;
    dt_param_request weight = {.suffix = "weight",
                               .kind = DT_PARAM_WEIGHT,
                               .init = DT_INIT_HE_FAN_OUT,
                               .n_dims = 4,
                               .dims = {d->k, d->c, d->r, d->s},
                               .fan = d->k * d->r * d->s,
                               .n_elems = k->ops->conv_weights_elems(k, layer->conv),
                               .value = &layer->w,
                               .grad = &layer->dw};
    DT_TRY(dt_builder_param(b, &weight, err));
    DT_TRY(dt_builder_output(b, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d), err));
    if (!layer->head.inputs[0]->has_bn)
        return DT_OK;
    int64_t bytes = k->ops->tensor_bytes(k, d->n, d->c, d->h, d->w);
    if (!(layer->fusions & DT_CONV_FUSE_PROLOGUE))
        DT_TRY(dt_builder_scratch(b, bytes, false, &layer->plain_x_forward, err));
    if (d->for_training && !(layer->fusions & DT_CONV_FUSE_WEIGHTS_PROLOGUE))
        DT_TRY(dt_builder_scratch(b, bytes, true, &layer->plain_x_backward, err));
    return DT_OK;
}

static void destroy(dt_layer *base)
{
    conv_layer *layer = (conv_layer *)base;
    if (layer->conv)
        layer->head.kernels->ops->conv_destroy(layer->head.kernels, layer->conv);
    dt_free(layer);
}

/* The first reader of a residual join may compute it, and its backward, if the branch ends in a BatchNorm
 * without ReLU. For backward, the join is the only reader of its normalised inputs, whose sums are computed,
 * and another reader of x has left the gradient to which this layer adds its own. */
static dt_conv_input input_form(const dt_net_builder *b, const dt_value *x)
{
    const dt_value *branch = x->branch, *skip = x->skip;
    if (x->has_bn)
        return DT_CONV_INPUT_LAZY;
    if (!branch || x->n_consumers > 1 || !branch->has_bn || branch->act.relu || skip->act.relu ||
        branch->n_consumers > 1 || (skip->has_bn && skip->n_consumers > 1) || dt_builder_n_readers(b, 0) < 2)
        return DT_CONV_INPUT_PLAIN;
    return skip->has_bn ? DT_CONV_INPUT_JOIN_LAZY : DT_CONV_INPUT_JOIN;
}

/* Compute the join, of which x is the output, in this layer's forward instead of in its own. */
static void defer_join(dt_net_builder *b, dt_value *x)
{
    x->join_deferred = true;
    dt_builder_reads(b, x->branch);
    dt_builder_reads(b, x->skip);
}

static dt_status create(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **out, dt_error *err)
{
    conv_layer *layer = dt_builder_layer(b, sizeof *layer);
    if (!layer)
        return dt_fail_memory(err, sizeof *layer, spec->name);
    dt_kernels *k = layer->head.kernels;
    const dt_tensor *x = &layer->head.inputs[0]->act.raw;
    layer->desc = (dt_conv_desc){.n = x->n,
                                 .c = x->c,
                                 .h = x->h,
                                 .w = x->w,
                                 .k = spec->channels,
                                 .r = spec->kernel,
                                 .s = spec->kernel,
                                 .stride = spec->stride,
                                 .pad = spec->pad,
                                 .for_training = dt_builder_training(b),
                                 .reads_image = spec->inputs[0] == 0,
                                 .input = input_form(b, layer->head.inputs[0])};
    layer->nth_reader = layer->head.inputs[0]->n_consumers;
    dt_status status = k->ops->conv_create(k, &layer->desc, &layer->conv, err);
    if (status == DT_OK) {
        layer->fusions = k->ops->conv_fusions(k, layer->conv);
        if (layer->fusions & DT_CONV_FUSE_JOIN)
            defer_join(b, layer->head.inputs[0]);
        if (layer->fusions & DT_CONV_FUSE_BACKWARD_JOIN)
            dt_builder_fuse_join_grad(b, 0);
        status = request_memory(b, layer, err);
    }
    if (status != DT_OK) {
        destroy(&layer->head);
        return status;
    }
    *out = &layer->head;
    return DT_OK;
}

/* x in the form that the backend can read: lazy, or materialized into `scratch`. */
static dt_status readable_input(conv_layer *layer, dt_conv_fusion needed, void *scratch, dt_act *x,
                                dt_error *err)
{
    dt_kernels *k = layer->head.kernels;
    const dt_act *lazy = &layer->head.inputs[0]->act;
    *x = *lazy;
    if (!lazy->scale || (layer->fusions & (unsigned)needed))
        return DT_OK;
    *x = (dt_act){.raw = lazy->raw};
    x->raw.data = scratch;
    return k->ops->act_materialize(k, lazy, &x->raw, err);
}

static dt_status forward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    conv_layer *layer = (conv_layer *)base;
    dt_kernels *k = base->kernels;
    dt_act x;
    const dt_value *input = base->inputs[0];
    void *sums = pass->training ? base->output->sums : NULL;
    if (layer->fusions & DT_CONV_FUSE_JOIN)
        return k->ops->conv_forward_join(k, layer->conv, &input->branch->act, &input->skip->act,
                                         &input->act.raw, layer->w, &base->output->act.raw, sums, err);
    bool fused_sums = sums && (layer->fusions & DT_CONV_FUSE_SUMS);
    DT_TRY(readable_input(layer, DT_CONV_FUSE_PROLOGUE, layer->plain_x_forward, &x, err));
    DT_TRY(k->ops->conv_forward(k, layer->conv, &x, layer->w, &base->output->act.raw,
                                fused_sums ? sums : NULL, err));
    if (sums && !fused_sums)
        return k->ops->bn_sums(k, &base->output->act.raw, sums, err);
    return DT_OK;
}

/* This layer is the first reader of a join, whose backward it computes. */
static bool computes_join_backward(const conv_layer *layer)
{
    return layer->head.inputs[0]->join_grad_fused && layer->nth_reader == 1;
}

static dt_status backward_data(conv_layer *layer, dt_error *err)
{
    dt_kernels *k = layer->head.kernels;
    dt_value *x = layer->head.inputs[0];
    const dt_tensor *add = NULL;
    const dt_bn_backward *bn = NULL;
    dt_value_begin_grad(x, &add, &bn);
    if (computes_join_backward(layer)) {
        const dt_join_backward join = {.branch = &x->branch->bn,
                                       .skip = &x->skip->act.raw,
                                       .skip_bn = x->skip->has_bn ? &x->skip->bn : NULL};
        DT_TRY(k->ops->conv_backward_data_join(k, layer->conv, &layer->head.output->grad, layer->w, add,
                                               &join, &x->grad, err));
        dt_value_end_grad(x, false);
        return DT_OK;
    }
    if (!(layer->fusions & DT_CONV_FUSE_BACKWARD_EPILOGUE))
        bn = NULL; /* grad_reduced stays false, so the BatchNorm reduces the gradient itself */
    DT_TRY(k->ops->conv_backward_data(k, layer->conv, &layer->head.output->grad, layer->w, add, bn,
                                      dt_value_grad_target(x), err));
    dt_value_end_grad(x, bn != NULL);
    return DT_OK;
}

static dt_status backward(dt_layer *base, const dt_pass *pass, dt_error *err)
{
    conv_layer *layer = (conv_layer *)base;
    dt_kernels *k = base->kernels;
    dt_act x;
    DT_TRY(readable_input(layer, DT_CONV_FUSE_WEIGHTS_PROLOGUE, layer->plain_x_backward, &x, err));
    DT_TRY(k->ops->conv_backward_weights(k, layer->conv, &x, &base->output->grad, layer->dw, pass->accumulate,
                                         err));
    return layer->desc.reads_image ? DT_OK : backward_data(layer, err);
}

static dt_status weights_changed(dt_layer *base, dt_error *err)
{
    conv_layer *layer = (conv_layer *)base;
    return base->kernels->ops->conv_weights_changed(base->kernels, layer->conv, layer->w, err);
}

static void param_order(const dt_layer *base, int which, dt_weights_order *order)
{
    (void)which;
    base->kernels->ops->conv_weights_order(base->kernels, ((const conv_layer *)base)->conv, order);
}

static int64_t forward_macs(const dt_layer *base)
{
    const dt_conv_desc *d = &((const conv_layer *)base)->desc;
    return d->n * d->k * dt_conv_out_h(d) * dt_conv_out_w(d) * d->c * d->r * d->s;
}

/* Forward reads x and w and writes y; with the join that makes x, it reads the join's two inputs and writes
 * x. Backward reads x and dy for dw, and dy and w for dx. It also reads dx where an earlier reader of x has
 * written it, x where it reduces the gradient of the BatchNorm before it, and the join's two inputs where it
 * computes the join's backward. Operations that are not fused add passes of their own. */
static int64_t traffic_bytes(const dt_layer *base, dt_layer_phase phase)
{
    const conv_layer *layer = (const conv_layer *)base;
    const dt_value *input = base->inputs[0];
    const int64_t x = dt_layer_tensor_bytes(base, &input->act.raw),
                  y = dt_layer_tensor_bytes(base, &base->output->act.raw);
    const int64_t weights = base->kernels->ops->conv_weights_elems(base->kernels, layer->conv);
    const int64_t w = weights * dt_dtype_bytes(base->kernels->dtype), dw = weights * (int64_t)sizeof(float);
    const bool is_lazy = input->has_bn, puts_bn = is_lazy && layer->nth_reader == 1,
               adds = layer->nth_reader < input->n_consumers;
    if (phase == DT_LAYER_FORWARD)
        return (layer->fusions & DT_CONV_FUSE_JOIN ? 3 * x : x) + w + y +
               (is_lazy && !(layer->fusions & DT_CONV_FUSE_PROLOGUE) ? 2 * x : 0) +
               (base->output->sums && !(layer->fusions & DT_CONV_FUSE_SUMS) ? y : 0);
    int64_t bytes = x + y + dw + (is_lazy && !(layer->fusions & DT_CONV_FUSE_WEIGHTS_PROLOGUE) ? 2 * x : 0);
    if (layer->desc.reads_image)
        return bytes;
    if (computes_join_backward(layer)) /* reads the earlier gradient and the join's inputs */
        return bytes + y + w + 4 * x;
    bytes += y + w + x + (adds ? (layer->fusions & DT_CONV_FUSE_BACKWARD_ADD ? x : 3 * x) : 0);
    return bytes + (puts_bn ? (layer->fusions & DT_CONV_FUSE_BACKWARD_EPILOGUE ? x : 2 * x) : 0);
}

const dt_layer_ops dt_layer_conv = {.kind = "conv",
                                    .n_inputs = 1,
                                    .create = create,
                                    .forward = forward,
                                    .backward = backward,
                                    .weights_changed = weights_changed,
                                    .param_order = param_order,
                                    .forward_macs = forward_macs,
                                    .traffic_bytes = traffic_bytes,
                                    .destroy = destroy};
