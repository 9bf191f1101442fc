#include "tests/gradients.h"

#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/naive.h"

#include <math.h>
#include <stdlib.h>

#define STEP 1e-6
/* Relative to the largest element of the gradient. Rounding intermediate tensors to float32 gives about
 * 1e-7. */
#define TOLERANCE 3e-6
#define EPS 0.01F
/* For float32 results against doubles: a few times half a unit in the last place of the largest. */
#define FLOAT_TOLERANCE 4e-7

static dt_device *device;
dt_kernels *ref;
dt_error gradient_error;
static void *owned[256];
static int n_owned;
static uint64_t next_seed;

void dt_test_set_up(void)
{
    if (dt_device_host_create(1, &device, &gradient_error) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &ref, &gradient_error) != DT_OK)
        abort();
}

void dt_test_tear_down(void)
{
    ref->ops->destroy(ref);
    device->ops->destroy(device);
}

/* Memory of the running test, which release() frees. */
void *allocate(int64_t n_elems, size_t elem_bytes)
{
    void *p = calloc((size_t)n_elems, elem_bytes);
    if (p == NULL || n_owned == (int)(sizeof owned / sizeof *owned))
        abort();
    owned[n_owned++] = p;
    return p;
}

void release(void)
{
    while (n_owned > 0)
        free(owned[--n_owned]);
}

variable random_variable(const char *name, int64_t n_elems, float low, float high)
{
    variable v = {name, n_elems, allocate(n_elems, sizeof(double)), allocate(n_elems, sizeof(float)),
                  allocate(n_elems, sizeof(float))};
    dt_test_fill_random(v.floats, n_elems, ++next_seed);
    for (int64_t i = 0; i < n_elems; i++) {
        v.floats[i] = low + (high - low) * 0.5F * (v.floats[i] + 1.0F);
        v.values[i] = (double)v.floats[i];
        v.gradient[i] = NAN; /* to be overwritten */
    }
    return v;
}

dt_tensor tensor_of(float *data, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (dt_tensor){.data = data, .dtype = DT_F32, .n = n, .c = c, .h = h, .w = w};
}

double dot(const variable *weights, const double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < weights->n_elems; i++)
        sum += weights->values[i] * y[i];
    return sum;
}

void check_gradients(loss_function *loss, void *arg, const variable *const *variables)
{
    naive_nearest_kink = INFINITY;
    (void)loss(arg);
    DT_REQUIRE_MSG(naive_nearest_kink > 5 * STEP, "the inputs are %g from a kink: use another seed",
                   naive_nearest_kink);
    for (; *variables != NULL; variables++) {
        const variable *v = *variables;
        double largest = 0, worst = 0;
        int64_t stride = v->n_elems / 300 + 1;
        /* fmax() here is an internal error of GCC 12.2 for aarch64 */
        for (int64_t i = 0; i < v->n_elems; i++) {
            double magnitude = fabs((double)v->gradient[i]);
            largest = magnitude > largest ? magnitude : largest;
        }
        for (int64_t i = 0; i < v->n_elems; i += stride) {
            double before = v->values[i];
            v->values[i] = before + STEP;
            double up = loss(arg);
            v->values[i] = before - STEP;
            double difference = (up - loss(arg)) / (2 * STEP);
            v->values[i] = before;
            double off = fabs((double)v->gradient[i] - difference);
            worst = off <= worst ? worst : off; /* a NaN replaces it */
        }
        DT_CHECK_MSG(largest > 0.01, "the gradient of %s is nearly zero: the case tests nothing", v->name);
        DT_CHECK_MSG(worst <= TOLERANCE * largest, "gradient of %s: off by %g of %g", v->name, worst,
                     largest);
    }
}

void check_near(const char *what, const float *actual, const double *expected, int64_t n)
{
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double off = fabs((double)actual[i] - expected[i]);
        largest = fmax(largest, fabs(expected[i]));
        worst = off <= worst ? worst : off; /* a NaN replaces it */
    }
    DT_CHECK_MSG(worst <= FLOAT_TOLERANCE * largest, "%s: off by %g of %g", what, worst, largest);
}

void norm_make(norm *b, const char *name, int64_t n, int64_t c, int64_t h, int64_t w)
{
    *b = (norm){.n = n, .c = c, .h = h, .w = w};
    b->raw = random_variable(name, n * c * h * w, -1, 2);
    b->gamma = random_variable("gamma", c, 0.5F, 1.5F);
    b->beta = random_variable("beta", c, -0.5F, 0.5F);
    float **vectors[] = {&b->mean, &b->invstd, &b->scale, &b->bias, &b->stat_mean, &b->stat_var};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        *vectors[i] = allocate(c, sizeof(float));
    b->coefficients = allocate(3 * c, sizeof(float));
    b->sums = allocate(2 * c, sizeof(double));
}

void norm_forward(norm *b, bool relu, bool has_sums)
{
    dt_bn_forward bn = {.c = b->c,
                        .count = b->n * b->h * b->w,
                        .sums = b->sums,
                        .gamma = b->gamma.floats,
                        .beta = b->beta.floats,
                        .eps = EPS,
                        .mean = b->mean,
                        .invstd = b->invstd,
                        .scale = b->scale,
                        .bias = b->bias,
                        .stat_mean = b->stat_mean,
                        .stat_var = b->stat_var,
                        .stat_weight = 1};
    b->act = (dt_act){.raw = tensor_of(b->raw.floats, b->n, b->c, b->h, b->w),
                      .scale = b->scale,
                      .bias = b->bias,
                      .relu = relu};
    if (!has_sums)
        OK(ref->ops->bn_sums(ref, &b->act.raw, b->sums, &gradient_error));
    OK(ref->ops->bn_finalize(ref, &bn, &gradient_error));
    b->backward = (dt_bn_backward){.x = &b->act,
                                   .mean = b->mean,
                                   .invstd = b->invstd,
                                   .gamma = b->gamma.floats,
                                   .beta = b->beta.floats,
                                   .sums = b->sums};
}

void norm_backward(norm *b, const dt_tensor *dz)
{
    dt_tensor draw = tensor_of(b->raw.gradient, b->n, b->c, b->h, b->w);
    const dt_bn_backward_apply bn = {.c = b->c,
                                     .count = b->n * b->h * b->w,
                                     .sums = b->sums,
                                     .gamma = b->gamma.floats,
                                     .mean = b->mean,
                                     .invstd = b->invstd,
                                     .dgamma = b->gamma.gradient,
                                     .dbeta = b->beta.gradient,
                                     .coefficients = b->coefficients};
    OK(ref->ops->bn_backward_apply(ref, &bn, &b->act, dz, &draw, &gradient_error));
}

void norm_values(const norm *b, bool relu, double *z)
{
    naive_batchnorm(b->n, b->c, b->h * b->w, b->raw.values, b->gamma.values, b->beta.values, (double)EPS, z);
    if (relu)
        naive_relu(b->raw.n_elems, z);
}
