/* layers/ref with FP16 and BF16: results are near FP32, every stored value is representable in the type, and
 * operands are rounded as they are read. */
#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/model/net_internal.h"
#include "layers/device_host.h"
#include "layers/half.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/backend_cases.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, SIZE = 32, CLASSES = 10 };

int dt_test_time_limit_s = 300;

static dt_device *device;
static dt_kernels *f32, *f16, *bf16;
static dt_kernels_ops bad_ops; /* those of f16, one of them replaced */
static uint8_t pixels[BATCH * SIZE * SIZE * 3];
static const int32_t labels[BATCH] = {3, 0, 9, 3};

void dt_test_set_up(void)
{
    dt_error err = {0};
    if (dt_device_host_create(2, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &f32, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F16, &f16, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_BF16, &bf16, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)dt_rng_below(&g, 256);
}

void dt_test_tear_down(void)
{
    f32->ops->destroy(f32);
    f16->ops->destroy(f16);
    bf16->ops->destroy(bf16);
    device->ops->destroy(device);
}

static float rounded(dt_dtype dtype, float v)
{
    return dtype == DT_F16 ? dt_half_to_float(dt_half_from_float(v))
                           : dt_bfloat_to_float(dt_bfloat_from_float(v));
}

/* -- against FP32 ---------------------------------------------------------------------------------------- */

/* Some cases of each operation: the arithmetic is that of FP32, and only stored values differ. Half a unit in
 * the last place is 2^-11 (BF16: 2^-8) of a value; two or three such errors add up (operand, weight, result),
 * and the deviation of a channel of 2 values is a difference of them. */
static void every_operation_is_near_fp32(void)
{
    static const char *const some[] = {
        "n2 c64 h8 w8 k64 r3", "c3 ",    "c256 h2 w2 k512", "pool", "normalize_input", "residual", "bn_",
        "optimizer",           "linear", "softmax_loss"};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        DT_CHECK_INT(dt_backend_cases_run(f16, f32, SIZE, 2, 4e-3, some[i]), 0);
        DT_CHECK_INT(dt_backend_cases_run(bf16, f32, SIZE, 2, 3e-2, some[i]), 0);
    }
}

/* -- what is stored -------------------------------------------------------------------------------------- */

typedef struct inspection {
    dt_net *net;
    int64_t n_inspected, n_wrong;
    char first[128]; /* where the first wrong value was */
} inspection;

static void inspect(inspection *in, const char *layer, const char *what, const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        in->n_inspected++;
        if (rounded(in->net->kernels->dtype, values[i]) == values[i] || isnan(values[i]))
            continue;
        if (in->n_wrong++ == 0)
            snprintf(in->first, sizeof in->first, "%s %s", layer, what);
    }
}

static void inspect_tensor(inspection *in, const char *layer, const char *what, const dt_tensor *t)
{
    if (t->data)
        inspect(in, layer, what, t->data, t->n * t->c * t->h * t->w);
}

static dt_status check_stored(void *context, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    inspection *in = context;
    const dt_layer *l = layer < 0 ? NULL : in->net->layers[layer];
    (void)err;
    if (phase == DT_LAYER_FORWARD)
        inspect_tensor(in, l ? l->name : "input", "output", &in->net->values[layer + 1].act.raw);
    else
        for (int i = 0; i < l->ops->n_inputs; i++)
            if (l->inputs[i] != &in->net->values[0])
                inspect_tensor(in, l->name, "input's gradient", &l->inputs[i]->grad);
    return DT_OK;
}

/* Run one step's forward and backward; *in gets all that it found about stored values. */
static void inspect_step(dt_kernels *kernels, inspection *in)
{
    dt_error err = {0};
    dt_net_spec spec;
    dt_net_vectors v;
    const dt_net_options options = {.batch = BATCH, .image_size = SIZE, .training = true};
    *in = (inspection){0};
    DT_REQUIRE_MSG(dt_resnet_spec("resnet18", CLASSES, &spec, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), kernels, &options, &in->net, &err) == DT_OK,
                   "%s", err.message);
    dt_free(spec.layers);
    DT_REQUIRE(dt_net_init(in->net, 7, false, &err) == DT_OK);
    dt_net_get_vectors(in->net, &v);
    const dt_net_observer observer = {.context = in, .after = check_stored};
    const float loss_scale = 1024.0f;
    const dt_pass pass = {.training = true,
                          .stat_weight = 1.0f,
                          .labels = labels,
                          .grad_scale = 1.0f / (float)BATCH,
                          .loss_scale = &loss_scale,
                          .loss = v.loss};
    dt_net_set_observer(in->net, &observer);
    DT_REQUIRE_MSG(dt_net_forward(in->net, pixels, &pass, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_backward(in->net, &pass, NULL, NULL, &err) == DT_OK, "%s", err.message);
    for (int64_t i = 0; i < in->net->n_params; i++)
        if (in->net->params[i].kind == DT_PARAM_WEIGHT)
            inspect(in, in->net->params[i].name, "gradient", *in->net->params[i].grad,
                    in->net->params[i].n_native);
    DT_CHECK(v.loss->loss > 0.0f && isfinite(v.loss->loss));
    dt_net_destroy(in->net);
}

static void every_stored_value_is_representable_in_the_type(void)
{
    inspection in;
    inspect_step(f16, &in);
    DT_CHECK(in.n_inspected > 1000000);
    DT_CHECK_MSG(in.n_wrong == 0, "%lld values, the first in %s", (long long)in.n_wrong, in.first);
    inspect_step(bf16, &in);
    DT_CHECK_MSG(in.n_wrong == 0, "%lld values, the first in %s", (long long)in.n_wrong, in.first);
}

/* Imitate an operation that does not round. */
static void spoil(float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        values[i] *= 1.0001f;
}

static dt_status bad_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                                  const dt_tensor *y, void *sums, dt_error *err)
{
    DT_TRY(f16->ops->conv_forward(k, conv, x, w, y, sums, err));
    spoil(y->data, y->n * y->c * y->h * y->w);
    return DT_OK;
}

static dt_status bad_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                           const dt_tensor *dz, const dt_tensor *dy, dt_error *err)
{
    DT_TRY(f16->ops->bn_backward_apply(k, bn, x, dz, dy, err));
    spoil(dy->data, dy->n * dy->c * dy->h * dy->w);
    return DT_OK;
}

static dt_status bad_linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                     const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                     bool accumulate, dt_error *err)
{
    DT_TRY(f16->ops->linear_backward(k, linear, x, w, dy, dx, dw, dbias, accumulate, err));
    spoil(dw, CLASSES * x->c);
    return DT_OK;
}

static void an_operation_that_does_not_round_is_detected(void)
{
    inspection in;
    dt_kernels *bad = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_kernels_ref_create(device, DT_F16, &bad, &err) == DT_OK);
    bad->ops = &bad_ops;
    bad_ops = *f16->ops;
    bad_ops.conv_forward = bad_conv_forward;
    inspect_step(bad, &in);
    DT_CHECK_STR(in.first, "conv1 output");
    bad_ops = *f16->ops;
    bad_ops.bn_backward_apply = bad_apply;
    inspect_step(bad, &in);
    DT_CHECK_STR(in.first, "layer4.1.bn2 input's gradient");
    bad_ops = *f16->ops;
    bad_ops.linear_backward = bad_linear_backward;
    inspect_step(bad, &in);
    DT_CHECK_STR(in.first, "fc.weight gradient");
    bad->ops->destroy(bad);
}

/* -- what is read ---------------------------------------------------------------------------------------- */

enum { C = 16, K = 16, H = 6, N_X = 2 * C * H * H, N_W = K * C * 9, N_Y = 2 * K * H * H };

/* Compute y = conv(relu(scale * x + bias), w). */
static void convolve(dt_kernels *k, const float *x, const float *scale, const float *bias, const float *w,
                     float *y)
{
    static float xs[N_X], ys[N_Y];
    dt_error err = {0};
    dt_conv *conv = NULL;
    const dt_conv_desc desc = {.n = 2, .c = C, .h = H, .w = H, .k = K, .r = 3, .s = 3, .stride = 1, .pad = 1};
    const dt_tensor xt = {xs, k->dtype, 2, C, H, H}, yt = {ys, k->dtype, 2, K, H, H};
    const dt_act act = {xt, scale, bias, true};
    DT_REQUIRE(k->ops->conv_create(k, &desc, &conv, &err) == DT_OK);
    DT_CHECK_INT(k->ops->tensor_import(k, x, &xt, &err), DT_OK);
    DT_CHECK_INT(k->ops->conv_forward(k, conv, &act, w, &yt, NULL, &err), DT_OK);
    DT_CHECK_INT(k->ops->tensor_export(k, &yt, y, &err), DT_OK);
    k->ops->conv_destroy(k, conv);
}

static void round_all(float *to, const float *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = rounded(DT_F16, from[i]);
}

static void weights_and_prologues_are_rounded_as_they_are_read(void)
{
    static float x[N_X], w[N_W], scale[C], bias[C], w2[N_W], scale2[C], bias2[C], y[N_Y], y2[N_Y];
    dt_test_fill_random(x, N_X, 1);
    dt_test_fill_random(w, N_W, 2);
    dt_test_fill_random(scale, C, 3);
    dt_test_fill_random(bias, C, 4);
    round_all(w2, w, N_W);
    round_all(scale2, scale, C);
    round_all(bias2, bias, C);
    convolve(f16, x, scale, bias, w, y);
    convolve(f16, x, scale2, bias2, w2, y2);
    DT_CHECK_BYTES(y, y2, sizeof y);
    convolve(f32, x, scale, bias, w, y);
    convolve(f32, x, scale2, bias2, w2, y2);
    DT_CHECK(memcmp(y, y2, sizeof y) != 0); /* so a difference would be detected */
}

static void large_values_become_infinite_and_small_ones_subnormal(void)
{
    static float y[4];
    const float in[4] = {70000.0f, -65519.9f, 3e-8f, 2e-8f};
    dt_error err = {0};
    const dt_tensor t = {y, DT_F16, 1, 4, 1, 1};
    DT_CHECK_INT(f16->ops->tensor_import(f16, in, &t, &err), DT_OK);
    DT_CHECK(isinf(y[0]) && y[1] == -65504.0f && y[2] == 5.9604645e-8f && y[3] == 0.0f);
}

static void other_types_are_refused(void)
{
    dt_kernels *k = NULL;
    dt_error err = {0};
    DT_CHECK_INT(dt_kernels_ref_create(device, DT_F64, &k, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "backend ref: it computes in fp32, fp16, bf16 and tf32, not in fp64");
    DT_CHECK(k == NULL);
}

static const dt_test tests[] = {
    DT_TEST(every_operation_is_near_fp32),
    DT_TEST(every_stored_value_is_representable_in_the_type),
    DT_TEST(an_operation_that_does_not_round_is_detected),
    DT_TEST(weights_and_prologues_are_rounded_as_they_are_read),
    DT_TEST(large_values_become_infinite_and_small_ones_subnormal),
    DT_TEST(other_types_are_refused),
};
DT_TEST_MAIN("layers/ref_half", tests)
