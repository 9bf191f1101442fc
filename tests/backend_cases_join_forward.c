/* backend_cases_join_forward.c: a convolution that computes the residual join it reads.
 * backend_cases.h says how to add a case. */
#include "tests/backend_kit.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct join_case {
    dt_kit_conv pair;
    dt_kit_act branch, skip;
    dt_kit_tensor x, y;
    dt_kit_buffer *sums; /* NULL: not requested */
    /* What bn_finalize makes of the sums, whose format is the backend's own. */
    dt_kit_buffer *gamma, *beta, *mean, *invstd, *scale, *bias, *stat_mean, *stat_var;
} join_case;

/* What the layers of a backend without the fusion call. */
static dt_status compose(dt_kernels *k, int side, const join_case *a, void *sums, dt_error *err)
{
    const dt_act x = {.raw = a->x.t[side]};
    DT_TRY(DT_KIT_OPERATION(k, residual_forward, &a->branch.act[side], &a->skip.act[side], &a->x.t[side],
                            NULL, err));
    return DT_KIT_OPERATION(k, conv_forward, a->pair.conv[side], &x, a->pair.w->data[side], &a->y.t[side],
                            sums, err);
}

static dt_status forward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    const join_case *a = arg;
    const dt_conv_desc *d = &a->pair.desc;
    void *sums = a->sums != NULL ? a->sums->data[side] : NULL;
    if (side == DT_KIT_CANDIDATE)
        DT_TRY(DT_KIT_OPERATION(k, conv_forward_join, a->pair.conv[side], &a->branch.act[side],
                                &a->skip.act[side], &a->x.t[side], a->pair.w->data[side], &a->y.t[side], sums,
                                err));
    else
        DT_TRY(compose(k, side, a, sums, err));
    if (sums == NULL)
        return DT_OK;
    dt_bn_forward bn = {.c = d->k,
                        .count = d->n * dt_conv_out_h(d) * dt_conv_out_w(d),
                        .sums = sums,
                        .gamma = a->gamma->data[side],
                        .beta = a->beta->data[side],
                        .eps = 0.01F,
                        .mean = a->mean->data[side],
                        .invstd = a->invstd->data[side],
                        .scale = a->scale->data[side],
                        .bias = a->bias->data[side],
                        .stat_mean = a->stat_mean->data[side],
                        .stat_var = a->stat_var->data[side],
                        .stat_weight = 1.0F};
    return DT_KIT_OPERATION(k, bn_finalize, &bn, err);
}

/* An input of the join. Every dtype holds its scale and bias exactly, so that both sides compute with the
 * same values. */
static dt_kit_act join_input(dt_kit *kit, const dt_conv_desc *d, bool lazy)
{
    float *values = dt_kit_random(kit, d->n * d->c * d->h * d->w, -1.5F, 1.5F);
    const float *scale = lazy ? dt_kit_quarters(kit, d->c, -2, 2) : NULL,
                *bias = lazy ? dt_kit_quarters(kit, d->c, -1, 1) : NULL;
    return dt_kit_act_from(kit, d->n, d->c, d->h, d->w, values, scale, bias, false);
}

static void add_sums(dt_kit *kit, join_case *a)
{
    int64_t c = a->pair.desc.k;
    a->sums = dt_kit_sums(kit, c);
    a->gamma = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, 0.5F, 1.5F), c);
    a->beta = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, -0.5F, 0.5F), c);
    dt_kit_buffer **outputs[] = {&a->mean, &a->invstd, &a->scale, &a->bias, &a->stat_mean, &a->stat_var};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        *outputs[i] = dt_kit_floats(kit, DT_KIT_OUT, NULL, c);
}

static void forward_case(dt_kit *kit, const dt_conv_desc *d, bool sums)
{
    join_case a = {.pair = dt_kit_conv_open(kit, d)};
    if (!dt_kit_failed(kit)) {
        dt_kit_conv_add_weights(kit, &a.pair);
        a.branch = join_input(kit, d, true);
        a.skip = join_input(kit, d, d->input == DT_CONV_INPUT_JOIN_LAZY);
        a.x = dt_kit_tensor_out(kit, d->n, d->c, d->h, d->w);
        a.y = dt_kit_tensor_out(kit, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
        if (sums)
            add_sums(kit, &a);
        dt_kit_execute(kit, forward_call, &a);
        dt_kit_expect_tensor(kit, "x", &a.x);
        dt_kit_expect_tensor(kit, "y", &a.y);
    }
    if (sums && !dt_kit_failed(kit)) {
        dt_kit_expect_floats(kit, "mean", a.mean, d->k, 0.5); /* the standard deviation is about 1 */
        dt_kit_expect_floats(kit, "invstd", a.invstd, d->k, 0);
        dt_kit_expect_floats(kit, "stat_mean", a.stat_mean, d->k, 0.5);
        dt_kit_expect_floats(kit, "stat_var", a.stat_var, d->k, 0);
    }
    dt_kit_conv_close(kit, &a.pair);
    dt_kit_end(kit);
}

void dt_kit_join_forward_cases(dt_kit *kit, const dt_conv_desc *desc)
{
    char text[160], name[256];
    dt_kit_conv_text(desc, text, sizeof text);
    for (int form = 0; form < 4; form++) {
        dt_conv_desc d = *desc;
        bool lazy = form & 1, sums = form & 2;
        d.input = lazy ? DT_CONV_INPUT_JOIN_LAZY : DT_CONV_INPUT_JOIN;
        d.for_training = sums;
        snprintf(name, sizeof name, "conv_forward_join %s %s skip%s", text, lazy ? "lazy" : "plain",
                 sums ? " sums" : "");
        if (dt_kit_selects(kit, name) && dt_kit_conv_fusions(kit, &d) & DT_CONV_FUSE_JOIN &&
            dt_kit_begin(kit, "%s", name))
            forward_case(kit, &d, sums);
    }
}
