/* backend_cases_join.c: a convolution that computes the backward of the residual join that made its input.
 * backend_cases.h says how to add a case. */
#include "tests/backend_kit.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct join_case {
    dt_kit_conv pair;
    dt_kit_act branch, skip;
    dt_kit_tensor y, dy, add, dx;
    dt_kit_buffer *mask;
    bool lazy_skip;
    dt_kit_bn_gradient gradients[2]; /* of the branch, of the skip */
} join_case;

/* What a backend without the fusion calls in its place. */
static dt_status compose(dt_kernels *k, int side, const join_case *a, const dt_join_backward *join,
                         dt_error *err)
{
    DT_TRY(DT_KIT_OPERATION(k, residual_forward, &a->branch.act[side], &a->skip.act[side], &a->y.t[side],
                            a->mask->data[side], err));
    DT_TRY(DT_KIT_OPERATION(k, conv_backward_data, a->pair.conv[side], &a->dy.t[side], a->pair.w->data[side],
                            &a->add.t[side], NULL, &a->dx.t[side], err));
    return DT_KIT_OPERATION(k, residual_backward, &a->dx.t[side], &a->y.t[side], a->mask->data[side],
                            join->branch, join->skip_bn, &a->dx.t[side], err);
}

static dt_status backward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    const join_case *a = arg;
    const dt_kit_act *acts[2] = {&a->branch, &a->skip};
    dt_bn_backward norms[2] = {dt_kit_bn_backward(&a->branch, a->gradients[0].sums, side)};
    if (a->lazy_skip)
        norms[1] = dt_kit_bn_backward(&a->skip, a->gradients[1].sums, side);
    const dt_join_backward join = {
        .branch = &norms[0], .skip = &a->skip.raw.t[side], .skip_bn = a->lazy_skip ? &norms[1] : NULL};
    if (side == DT_KIT_CANDIDATE)
        DT_TRY(DT_KIT_OPERATION(k, conv_backward_data_join, a->pair.conv[side], &a->dy.t[side],
                                a->pair.w->data[side], &a->add.t[side], &join, &a->dx.t[side], err));
    else
        DT_TRY(compose(k, side, a, &join, err));
    for (int i = 0; i < (a->lazy_skip ? 2 : 1); i++)
        DT_TRY(dt_kit_bn_apply(k, side, &a->gradients[i], acts[i], true, &a->dx, err));
    return DT_OK;
}

/* The gradient is a sum of multiples of 1/16, which FP32 holds exactly: the graph may round it to FP32 before
 * it adds `add`, and still both sides round the same number to 16 bits. */
static void add_tensors(dt_kit *kit, join_case *a)
{
    const dt_conv_desc *d = &a->pair.desc;
    const dt_kit_shape shape = {d->c, d->h, d->w};
    int64_t p = dt_conv_out_h(d), q = dt_conv_out_w(d), n_bytes[DT_KIT_SIDES] = {0};
    dt_kernels *reference = kit->side[DT_KIT_REFERENCE];
    a->pair.oihw = dt_kit_quarters(kit, d->k * d->c * d->r * d->s, -1, 1);
    dt_kit_conv_add_weights(kit, &a->pair);
    dt_kit_join_inputs(kit, d->n, &shape, a->lazy_skip, &a->branch, &a->skip);
    a->dy = dt_kit_tensor_in(kit, d->n, d->k, p, q, dt_kit_quarters(kit, d->n * d->k * p * q, -1, 1));
    a->add =
        dt_kit_tensor_in(kit, d->n, d->c, d->h, d->w, dt_kit_quarters(kit, d->n * d->c * d->h * d->w, -1, 1));
    a->dx = dt_kit_tensor_out(kit, d->n, d->c, d->h, d->w);
    /* The reference's alone: y and its mask. */
    a->y = dt_kit_tensor_inout(kit, d->n, d->c, d->h, d->w,
                               dt_kit_array(kit, d->n * d->c * d->h * d->w, sizeof(float)));
    n_bytes[DT_KIT_REFERENCE] = reference->ops->residual_mask_bytes(reference, &a->y.t[DT_KIT_REFERENCE]);
    a->mask = dt_kit_opaque(kit, n_bytes);
    for (int i = 0; i < (a->lazy_skip ? 2 : 1); i++)
        a->gradients[i] = dt_kit_bn_gradient_in(kit, d->n, d->c, d->h, d->w, false);
}

static void backward_case(dt_kit *kit, const dt_conv_desc *desc)
{
    join_case a = {.pair = dt_kit_conv_open(kit, desc), .lazy_skip = desc->input == DT_CONV_INPUT_JOIN_LAZY};
    if (!dt_kit_failed(kit)) {
        add_tensors(kit, &a);
        dt_kit_execute(kit, backward_call, &a);
        dt_kit_expect_tensor(kit, "dx", &a.dx);
    }
    for (int i = 0; i < (a.lazy_skip ? 2 : 1) && !dt_kit_failed(kit); i++)
        dt_kit_expect_bn_gradient(kit, &a.gradients[i]);
    dt_kit_conv_close(kit, &a.pair);
    dt_kit_end(kit);
}

void dt_kit_join_cases(dt_kit *kit, const dt_conv_desc *desc)
{
    char text[160], name[256];
    dt_kit_conv_text(desc, text, sizeof text);
    for (int lazy = 0; lazy < 2; lazy++) {
        dt_conv_desc d = *desc;
        d.input = lazy ? DT_CONV_INPUT_JOIN_LAZY : DT_CONV_INPUT_JOIN;
        snprintf(name, sizeof name, "conv_backward_data_join %s %s skip", text, lazy ? "lazy" : "plain");
        if (dt_kit_selects(kit, name) && dt_kit_conv_fusions(kit, &d) & DT_CONV_FUSE_BACKWARD_JOIN &&
            dt_kit_begin(kit, "%s", name))
            backward_case(kit, &d);
    }
}
