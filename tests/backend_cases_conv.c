/* backend_cases_conv.c: one convolution, in every direction and with every fusion that the candidate
 * reports.
 * backend_cases.h says how to add a case. */
#include "tests/backend_kit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct conv_case {
    dt_kit_conv pair;
    dt_kit_act x;
    dt_kit_tensor y, dy, dx, add;
    bool has_add, accumulate;
    dt_kit_buffer *sums; /* NULL: not requested */
    dt_kit_act bn;       /* the epilogue's activation */
    bool has_bn;
    /* What bn_finalize makes of the sums. It is compared instead of the sums, whose format is the backend's
     * own. */
    dt_kit_buffer *gamma, *beta, *mean, *invstd, *scale, *bias, *stat_mean, *stat_var;
    dt_kit_bn_gradient gradient; /* of backward_data with bn */
} conv_case;

/* -- forward --------------------------------------------------------------------------------------------- */

static dt_status forward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    conv_case *a = arg;
    const dt_conv_desc *d = &a->pair.desc;
    void *sums = a->sums != NULL ? a->sums->data[side] : NULL;
    DT_TRY(DT_KIT_OPERATION(k, conv_forward, a->pair.conv[side], &a->x.act[side], a->pair.w->data[side],
                            &a->y.t[side], sums, err));
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

static void add_sums(dt_kit *kit, conv_case *a)
{
    int64_t c = a->pair.desc.k;
    a->sums = dt_kit_sums(kit, c);
    a->gamma = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, 0.5F, 1.5F), c);
    a->beta = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, -0.5F, 0.5F), c);
    dt_kit_buffer **outputs[] = {&a->mean, &a->invstd, &a->scale, &a->bias, &a->stat_mean, &a->stat_var};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        *outputs[i] = dt_kit_floats(kit, DT_KIT_OUT, NULL, c);
}

static void forward_case(dt_kit *kit, const dt_conv_desc *desc, bool lazy, bool sums)
{
    conv_case a = {.pair = dt_kit_conv_open(kit, desc)};
    if (!dt_kit_failed(kit)) {
        dt_kit_conv_add_weights(kit, &a.pair);
        a.x = dt_kit_act_in(kit, desc->n, desc->c, desc->h, desc->w,
                            lazy ? DT_KIT_NORMALISED_RELU : DT_KIT_PLAIN);
        a.y = dt_kit_tensor_out(kit, desc->n, desc->k, dt_conv_out_h(desc), dt_conv_out_w(desc));
        if (sums)
            add_sums(kit, &a);
        dt_kit_execute(kit, forward_call, &a);
        dt_kit_expect_tensor(kit, "y", &a.y);
    }
    if (sums && !dt_kit_failed(kit)) {
        dt_kit_expect_floats(kit, "mean", a.mean, desc->k, 0.5); /* the standard deviation is about 1 */
        dt_kit_expect_floats(kit, "invstd", a.invstd, desc->k, 0);
        dt_kit_expect_floats(kit, "scale", a.scale, desc->k, 0);
        dt_kit_expect_floats(kit, "bias", a.bias, desc->k, 0.5);
        dt_kit_expect_floats(kit, "stat_mean", a.stat_mean, desc->k, 0.5);
        dt_kit_expect_floats(kit, "stat_var", a.stat_var, desc->k, 0);
    }
    dt_kit_conv_close(kit, &a.pair);
    dt_kit_end(kit);
}

/* -- data gradient --------------------------------------------------------------------------------------- */

static dt_status backward_data_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    conv_case *a = arg;
    dt_bn_backward bn = {0};
    if (a->has_bn)
        bn = dt_kit_bn_backward(&a->bn, a->gradient.sums, side);
    DT_TRY(DT_KIT_OPERATION(k, conv_backward_data, a->pair.conv[side], &a->dy.t[side], a->pair.w->data[side],
                            a->has_add ? &a->add.t[side] : NULL, a->has_bn ? &bn : NULL, &a->dx.t[side],
                            err));
    if (!a->has_bn)
        return DT_OK;
    return dt_kit_bn_apply(k, side, &a->gradient, &a->bn, true, &a->dx, err);
}

static void add_epilogue(dt_kit *kit, conv_case *a, bool relu)
{
    const dt_conv_desc *d = &a->pair.desc;
    a->has_bn = true;
    a->bn = dt_kit_act_in(kit, d->n, d->c, d->h, d->w, relu ? DT_KIT_NORMALISED_RELU : DT_KIT_NORMALISED);
    a->gradient = dt_kit_bn_gradient_in(kit, d->n, d->c, d->h, d->w, false);
}

typedef enum add_kind { NO_ADD, ADD, ADD_IN_PLACE } add_kind;
typedef enum epilogue_kind { NO_BN, BN, BN_RELU } epilogue_kind;

static void backward_data_case(dt_kit *kit, const dt_conv_desc *desc, add_kind add, epilogue_kind epilogue)
{
    conv_case a = {.pair = dt_kit_conv_open(kit, desc), .has_add = add != NO_ADD};
    int64_t n_in = desc->n * desc->c * desc->h * desc->w;
    int64_t p = dt_conv_out_h(desc), q = dt_conv_out_w(desc);
    if (!dt_kit_failed(kit)) {
        dt_kit_conv_add_weights(kit, &a.pair);
        a.dy = dt_kit_tensor_in(kit, desc->n, desc->k, p, q,
                                dt_kit_random(kit, desc->n * desc->k * p * q, -1, 1));
        if (add == ADD)
            a.add =
                dt_kit_tensor_in(kit, desc->n, desc->c, desc->h, desc->w, dt_kit_random(kit, n_in, -1, 1));
        if (add == ADD_IN_PLACE)
            a.add = a.dx =
                dt_kit_tensor_inout(kit, desc->n, desc->c, desc->h, desc->w, dt_kit_random(kit, n_in, -1, 1));
        else
            a.dx = dt_kit_tensor_out(kit, desc->n, desc->c, desc->h, desc->w);
        if (epilogue != NO_BN)
            add_epilogue(kit, &a, epilogue == BN_RELU);
        dt_kit_execute(kit, backward_data_call, &a);
        dt_kit_expect_tensor(kit, "dx", &a.dx);
    }
    if (epilogue != NO_BN && !dt_kit_failed(kit))
        dt_kit_expect_bn_gradient(kit, &a.gradient);
    dt_kit_conv_close(kit, &a.pair);
    dt_kit_end(kit);
}

/* -- weight gradient ------------------------------------------------------------------------------------- */

static dt_status backward_weights_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    conv_case *a = arg;
    return DT_KIT_OPERATION(k, conv_backward_weights, a->pair.conv[side], &a->x.act[side], &a->dy.t[side],
                            a->pair.dw->data[side], a->accumulate, err);
}

static void backward_weights_case(dt_kit *kit, const dt_conv_desc *desc, bool lazy, bool accumulate)
{
    conv_case a = {.pair = dt_kit_conv_open(kit, desc), .accumulate = accumulate};
    int64_t p = dt_conv_out_h(desc), q = dt_conv_out_w(desc);
    if (!dt_kit_failed(kit)) {
        a.x = dt_kit_act_in(kit, desc->n, desc->c, desc->h, desc->w,
                            lazy ? DT_KIT_NORMALISED_RELU : DT_KIT_PLAIN);
        a.dy = dt_kit_tensor_in(kit, desc->n, desc->k, p, q,
                                dt_kit_random(kit, desc->n * desc->k * p * q, -1, 1));
        /* As large as what is added, about the root of the number of terms, so that a lost += is detected. */
        float size = sqrtf((float)(desc->n * p * q));
        const float *before =
            accumulate ? dt_kit_random(kit, desc->k * desc->c * desc->r * desc->s, -size, size) : NULL;
        a.pair.dw = dt_kit_conv_weights(kit, &a.pair, accumulate ? DT_KIT_INOUT : DT_KIT_OUT, before);
        dt_kit_execute(kit, backward_weights_call, &a);
        dt_kit_conv_expect_weights(kit, "dw", &a.pair, a.pair.dw);
    }
    dt_kit_conv_close(kit, &a.pair);
    dt_kit_end(kit);
}

/* -- weights --------------------------------------------------------------------------------------------- */

/* Import weights with one convolution and export them with another that has the same (k, c, r, s) and other
 * images. */
static void weights_case(dt_kit *kit, const dt_conv_desc *desc)
{
    dt_kit_conv pair = dt_kit_conv_open(kit, desc);
    dt_conv_desc other_desc = *desc;
    other_desc.n += 1;
    other_desc.h += 8;
    other_desc.w += 8;
    dt_kit_conv other = dt_kit_conv_open(kit, &other_desc);
    int64_t n = desc->k * desc->c * desc->r * desc->s;
    if (!dt_kit_failed(kit)) {
        dt_kernels *k = kit->side[DT_KIT_CANDIDATE];
        float *back = dt_kit_array(kit, n, sizeof *back);
        dt_weights_order order;
        dt_kit_conv_add_weights(kit, &pair);
        dt_kit_conv_expect_weights(kit, "w", &pair, pair.w);
        if (k->ops->conv_weights_elems(k, pair.conv[0]) != k->ops->conv_weights_elems(k, other.conv[0]))
            dt_kit_fail(kit, "the number of elements depends on n, h or w");
        k->ops->conv_weights_order(k, other.conv[0], &order);
        dt_weights_to_canonical(&order, dt_kit_download(kit, pair.w, DT_KIT_CANDIDATE), back);
        if (!dt_kit_failed(kit) && memcmp(back, pair.oihw, (size_t)n * sizeof *back) != 0)
            dt_kit_fail(kit, "weights are in another order for other n, h and w, or come back changed");
    }
    dt_kit_conv_close(kit, &pair);
    dt_kit_conv_close(kit, &other);
    dt_kit_end(kit);
}

/* -- all of it ------------------------------------------------------------------------------------------- */

static void forward_cases(dt_kit *kit, const dt_conv_desc *desc, unsigned fusions, const char *shape)
{
    dt_conv_desc inference = *desc;
    inference.for_training = false;
    bool lazy = (fusions & DT_CONV_FUSE_PROLOGUE) != 0 && !desc->reads_image;
    bool sums = (fusions & DT_CONV_FUSE_SUMS) != 0;
    if (dt_kit_begin(kit, "conv_forward %s", shape))
        forward_case(kit, desc, false, false);
    if (lazy && dt_kit_begin(kit, "conv_forward %s lazy", shape))
        forward_case(kit, desc, true, false);
    if (sums && dt_kit_begin(kit, "conv_forward %s sums", shape))
        forward_case(kit, desc, false, true);
    if (lazy && sums && dt_kit_begin(kit, "conv_forward %s lazy sums", shape))
        forward_case(kit, desc, true, true);
    if (dt_kit_begin(kit, "conv_forward %s inference", shape))
        forward_case(
            kit, &inference,
            (dt_kit_conv_fusions(kit, &inference) & DT_CONV_FUSE_PROLOGUE) != 0 && !desc->reads_image, false);
}

static void backward_data_cases(dt_kit *kit, const dt_conv_desc *desc, unsigned fusions, const char *shape)
{
    static const char *const add_names[] = {"", " add", " add in place"};
    static const char *const epilogue_names[] = {"", " bn", " bn relu"};
    bool add_supported = (fusions & DT_CONV_FUSE_BACKWARD_ADD) != 0;
    bool bn_supported = (fusions & DT_CONV_FUSE_BACKWARD_EPILOGUE) != 0;
    for (int add = NO_ADD; add <= (add_supported ? ADD_IN_PLACE : NO_ADD); add++)
        for (int epilogue = NO_BN; epilogue <= (bn_supported ? BN_RELU : NO_BN); epilogue++)
            if (dt_kit_begin(kit, "conv_backward_data %s%s%s", shape, add_names[add],
                             epilogue_names[epilogue]))
                backward_data_case(kit, desc, (add_kind)add, (epilogue_kind)epilogue);
}

static void backward_weights_cases(dt_kit *kit, const dt_conv_desc *desc, unsigned fusions, const char *shape)
{
    bool lazy_supported = (fusions & DT_CONV_FUSE_WEIGHTS_PROLOGUE) != 0 && !desc->reads_image;
    for (int lazy = 0; lazy <= (lazy_supported ? 1 : 0); lazy++)
        for (int accumulate = 0; accumulate <= 1; accumulate++)
            if (dt_kit_begin(kit, "conv_backward_weights %s%s%s", shape, lazy != 0 ? " lazy" : "",
                             accumulate != 0 ? " accumulate" : ""))
                backward_weights_case(kit, desc, lazy != 0, accumulate != 0);
}

/* Whether the filter matches any name of a case below, whatever the candidate fuses. */
static bool any_selected(const dt_kit *kit, const char *shape)
{
    static const char *const operations[] = {"conv_weights", "conv_forward", "conv_backward_data",
                                             "conv_backward_weights"};
    /* each case's ending is the beginning of one of these */
    static const char *const endings[] = {
        " lazy sums",       " sums",    " inference",   " accumulate",
        " lazy accumulate", " bn relu", " add bn relu", " add in place bn relu"};
    char name[256];
    for (size_t o = 0; o < sizeof operations / sizeof *operations; o++)
        for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
            snprintf(name, sizeof name, "%s %s%s", operations[o], shape, endings[e]);
            if (dt_kit_selects(kit, name))
                return true;
        }
    return false;
}

void dt_kit_conv_cases(dt_kit *kit, const dt_conv_desc *desc)
{
    char shape[160];
    dt_kit_conv_text(desc, shape, sizeof shape);
    if (!any_selected(kit, shape))
        return;
    unsigned fusions = dt_kit_conv_fusions(kit, desc);
    if (dt_kit_begin(kit, "conv_weights %s", shape))
        weights_case(kit, desc);
    forward_cases(kit, desc, fusions, shape);
    if (!desc->reads_image)
        backward_data_cases(kit, desc, fusions, shape);
    backward_weights_cases(kit, desc, fusions, shape);
}
