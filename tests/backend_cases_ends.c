/* backend_cases_ends.c: what comes before and after the convolutions: layouts, the input, pools, linear,
 * loss.
 * backend_cases.h says how to add a case. */
#include "tests/backend_kit.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* -- layouts --------------------------------------------------------------------------------------------- */

/* Export returns what import was given; vectors of features are [n][c] in memory. */
static void layout_case(dt_kit *kit, int64_t n, const dt_kit_shape *s)
{
    dt_kernels *k = kit->side[DT_KIT_CANDIDATE];
    int64_t n_elems = n * s->c * s->h * s->w;
    float *values = dt_kit_random(kit, n_elems, -1, 1);
    float *back = dt_kit_array(kit, n_elems, sizeof *back);
    dt_error err = {0};
    dt_kit_tensor t = dt_kit_tensor_in(kit, n, s->c, s->h, s->w, values);
    if (k->ops->tensor_export(k, &t.t[DT_KIT_CANDIDATE], back, &err) != DT_OK)
        dt_kit_fail(kit, "tensor_export: %s", err.message);
    else if (memcmp(back, values, (size_t)n_elems * sizeof *back) != 0)
        dt_kit_fail(kit, "what tensor_import wrote is not what tensor_export reads");
    if (s->h == 1 && s->w == 1 && k->dtype == DT_F32 && !dt_kit_failed(kit) &&
        memcmp(dt_kit_download(kit, t.buffer, DT_KIT_CANDIDATE), values, (size_t)n_elems * sizeof *values) !=
            0)
        dt_kit_fail(kit, "a tensor with h = w = 1 is not [n][c] in memory");
    if (k->ops->layout_name(k) == NULL || k->ops->layout_name(k)[0] == '\0')
        dt_kit_fail(kit, "layout_name is empty");
    dt_kit_end(kit);
}

void dt_kit_layout_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape)
{
    if (dt_kit_begin(kit, "tensor layout n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64, n, shape->c,
                     shape->h, shape->w))
        layout_case(kit, n, shape);
    dt_kit_shape features = {shape->c, 1, 1};
    if ((shape->h != 1 || shape->w != 1) &&
        dt_kit_begin(kit, "tensor layout n%" PRId64 " c%" PRId64, n, shape->c))
        layout_case(kit, n, &features);
}

/* -- input ----------------------------------------------------------------------------------------------- */

typedef struct input_case {
    dt_kit_buffer *pixels;
    dt_kit_tensor y;
} input_case;

static dt_status input_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    static const float mean[3] = {0.485F, 0.456F, 0.406F}, std[3] = {0.229F, 0.224F, 0.225F};
    input_case *a = arg;
    return DT_KIT_OPERATION(k, normalize_input, a->pixels->data[side], mean, std, &a->y.t[side], err);
}

void dt_kit_input_cases(dt_kit *kit, int64_t n, int64_t image_size)
{
    int64_t n_elems = n * image_size * image_size * 3;
    if (!dt_kit_begin(kit, "normalize_input n%" PRId64 " h%" PRId64 " w%" PRId64, n, image_size, image_size))
        return;
    uint8_t *pixels = dt_kit_array(kit, n_elems, 1);
    const float *numbers = dt_kit_random(kit, n_elems, 0, 256);
    for (int64_t i = 0; i < n_elems; i++)
        pixels[i] = (uint8_t)fminf(numbers[i], 255);
    input_case a = {dt_kit_bytes(kit, DT_KIT_IN, pixels, n_elems),
                    dt_kit_tensor_out(kit, n, 3, image_size, image_size)};
    dt_kit_execute(kit, input_call, &a);
    dt_kit_expect_tensor(kit, "y", &a.y);
    dt_kit_end(kit);
}

/* -- max pooling ----------------------------------------------------------------------------------------- */

typedef struct max_pool_case {
    dt_pool_desc pool;
    dt_kit_act x;
    dt_kit_tensor y, dy, dz;
    dt_kit_buffer *argmax; /* NULL: evaluation */
    dt_kit_bn_gradient gradient;
} max_pool_case;

static dt_status max_pool_forward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    max_pool_case *a = arg;
    return DT_KIT_OPERATION(k, max_pool_forward, &a->pool, &a->x.act[side], &a->y.t[side],
                            a->argmax != NULL ? a->argmax->data[side] : NULL, err);
}

/* Run forward first, since argmax has the backend's own order. */
static dt_status max_pool_backward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    max_pool_case *a = arg;
    dt_bn_backward bn = dt_kit_bn_backward(&a->x, a->gradient.sums, side);
    DT_TRY(max_pool_forward_call(k, side, arg, err));
    DT_TRY(DT_KIT_OPERATION(k, max_pool_backward, &a->pool, &a->dy.t[side], a->argmax->data[side], &bn,
                            &a->dz.t[side], err));
    return dt_kit_bn_apply(k, side, &a->gradient, &a->x, true, &a->dz, err);
}

/* Values on a coarse grid, so that equal values are common, which tests the rule for ties, and others are
 * clearly apart. The bias lies between two grid points, so no value is near relu's kink. */
static dt_kit_act grid_act(dt_kit *kit, int64_t n, const dt_kit_shape *s, bool relu, bool with_nan)
{
    int64_t n_elems = n * s->c * s->h * s->w;
    float *values = dt_kit_random(kit, n_elems, -12, 12);
    float *scale = dt_kit_random(kit, s->c, 0.5F, 1.5F);
    float *bias = dt_kit_random(kit, s->c, -8, 4);
    for (int64_t i = 0; i < n_elems; i++)
        values[i] = with_nan && i % 31 == 0 ? NAN : floorf(values[i]) / 8;
    for (int64_t c = 0; c < s->c; c++) {
        scale[c] *= c % 3 == 1 ? -1 : 1;
        bias[c] = scale[c] * (floorf(bias[c]) + 0.5F) / 8;
    }
    return dt_kit_act_from(kit, n, s->c, s->h, s->w, values, scale, bias, relu);
}

static max_pool_case max_pool_open(dt_kit *kit, int64_t n, const dt_kit_shape *s, const dt_pool_desc *pool,
                                   bool relu, bool with_nan)
{
    max_pool_case a = {.pool = *pool};
    int64_t p = (s->h + 2 * pool->pad - pool->window) / pool->stride + 1;
    int64_t q = (s->w + 2 * pool->pad - pool->window) / pool->stride + 1;
    int64_t n_out = n * s->c * p * q;
    a.x = grid_act(kit, n, s, relu, with_nan);
    a.y = dt_kit_tensor_out(kit, n, s->c, p, q);
    a.dy = dt_kit_tensor_in(kit, n, s->c, p, q, dt_kit_random(kit, n_out, -1, 1));
    a.argmax = dt_kit_opaque(kit, (const int64_t[]){n_out, n_out});
    return a;
}

static void max_pool_backward_run(dt_kit *kit, int64_t n, const dt_kit_shape *s, const dt_pool_desc *pool,
                                  bool relu, bool at_zero)
{
    max_pool_case a = max_pool_open(kit, n, s, pool, relu, false);
    if (at_zero)
        a.x = dt_kit_act_with_zeros(kit, n, s->c, s->h, s->w);
    a.dz = dt_kit_tensor_out(kit, n, s->c, s->h, s->w);
    a.gradient = dt_kit_bn_gradient_in(kit, n, s->c, s->h, s->w, false);
    dt_kit_execute(kit, max_pool_backward_call, &a);
    dt_kit_expect_tensor(kit, "dz", &a.dz);
    dt_kit_expect_bn_gradient(kit, &a.gradient);
    dt_kit_end(kit);
}

static void max_pool_forward_run(dt_kit *kit, int64_t n, const dt_kit_shape *s, const dt_pool_desc *pool,
                                 bool training, bool with_nan)
{
    max_pool_case a = max_pool_open(kit, n, s, pool, true, with_nan);
    if (!training)
        a.argmax = NULL;
    dt_kit_execute(kit, max_pool_forward_call, &a);
    dt_kit_expect_tensor(kit, "y", &a.y);
    dt_kit_end(kit);
}

void dt_kit_max_pool_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape, const dt_pool_desc *pool)
{
    if (dt_kit_begin(kit, "max_pool_forward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64, n, shape->c,
                     shape->h, shape->w))
        max_pool_forward_run(kit, n, shape, pool, true, false);
    if (dt_kit_begin(kit, "max_pool_forward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64 " inference", n,
                     shape->c, shape->h, shape->w))
        max_pool_forward_run(kit, n, shape, pool, false, false);
    if (dt_kit_begin(kit, "max_pool_forward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64 " NaN", n,
                     shape->c, shape->h, shape->w))
        max_pool_forward_run(kit, n, shape, pool, false, true);
    if (dt_kit_begin(kit, "max_pool_backward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64 " relu", n,
                     shape->c, shape->h, shape->w))
        max_pool_backward_run(kit, n, shape, pool, true, false);
    if (dt_kit_begin(kit, "max_pool_backward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64 " relu at 0",
                     n, shape->c, shape->h, shape->w))
        max_pool_backward_run(kit, n, shape, pool, true, true);
    if (dt_kit_begin(kit, "max_pool_backward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64, n, shape->c,
                     shape->h, shape->w))
        max_pool_backward_run(kit, n, shape, pool, false, false);
}

/* -- average pooling ------------------------------------------------------------------------------------- */

typedef struct average_pool_case {
    dt_kit_tensor image, features; /* one is read, the other written */
} average_pool_case;

static dt_status average_pool_forward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    average_pool_case *a = arg;
    return DT_KIT_OPERATION(k, average_pool_forward, &a->image.t[side], &a->features.t[side], err);
}

static dt_status average_pool_backward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    average_pool_case *a = arg;
    return DT_KIT_OPERATION(k, average_pool_backward, &a->features.t[side], &a->image.t[side], err);
}

void dt_kit_average_pool_cases(dt_kit *kit, int64_t n, const dt_kit_shape *s)
{
    average_pool_case a;
    if (dt_kit_begin(kit, "average_pool_forward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64, n, s->c,
                     s->h, s->w)) {
        a.image =
            dt_kit_tensor_in(kit, n, s->c, s->h, s->w, dt_kit_random(kit, n * s->c * s->h * s->w, -1, 2));
        a.features = dt_kit_tensor_out(kit, n, s->c, 1, 1);
        dt_kit_execute(kit, average_pool_forward_call, &a);
        dt_kit_expect_tensor(kit, "y", &a.features);
        dt_kit_end(kit);
    }
    if (dt_kit_begin(kit, "average_pool_backward n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64, n, s->c,
                     s->h, s->w)) {
        a.features = dt_kit_tensor_in(kit, n, s->c, 1, 1, dt_kit_random(kit, n * s->c, -1, 1));
        a.image = dt_kit_tensor_out(kit, n, s->c, s->h, s->w);
        dt_kit_execute(kit, average_pool_backward_call, &a);
        dt_kit_expect_tensor(kit, "dx", &a.image);
        dt_kit_end(kit);
    }
}

/* -- linear ---------------------------------------------------------------------------------------------- */

typedef struct linear_case {
    dt_linear *linear[DT_KIT_SIDES];
    dt_kit_tensor x, y, dy, dx;
    dt_kit_buffer *w, *bias, *dw, *dbias;
    bool accumulate;
} linear_case;

static dt_status linear_forward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    linear_case *a = arg;
    return DT_KIT_OPERATION(k, linear_forward, a->linear[side], &a->x.t[side], a->w->data[side],
                            a->bias->data[side], &a->y.t[side], err);
}

static dt_status linear_backward_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    linear_case *a = arg;
    return DT_KIT_OPERATION(k, linear_backward, a->linear[side], &a->x.t[side], a->w->data[side],
                            &a->dy.t[side], &a->dx.t[side], a->dw->data[side], a->dbias->data[side],
                            a->accumulate, err);
}

static linear_case linear_open(dt_kit *kit, int64_t n, int64_t c, int64_t n_out)
{
    linear_case a = {0};
    for (int side = 0; side < DT_KIT_SIDES; side++) {
        dt_error err = {0};
        if (kit->side[side]->ops->linear_create(kit->side[side], n, c, n_out, &a.linear[side], &err) != DT_OK)
            dt_kit_fail(kit, "linear_create: %s", err.message);
    }
    a.x = dt_kit_tensor_in(kit, n, c, 1, 1, dt_kit_random(kit, n * c, -1, 1));
    a.w = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, n_out * c, -0.1F, 0.1F), n_out * c);
    return a;
}

static void linear_close(dt_kit *kit, linear_case *a)
{
    for (int side = 0; side < DT_KIT_SIDES; side++)
        if (a->linear[side] != NULL)
            kit->side[side]->ops->linear_destroy(kit->side[side], a->linear[side]);
    dt_kit_end(kit);
}

static void linear_forward_run(dt_kit *kit, int64_t n, int64_t c, int64_t n_out)
{
    linear_case a = linear_open(kit, n, c, n_out);
    a.bias = dt_kit_floats(kit, DT_KIT_IN, dt_kit_random(kit, n_out, -1, 1), n_out);
    a.y = dt_kit_tensor_out(kit, n, n_out, 1, 1);
    if (!dt_kit_failed(kit))
        dt_kit_execute(kit, linear_forward_call, &a);
    dt_kit_expect_tensor(kit, "y", &a.y);
    linear_close(kit, &a);
}

static void linear_backward_run(dt_kit *kit, int64_t n, int64_t c, int64_t n_out, bool accumulate)
{
    linear_case a = linear_open(kit, n, c, n_out);
    dt_kit_role role = accumulate ? DT_KIT_INOUT : DT_KIT_OUT;
    a.accumulate = accumulate;
    a.dy = dt_kit_tensor_in(kit, n, n_out, 1, 1, dt_kit_random(kit, n * n_out, -1, 1));
    a.dx = dt_kit_tensor_out(kit, n, c, 1, 1);
    a.dw = dt_kit_floats(kit, role, accumulate ? dt_kit_random(kit, n_out * c, -1, 1) : NULL, n_out * c);
    a.dbias = dt_kit_floats(kit, role, accumulate ? dt_kit_random(kit, n_out, -1, 1) : NULL, n_out);
    if (!dt_kit_failed(kit))
        dt_kit_execute(kit, linear_backward_call, &a);
    dt_kit_expect_tensor(kit, "dx", &a.dx);
    dt_kit_expect_floats(kit, "dw", a.dw, n_out * c, 0);
    dt_kit_expect_floats(kit, "dbias", a.dbias, n_out, 0);
    linear_close(kit, &a);
}

void dt_kit_linear_cases(dt_kit *kit, int64_t n, int64_t c, int64_t n_classes)
{
    if (dt_kit_begin(kit, "linear_forward n%" PRId64 " c%" PRId64 " k%" PRId64, n, c, n_classes))
        linear_forward_run(kit, n, c, n_classes);
    if (dt_kit_begin(kit, "linear_backward n%" PRId64 " c%" PRId64 " k%" PRId64, n, c, n_classes))
        linear_backward_run(kit, n, c, n_classes, false);
    if (dt_kit_begin(kit, "linear_backward n%" PRId64 " c%" PRId64 " k%" PRId64 " accumulate", n, c,
                     n_classes))
        linear_backward_run(kit, n, c, n_classes, true);
}

/* -- loss ------------------------------------------------------------------------------------------------ */

typedef struct loss_case {
    dt_kit_tensor logits, dlogits;
    dt_kit_buffer *labels, *sums, *loss_scale;
    float smoothing;
    bool evaluation;
} loss_case;

static dt_status loss_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    loss_case *a = arg;
    return DT_KIT_OPERATION(k, softmax_loss, &a->logits.t[side], a->labels->data[side], a->smoothing, 0.125F,
                            a->loss_scale->data[side], a->evaluation ? NULL : &a->dlogits.t[side],
                            a->sums->data[side], err);
}

/* Rows with the label at each of the first ranks, ties with it, padding, and if with_nan a NaN. `n` >= 9. */
static void fill_rows(int64_t n, int64_t n_classes, float *logits, int32_t *labels, bool with_nan)
{
    for (int64_t row = 0; row < n; row++) {
        float *x = logits + row * n_classes;
        labels[row] = (int32_t)((row * 37 + 3) % n_classes);
        for (int64_t j = 0; j < row % 7; j++) /* this many logits are greater than the label's 3 */
            x[(labels[row] + 1 + j) % n_classes] = 3.25F + (float)j;
        x[labels[row]] = 3;
    }
    int32_t tied = (labels[0] + (int32_t)n_classes / 2) % (int32_t)n_classes;
    logits[tied] = 3; /* row 0: the lower of the two indices ranks first */
    logits[7 * n_classes + (labels[7] + n_classes - 1) % n_classes] = 3;
    labels[1] = -1;
    labels[n - 1] = -1;
    if (with_nan)
        logits[2 * n_classes + n_classes - 1] = NAN;
}

static void loss_run(dt_kit *kit, int64_t n, int64_t n_classes, float smoothing, bool evaluation,
                     bool with_nan)
{
    loss_case a = {.smoothing = smoothing, .evaluation = evaluation};
    float *logits = dt_kit_random(kit, n * n_classes, -2.5F, 2.5F);
    int32_t *labels = dt_kit_array(kit, n, sizeof *labels);
    static const dt_loss_sums before = {.loss = 2.5F, .top1 = 3, .top5 = 5, .n = 8};
    static const float loss_scale = 32;
    fill_rows(n, n_classes, logits, labels, with_nan);
    a.logits = dt_kit_tensor_in(kit, n, n_classes, 1, 1, logits);
    a.labels = dt_kit_bytes(kit, DT_KIT_IN, labels, n * (int64_t)sizeof *labels);
    a.sums = dt_kit_bytes(kit, DT_KIT_INOUT, &before, sizeof before);
    a.loss_scale = dt_kit_floats(kit, DT_KIT_IN, &loss_scale, 1);
    if (!evaluation)
        a.dlogits = dt_kit_tensor_out(kit, n, n_classes, 1, 1);
    dt_kit_execute(kit, loss_call, &a);
    if (!evaluation)
        dt_kit_expect_tensor(kit, "dlogits", &a.dlogits);
    if (!dt_kit_failed(kit)) {
        const dt_loss_sums *actual = dt_kit_download(kit, a.sums, DT_KIT_CANDIDATE);
        const dt_loss_sums *expected = dt_kit_download(kit, a.sums, DT_KIT_REFERENCE);
        if (actual->top1 != expected->top1 || actual->top5 != expected->top5 || actual->n != expected->n)
            dt_kit_fail(kit, "top1 %g, top5 %g, n %g; expected %g, %g, %g", (double)actual->top1,
                        (double)actual->top5, (double)actual->n, (double)expected->top1,
                        (double)expected->top5, (double)expected->n);
        dt_kit_expect(kit, "loss", &actual->loss, &expected->loss, 1, 0);
    }
    dt_kit_end(kit);
}

void dt_kit_loss_cases(dt_kit *kit, int64_t n, int64_t n_classes)
{
    for (int smoothed = 0; smoothed <= 1; smoothed++) {
        float smoothing = smoothed != 0 ? 0.1F : 0;
        const char *tag = smoothed != 0 ? " smoothing" : "";
        if (dt_kit_begin(kit, "softmax_loss n%" PRId64 " c%" PRId64 "%s", n, n_classes, tag))
            loss_run(kit, n, n_classes, smoothing, false, false);
        if (dt_kit_begin(kit, "softmax_loss n%" PRId64 " c%" PRId64 "%s evaluation", n, n_classes, tag))
            loss_run(kit, n, n_classes, smoothing, true, false);
        if (dt_kit_begin(kit, "softmax_loss n%" PRId64 " c%" PRId64 "%s NaN", n, n_classes, tag))
            loss_run(kit, n, n_classes, smoothing, false, true);
    }
}
