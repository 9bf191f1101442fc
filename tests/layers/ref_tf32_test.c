/* layers/ref with TF32: the factors of matrix products are rounded to 10 bits of mantissa, ties away from
 * zero; nothing else is. */
#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/model/net.h"
#include "layers/device_host.h"
#include "layers/half.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/backend_cases.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 0x1p-10f /* of TF32 in [1, 2) */

static dt_device *device;
static dt_kernels *f32, *tf32;
static dt_error err;

void dt_test_set_up(void)
{
    if (dt_device_host_create(2, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &f32, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_TF32, &tf32, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

void dt_test_tear_down(void)
{
    f32->ops->destroy(f32);
    tf32->ops->destroy(tf32);
    device->ops->destroy(device);
}

static dt_tensor tensor(float *data, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (dt_tensor){data, DT_TF32, n, c, h, w};
}

/* -- exact values ---------------------------------------------------------------------------------------- */

/* A 1x1 convolution of two channels to one, on two pixels. */
static dt_conv *small_conv(void)
{
    const dt_conv_desc desc = {
        .n = 1, .c = 2, .h = 1, .w = 2, .k = 1, .r = 1, .s = 1, .stride = 1, .for_training = true};
    dt_conv *conv = NULL;
    DT_REQUIRE(tf32->ops->conv_create(tf32, &desc, &conv, &err) == DT_OK);
    return conv;
}

static void a_convolution_rounds_its_input_and_weights(void)
{
    dt_conv *conv = small_conv();
    /* half a unit more than 1 becomes 1 + UNIT, a quarter of it 1; 3 has a unit of 2 UNIT */
    float x[4] = {1 + UNIT / 2, 1 + UNIT / 4, 3 + UNIT, -1 - UNIT / 2}, w[2] = {1 + UNIT / 4, 1 + UNIT}, y[2];
    const dt_tensor out = tensor(y, 1, 1, 1, 2);
    const dt_act act = {.raw = tensor(x, 1, 2, 1, 2)};
    DT_CHECK_INT(tf32->ops->conv_forward(tf32, conv, &act, w, &out, NULL, &err), DT_OK);
    DT_CHECK_CLOSE(y[0], (1 + UNIT) * 1.0 + (3 + 2 * UNIT) * (1 + UNIT),
                   0x1p-22);                                /* float32's own rounding */
    DT_CHECK_CLOSE(y[1], 1.0 - (1 + UNIT) * (1 + UNIT), 0); /* -2 UNIT - UNIT^2 */
    tf32->ops->conv_destroy(tf32, conv);
}

static void what_a_convolution_stores_is_not_rounded(void)
{
    dt_conv *conv = small_conv();
    float x[4] = {1, 0, 0x1p-20f, 0}, w[2] = {1, 1}, y[2];
    const dt_tensor out = tensor(y, 1, 1, 1, 2);
    const dt_act act = {.raw = tensor(x, 1, 2, 1, 2)};
    DT_CHECK_INT(tf32->ops->conv_forward(tf32, conv, &act, w, &out, NULL, &err), DT_OK);
    DT_CHECK_CLOSE(y[0], 1 + 0x1p-20, 0);
    tf32->ops->conv_destroy(tf32, conv);
}

/* scale * raw + bias is computed in float32, then rounded: 1 + UNIT / 4 + UNIT / 4 becomes 1 + UNIT. */
static void a_lazy_input_is_rounded_after_its_normalisation(void)
{
    dt_conv *conv = small_conv();
    float x[4] = {1 + UNIT / 4, 1, 0, 0}, w[2] = {1, 1}, y[2];
    const float scale[2] = {1, 1}, bias[2] = {UNIT / 4, 0};
    const dt_tensor out = tensor(y, 1, 1, 1, 2);
    const dt_act act = {.raw = tensor(x, 1, 2, 1, 2), .scale = scale, .bias = bias, .relu = true};
    DT_CHECK_INT(tf32->ops->conv_forward(tf32, conv, &act, w, &out, NULL, &err), DT_OK);
    DT_CHECK_CLOSE(y[0], 1 + UNIT, 0);
    DT_CHECK_CLOSE(y[1], 1, 0);
    tf32->ops->conv_destroy(tf32, conv);
}

static void the_gradients_of_a_convolution_round_their_factors(void)
{
    dt_conv *conv = small_conv();
    float x[4] = {1 + UNIT / 2, 2, 1, 0}, w[2] = {1 + UNIT / 4, 1 + UNIT / 2}, dy[2] = {1 + UNIT / 2, 0};
    float dx[4], add[4] = {0x1p-12f, 0, 0, 1 + 0x1p-20f}, dw[2] = {0x1p-12f, 1 + 0x1p-20f};
    const dt_tensor gradient = tensor(dy, 1, 1, 1, 2), added = tensor(add, 1, 2, 1, 2),
                    out = tensor(dx, 1, 2, 1, 2);
    const dt_act act = {.raw = tensor(x, 1, 2, 1, 2)};
    DT_CHECK_INT(tf32->ops->conv_backward_data(tf32, conv, &gradient, w, &added, NULL, &out, &err), DT_OK);
    DT_CHECK_CLOSE(dx[0], 1 + UNIT + 0x1p-12f, 0);
    DT_CHECK_CLOSE(dx[1], 0, 0);
    DT_CHECK_CLOSE(dx[2], 1 + 2 * UNIT + UNIT * UNIT, 0);
    DT_CHECK_CLOSE(dx[3], 1 + 0x1p-20, 0);
    DT_CHECK_INT(tf32->ops->conv_backward_weights(tf32, conv, &act, &gradient, dw, true, &err), DT_OK);
    DT_CHECK_CLOSE(dw[0], 1 + 2 * UNIT + UNIT * UNIT + 0x1p-12, 0);
    DT_CHECK_CLOSE(dw[1], 1 + UNIT + 1 + 0x1p-20, 0);
    tf32->ops->conv_destroy(tf32, conv);
}

static void a_linear_layer_rounds_factors_but_not_the_bias(void)
{
    dt_linear *linear = NULL;
    float x[2] = {1 + UNIT / 2, 2}, w[2] = {1 + UNIT / 4, 1 + UNIT / 2}, y[1], dx[2], dw[2], dbias[1];
    float dy[1] = {1 + UNIT / 2};
    const float bias[1] = {0x1p-13f};
    const dt_tensor in = tensor(x, 1, 2, 1, 1), out = tensor(y, 1, 1, 1, 1),
                    gradient = tensor(dy, 1, 1, 1, 1), in_gradient = tensor(dx, 1, 2, 1, 1);
    DT_REQUIRE(tf32->ops->linear_create(tf32, 1, 2, 1, &linear, &err) == DT_OK);
    DT_CHECK_INT(tf32->ops->linear_forward(tf32, linear, &in, w, bias, &out, &err), DT_OK);
    DT_CHECK_CLOSE(y[0], 1 + UNIT + 2 * (1 + UNIT) + 0x1p-13, 0);
    DT_CHECK_INT(
        tf32->ops->linear_backward(tf32, linear, &in, w, &gradient, &in_gradient, dw, dbias, false, &err),
        DT_OK);
    DT_CHECK_CLOSE(dx[0], 1 + UNIT, 0);
    DT_CHECK_CLOSE(dx[1], 1 + 2 * UNIT + UNIT * UNIT, 0);
    DT_CHECK_CLOSE(dw[0], 1 + 2 * UNIT + UNIT * UNIT, 0);
    DT_CHECK_CLOSE(dw[1], 2 + 2 * UNIT, 0);
    DT_CHECK_CLOSE(dbias[0], 1 + UNIT / 2, 0); /* a sum, not a product */
    tf32->ops->linear_destroy(tf32, linear);
}

/* As with fp32, a sum is in float64 until it is stored: 1 + 2^-30 - 1. */
static void sums_are_not_rounded_before_the_last_term(void)
{
    dt_conv *conv = small_conv();
    dt_linear *linear = NULL;
    float x[4] = {1, 0x1p-15f, 0, 0}, dy[2] = {1, 0x1p-15f}, dw[2] = {-1, -1}, y[1];
    const float bias[1] = {-1};
    const dt_tensor gradient = tensor(dy, 1, 1, 1, 2), row = tensor(x, 1, 2, 1, 1),
                    out = tensor(y, 1, 1, 1, 1);
    const dt_act act = {.raw = tensor(x, 1, 2, 1, 2)};
    DT_CHECK_INT(tf32->ops->conv_backward_weights(tf32, conv, &act, &gradient, dw, true, &err), DT_OK);
    DT_CHECK_CLOSE(dw[0], 0x1p-30, 0);
    DT_CHECK_CLOSE(dw[1], -1, 0);
    tf32->ops->conv_destroy(tf32, conv);
    DT_REQUIRE(tf32->ops->linear_create(tf32, 1, 2, 1, &linear, &err) == DT_OK);
    DT_CHECK_INT(tf32->ops->linear_forward(tf32, linear, &row, dy, bias, &out, &err), DT_OK);
    DT_CHECK_CLOSE(y[0], 0x1p-30, 0);
    tf32->ops->linear_destroy(tf32, linear);
}

/* -- everything else ------------------------------------------------------------------------------------- */

static void all_other_operations_have_the_bits_of_fp32(void)
{
    static const char *const others[] = {"bn_",       "pool",         "residual", "normalize_input",
                                         "optimizer", "softmax_loss", "step"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        DT_CHECK_INT(dt_backend_cases_run(tf32, f32, 32, 2, 0, others[i]), 0);
}

static void products_are_near_fp32(void)
{
    DT_CHECK_INT(dt_backend_cases_run(tf32, f32, 32, 2, 1e-3, "n2 c64 h8 w8 k64 r3"), 0);
    DT_CHECK_INT(dt_backend_cases_run(tf32, f32, 32, 2, 1e-3, "linear"), 0);
}

/* -- a step ---------------------------------------------------------------------------------------------- */

/* float32 arithmetic on factors that were rounded before: the same convolutions and linear layers, called
 * with rounded copies. */
static dt_kernels_ops rounding_ops;

static float *rounded(const float *from, int64_t n)
{
    float *to = malloc((size_t)n * sizeof *to);
    DT_REQUIRE(to);
    for (int64_t i = 0; i < n; i++)
        to[i] = dt_tf32_of_float(from[i]);
    return to;
}

static dt_tensor rounded_tensor(const dt_tensor *t)
{
    dt_tensor copy = *t;
    copy.data = rounded(t->data, t->n * t->c * t->h * t->w);
    return copy;
}

static dt_act rounded_act(dt_kernels *k, const dt_act *x)
{
    const int64_t n = x->raw.n * x->raw.c * x->raw.h * x->raw.w;
    dt_act plain = {.raw = x->raw};
    float *values = malloc((size_t)n * sizeof *values);
    DT_REQUIRE(values);
    plain.raw.data = values;
    DT_CHECK_INT(f32->ops->act_materialize(k, x, &plain.raw, &err), DT_OK);
    plain.raw.data = rounded(values, n);
    free(values);
    return plain;
}

static dt_status conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *e)
{
    const dt_act in = rounded_act(k, x);
    float *weights = rounded(w, f32->ops->conv_weights_elems(k, conv));
    const dt_status status = f32->ops->conv_forward(k, conv, &in, weights, y, sums, e);
    free(in.raw.data);
    free(weights);
    return status;
}

static dt_status conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *e)
{
    const dt_tensor gradient = rounded_tensor(dy);
    float *weights = rounded(w, f32->ops->conv_weights_elems(k, conv));
    const dt_status status = f32->ops->conv_backward_data(k, conv, &gradient, weights, add, bn, dx, e);
    free(gradient.data);
    free(weights);
    return status;
}

static dt_status conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *e)
{
    const dt_act in = rounded_act(k, x);
    const dt_tensor gradient = rounded_tensor(dy);
    const dt_status status = f32->ops->conv_backward_weights(k, conv, &in, &gradient, dw, accumulate, e);
    free(in.raw.data);
    free(gradient.data);
    return status;
}

static dt_status linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *e)
{
    const dt_tensor in = rounded_tensor(x);
    float *weights = rounded(w, x->c * y->c);
    const dt_status status = f32->ops->linear_forward(k, linear, &in, weights, bias, y, e);
    free(in.data);
    free(weights);
    return status;
}

/* dbias is a sum of gradients that are not rounded, so that a second call computes it. */
static dt_status linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *e)
{
    const dt_tensor in = rounded_tensor(x), gradient = rounded_tensor(dy);
    float *weights = rounded(w, x->c * dy->c), *ignored_dw = rounded(w, x->c * dy->c);
    float *ignored_dbias = rounded(dbias, dy->c);
    dt_tensor ignored_dx = rounded_tensor(x);
    dt_status status =
        f32->ops->linear_backward(k, linear, &in, weights, &gradient, dx, dw, ignored_dbias, accumulate, e);
    if (status == DT_OK)
        status =
            f32->ops->linear_backward(k, linear, x, w, dy, &ignored_dx, ignored_dw, dbias, accumulate, e);
    free(in.data);
    free(gradient.data);
    free(weights);
    free(ignored_dw);
    free(ignored_dbias);
    free(ignored_dx.data);
    return status;
}

enum { BATCH = 2, SIZE = 32, CLASSES = 10 };

/* Returns a copy of the gradients of one step of ResNet-18, *n of them; *loss: the loss. */
static float *step(dt_kernels *kernels, int64_t *n, float *loss)
{
    static uint8_t pixels[BATCH * SIZE * SIZE * 3];
    static const int32_t labels[BATCH] = {3, 0};
    dt_net_spec spec;
    dt_net_vectors v;
    dt_net *net = NULL;
    const dt_net_options options = {.batch = BATCH, .image_size = SIZE, .training = true};
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)dt_rng_below(&g, 256);
    DT_REQUIRE_MSG(dt_resnet_spec("resnet18", CLASSES, &spec, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err) == DT_OK, "%s",
                   err.message);
    dt_free(spec.layers);
    DT_REQUIRE(dt_net_init(net, 7, false, &err) == DT_OK);
    dt_net_get_vectors(net, &v);
    const float no_scale = 1;
    const dt_pass pass = {.training = true,
                          .stat_weight = 1.0f,
                          .labels = labels,
                          .grad_scale = 1.0f / (float)BATCH,
                          .loss_scale = &no_scale,
                          .loss = v.loss};
    DT_REQUIRE_MSG(dt_net_forward(net, pixels, &pass, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_backward(net, &pass, NULL, NULL, &err) == DT_OK, "%s", err.message);
    float *copy = malloc((size_t)v.n_trained * sizeof *copy);
    DT_REQUIRE(copy);
    memcpy(copy, v.grads, (size_t)v.n_trained * sizeof *copy);
    *n = v.n_trained;
    *loss = (float)v.loss->loss;
    dt_net_destroy(net);
    return copy;
}

static void a_step_is_that_of_float32_on_rounded_factors(void)
{
    int64_t n = 0, n_wanted = 0, n_plain = 0;
    float loss, loss_wanted, loss_plain;
    dt_kernels *other = NULL;
    DT_REQUIRE(dt_kernels_ref_create(device, DT_F32, &other, &err) == DT_OK);
    rounding_ops = *f32->ops;
    rounding_ops.conv_forward = conv_forward;
    rounding_ops.conv_backward_data = conv_backward_data;
    rounding_ops.conv_backward_weights = conv_backward_weights;
    rounding_ops.linear_forward = linear_forward;
    rounding_ops.linear_backward = linear_backward;
    other->ops = &rounding_ops;
    float *got = step(tf32, &n, &loss), *wanted = step(other, &n_wanted, &loss_wanted),
          *plain = step(f32, &n_plain, &loss_plain);
    DT_CHECK(n > 11000000 && n == n_wanted && n == n_plain);
    DT_CHECK(memcmp(got, wanted, (size_t)n * sizeof *got) == 0);
    DT_CHECK_CLOSE(loss, loss_wanted, 0);
    DT_CHECK(loss != loss_plain); /* so that a difference would be detected */
    free(got);
    free(wanted);
    free(plain);
    other->ops = f32->ops;
    other->ops->destroy(other);
}

static const dt_test tests[] = {
    DT_TEST(a_convolution_rounds_its_input_and_weights),
    DT_TEST(what_a_convolution_stores_is_not_rounded),
    DT_TEST(a_lazy_input_is_rounded_after_its_normalisation),
    DT_TEST(the_gradients_of_a_convolution_round_their_factors),
    DT_TEST(a_linear_layer_rounds_factors_but_not_the_bias),
    DT_TEST(sums_are_not_rounded_before_the_last_term),
    DT_TEST(all_other_operations_have_the_bits_of_fp32),
    DT_TEST(products_are_near_fp32),
    DT_TEST(a_step_is_that_of_float32_on_rounded_factors),
};
DT_TEST_MAIN("layers/ref_tf32", tests)
