/* ref_conv_gradients_test.c: gradients of layers/ref's convolutions, alone and in the chain that the fusions
 * serve. */
#include "tests/gradients.h"
#include "tests/naive.h"

/* -- one convolution ------------------------------------------------------------------------------------- */

typedef struct conv_case {
    dt_conv_desc desc;
    bool lazy;
    variable x, w, weights, add, scale, bias;
    double *v, *y;
} conv_case;

/* The loss also takes x (or its lazy value) directly, with the weights `add`: another consumer. */
static double conv_loss(void *arg)
{
    conv_case *a = arg;
    const dt_conv_desc *d = &a->desc;
    const double *x = a->x.values;
    if (a->lazy) {
        naive_act(d->n, d->c, d->h * d->w, x, a->scale.values, a->bias.values, true, a->v);
        x = a->v;
    }
    naive_conv(d, x, a->w.values, a->y);
    return dot(&a->weights, a->y) + dot(&a->add, x);
}

static void conv_gradients(dt_conv_desc desc, bool lazy)
{
    conv_case a = {.desc = desc, .lazy = lazy};
    int64_t p = dt_conv_out_h(&desc), q = dt_conv_out_w(&desc), n_x = desc.n * desc.c * desc.h * desc.w;
    a.desc.for_training = true;
    a.x = random_variable("x", n_x, -1, 1);
    a.w = random_variable("w", desc.k * desc.c * desc.r * desc.s, -1, 1);
    a.weights = random_variable("dy", desc.n * desc.k * p * q, -1, 1);
    a.add = random_variable("add", n_x, -1, 1);
    a.scale = random_variable("scale", desc.c, 0.5F, 1.5F);
    a.bias = random_variable("bias", desc.c, -0.5F, 0.5F);
    a.scale.floats[0] = -a.scale.floats[0];
    a.scale.values[0] = -a.scale.values[0];
    a.v = allocate(n_x, sizeof *a.v);
    a.y = allocate(a.weights.n_elems, sizeof *a.y);

    dt_conv *conv = NULL;
    OK(ref->ops->conv_create(ref, &a.desc, &conv, &gradient_error));
    dt_act x = {.raw = tensor_of(a.x.floats, desc.n, desc.c, desc.h, desc.w)};
    dt_act plain = x;
    dt_tensor dy = tensor_of(a.weights.floats, desc.n, desc.k, p, q),
              add = tensor_of(a.add.floats, desc.n, desc.c, desc.h, desc.w);
    dt_tensor dx = tensor_of(a.x.gradient, desc.n, desc.c, desc.h, desc.w);
    if (lazy)
        x = (dt_act){.raw = plain.raw, .scale = a.scale.floats, .bias = a.bias.floats, .relu = true};
    OK(ref->ops->conv_backward_weights(ref, conv, &x, &dy, a.w.gradient, false, &gradient_error));
    double *sums = allocate(2 * desc.c, sizeof *sums);
    float *zeros = allocate(desc.c, sizeof *zeros), *ones = allocate(desc.c, sizeof *ones);
    dt_bn_backward bn = {.x = &x, .mean = zeros, .invstd = ones, .sums = sums};
    OK(ref->ops->conv_backward_data(ref, conv, &dy, a.w.floats, &add, lazy ? &bn : NULL, &dx,
                                    &gradient_error));
    for (int64_t i = 0; lazy && i < n_x; i++) /* from the normalised value's gradient to the raw one's */
        a.x.gradient[i] *= a.scale.floats[i / (desc.h * desc.w) % desc.c];
    for (int64_t c = 0; lazy && c < desc.c; c++)
        a.bias.gradient[c] = (float)sums[desc.c + c];
    ref->ops->conv_destroy(ref, conv);
    check_gradients(conv_loss, &a, (const variable *const[]){&a.x, &a.w, lazy ? &a.bias : NULL, NULL});
    release();
}

static const dt_conv_desc conv_shapes[] = {
    {.n = 2, .c = 3, .h = 5, .w = 5, .k = 4, .r = 1, .s = 1, .stride = 1, .pad = 0},
    {.n = 2, .c = 3, .h = 6, .w = 7, .k = 4, .r = 1, .s = 1, .stride = 2, .pad = 0},
    {.n = 2, .c = 2, .h = 5, .w = 6, .k = 3, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 1, .c = 2, .h = 7, .w = 6, .k = 3, .r = 3, .s = 3, .stride = 2, .pad = 1},
    /* The last row and column are in no window. */
    {.n = 2, .c = 2, .h = 6, .w = 6, .k = 3, .r = 3, .s = 3, .stride = 2, .pad = 0},
    {.n = 1, .c = 3, .h = 11, .w = 10, .k = 9, .r = 7, .s = 7, .stride = 2, .pad = 3},
    {.n = 1, .c = 2, .h = 8, .w = 8, .k = 2, .r = 7, .s = 7, .stride = 1, .pad = 3},
    /* As in the last stage at 32 pixels. */
    {.n = 3, .c = 2, .h = 1, .w = 1, .k = 5, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 2, .c = 2, .h = 4, .w = 7, .k = 3, .r = 1, .s = 5, .stride = 1, .pad = 2},
    /* Two images more than fit one chunk. */
    {.n = 130, .c = 9, .h = 1, .w = 2, .k = 3, .r = 1, .s = 1, .stride = 1, .pad = 0},
};
enum { N_CONV_SHAPES = sizeof conv_shapes / sizeof *conv_shapes };

static void gradients_of_convolutions_with_another_consumer_of_x(void)
{
    for (int i = 0; i < N_CONV_SHAPES; i++)
        conv_gradients(conv_shapes[i], false);
}

static void gradients_of_convolutions_of_a_lazy_activation(void)
{
    for (int i = 0; i < N_CONV_SHAPES; i++)
        conv_gradients(conv_shapes[i], true);
}

/* -- conv, batchnorm, relu, conv: the chain the fusions are made for ------------------------------------- */

typedef struct chain_case {
    dt_conv_desc first, second;
    norm b; /* its raw tensor is the first convolution's output */
    variable x, w1, w2, weights, also;
    double *y1, *z, *y2;
} chain_case;

static double chain_loss(void *arg)
{
    chain_case *a = arg;
    naive_conv(&a->first, a->x.values, a->w1.values, a->y1);
    norm b = a->b;
    b.raw.values = a->y1;
    norm_values(&b, true, a->z);
    naive_conv(&a->second, a->z, a->w2.values, a->y2);
    return dot(&a->weights, a->y2) + dot(&a->also, a->z);
}

static void chain_backward(chain_case *a, dt_conv *first, dt_conv *second)
{
    const norm *b = &a->b;
    dt_act x = {.raw = tensor_of(a->x.floats, a->first.n, a->first.c, a->first.h, a->first.w)};
    dt_tensor dx = tensor_of(a->x.gradient, a->first.n, a->first.c, a->first.h, a->first.w);
    dt_tensor dy2 = tensor_of(a->weights.floats, a->second.n, a->second.k, dt_conv_out_h(&a->second),
                              dt_conv_out_w(&a->second));
    dt_tensor dz =
        tensor_of(a->also.floats, b->n, b->c, b->h, b->w); /* the other consumer's gradient is added in
                                                              place */
    dt_tensor dy1 = tensor_of(a->b.raw.gradient, b->n, b->c, b->h, b->w);
    OK(ref->ops->conv_backward_weights(ref, second, &b->act, &dy2, a->w2.gradient, false, &gradient_error));
    OK(ref->ops->conv_backward_data(ref, second, &dy2, a->w2.floats, &dz, &b->backward, &dz,
                                    &gradient_error));
    norm_backward(&a->b, &dz);
    OK(ref->ops->conv_backward_weights(ref, first, &x, &dy1, a->w1.gradient, false, &gradient_error));
    OK(ref->ops->conv_backward_data(ref, first, &dy1, a->w1.floats, NULL, NULL, &dx, &gradient_error));
}

static void gradients_of_a_chain_of_conv_batchnorm_relu_conv(void)
{
    chain_case a = {.first = {.n = 2,
                              .c = 3,
                              .h = 7,
                              .w = 6,
                              .k = 4,
                              .r = 3,
                              .s = 3,
                              .stride = 2,
                              .pad = 1,
                              .for_training = true},
                    .second = {.n = 2,
                               .c = 4,
                               .h = 4,
                               .w = 3,
                               .k = 5,
                               .r = 3,
                               .s = 3,
                               .stride = 1,
                               .pad = 1,
                               .for_training = true}};
    dt_conv *first = NULL, *second = NULL;
    norm_make(&a.b, "y1", 2, 4, 4, 3);
    a.x = random_variable("x", 2 * 3 * 7 * 6, -1, 1);
    a.w1 = random_variable("w1", 4 * 3 * 3 * 3, -1, 1);
    a.w2 = random_variable("w2", 5 * 4 * 3 * 3, -1, 1);
    a.weights = random_variable("dy2", 2 * 5 * 4 * 3, -1, 1);
    a.also = random_variable("also", 2 * 4 * 4 * 3, -1, 1);
    a.y1 = allocate(2 * 4 * 4 * 3, sizeof(double));
    a.z = allocate(2 * 4 * 4 * 3, sizeof(double));
    a.y2 = allocate(2 * 5 * 4 * 3, sizeof(double));
    OK(ref->ops->conv_create(ref, &a.first, &first, &gradient_error));
    OK(ref->ops->conv_create(ref, &a.second, &second, &gradient_error));
    dt_act x = {.raw = tensor_of(a.x.floats, 2, 3, 7, 6)};
    dt_tensor y1 = tensor_of(a.b.raw.floats, 2, 4, 4, 3),
              y2 = tensor_of(allocate(2 * 5 * 4 * 3, sizeof(float)), 2, 5, 4, 3);
    OK(ref->ops->conv_forward(ref, first, &x, a.w1.floats, &y1, a.b.sums, &gradient_error));
    norm_forward(&a.b, true, true);
    OK(ref->ops->conv_forward(ref, second, &a.b.act, a.w2.floats, &y2, NULL, &gradient_error));
    (void)chain_loss(&a);
    for (int64_t i = 0; i < a.weights.n_elems; i++)
        DT_CHECK_CLOSE(((float *)y2.data)[i], a.y2[i], 1e-5);
    chain_backward(&a, first, second);
    ref->ops->conv_destroy(ref, first);
    ref->ops->conv_destroy(ref, second);
    check_gradients(chain_loss, &a,
                    (const variable *const[]){&a.x, &a.w1, &a.b.gamma, &a.b.beta, &a.w2, NULL});
    release();
}

static const dt_test tests[] = {
    DT_TEST(gradients_of_convolutions_with_another_consumer_of_x),
    DT_TEST(gradients_of_convolutions_of_a_lazy_activation),
    DT_TEST(gradients_of_a_chain_of_conv_batchnorm_relu_conv),
};
DT_TEST_MAIN("layers/ref_conv_gradients", tests)
