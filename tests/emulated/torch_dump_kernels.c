/* torch_dump_kernels.c: the operations of the CUDA backend that are kernels of our own, in FP32, and the stem
 * in FP16. */
#include "tests/emulated/torch_dump.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

enum { N = 3, C = 16, H = 9, W = 6 };

static void require_done(dt_dump *d, dt_status status)
{
    dt_dump_require(d, status);
    dt_dump_require(d, d->gpu.device->ops->stream_wait(d->gpu.device, NULL, &d->err));
}

/* -- BatchNorm ------------------------------------------------------------------------------------------- */

/* The second half of BatchNorm's backward. masked: dz has ReLU's mask already. Writes the gradients of raw,
 * gamma and beta. */
static void finish_norm(dt_dump *d, const char *const names[3], const dt_dump_norm *norm, const dt_act *act,
                        bool masked, const dt_tensor *dz)
{
    dt_kernels *k = d->gpu.kernels;
    const dt_tensor *raw = &norm->raw;
    dt_act read = *act;
    dt_tensor draw = dt_dump_output(d, raw->n, raw->c, raw->h, raw->w);
    float *dgamma = dt_dump_alloc(d, raw->c * 4), *dbeta = dt_dump_alloc(d, raw->c * 4);
    read.relu = act->relu && !masked;
    const dt_bn_backward_apply apply = {.c = raw->c,
                                        .count = raw->n * raw->h * raw->w,
                                        .sums = norm->sums,
                                        .gamma = norm->gamma,
                                        .mean = norm->mean,
                                        .invstd = norm->invstd,
                                        .dgamma = dgamma,
                                        .dbeta = dbeta,
                                        .coefficients = dt_dump_alloc(d, 3 * raw->c * 4)};
    require_done(d, k->ops->bn_backward_apply(k, &apply, &read, dz, &draw, &d->err));
    dt_dump_write(d, names[0], &draw);
    dt_dump_write_floats(d, names[1], dgamma, 1, raw->c, 1, 1);
    dt_dump_write_floats(d, names[2], dbeta, 1, raw->c, 1, 1);
}

static const char *const branch_names[3] = {"draw", "dgamma", "dbeta"};
static const char *const skip_names[3] = {"dskip", "skip_dgamma", "skip_dbeta"};

static void batchnorm(dt_dump *d, bool relu)
{
    dt_kernels *k = d->gpu.kernels;
    dt_dump_begin(d, "batchnorm", relu, 0);
    const dt_dump_norm norm = dt_dump_normalise(d, false, N, C, H, W);
    dt_act act = dt_dump_act(&norm, relu);
    const dt_bn_backward bn = dt_dump_bn_backward(&norm, &act);
    dt_tensor y = dt_dump_output(d, N, C, H, W), dv = dt_dump_input(d, "dy", N, C, H, W, -1, 1);
    require_done(d, k->ops->act_materialize(k, &act, &y, &d->err));
    dt_dump_write(d, "y", &y);
    dt_dump_write_floats(d, "running_mean", norm.stat_mean, 1, C, 1, 1);
    dt_dump_write_floats(d, "running_var", norm.stat_var, 1, C, 1, 1);
    require_done(d, k->ops->bn_backward_reduce(k, &bn, &dv, &dv, &d->err));
    finish_norm(d, branch_names, &norm, &act, false, &dv);
    /* evaluation, by the statistics of this batch */
    require_done(d, k->ops->bn_inference(k, C, norm.gamma, norm.beta, norm.stat_mean, norm.stat_var, 1e-5F,
                                         norm.scale, norm.bias, &d->err));
    require_done(d, k->ops->act_materialize(k, &act, &y, &d->err));
    dt_dump_write(d, "evaluated", &y);
}

static void residual(dt_dump *d, bool lazy_skip)
{
    dt_kernels *k = d->gpu.kernels;
    dt_dump_begin(d, "residual", lazy_skip, 0);
    const dt_dump_norm branch = dt_dump_normalise(d, false, N, C, H, W);
    const dt_dump_norm skip = lazy_skip ? dt_dump_normalise(d, true, N, C, H, W)
                                        : (dt_dump_norm){.raw = dt_dump_input(d, "skip", N, C, H, W, -1, 1)};
    const dt_act a = dt_dump_act(&branch, false), b = dt_dump_act(&skip, false);
    const dt_bn_backward branch_bn = dt_dump_bn_backward(&branch, &a),
                         skip_bn = dt_dump_bn_backward(&skip, &b);
    dt_tensor y = dt_dump_output(d, N, C, H, W), dy = dt_dump_input(d, "dy", N, C, H, W, -1, 1),
              g = dt_dump_output(d, N, C, H, W);
    void *mask = dt_dump_alloc(d, k->ops->residual_mask_bytes(k, &y));
    require_done(d, k->ops->residual_forward(k, &a, &b, &y, mask, &d->err));
    require_done(
        d, k->ops->residual_backward(k, &dy, &y, mask, &branch_bn, lazy_skip ? &skip_bn : NULL, &g, &d->err));
    dt_dump_write(d, "y", &y);
    finish_norm(d, branch_names, &branch, &a, true, &g);
    if (lazy_skip)
        finish_norm(d, skip_names, &skip, &b, true, &g);
    else
        dt_dump_write(d, "dskip", &g);
}

/* -- pooling --------------------------------------------------------------------------------------------- */

static const dt_pool_desc stem_pool = {.window = 3, .stride = 2, .pad = 1};
enum { POOLED_H = (H + 2 - 3) / 2 + 1, POOLED_W = (W + 2 - 3) / 2 + 1 };

static void max_pool(dt_dump *d)
{
    dt_kernels *k = d->gpu.kernels;
    dt_dump_begin(d, "max-pool", 0, 0);
    const dt_dump_norm norm = dt_dump_normalise(d, false, N, C, H, W);
    dt_act act = dt_dump_act(&norm, true);
    const dt_bn_backward bn = dt_dump_bn_backward(&norm, &act);
    dt_tensor y = dt_dump_output(d, N, C, POOLED_H, POOLED_W), dz = dt_dump_output(d, N, C, H, W),
              dy = dt_dump_input(d, "dy", N, C, POOLED_H, POOLED_W, -1, 1);
    uint8_t *argmax = dt_dump_alloc(d, (int64_t)N * C * POOLED_H * POOLED_W);
    require_done(d, k->ops->max_pool_forward(k, &stem_pool, &act, &y, argmax, &d->err));
    require_done(d, k->ops->max_pool_backward(k, &stem_pool, &dy, argmax, &bn, &dz, &d->err));
    dt_dump_write(d, "y", &y);
    finish_norm(d, branch_names, &norm, &act, true, &dz);
}

/* Padding with zeros would be seen: all values are below 0. */
static void max_pool_of_negative_values(dt_dump *d)
{
    dt_kernels *k = d->gpu.kernels;
    dt_dump_begin(d, "max-pool-plain", 0, 0);
    const dt_act act = {.raw = dt_dump_input(d, "x", N, C, H, W, -2, -1)};
    dt_tensor y = dt_dump_output(d, N, C, POOLED_H, POOLED_W);
    require_done(d, k->ops->max_pool_forward(k, &stem_pool, &act, &y, NULL, &d->err));
    dt_dump_write(d, "y", &y);
}

static void average_pool(dt_dump *d)
{
    dt_kernels *k = d->gpu.kernels;
    dt_dump_begin(d, "average-pool", 0, 0);
    dt_tensor x = dt_dump_input(d, "x", N, C, H, W, -1, 1), dy = dt_dump_input(d, "dy", N, C, 1, 1, -1, 1),
              y = dt_dump_output(d, N, C, 1, 1), dx = dt_dump_output(d, N, C, H, W);
    require_done(d, k->ops->average_pool_forward(k, &x, &y, &d->err));
    require_done(d, k->ops->average_pool_backward(k, &dy, &dx, &d->err));
    dt_dump_write(d, "y", &y);
    dt_dump_write(d, "dx", &dx);
}

/* -- the end of the net ---------------------------------------------------------------------------------- */

static void linear(dt_dump *d)
{
    enum { N_OUT = 10 };
    dt_kernels *k = d->gpu.kernels;
    dt_linear *layer = NULL;
    dt_dump_begin(d, "linear", 1, 0);
    dt_tensor x = dt_dump_input(d, "x", N, C, 1, 1, -1, 1),
              dy = dt_dump_input(d, "dy", N, N_OUT, 1, 1, -1, 1),
              w = dt_dump_input(d, "w", N_OUT, C, 1, 1, -1, 1), y = dt_dump_output(d, N, N_OUT, 1, 1),
              dx = dt_dump_output(d, N, C, 1, 1), dw = dt_dump_output(d, N_OUT, C, 1, 1);
    float *bias = dt_dump_vector(d, "bias", N_OUT, -1, 1), *dbias = dt_dump_alloc(d, N_OUT * 4);
    dt_dump_require(d, k->ops->linear_create(k, N, C, N_OUT, &layer, &d->err));
    require_done(d, k->ops->linear_forward(k, layer, &x, w.data, bias, &y, &d->err));
    require_done(d, k->ops->linear_backward(k, layer, &x, w.data, &dy, &dx, dw.data, dbias, false, &d->err));
    k->ops->linear_destroy(k, layer);
    dt_dump_write(d, "y", &y);
    dt_dump_write(d, "dx", &dx);
    dt_dump_write(d, "dw", &dw);
    dt_dump_write_floats(d, "dbias", dbias, 1, N_OUT, 1, 1);
}

/* Every fifth label is -1. The case's numbers are the smoothing and the factor of the gradient. */
static void softmax_loss(dt_dump *d, int64_t n, int64_t classes, float smoothing)
{
    dt_kernels *k = d->gpu.kernels;
    const float grad_scale = 0.125F, loss_scale = 512.0F;
    dt_dump_begin(d, "softmax-loss", smoothing, grad_scale * loss_scale);
    dt_tensor logits = dt_dump_input(d, "logits", n, classes, 1, 1, -4, 4),
              dlogits = dt_dump_output(d, n, classes, 1, 1);
    float *shown = dt_dump_vector(d, NULL, n, 0, (float)classes);
    int32_t *labels = dt_dump_alloc(d, n * (int64_t)sizeof *labels);
    for (int64_t i = 0; i < n; i++) {
        labels[i] = i % 5 == 3 ? -1 : (int32_t)shown[i];
        shown[i] = (float)labels[i];
    }
    dt_dump_write_floats(d, "labels", shown, n, 1, 1, 1);
    float *scale = dt_dump_alloc(d, sizeof *scale);
    dt_loss_sums *sums = dt_dump_alloc(d, sizeof *sums);
    *scale = loss_scale;
    *sums = (dt_loss_sums){.loss = 0};
    if (d->misreading == DT_MISREADING_OTHER_CLASSES)
        smoothing *= (float)classes / (float)(classes - 1);
    require_done(
        d, k->ops->softmax_loss(k, &logits, labels, smoothing, grad_scale, scale, &dlogits, sums, &d->err));
    dt_dump_write(d, "dlogits", &dlogits);
    dt_dump_write_floats(d, "loss", &sums->loss, 1, 1, 1, 1);
    const float counts[3] = {sums->top1, sums->top5, sums->n};
    dt_dump_write_floats(d, "counts", counts, 1, 3, 1, 1);
}

/* -- the update ------------------------------------------------------------------------------------------ */

enum { N_WEIGHTS = 4096, N_STATS = 64, N_ALL = N_WEIGHTS + N_STATS };

/* A gradient of the weights and a batch's statistics, side by side as in the flat vector. */
static const float *gradients(dt_dump *d, int step)
{
    char names[2][24];
    snprintf(names[0], sizeof names[0], "g%d", step);
    snprintf(names[1], sizeof names[1], "batch%d", step);
    const float *g = dt_dump_vector(d, NULL, N_ALL, -1, 1);
    dt_dump_write_floats(d, names[0], g, 1, N_WEIGHTS, 1, 1);
    dt_dump_write_floats(d, names[1], g + N_WEIGHTS, 1, N_STATS, 1, 1);
    return g;
}

/* Three steps. The case's numbers are whether momentum is Nesterov's, and the loss scale. */
static void update(dt_dump *d, bool nesterov)
{
    static const dt_update_segment segments[] = {
        {.first = 0, .n = N_WEIGHTS, .rule = DT_UPDATE_SGD, .weight_decay = 0.01F},
        {.first = N_WEIGHTS, .n = N_STATS, .rule = DT_UPDATE_RUNNING_AVERAGE}};
    const dt_optimizer_desc desc = {.momentum = 0.9F,
                                    .nesterov = nesterov,
                                    .running_average_rate = 0.1F,
                                    .loss_scaling = true,
                                    .growth = 2,
                                    .backoff = 0.5F,
                                    .growth_interval = 100};
    dt_kernels *k = d->gpu.kernels;
    dt_optimizer *optimizer = NULL;
    dt_dump_begin(d, "update", nesterov, 128);
    float *values = dt_dump_vector(d, NULL, N_ALL, -1, 1), *momentum = dt_dump_alloc(d, N_ALL * 4);
    dt_step_inputs *inputs = dt_dump_alloc(d, sizeof *inputs);
    dt_step_state *state = dt_dump_alloc(d, sizeof *state);
    memset(momentum, 0, N_ALL * 4);
    /* the factor of each gradient is that of the rate, since momentum begins at 0 */
    *inputs = (dt_step_inputs){.lr = d->misreading == DT_MISREADING_DAMPED_MOMENTUM ? 0.05F : 0.5F};
    *state = (dt_step_state){.loss_scale = 128};
    dt_dump_write_floats(d, "w", values, 1, N_WEIGHTS, 1, 1);
    dt_dump_write_floats(d, "running", values + N_WEIGHTS, 1, N_STATS, 1, 1);
    dt_dump_require(d, k->ops->optimizer_create(k, &desc, segments, 2, &optimizer, &d->err));
    for (int step = 0; step < 3; step++) {
        const dt_optimizer_vectors v = {.values = values, .grads = gradients(d, step), .momentum = momentum};
        require_done(d, k->ops->optimizer_step(k, optimizer, &v, inputs, state, &d->err));
    }
    k->ops->optimizer_destroy(k, optimizer);
    dt_dump_write_floats(d, "updated", values, 1, N_WEIGHTS, 1, 1);
    dt_dump_write_floats(d, "running_after", values + N_WEIGHTS, 1, N_STATS, 1, 1);
}

void dt_dump_kernels(dt_dump *d)
{
    for (int form = 0; form < 2; form++) {
        batchnorm(d, form);
        residual(d, form);
        update(d, form);
    }
    max_pool(d);
    max_pool_of_negative_values(d);
    average_pool(d);
    linear(d);
    softmax_loss(d, 40, 10, 0.0F);
    softmax_loss(d, 40, 10, 0.1F);
    softmax_loss(d, 9, 1000, 0.1F);
}

/* -- the stem -------------------------------------------------------------------------------------------- */

enum { STEM_N = 2, STEM_K = 16, STEM_SIZE = 20, TAPS = 7, N_TAPS = STEM_K * TAPS * TAPS };

/* Between the flat vector's order, KRSC with 4 channels, and KCRS with 3. */
static void write_stem_filter(dt_dump *d, const char *name, const float *krsc)
{
    float kcrs[N_TAPS * 3];
    for (int i = 0; i < N_TAPS * 3; i++)
        kcrs[i] = krsc[(i / (3 * TAPS * TAPS) * TAPS * TAPS + i % (TAPS * TAPS)) * 4 + i / (TAPS * TAPS) % 3];
    dt_dump_write_floats(d, name, kcrs, STEM_K, 3, TAPS, TAPS);
}

static void write_pixels(dt_dump *d, const uint8_t *nhwc)
{
    enum { AREA = STEM_SIZE * STEM_SIZE };
    float nchw[STEM_N * 3 * AREA];
    for (int i = 0; i < STEM_N * 3 * AREA; i++)
        nchw[i] = nhwc[(i / (3 * AREA) * AREA + i % AREA) * 3 + i / AREA % 3];
    dt_dump_write_floats(d, "pixels", nchw, STEM_N, 3, STEM_SIZE, STEM_SIZE);
}

static const float mean[3] = {0.485F, 0.456F, 0.406F}, std[3] = {0.229F, 0.224F, 0.225F};
static const dt_conv_desc stem = {.n = STEM_N,
                                  .c = 3,
                                  .h = STEM_SIZE,
                                  .w = STEM_SIZE,
                                  .k = STEM_K,
                                  .r = TAPS,
                                  .s = TAPS,
                                  .stride = 2,
                                  .pad = 3,
                                  .for_training = true,
                                  .reads_image = true,
                                  .input = DT_CONV_INPUT_PLAIN};

/* Pixels and filters, which FP16 holds exactly: multiples of 1/64. */
static void stem_inputs(dt_dump *d, uint8_t *pixels, float *w)
{
    float *random = dt_dump_vector(d, NULL, N_TAPS * 4, -63, 64);
    for (int i = 0; i < N_TAPS * 4; i++)
        w[i] = i % 4 == 3 ? 0.0F : (float)(int)random[i] / 64.0F;
    random = dt_dump_vector(d, NULL, STEM_N * STEM_SIZE * STEM_SIZE * 3, 0, 256);
    for (int i = 0; i < STEM_N * STEM_SIZE * STEM_SIZE * 3; i++)
        pixels[i] = (uint8_t)random[i];
    write_pixels(d, pixels);
    write_stem_filter(d, "w", w);
}

void dt_dump_stem(dt_dump *d)
{
    dt_kernels *k = d->gpu.kernels;
    dt_conv *conv = NULL;
    dt_dump_begin(d, "stem", 2, 3);
    dt_dump_require(d, k->ops->conv_create(k, &stem, &conv, &d->err));
    uint8_t *pixels = dt_dump_alloc(d, (int64_t)STEM_N * STEM_SIZE * STEM_SIZE * 3);
    float *w = dt_dump_alloc(d, N_TAPS * 4 * 4), *dw = dt_dump_alloc(d, N_TAPS * 4 * 4);
    stem_inputs(d, pixels, w);
    dt_tensor x = dt_dump_output(d, STEM_N, 3, STEM_SIZE, STEM_SIZE),
              y = dt_dump_output(d, STEM_N, STEM_K, dt_conv_out_h(&stem), dt_conv_out_w(&stem)),
              dy = dt_dump_input(d, "dy", STEM_N, STEM_K, y.h, y.w, -1, 1);
    float *sums = dt_dump_alloc(d, k->ops->bn_sums_bytes(k, STEM_K));
    const dt_act act = {.raw = x};
    dt_dump_require(d, k->ops->values_bind(k, w, NULL, N_TAPS * 4, &d->err));
    dt_dump_require(d, k->ops->values_changed(k, &d->err));
    dt_dump_require(d, k->ops->conv_weights_changed(k, conv, w, &d->err));
    dt_dump_require(d, k->ops->normalize_input(k, pixels, mean, std, &x, &d->err));
    dt_dump_require(d, k->ops->conv_forward(k, conv, &act, w, &y, sums, &d->err));
    require_done(d, k->ops->conv_backward_weights(k, conv, &act, &dy, dw, false, &d->err));
    dt_dump_write(d, "x", &x);
    dt_dump_write(d, "y", &y);
    dt_dump_write_floats(d, "sum", sums, 1, STEM_K, 1, 1);
    dt_dump_write_floats(d, "sumsq", sums + STEM_K, 1, STEM_K, 1, 1);
    write_stem_filter(d, "dw", dw);
    dt_dump_require(d, k->ops->values_bind(k, NULL, NULL, 0, &d->err));
    k->ops->conv_destroy(k, conv);
}
