/* ref_operations_test.c: values of layers/ref's operations against naive formulas (tests/naive.h) and numbers
 * worked by hand.
 *
 * Its gradients are tested in ref_gradients_test.c; guard bands, unchanged inputs and unwritten outputs in
 * backend_cases_test.c, which runs all operations of ref between guards.
 */
#include "tests/gradients.h"
#include "tests/naive.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

static void pixels_are_normalised_and_reordered(void)
{
    static const float mean[3] = {0.5F, 0.25F, 0}, std[3] = {0.5F, 0.25F, 2};
    uint8_t pixels[2 * 2 * 3 * 3];
    float y[2 * 3 * 2 * 3];
    for (int i = 0; i < (int)sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7);
    dt_tensor out = tensor_of(y, 2, 3, 2, 3);
    OK(ref->ops->normalize_input(ref, pixels, mean, std, &out, &gradient_error));
    for (int n = 0; n < 2; n++)
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < 6; i++)
                DT_CHECK_CLOSE(y[(n * 3 + c) * 6 + i],
                               ((double)pixels[(n * 6 + i) * 3 + c] / 255 - (double)mean[c]) / (double)std[c],
                               1e-6);
}

/* -- convolution ----------------------------------------------------------------------------------------- */

static void conv_forward_case(dt_conv_desc d, bool lazy)
{
    int64_t p = dt_conv_out_h(&d), q = dt_conv_out_w(&d), n_y = d.n * d.k * p * q;
    variable x = random_variable("x", d.n * d.c * d.h * d.w, -1, 1);
    variable w = random_variable("w", d.k * d.c * d.r * d.s, -1, 1);
    variable scale = random_variable("scale", d.c, -1.5F, 1.5F),
             bias = random_variable("bias", d.c, -0.5F, 0.5F);
    double *value = allocate(x.n_elems, sizeof *value), *expected = allocate(n_y, sizeof *expected);
    double *sums = allocate(2 * d.k, sizeof *sums), *mean = allocate(d.k, sizeof *mean),
           *var = allocate(d.k, sizeof *var);
    float *y = allocate(n_y, sizeof *y);
    dt_act act = {.raw = tensor_of(x.floats, d.n, d.c, d.h, d.w)};
    dt_tensor out = tensor_of(y, d.n, d.k, p, q);
    dt_conv *conv = NULL;
    memcpy(value, x.values, (size_t)x.n_elems * sizeof *value);
    if (lazy) {
        naive_act(d.n, d.c, d.h * d.w, x.values, scale.values, bias.values, true, value);
        act = (dt_act){.raw = act.raw, .scale = scale.floats, .bias = bias.floats, .relu = true};
    }
    naive_conv(&d, value, w.values, expected);
    OK(ref->ops->conv_create(ref, &d, &conv, &gradient_error));
    DT_CHECK_INT(ref->ops->conv_weights_elems(ref, conv), w.n_elems);
    OK(ref->ops->conv_forward(ref, conv, &act, w.floats, &out, sums, &gradient_error));
    ref->ops->conv_destroy(ref, conv);
    check_near("conv_forward", y, expected, n_y);
    naive_moments(d.n, d.k, p * q, expected, mean, var);
    double m = (double)(d.n * p * q);
    for (int64_t k = 0; k < d.k; k++) {
        DT_CHECK_CLOSE(sums[k] / m, mean[k], 1e-5);
        DT_CHECK_CLOSE(sums[d.k + k] / m, var[k] + mean[k] * mean[k], 1e-4);
    }
    release();
}

static void conv_forward_and_its_sums_match_naive_formulas(void)
{
    static const dt_conv_desc shapes[] = {
        {.n = 2, .c = 3, .h = 9, .w = 8, .k = 16, .r = 7, .s = 7, .stride = 2, .pad = 3, .reads_image = true},
        {.n = 3, .c = 16, .h = 5, .w = 6, .k = 17, .r = 3, .s = 3, .stride = 1, .pad = 1},
        {.n = 2, .c = 5, .h = 6, .w = 6, .k = 9, .r = 3, .s = 3, .stride = 2, .pad = 0},
        {.n = 1, .c = 16, .h = 7, .w = 7, .k = 8, .r = 1, .s = 1, .stride = 2, .pad = 0},
        /* two chunks and a bit */
        {.n = 130, .c = 2, .h = 2, .w = 2, .k = 3, .r = 2, .s = 1, .stride = 1, .pad = 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        conv_forward_case(shapes[i], false);
        conv_forward_case(shapes[i], true);
    }
}

static void weight_gradients_accumulate(void)
{
    dt_conv_desc d = {
        .n = 2, .c = 3, .h = 4, .w = 4, .k = 5, .r = 3, .s = 3, .stride = 1, .pad = 1, .for_training = true};
    variable x = random_variable("x", 2 * 3 * 16, -1, 1), dy = random_variable("dy", 2 * 5 * 16, -1, 1);
    variable before = random_variable("dw before", 5 * 3 * 9, -1, 1);
    float alone[5 * 3 * 9], added[5 * 3 * 9];
    dt_act act = {.raw = tensor_of(x.floats, 2, 3, 4, 4)};
    dt_tensor out = tensor_of(dy.floats, 2, 5, 4, 4);
    dt_conv *conv = NULL;
    memcpy(added, before.floats, sizeof added);
    OK(ref->ops->conv_create(ref, &d, &conv, &gradient_error));
    OK(ref->ops->conv_backward_weights(ref, conv, &act, &out, alone, false, &gradient_error));
    OK(ref->ops->conv_backward_weights(ref, conv, &act, &out, added, true, &gradient_error));
    ref->ops->conv_destroy(ref, conv);
    for (int i = 0; i < 5 * 3 * 9; i++)
        DT_CHECK_CLOSE(added[i], before.values[i] + (double)alone[i], 2e-6);
    release();
}

static void a_filter_larger_than_the_padded_image_is_refused(void)
{
    dt_conv_desc d = {.n = 1, .c = 3, .h = 4, .w = 4, .k = 16, .r = 7, .s = 7, .stride = 1, .pad = 1};
    dt_conv *conv = NULL;
    dt_error err = {0};
    DT_CHECK_INT(ref->ops->conv_create(ref, &d, &conv, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK(conv == NULL);
    DT_CHECK_CONTAINS(err.message, "7x7");
}

/* -- batch normalisation --------------------------------------------------------------------------------- */

static void bn_finalize_matches_numbers_worked_by_hand(void)
{
    /* One channel with values 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14/3. Sums of a single value
     * are tested below. */
    double sums[2] = {12, 50};
    float gamma = 2, beta = 1, mean, invstd, scale, bias, stat_mean = 10, stat_var = 20;
    dt_bn_forward bn = {.c = 1,
                        .count = 4,
                        .sums = sums,
                        .gamma = &gamma,
                        .beta = &beta,
                        .eps = 0.5F,
                        .mean = &mean,
                        .invstd = &invstd,
                        .scale = &scale,
                        .bias = &bias,
                        .stat_mean = &stat_mean,
                        .stat_var = &stat_var,
                        .stat_weight = 0.5F};
    OK(ref->ops->bn_finalize(ref, &bn, &gradient_error));
    DT_CHECK_CLOSE(mean, 3, 1e-6);
    DT_CHECK_CLOSE(invstd, 0.5, 1e-7);
    DT_CHECK_CLOSE(scale, 1, 1e-6);
    DT_CHECK_CLOSE(bias, -2, 1e-6);
    DT_CHECK_CLOSE(stat_mean, 1.5, 1e-6);
    DT_CHECK_CLOSE(stat_var, 7.0 / 3, 1e-6);
    bn.accumulate = true;
    OK(ref->ops->bn_finalize(ref, &bn, &gradient_error));
    DT_CHECK_CLOSE(stat_mean, 3, 1e-6);
    DT_CHECK_CLOSE(stat_var, 14.0 / 3, 1e-6);
}

static void a_single_value_and_cancelled_sums_have_no_negative_variance(void)
{
    double sums[2] = {1000.1, 1000.1 * 1000.1 * (1 - 1e-12)}; /* rounded a little too low */
    float gamma = 1, beta = 0, mean, invstd, scale, bias, stat_mean, stat_var;
    dt_bn_forward bn = {.c = 1,
                        .count = 1,
                        .sums = sums,
                        .gamma = &gamma,
                        .beta = &beta,
                        .eps = 0.25F,
                        .mean = &mean,
                        .invstd = &invstd,
                        .scale = &scale,
                        .bias = &bias,
                        .stat_mean = &stat_mean,
                        .stat_var = &stat_var,
                        .stat_weight = 1};
    OK(ref->ops->bn_finalize(ref, &bn, &gradient_error));
    DT_CHECK_CLOSE(invstd, 2, 1e-6);
    DT_CHECK_CLOSE(stat_var, 0, 0);
}

static void evaluation_uses_the_running_statistics(void)
{
    float gamma[2] = {2, -1}, beta[2] = {1, 0.5F}, mean[2] = {3, -1}, var[2] = {3.75F, 0}, scale[2], bias[2];
    OK(ref->ops->bn_inference(ref, 2, gamma, beta, mean, var, 0.25F, scale, bias, &gradient_error));
    DT_CHECK_CLOSE(scale[0], 1, 1e-6);
    DT_CHECK_CLOSE(bias[0], -2, 1e-6);
    DT_CHECK_CLOSE(scale[1], -2, 1e-6);
    DT_CHECK_CLOSE(bias[1], -1.5, 1e-6);
}

static void bn_gradients_accumulate(void)
{
    double sums[2] = {6, -4};
    float gamma = 2, mean = 0.5F, invstd = 3, dgamma = 100, dbeta = 200, coefficients[3];
    float raw[2] = {1, 2}, dz[2] = {3, 0}, dy[2];
    const dt_act x = {.raw = tensor_of(raw, 1, 1, 1, 2)};
    const dt_tensor in = tensor_of(dz, 1, 1, 1, 2), out = tensor_of(dy, 1, 1, 1, 2);
    dt_bn_backward_apply bn = {.c = 1,
                               .count = 2,
                               .sums = sums,
                               .gamma = &gamma,
                               .mean = &mean,
                               .invstd = &invstd,
                               .dgamma = &dgamma,
                               .dbeta = &dbeta,
                               .accumulate = true,
                               .coefficients = coefficients};
    OK(ref->ops->bn_backward_apply(ref, &bn, &x, &in, &out, &gradient_error));
    DT_CHECK_CLOSE(dgamma, 106, 0);
    DT_CHECK_CLOSE(dbeta, 196, 0);
    DT_CHECK_CLOSE(coefficients[0], 6, 1e-6);   /* gamma invstd */
    DT_CHECK_CLOSE(coefficients[1], -54, 1e-5); /* -6 * 3 * 6 / 2 */
    DT_CHECK_CLOSE(coefficients[2], 39, 1e-5);  /* 6 * 4 / 2 + 54 * 0.5 */
    DT_CHECK_CLOSE(dy[0], 3, 1e-5);             /* 6 * 3 - 54 * 1 + 39 */
    DT_CHECK_CLOSE(dy[1], -69, 1e-5);           /* -54 * 2 + 39 */
    bn.accumulate = false;
    OK(ref->ops->bn_backward_apply(ref, &bn, &x, &in, &out, &gradient_error));
    DT_CHECK_CLOSE(dgamma, 6, 0);
    DT_CHECK_CLOSE(dbeta, -4, 0);
}

/* Run each operation that may overwrite its input both in place and not. */
static void in_place_gives_the_same_bits(void)
{
    enum { N = 2 * 3 * 20 };
    float other[N], same[N];
    norm b;
    norm_make(&b, "raw", 2, 3, 4, 5);
    norm_forward(&b, true, false);
    variable dv = random_variable("dv", N, -1, 1);
    dt_tensor in = tensor_of(dv.floats, 2, 3, 4, 5), apart = tensor_of(other, 2, 3, 4, 5),
              over = tensor_of(same, 2, 3, 4, 5);
    double first_sums[6];

    memcpy(same, dv.floats, sizeof same);
    OK(ref->ops->bn_backward_reduce(ref, &b.backward, &in, &apart, &gradient_error));
    memcpy(first_sums, b.sums, sizeof first_sums);
    OK(ref->ops->bn_backward_reduce(ref, &b.backward, &over, &over, &gradient_error));
    DT_CHECK_BYTES(same, other, sizeof same);
    DT_CHECK_BYTES(b.sums, first_sums, sizeof first_sums);

    const dt_bn_backward_apply apply = {.c = 3,
                                        .count = 2 * 4 * 5,
                                        .sums = b.sums,
                                        .gamma = b.gamma.floats,
                                        .mean = b.mean,
                                        .invstd = b.invstd,
                                        .dgamma = b.gamma.gradient,
                                        .dbeta = b.beta.gradient,
                                        .coefficients = b.coefficients};
    memcpy(same, dv.floats, sizeof same);
    OK(ref->ops->bn_backward_apply(ref, &apply, &b.act, &in, &apart, &gradient_error));
    OK(ref->ops->bn_backward_apply(ref, &apply, &b.act, &over, &over, &gradient_error));
    DT_CHECK_BYTES(same, other, sizeof same);

    dt_tensor y = tensor_of(allocate(N, sizeof(float)), 2, 3, 4, 5);
    memcpy(same, dv.floats, sizeof same);
    OK(ref->ops->act_materialize(ref, &b.act, &y, &gradient_error));
    OK(ref->ops->residual_backward(ref, &in, &y, NULL, NULL, NULL, &apart, &gradient_error));
    OK(ref->ops->residual_backward(ref, &over, &y, NULL, NULL, NULL, &over, &gradient_error));
    DT_CHECK_BYTES(same, other, sizeof same);
    OK(ref->ops->act_materialize(ref, &b.act, &b.act.raw, &gradient_error));
    DT_CHECK_BYTES(b.act.raw.data, y.data, sizeof same);
    release();
}

/* -- activations, joins, pools --------------------------------------------------------------------------- */

static void relu_join_and_max_propagate_nan(void)
{
    float raw[4] = {NAN, -1, 2, 0}, zeros[4] = {0}, scale = 1, bias = 0, out[4], largest;
    dt_act act = {.raw = tensor_of(raw, 1, 1, 2, 2), .scale = &scale, .bias = &bias, .relu = true},
           plain = {.raw = act.raw};
    dt_act zero = {.raw = tensor_of(zeros, 1, 1, 2, 2)};
    dt_tensor y = tensor_of(out, 1, 1, 2, 2), one = tensor_of(&largest, 1, 1, 1, 1);
    dt_pool_desc whole = {.window = 2, .stride = 1, .pad = 0};
    OK(ref->ops->act_materialize(ref, &act, &y, &gradient_error));
    DT_CHECK(isnan(out[0]) && out[1] == 0 && out[2] == 2 && out[3] == 0);
    OK(ref->ops->residual_forward(ref, &plain, &zero, &y, NULL, &gradient_error));
    DT_CHECK(isnan(out[0]) && out[1] == 0 && out[2] == 2 && out[3] == 0);
    for (int position = 0; position < 4; position++) {
        float values[4] = {1, 2, 3, 1};
        values[position] = NAN;
        dt_act x = {.raw = tensor_of(values, 1, 1, 2, 2)};
        OK(ref->ops->max_pool_forward(ref, &whole, &x, &one, NULL, &gradient_error));
        DT_CHECK_MSG(isnan(largest), "a NaN at %d was lost", position);
    }
}

static void a_lazy_activation_is_materialized(void)
{
    variable x = random_variable("x", 2 * 3 * 6, -1, 1), scale = random_variable("scale", 3, -1.5F, 1.5F);
    variable bias = random_variable("bias", 3, -0.5F, 0.5F);
    double expected[36];
    float out[36];
    dt_tensor y = tensor_of(out, 2, 3, 2, 3);
    for (int relu = 0; relu <= 1; relu++) {
        dt_act act = {.raw = tensor_of(x.floats, 2, 3, 2, 3),
                      .scale = scale.floats,
                      .bias = bias.floats,
                      .relu = relu != 0};
        naive_act(2, 3, 6, x.values, scale.values, bias.values, relu != 0, expected);
        OK(ref->ops->act_materialize(ref, &act, &y, &gradient_error));
        check_near("act_materialize", out, expected, 36);
    }
    release();
}

static void residual_join_adds_two_normalised_branches(void)
{
    float branch[2] = {1, -3}, skip[2] = {2, 4}, scales[2] = {2, 0.5F}, biases[2] = {-1, 0.25F}, out[2];
    dt_act a = {.raw = tensor_of(branch, 1, 1, 1, 2), .scale = &scales[0], .bias = &biases[0]};
    dt_act b = {.raw = tensor_of(skip, 1, 1, 1, 2), .scale = &scales[1], .bias = &biases[1]};
    dt_tensor y = tensor_of(out, 1, 1, 1, 2);
    OK(ref->ops->residual_forward(ref, &a, &b, &y, NULL, &gradient_error));
    DT_CHECK_CLOSE(out[0], 2.25, 0); /* (2 - 1) + (1 + 0.25) */
    DT_CHECK_CLOSE(out[1], 0, 0);    /* (-6 - 1) + (2 + 0.25) */
}

/* As in PyTorch: the gradient of relu is 0 at exactly 0. The other backends are compared with this one. */
static void the_gradient_of_relu_is_0_at_0(void)
{
    float raw[4] = {0.5F, 0.25F, 0.75F, 0}, scale = 2, bias = -1; /* normalised: 0, -0.5, 0.5, -1 */
    float gradient[4] = {1, 1, 1, 1}, out[4], mean = 0, invstd = 1;
    double sums[2];
    uint8_t argmax[4];
    dt_tensor in = tensor_of(gradient, 1, 1, 2, 2), y = tensor_of(out, 1, 1, 2, 2);
    dt_act act = {.raw = tensor_of(raw, 1, 1, 2, 2), .scale = &scale, .bias = &bias, .relu = true};
    dt_bn_backward bn = {.x = &act, .mean = &mean, .invstd = &invstd, .sums = sums};
    OK(ref->ops->bn_backward_reduce(ref, &bn, &in, &y, &gradient_error));
    DT_CHECK(out[0] == 0 && out[1] == 0 && out[2] == 1 && out[3] == 0);
    DT_CHECK(sums[0] == 0.75 && sums[1] == 1); /* dgamma: raw where it passes; dbeta */

    dt_pool_desc each = {.window = 1, .stride = 1, .pad = 0};
    OK(ref->ops->max_pool_forward(ref, &each, &act, &y, argmax, &gradient_error));
    OK(ref->ops->max_pool_backward(ref, &each, &in, argmax, &bn, &y, &gradient_error));
    DT_CHECK(out[0] == 0 && out[1] == 0 && out[2] == 1 && out[3] == 0);

    float minus[4] = {-0.5F, 0, -0.5F, 0}, joined[4];
    dt_act plain = {.raw = act.raw}, other = {.raw = tensor_of(minus, 1, 1, 2, 2)};
    dt_tensor join = tensor_of(joined, 1, 1, 2, 2);
    OK(ref->ops->residual_forward(ref, &plain, &other, &join, NULL, &gradient_error)); /* 0, 0.25, 0.25, 0 */
    OK(ref->ops->residual_backward(ref, &in, &join, NULL, NULL, NULL, &y, &gradient_error));
    DT_CHECK(out[0] == 0 && out[1] == 1 && out[2] == 1 && out[3] == 0);
}

static void max_pool_chooses_the_first_maximum_and_ignores_padding(void)
{
    enum { N = 2 * 3 * 7 * 6, N_Y = 2 * 3 * 4 * 3 };
    dt_pool_desc pool = {.window = 3, .stride = 2, .pad = 1};
    variable x = random_variable("x", N, -3, -0.5F); /* all negative: a padding of zeros would win */
    double expected[N_Y];
    int position[N_Y];
    float y[N_Y];
    uint8_t argmax[N_Y];
    for (int i = 0; i < N; i++)
        x.values[i] = (double)(x.floats[i] = floorf(x.floats[i] * 2) / 2); /* many are equal */
    dt_act act = {.raw = tensor_of(x.floats, 2, 3, 7, 6)};
    dt_tensor out = tensor_of(y, 2, 3, 4, 3);
    naive_max_pool(&pool, 2, 3, 7, 6, x.values, expected, position);
    OK(ref->ops->max_pool_forward(ref, &pool, &act, &out, argmax, &gradient_error));
    for (int i = 0; i < N_Y; i++) {
        DT_CHECK_CLOSE(y[i], expected[i], 0);
        DT_CHECK_INT(argmax[i], position[i]);
    }
    release();
}

/* In an image that is wider than high, and in one that is higher than wide. */
static void each_gradient_of_max_pooling_goes_to_its_maximum(void)
{
    static const int64_t sizes[][2] = {{3, 8}, {8, 3}};
    for (int k = 0; k < 2; k++) {
        const int64_t h = sizes[k][0], w = sizes[k][1], p = (h + 1) / 2, q = (w + 1) / 2;
        dt_pool_desc pool = {.window = 3, .stride = 2, .pad = 1};
        variable x = random_variable("x", 24, -1, 1), dy = random_variable("dy", 8, -1, 1);
        double expected[24] = {0}, largest[8], sums[2];
        float y[8], dz[24], mean = 0, invstd = 1;
        int position[8];
        uint8_t argmax[8];
        dt_act act = {.raw = tensor_of(x.floats, 1, 1, h, w)};
        dt_bn_backward bn = {.x = &act, .mean = &mean, .invstd = &invstd, .sums = sums};
        dt_tensor out = tensor_of(y, 1, 1, p, q), in = tensor_of(dy.floats, 1, 1, p, q),
                  to = tensor_of(dz, 1, 1, h, w);
        naive_max_pool(&pool, 1, 1, h, w, x.values, largest, position);
        for (int64_t i = 0; i < p * q; i++) {
            const int64_t row = i / q * 2 - 1 + position[i] / 3, column = i % q * 2 - 1 + position[i] % 3;
            expected[row * w + column] += dy.values[i];
        }
        OK(ref->ops->max_pool_forward(ref, &pool, &act, &out, argmax, &gradient_error));
        OK(ref->ops->max_pool_backward(ref, &pool, &in, argmax, &bn, &to, &gradient_error));
        check_near("dz", dz, expected, 24);
        release();
    }
}

static void average_pool_and_linear_forward_match_naive_formulas(void)
{
    variable x = random_variable("x", 3 * 5 * 6, -1, 1), w = random_variable("w", 4 * 5, -1, 1),
             bias = random_variable("bias", 4, -1, 1);
    double features[3 * 5], expected[3 * 4];
    float pooled[3 * 5], y[3 * 4];
    dt_tensor image = tensor_of(x.floats, 3, 5, 2, 3), middle = tensor_of(pooled, 3, 5, 1, 1),
              out = tensor_of(y, 3, 4, 1, 1);
    dt_linear *linear = NULL;
    naive_average_pool(3, 5, 6, x.values, features);
    naive_linear(3, 5, 4, features, w.values, bias.values, expected);
    OK(ref->ops->linear_create(ref, 3, 5, 4, &linear, &gradient_error));
    OK(ref->ops->average_pool_forward(ref, &image, &middle, &gradient_error));
    OK(ref->ops->linear_forward(ref, linear, &middle, w.floats, bias.floats, &out, &gradient_error));
    check_near("average pool", pooled, features, 15);
    check_near("linear", y, expected, 12);

    variable dy = random_variable("dy", 12, -1, 1), before = random_variable("before", 24, -1, 1);
    float dw[20], dbias[4], added_dw[20], added_dbias[4], dx[15];
    dt_tensor dout = tensor_of(dy.floats, 3, 4, 1, 1), din = tensor_of(dx, 3, 5, 1, 1);
    memcpy(added_dw, before.floats, sizeof added_dw);
    memcpy(added_dbias, before.floats + 20, sizeof added_dbias);
    OK(ref->ops->linear_backward(ref, linear, &middle, w.floats, &dout, &din, dw, dbias, false,
                                 &gradient_error));
    OK(ref->ops->linear_backward(ref, linear, &middle, w.floats, &dout, &din, added_dw, added_dbias, true,
                                 &gradient_error));
    ref->ops->linear_destroy(ref, linear);
    for (int i = 0; i < 20; i++)
        DT_CHECK_CLOSE(added_dw[i], before.values[i] + (double)dw[i], 1e-6);
    for (int i = 0; i < 4; i++)
        DT_CHECK_CLOSE(added_dbias[i], before.values[20 + i] + (double)dbias[i], 1e-6);
    release();
}

static const dt_test tests[] = {
    DT_TEST(pixels_are_normalised_and_reordered),
    DT_TEST(conv_forward_and_its_sums_match_naive_formulas),
    DT_TEST(weight_gradients_accumulate),
    DT_TEST(a_filter_larger_than_the_padded_image_is_refused),
    DT_TEST(bn_finalize_matches_numbers_worked_by_hand),
    DT_TEST(a_single_value_and_cancelled_sums_have_no_negative_variance),
    DT_TEST(evaluation_uses_the_running_statistics),
    DT_TEST(bn_gradients_accumulate),
    DT_TEST(in_place_gives_the_same_bits),
    DT_TEST(relu_join_and_max_propagate_nan),
    DT_TEST(a_lazy_activation_is_materialized),
    DT_TEST(residual_join_adds_two_normalised_branches),
    DT_TEST(the_gradient_of_relu_is_0_at_0),
    DT_TEST(max_pool_chooses_the_first_maximum_and_ignores_padding),
    DT_TEST(each_gradient_of_max_pooling_goes_to_its_maximum),
    DT_TEST(average_pool_and_linear_forward_match_naive_formulas),
};
DT_TEST_MAIN("layers/ref_operations", tests)
