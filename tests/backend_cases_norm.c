/* backend_cases_norm.c: BatchNorm forward and backward, materialized activations, residual joins.
 * backend_cases.h says how to add a case. */
#include "tests/backend_kit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void shape_text(int64_t n, const dt_kit_shape *s, char *text, size_t n_bytes)
{
    snprintf(text, n_bytes, "n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64, n, s->c, s->h, s->w);
}

/* -- forward: sums, statistics, scale and bias ----------------------------------------------------------- */

typedef struct statistics_case {
    int64_t c, count;
    dt_kit_tensor y;
    bool accumulate;
    dt_kit_buffer *sums, *gamma, *beta;
    dt_kit_buffer *mean, *invstd, *scale, *bias, *stat_mean, *stat_var;
} statistics_case;

static dt_status statistics_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    statistics_case *a = arg;
    DT_TRY(DT_KIT_OPERATION(k, bn_sums, &a->y.t[side], a->sums->data[side], err));
    dt_bn_forward bn = {.c = a->c,
                        .count = a->count,
                        .sums = a->sums->data[side],
                        .gamma = a->gamma->data[side],
                        .beta = a->beta->data[side],
                        .eps = 1e-3F,
                        .mean = a->mean->data[side],
                        .invstd = a->invstd->data[side],
                        .scale = a->scale->data[side],
                        .bias = a->bias->data[side],
                        .stat_mean = a->stat_mean->data[side],
                        .stat_var = a->stat_var->data[side],
                        .stat_weight = 0.75F,
                        .accumulate = a->accumulate};
    return DT_KIT_OPERATION(k, bn_finalize, &bn, err);
}

/* Values whose mean and variance differ from channel to channel. No variance is near zero, since that would
 * magnify the rounding of the sums in later results. */
static float *spread_values(dt_kit *kit, int64_t n, const dt_kit_shape *s)
{
    float *values = dt_kit_random(kit, n * s->c * s->h * s->w, -0.25F, 0.25F);
    float *offset = dt_kit_random(kit, s->c, -1, 1);
    float *width = dt_kit_random(kit, s->c, 0.5F, 1.5F);
    int64_t n_pixels = s->h * s->w;
    for (int64_t i = 0; i < n * s->c * n_pixels; i++) {
        int64_t channel = i / n_pixels % s->c;
        float side = (i / n_pixels / s->c + i % n_pixels) % 2 == 0 ? 1.0F : -1.0F;
        values[i] = offset[channel] + width[channel] * (side + values[i]);
    }
    return values;
}

static void statistics_case_run(dt_kit *kit, int64_t n, const dt_kit_shape *s, bool accumulate)
{
    statistics_case a = {.c = s->c, .count = n * s->h * s->w, .accumulate = accumulate};
    dt_kit_role statistic = accumulate ? DT_KIT_INOUT : DT_KIT_OUT;
    a.y = dt_kit_tensor_in(kit, n, s->c, s->h, s->w, spread_values(kit, n, s));
    a.sums = dt_kit_sums(kit, s->c);
    a.gamma = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, s->c, 0.5F, 1.5F), s->c);
    a.beta = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, s->c, -0.5F, 0.5F), s->c);
    dt_kit_buffer **outputs[] = {&a.mean, &a.invstd, &a.scale, &a.bias};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        *outputs[i] = dt_kit_floats(kit, DT_KIT_OUT, NULL, s->c);
    a.stat_mean = dt_kit_floats(kit, statistic, accumulate ? dt_kit_random(kit, s->c, -1, 1) : NULL, s->c);
    a.stat_var = dt_kit_floats(kit, statistic, accumulate ? dt_kit_random(kit, s->c, 0, 1) : NULL, s->c);
    dt_kit_execute(kit, statistics_call, &a);
    dt_kit_expect_floats(kit, "mean", a.mean, s->c, 0);
    dt_kit_expect_floats(kit, "invstd", a.invstd, s->c, 0);
    dt_kit_expect_floats(kit, "scale", a.scale, s->c, 0);
    dt_kit_expect_floats(kit, "bias", a.bias, s->c, 0);
    dt_kit_expect_floats(kit, "stat_mean", a.stat_mean, s->c, 0);
    dt_kit_expect_floats(kit, "stat_var", a.stat_var, s->c, 0);
    dt_kit_end(kit);
}

typedef struct inference_case {
    int64_t c;
    dt_kit_buffer *gamma, *beta, *running_mean, *running_var, *scale, *bias;
} inference_case;

static dt_status inference_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    inference_case *a = arg;
    return DT_KIT_OPERATION(k, bn_inference, a->c, a->gamma->data[side], a->beta->data[side],
                            a->running_mean->data[side], a->running_var->data[side], 1e-5F,
                            a->scale->data[side], a->bias->data[side], err);
}

static void inference_case_run(dt_kit *kit, int64_t c)
{
    inference_case a = {.c = c};
    a.gamma = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, -1.5F, 1.5F), c);
    a.beta = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, -1, 1), c);
    a.running_mean = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, -1, 1), c);
    a.running_var = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, 0.01F, 2), c);
    a.scale = dt_kit_floats(kit, DT_KIT_OUT, NULL, c);
    a.bias = dt_kit_floats(kit, DT_KIT_OUT, NULL, c);
    dt_kit_execute(kit, inference_call, &a);
    dt_kit_expect_floats(kit, "scale", a.scale, c, 0);
    dt_kit_expect_floats(kit, "bias", a.bias, c, 0);
    dt_kit_end(kit);
}

/* -- backward: reduce, apply ----------------------------------------------------------------------------- */

typedef struct reduce_case {
    dt_kit_act x;
    dt_kit_tensor dv, dz;
    bool in_place;
    dt_kit_bn_gradient gradient;
} reduce_case;

static dt_status reduce_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    reduce_case *a = arg;
    dt_bn_backward bn = dt_kit_bn_backward(&a->x, a->gradient.sums, side);
    DT_TRY(DT_KIT_OPERATION(k, bn_backward_reduce, &bn, &a->dv.t[side], &a->dz.t[side], err));
    return dt_kit_bn_apply(k, side, &a->gradient, &a->x, !a->in_place, &a->dz, err);
}

typedef enum reduce_kind { NO_RELU, RELU, RELU_AT_ZERO } reduce_kind;

static void reduce_case_run(dt_kit *kit, int64_t n, const dt_kit_shape *s, reduce_kind kind, bool in_place,
                            bool accumulate)
{
    int64_t n_elems = n * s->c * s->h * s->w;
    reduce_case a = {.in_place = in_place};
    if (kind == RELU_AT_ZERO)
        a.x = dt_kit_act_with_zeros(kit, n, s->c, s->h, s->w);
    else
        a.x = dt_kit_act_in(kit, n, s->c, s->h, s->w,
                            kind == RELU ? DT_KIT_NORMALISED_RELU : DT_KIT_NORMALISED);
    if (in_place) {
        a.dv = a.dz = dt_kit_tensor_inout(kit, n, s->c, s->h, s->w, dt_kit_random(kit, n_elems, -1, 1));
    } else {
        a.dv = dt_kit_tensor_in(kit, n, s->c, s->h, s->w, dt_kit_random(kit, n_elems, -1, 1));
        a.dz = dt_kit_tensor_out(kit, n, s->c, s->h, s->w);
    }
    a.gradient = dt_kit_bn_gradient_in(kit, n, s->c, s->h, s->w, accumulate);
    dt_kit_execute(kit, reduce_call, &a);
    if (!in_place) /* in place a backend may leave the mask to bn_backward_apply */
        dt_kit_expect_tensor(kit, "dz", &a.dz);
    dt_kit_expect_bn_gradient(kit, &a.gradient);
    dt_kit_end(kit);
}

/* dy lies over dz, or over the raw tensor. */
typedef enum apply_kind { APART, OVER_DZ, OVER_RAW } apply_kind;

typedef struct apply_case {
    dt_kit_act x;
    dt_kit_tensor dz;
    dt_kit_bn_gradient gradient;
} apply_case;

static dt_status apply_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    apply_case *a = arg;
    const dt_bn_backward bn = dt_kit_bn_backward(&a->x, a->gradient.sums, side);
    DT_TRY(DT_KIT_OPERATION(k, bn_backward_reduce, &bn, &a->dz.t[side], &a->dz.t[side], err));
    return dt_kit_bn_apply(k, side, &a->gradient, &a->x, true, &a->dz, err);
}

static void apply_case_run(dt_kit *kit, int64_t n, const dt_kit_shape *s, apply_kind kind)
{
    int64_t n_elems = n * s->c * s->h * s->w;
    apply_case a = {.x = dt_kit_act_in(kit, n, s->c, s->h, s->w, DT_KIT_NORMALISED)};
    a.dz = dt_kit_tensor_inout(kit, n, s->c, s->h, s->w, dt_kit_random(kit, n_elems, -1, 1));
    a.gradient = dt_kit_bn_gradient_in(kit, n, s->c, s->h, s->w, false);
    if (kind == OVER_DZ)
        a.gradient.dy = a.dz;
    if (kind == OVER_RAW) {
        a.x.raw.buffer->role = DT_KIT_INOUT;
        a.gradient.dy = a.x.raw;
    }
    dt_kit_execute(kit, apply_call, &a);
    dt_kit_expect_bn_gradient(kit, &a.gradient);
    dt_kit_end(kit);
}

/* -- written-out activations ----------------------------------------------------------------------------- */

typedef struct materialize_case {
    dt_kit_act x;
    dt_kit_tensor y;
} materialize_case;

static dt_status materialize_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    materialize_case *a = arg;
    return DT_KIT_OPERATION(k, act_materialize, &a->x.act[side], &a->y.t[side], err);
}

static void materialize_case_run(dt_kit *kit, int64_t n, const dt_kit_shape *s,
                                 dt_kit_normalisation normalisation, bool in_place)
{
    materialize_case a = {.x = dt_kit_act_in(kit, n, s->c, s->h, s->w, normalisation)};
    if (in_place) {
        a.x.raw.buffer->role = DT_KIT_INOUT;
        a.y = a.x.raw;
    } else {
        a.y = dt_kit_tensor_out(kit, n, s->c, s->h, s->w);
    }
    dt_kit_execute(kit, materialize_call, &a);
    dt_kit_expect_tensor(kit, "y", &a.y);
    dt_kit_end(kit);
}

static void materialize_nan_case_run(dt_kit *kit, int64_t n, const dt_kit_shape *s)
{
    int64_t n_elems = n * s->c * s->h * s->w;
    float *values = dt_kit_random(kit, n_elems, -2, -1);
    for (int64_t i = 0; i < n_elems; i += 7)
        values[i] = NAN;
    materialize_case a = {.x = dt_kit_act_from(kit, n, s->c, s->h, s->w, values,
                                               dt_kit_random(kit, s->c, 0.5F, 1),
                                               dt_kit_random(kit, s->c, 0, 0.25F), true)};
    a.y = dt_kit_tensor_out(kit, n, s->c, s->h, s->w);
    dt_kit_execute(kit, materialize_call, &a);
    dt_kit_expect_tensor(kit, "y", &a.y);
    dt_kit_end(kit);
}

static void materialize_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape, const char *text)
{
    static const char *const names[] = {"plain", "normalised", "normalised relu"};
    for (int normalisation = DT_KIT_PLAIN; normalisation <= DT_KIT_NORMALISED_RELU; normalisation++)
        for (int in_place = 0; in_place <= 1; in_place++)
            if (dt_kit_begin(kit, "act_materialize %s %s%s", text, names[normalisation],
                             in_place != 0 ? " in place" : ""))
                materialize_case_run(kit, n, shape, (dt_kit_normalisation)normalisation, in_place != 0);
    if (dt_kit_begin(kit, "act_materialize %s relu of NaN", text))
        materialize_nan_case_run(kit, n, shape);
}

void dt_kit_batchnorm_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape)
{
    char text[96];
    shape_text(n, shape, text, sizeof text);
    for (int accumulate = 0; accumulate <= 1; accumulate++) {
        const char *tag = accumulate != 0 ? " accumulate" : "";
        if (dt_kit_begin(kit, "bn_sums bn_finalize %s%s", text, tag))
            statistics_case_run(kit, n, shape, accumulate != 0);
        if (dt_kit_begin(kit, "bn_backward_reduce bn_backward_apply %s relu%s", text, tag))
            reduce_case_run(kit, n, shape, RELU, false, accumulate != 0);
    }
    if (dt_kit_begin(kit, "bn_backward_reduce bn_backward_apply %s", text))
        reduce_case_run(kit, n, shape, NO_RELU, false, false);
    if (dt_kit_begin(kit, "bn_backward_reduce bn_backward_apply %s relu in place", text))
        reduce_case_run(kit, n, shape, RELU, true, false);
    if (dt_kit_begin(kit, "bn_backward_reduce bn_backward_apply %s relu at 0", text))
        reduce_case_run(kit, n, shape, RELU_AT_ZERO, false, false);
    if (dt_kit_begin(kit, "bn_inference c%" PRId64, shape->c))
        inference_case_run(kit, shape->c);
    if (dt_kit_begin(kit, "bn_backward_apply %s", text))
        apply_case_run(kit, n, shape, APART);
    if (dt_kit_begin(kit, "bn_backward_apply %s over dz", text))
        apply_case_run(kit, n, shape, OVER_DZ);
    if (dt_kit_begin(kit, "bn_backward_apply %s over raw", text))
        apply_case_run(kit, n, shape, OVER_RAW);
    materialize_cases(kit, n, shape, text);
}

/* -- residual join --------------------------------------------------------------------------------------- */

typedef struct join_case {
    dt_kit_act branch, skip;
    dt_kit_tensor y, dy, g;
    dt_kit_buffer *mask;
    bool reduce_branch, reduce_skip;
    dt_kit_bn_gradient gradient[2]; /* for the branch, for the skip */
} join_case;

static dt_status join_forward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    join_case *a = arg;
    return DT_KIT_OPERATION(k, residual_forward, &a->branch.act[side], &a->skip.act[side], &a->y.t[side],
                            a->mask->data[side], err);
}

/* Run forward first: the mask is in the backend's own format, and the backend may read y instead. */
static dt_status join_backward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    join_case *a = arg;
    dt_bn_backward branch = {0}, skip = {0};
    DT_TRY(join_forward_call(k, side, arg, err));
    if (a->reduce_branch)
        branch = dt_kit_bn_backward(&a->branch, a->gradient[0].sums, side);
    if (a->reduce_skip)
        skip = dt_kit_bn_backward(&a->skip, a->gradient[1].sums, side);
    DT_TRY(DT_KIT_OPERATION(k, residual_backward, &a->dy.t[side], &a->y.t[side], a->mask->data[side],
                            a->reduce_branch ? &branch : NULL, a->reduce_skip ? &skip : NULL, &a->g.t[side],
                            err));
    if (a->reduce_branch)
        DT_TRY(dt_kit_bn_apply(k, side, &a->gradient[0], &a->branch, true, &a->g, err));
    if (a->reduce_skip)
        DT_TRY(dt_kit_bn_apply(k, side, &a->gradient[1], &a->skip, true, &a->g, err));
    return DT_OK;
}

/* The output and the mask, which is in each backend's own format. */
static join_case join_outputs(dt_kit *kit, int64_t n, const dt_kit_shape *s, join_case a)
{
    int64_t n_bytes[DT_KIT_SIDES];
    a.y = dt_kit_tensor_out(kit, n, s->c, s->h, s->w);
    for (int side = 0; side < DT_KIT_SIDES; side++)
        n_bytes[side] = kit->side[side]->ops->residual_mask_bytes(kit->side[side], &a.y.t[side]);
    a.mask = dt_kit_opaque(kit, n_bytes);
    return a;
}

static join_case join_open(dt_kit *kit, int64_t n, const dt_kit_shape *s, bool skip_is_lazy)
{
    join_case a = {0};
    dt_kit_join_inputs(kit, n, s, skip_is_lazy, &a.branch, &a.skip);
    return join_outputs(kit, n, s, a);
}

/* An eighth of the sums are exactly 0, where the gradient is 0. */
static join_case join_with_zeros(dt_kit *kit, int64_t n, const dt_kit_shape *s)
{
    const int64_t n_elems = n * s->c * s->h * s->w;
    join_case a = {0};
    a.skip =
        dt_kit_act_from(kit, n, s->c, s->h, s->w, dt_kit_quarters(kit, n_elems, -1, 1), NULL, NULL, false);
    a.branch = dt_kit_act_with_zeros(kit, n, s->c, s->h, s->w);
    for (int side = 0; side < DT_KIT_SIDES; side++)
        a.branch.act[side].relu = false;
    return join_outputs(kit, n, s, a);
}

static void join_forward_run(dt_kit *kit, int64_t n, const dt_kit_shape *s, bool skip_is_lazy)
{
    join_case a = join_open(kit, n, s, skip_is_lazy);
    dt_kit_execute(kit, join_forward_call, &a);
    dt_kit_expect_tensor(kit, "y", &a.y);
    dt_kit_end(kit);
}

static void join_backward_run(dt_kit *kit, int64_t n, const dt_kit_shape *s, bool reduce_branch,
                              bool reduce_skip, bool in_place, bool at_zero)
{
    int64_t n_elems = n * s->c * s->h * s->w;
    join_case a = at_zero ? join_with_zeros(kit, n, s) : join_open(kit, n, s, reduce_skip);
    bool reduce[2] = {reduce_branch, reduce_skip};
    a.reduce_branch = reduce_branch;
    a.reduce_skip = reduce_skip;
    if (in_place) {
        a.dy = a.g = dt_kit_tensor_inout(kit, n, s->c, s->h, s->w, dt_kit_random(kit, n_elems, -1, 1));
    } else {
        a.dy = dt_kit_tensor_in(kit, n, s->c, s->h, s->w, dt_kit_random(kit, n_elems, -1, 1));
        a.g = dt_kit_tensor_out(kit, n, s->c, s->h, s->w);
    }
    for (int i = 0; i < 2; i++)
        if (reduce[i])
            a.gradient[i] = dt_kit_bn_gradient_in(kit, n, s->c, s->h, s->w, false);
    dt_kit_execute(kit, join_backward_call, &a);
    dt_kit_expect_tensor(kit, "g", &a.g);
    for (int i = 0; i < 2; i++)
        if (reduce[i])
            dt_kit_expect_bn_gradient(kit, &a.gradient[i]);
    dt_kit_end(kit);
}

void dt_kit_residual_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape, bool skip_is_lazy)
{
    char text[96];
    const char *skip = skip_is_lazy ? "lazy skip" : "plain skip";
    shape_text(n, shape, text, sizeof text);
    if (dt_kit_begin(kit, "residual_forward %s %s", text, skip))
        join_forward_run(kit, n, shape, skip_is_lazy);
    if (dt_kit_begin(kit, "residual_backward %s %s", text, skip))
        join_backward_run(kit, n, shape, true, skip_is_lazy, false, false);
    if (dt_kit_begin(kit, "residual_backward %s %s in place", text, skip))
        join_backward_run(kit, n, shape, true, skip_is_lazy, true, false);
    if (dt_kit_begin(kit, "residual_backward %s %s unnormalised", text, skip))
        join_backward_run(kit, n, shape, false, false, false, false);
    if (dt_kit_begin(kit, "residual_backward %s at 0", text))
        join_backward_run(kit, n, shape, true, false, false, true);
}
