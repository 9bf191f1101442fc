/* backend_kit_acts.c: lazily normalised activations for the cases of backend_cases.h. */
#include "tests/backend_kit.h"

#include <math.h>

/* Mean and 1 / standard deviation of each channel. The eps is large because a channel may have two close
 * values. */
static void statistics(int64_t n, int64_t c, int64_t n_pixels, const float *nchw, float *mean, float *invstd)
{
    for (int64_t channel = 0; channel < c; channel++) {
        double sum = 0, squares = 0, m = (double)(n * n_pixels);
        for (int64_t image = 0; image < n; image++) {
            for (int64_t i = 0; i < n_pixels; i++) {
                double v = (double)nchw[(image * c + channel) * n_pixels + i];
                sum += v;
                squares += v * v;
            }
        }
        mean[channel] = (float)(sum / m);
        invstd[channel] = (float)(1 / sqrt(fmax(squares / m - sum / m * sum / m, 0) + 0.05));
    }
}

/* The gamma and beta that scale and bias follow from. */
static void add_parameters(dt_kit *kit, dt_kit_act *act, int64_t c, const float *scale, const float *bias,
                           const float *mean, const float *invstd)
{
    float *gamma = dt_kit_array(kit, c, sizeof *gamma);
    float *beta = dt_kit_array(kit, c, sizeof *beta);
    for (int64_t i = 0; i < c; i++) {
        gamma[i] = scale[i] / invstd[i];
        beta[i] = bias[i] + mean[i] * scale[i];
    }
    act->gamma = dt_kit_floats(kit, DT_KIT_IN, gamma, c);
    act->beta = dt_kit_floats(kit, DT_KIT_IN, beta, c);
}

dt_kit_act dt_kit_act_from(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw,
                           const float *scale, const float *bias, bool relu)
{
    float *mean = dt_kit_array(kit, c, sizeof *mean);
    float *invstd = dt_kit_array(kit, c, sizeof *invstd);
    dt_kit_act act = {.raw = dt_kit_tensor_in(kit, n, c, h, w, nchw)};
    statistics(n, c, h * w, nchw, mean, invstd);
    act.mean = dt_kit_floats(kit, DT_KIT_IN, mean, c);
    act.invstd = dt_kit_floats(kit, DT_KIT_IN, invstd, c);
    if (scale != NULL) {
        act.scale = dt_kit_floats(kit, DT_KIT_IN, scale, c);
        act.bias = dt_kit_floats(kit, DT_KIT_IN, bias, c);
        add_parameters(kit, &act, c, scale, bias, mean, invstd);
    }
    for (int side = 0; side < DT_KIT_SIDES; side++) {
        act.act[side].raw = act.raw.t[side];
        act.act[side].scale = scale != NULL ? act.scale->data[side] : NULL;
        act.act[side].bias = scale != NULL ? act.bias->data[side] : NULL;
        act.act[side].relu = relu;
    }
    return act;
}

/* Farther from zero than rounding to FP16 or BF16 can move a value of this size. */
#define KINK_MARGIN 0.05F

static void avoid_kink(int64_t n, int64_t c, int64_t n_pixels, float *nchw, const float *scale,
                       const float *bias)
{
    for (int64_t i = 0; i < n * c * n_pixels; i++) {
        int64_t channel = i / n_pixels % c;
        float v = scale[channel] * nchw[i] + bias[channel];
        if (fabsf(v) < KINK_MARGIN)
            nchw[i] += (v < 0 ? -2 : 2) * KINK_MARGIN / scale[channel];
    }
}

dt_kit_act dt_kit_act_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w,
                         dt_kit_normalisation normalisation)
{
    float *nchw = dt_kit_random(kit, n * c * h * w, -1.5F, 2.0F);
    if (normalisation == DT_KIT_PLAIN)
        return dt_kit_act_from(kit, n, c, h, w, nchw, NULL, NULL, false);
    float *mean = dt_kit_array(kit, c, sizeof *mean);
    float *scale = dt_kit_array(kit, c, sizeof *scale);
    float *gamma = dt_kit_random(kit, c, 0.5F, 1.5F);
    float *bias = dt_kit_random(kit, c, -0.5F, 0.5F); /* beta; becomes the bias below */
    statistics(n, c, h * w, nchw, mean, scale);
    for (int64_t i = 0; i < c; i++) {
        scale[i] *= i % 3 == 1 ? -gamma[i] : gamma[i]; /* gamma may be negative */
        bias[i] -= mean[i] * scale[i];
    }
    avoid_kink(n, c, h * w, nchw, scale, bias);
    return dt_kit_act_from(kit, n, c, h, w, nchw, scale, bias, normalisation == DT_KIT_NORMALISED_RELU);
}

float *dt_kit_quarters(dt_kit *kit, int64_t n_elems, float low, float high)
{
    float *values = dt_kit_random(kit, n_elems, low, high);
    for (int64_t i = 0; i < n_elems; i++)
        values[i] = floorf(values[i] * 4) / 4;
    return values;
}

dt_kit_act dt_kit_act_with_zeros(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w)
{
    float *nchw = dt_kit_quarters(kit, n * c * h * w, -1, 1);
    float *scale = dt_kit_array(kit, c, sizeof *scale);
    float *bias = dt_kit_quarters(kit, c, -1, 1); /* minus the value that becomes 0, until it is scaled */
    for (int64_t i = 0; i < c; i++) {
        scale[i] = (i % 3 == 1 ? -1.0F : 1.0F) * (i % 2 == 1 ? 2.0F : 0.5F);
        bias[i] *= -scale[i];
    }
    return dt_kit_act_from(kit, n, c, h, w, nchw, scale, bias, true);
}

dt_bn_backward dt_kit_bn_backward(const dt_kit_act *act, dt_kit_buffer *sums, int side)
{
    return (dt_bn_backward){.x = &act->act[side],
                            .mean = act->mean->data[side],
                            .invstd = act->invstd->data[side],
                            .gamma = act->gamma != NULL ? act->gamma->data[side] : NULL,
                            .beta = act->beta != NULL ? act->beta->data[side] : NULL,
                            .sums = sums->data[side]};
}

/* -- the second half of BatchNorm's backward ------------------------------------------------------------- */

dt_kit_bn_gradient dt_kit_bn_gradient_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w,
                                         bool accumulate)
{
    const float size = sqrtf((float)(n * h * w)); /* of dgamma and dbeta: a lost += is detected */
    const dt_kit_role role = accumulate ? DT_KIT_INOUT : DT_KIT_OUT;
    dt_kit_bn_gradient g = {.count = n * h * w, .accumulate = accumulate};
    g.dy = dt_kit_tensor_out(kit, n, c, h, w);
    g.sums = dt_kit_sums(kit, c);
    g.gamma = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, c, 0.5F, 1.5F), c);
    g.dgamma = dt_kit_floats(kit, role, accumulate ? dt_kit_random(kit, c, -size, size) : NULL, c);
    g.dbeta = dt_kit_floats(kit, role, accumulate ? dt_kit_random(kit, c, -size, size) : NULL, c);
    g.coefficients = dt_kit_floats(kit, DT_KIT_OUT, NULL, 3 * c);
    return g;
}

dt_status dt_kit_bn_apply(dt_kernels *k, int side, const dt_kit_bn_gradient *g, const dt_kit_act *x,
                          bool is_masked, const dt_kit_tensor *dz, dt_error *err)
{
    const dt_bn_backward_apply bn = {.c = x->act[side].raw.c,
                                     .count = g->count,
                                     .sums = g->sums->data[side],
                                     .gamma = g->gamma->data[side],
                                     .mean = x->mean->data[side],
                                     .invstd = x->invstd->data[side],
                                     .dgamma = g->dgamma->data[side],
                                     .dbeta = g->dbeta->data[side],
                                     .accumulate = g->accumulate,
                                     .coefficients = g->coefficients->data[side]};
    dt_act act = x->act[side];
    act.relu = act.relu && !is_masked;
    return DT_KIT_OPERATION(k, bn_backward_apply, &bn, &act, &dz->t[side], &g->dy.t[side], err);
}

void dt_kit_expect_bn_gradient(dt_kit *kit, const dt_kit_bn_gradient *g)
{
    const int64_t c = g->dy.t[DT_KIT_CANDIDATE].c;
    dt_kit_expect_floats(kit, "dgamma", g->dgamma, c, 0);
    dt_kit_expect_floats(kit, "dbeta", g->dbeta, c, 0);
    dt_kit_expect_floats(kit, "coefficients", g->coefficients, 3 * c, 0);
    /* Coefficients that differ in the last bits of float32 can round dy to the next 16-bit number. */
    const dt_dtype dtype = kit->side[DT_KIT_CANDIDATE]->dtype;
    const double tolerance = kit->tolerance, step = dtype == DT_F16 ? 0x1p-10 : dtype == DT_BF16 ? 0x1p-7 : 0;
    kit->tolerance += step;
    dt_kit_expect_tensor(kit, "dy", &g->dy);
    kit->tolerance = tolerance;
}

/* -- residual joins -------------------------------------------------------------------------------------- */

/* Choose the branch's values, and move them where the sum would be near zero. The values are those before
 * rounding to the dtype; the margin is larger than that rounding. */
static dt_kit_act branch_away_from_kink(dt_kit *kit, int64_t n, const dt_kit_shape *s,
                                        const float *skip_values)
{
    int64_t n_pixels = s->h * s->w;
    float *raw = dt_kit_random(kit, n * s->c * n_pixels, -1.5F, 1.5F);
    float *scale = dt_kit_random(kit, s->c, 0.5F, 1.5F);
    float *bias = dt_kit_random(kit, s->c, -0.5F, 0.5F);
    for (int64_t i = 0; i < n * s->c * n_pixels; i++) {
        int64_t c = i / n_pixels % s->c;
        float sum = scale[c] * raw[i] + bias[c] + skip_values[i];
        if (fabsf(sum) < 0.05F)
            raw[i] += (sum < 0 ? -0.1F : 0.1F) / scale[c];
    }
    return dt_kit_act_from(kit, n, s->c, s->h, s->w, raw, scale, bias, false);
}

void dt_kit_join_inputs(dt_kit *kit, int64_t n, const dt_kit_shape *s, bool skip_is_lazy, dt_kit_act *branch,
                        dt_kit_act *skip)
{
    int64_t n_pixels = s->h * s->w;
    float *values = dt_kit_random(kit, n * s->c * n_pixels, -1.5F, 1.5F);
    float *scale = dt_kit_random(kit, s->c, 0.5F, 1.5F);
    float *bias = dt_kit_random(kit, s->c, -0.5F, 0.5F);
    *skip = dt_kit_act_from(kit, n, s->c, s->h, s->w, values, skip_is_lazy ? scale : NULL,
                            skip_is_lazy ? bias : NULL, false);
    for (int64_t i = 0; skip_is_lazy && i < n * s->c * n_pixels; i++)
        values[i] = scale[i / n_pixels % s->c] * values[i] + bias[i / n_pixels % s->c];
    *branch = branch_away_from_kink(kit, n, s, values);
}
