/* ref_gradients_test.c: gradients of layers/ref's other operations: BatchNorm, residual joins, pools, linear,
 * loss. */
#include "tests/gradients.h"
#include "tests/naive.h"

/* -- batch normalisation and relu ------------------------------------------------------------------------ */

typedef struct norm_case {
    norm b;
    bool relu;
    variable weights;
    double *z;
} norm_case;

static double norm_loss(void *arg)
{
    norm_case *a = arg;
    norm_values(&a->b, a->relu, a->z);
    return dot(&a->weights, a->z);
}

static void gradients_of_batchnorm_with_and_without_relu(void)
{
    for (int relu = 0; relu <= 1; relu++) {
        norm_case a = {.relu = relu != 0};
        norm_make(&a.b, "raw", 3, 4, 3, 5);
        a.weights = random_variable("dv", a.b.raw.n_elems, -1, 1);
        a.z = allocate(a.b.raw.n_elems, sizeof *a.z);
        norm_forward(&a.b, a.relu, false);
        dt_tensor dv = tensor_of(a.weights.floats, 3, 4, 3, 5),
                  dz = tensor_of(allocate(a.b.raw.n_elems, sizeof(float)), 3, 4, 3, 5);
        OK(ref->ops->bn_backward_reduce(ref, &a.b.backward, &dv, &dz, &gradient_error));
        norm_backward(&a.b, &dz);
        check_gradients(norm_loss, &a, (const variable *const[]){&a.b.raw, &a.b.gamma, &a.b.beta, NULL});
        release();
    }
}

/* -- residual join --------------------------------------------------------------------------------------- */

typedef struct join_case {
    norm branch, skip;
    bool skip_normalised;
    variable weights;
    double *y, *z;
} join_case;

static double join_loss(void *arg)
{
    join_case *a = arg;
    norm_values(&a->branch, false, a->y);
    if (a->skip_normalised)
        norm_values(&a->skip, false, a->z);
    for (int64_t i = 0; i < a->weights.n_elems; i++)
        a->y[i] += a->skip_normalised ? a->z[i] : a->skip.raw.values[i];
    naive_relu(a->weights.n_elems, a->y);
    return dot(&a->weights, a->y);
}

static void gradients_of_a_join_with_one_and_two_normalised_inputs(void)
{
    for (int two = 0; two <= 1; two++) {
        join_case a = {.skip_normalised = two != 0};
        norm_make(&a.branch, "branch", 2, 3, 4, 5);
        norm_make(&a.skip, "skip", 2, 3, 4, 5);
        a.weights = random_variable("dy", 2 * 3 * 4 * 5, -1, 1);
        a.y = allocate(a.weights.n_elems, sizeof(double));
        a.z = allocate(a.weights.n_elems, sizeof(double));
        norm_forward(&a.branch, false, false);
        norm_forward(&a.skip, false, false);
        dt_act plain = {.raw = a.skip.act.raw};
        dt_tensor y = tensor_of(allocate(a.weights.n_elems, sizeof(float)), 2, 3, 4, 5);
        dt_tensor dy = tensor_of(a.weights.floats, 2, 3, 4, 5),
                  g = tensor_of(two != 0 ? allocate(a.weights.n_elems, sizeof(float)) : a.skip.raw.gradient,
                                2, 3, 4, 5);
        void *mask = allocate(ref->ops->residual_mask_bytes(ref, &y) + 1, 1);
        OK(ref->ops->residual_forward(ref, &a.branch.act, two != 0 ? &a.skip.act : &plain, &y, mask,
                                      &gradient_error));
        OK(ref->ops->residual_backward(ref, &dy, &y, mask, &a.branch.backward,
                                       two != 0 ? &a.skip.backward : NULL, &g, &gradient_error));
        norm_backward(&a.branch, &g);
        if (two != 0)
            norm_backward(&a.skip, &g);
        check_gradients(join_loss, &a,
                        (const variable *const[]){&a.branch.raw, &a.branch.gamma, &a.branch.beta, &a.skip.raw,
                                                  two != 0 ? &a.skip.gamma : NULL, &a.skip.beta, NULL});
        release();
    }
}

/* -- pools ----------------------------------------------------------------------------------------------- */

typedef struct pool_case {
    dt_pool_desc pool;
    norm b;
    variable weights;
    double *z, *y;
} pool_case;

static double max_pool_loss(void *arg)
{
    pool_case *a = arg;
    norm_values(&a->b, true, a->z);
    naive_max_pool(&a->pool, a->b.n, a->b.c, a->b.h, a->b.w, a->z, a->y, NULL);
    return dot(&a->weights, a->y);
}

static void gradients_of_max_pool_of_batchnorm_and_relu(void)
{
    static const dt_pool_desc pools[] = {{3, 2, 1}, {2, 2, 0}, {3, 1, 1}};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        pool_case a = {.pool = pools[i]};
        int64_t p = (7 + 2 * a.pool.pad - a.pool.window) / a.pool.stride + 1,
                q = (6 + 2 * a.pool.pad - a.pool.window) / a.pool.stride + 1;
        norm_make(&a.b, "raw", 2, 3, 7, 6);
        a.weights = random_variable("dy", 2 * 3 * p * q, -1, 1);
        a.z = allocate(a.b.raw.n_elems, sizeof(double));
        a.y = allocate(a.weights.n_elems, sizeof(double));
        norm_forward(&a.b, true, false);
        dt_tensor y = tensor_of(allocate(a.weights.n_elems, sizeof(float)), 2, 3, p, q),
                  dy = tensor_of(a.weights.floats, 2, 3, p, q);
        dt_tensor dz = tensor_of(allocate(a.b.raw.n_elems, sizeof(float)), 2, 3, 7, 6);
        uint8_t *argmax = allocate(a.weights.n_elems, 1);
        OK(ref->ops->max_pool_forward(ref, &a.pool, &a.b.act, &y, argmax, &gradient_error));
        OK(ref->ops->max_pool_backward(ref, &a.pool, &dy, argmax, &a.b.backward, &dz, &gradient_error));
        norm_backward(&a.b, &dz);
        check_gradients(max_pool_loss, &a, (const variable *const[]){&a.b.raw, &a.b.gamma, &a.b.beta, NULL});
        release();
    }
}

/* -- average pool, linear, loss: the head of the network ------------------------------------------------- */

typedef struct head_case {
    variable x, w, bias;
    double smoothing;
    const int32_t *labels;
    double *features, *logits;
} head_case;

enum { HEAD_N = 4, HEAD_C = 6, HEAD_PIXELS = 6, HEAD_CLASSES = 7 };

static double head_loss(void *arg)
{
    head_case *a = arg;
    naive_average_pool(HEAD_N, HEAD_C, HEAD_PIXELS, a->x.values, a->features);
    naive_linear(HEAD_N, HEAD_C, HEAD_CLASSES, a->features, a->w.values, a->bias.values, a->logits);
    return 2 * naive_loss(HEAD_N, HEAD_CLASSES, a->logits, a->labels, a->smoothing);
}

static void head_gradients(float smoothing)
{
    static const int32_t labels[HEAD_N] = {2, -1, 0, 6};
    head_case a = {.smoothing = (double)smoothing, .labels = labels};
    a.x = random_variable("x", HEAD_N * HEAD_C * HEAD_PIXELS, -2, 2);
    a.w = random_variable("w", HEAD_CLASSES * HEAD_C, -1, 1);
    a.bias = random_variable("bias", HEAD_CLASSES, -1, 1);
    a.features = allocate(HEAD_N * HEAD_C, sizeof(double));
    a.logits = allocate(HEAD_N * HEAD_CLASSES, sizeof(double));
    dt_tensor x = tensor_of(a.x.floats, HEAD_N, HEAD_C, 2, 3),
              dx = tensor_of(a.x.gradient, HEAD_N, HEAD_C, 2, 3);
    dt_tensor features = tensor_of(allocate(HEAD_N * HEAD_C, sizeof(float)), HEAD_N, HEAD_C, 1, 1);
    dt_tensor dfeatures = tensor_of(allocate(HEAD_N * HEAD_C, sizeof(float)), HEAD_N, HEAD_C, 1, 1);
    dt_tensor logits = tensor_of(allocate(HEAD_N * HEAD_CLASSES, sizeof(float)), HEAD_N, HEAD_CLASSES, 1, 1);
    dt_tensor dlogits = tensor_of(allocate(HEAD_N * HEAD_CLASSES, sizeof(float)), HEAD_N, HEAD_CLASSES, 1, 1);
    dt_loss_sums sums = {0};
    dt_linear *linear = NULL;
    OK(ref->ops->linear_create(ref, HEAD_N, HEAD_C, HEAD_CLASSES, &linear, &gradient_error));
    OK(ref->ops->average_pool_forward(ref, &x, &features, &gradient_error));
    OK(ref->ops->linear_forward(ref, linear, &features, a.w.floats, a.bias.floats, &logits, &gradient_error));
    OK(ref->ops->softmax_loss(ref, &logits, labels, smoothing, 2, NULL, &dlogits, &sums, &gradient_error));
    OK(ref->ops->linear_backward(ref, linear, &features, a.w.floats, &dlogits, &dfeatures, a.w.gradient,
                                 a.bias.gradient, false, &gradient_error));
    OK(ref->ops->average_pool_backward(ref, &dfeatures, &dx, &gradient_error));
    ref->ops->linear_destroy(ref, linear);
    DT_CHECK_CLOSE(2 * sums.loss, head_loss(&a), 1e-5);
    check_gradients(head_loss, &a, (const variable *const[]){&a.x, &a.w, &a.bias, NULL});
    release();
}

static void gradients_of_average_pool_linear_and_loss_with_a_padding_row(void)
{
    head_gradients(0);
    head_gradients(0.1F);
}

static const dt_test tests[] = {
    DT_TEST(gradients_of_batchnorm_with_and_without_relu),
    DT_TEST(gradients_of_a_join_with_one_and_two_normalised_inputs),
    DT_TEST(gradients_of_max_pool_of_batchnorm_and_relu),
    DT_TEST(gradients_of_average_pool_linear_and_loss_with_a_padding_row),
};
DT_TEST_MAIN("layers/ref_gradients", tests)
