/* linear_ref.c: the fully connected layer.
 *
 *   y = x w^T + bias          x [n][c], w [k][c], y [n][k]
 *   dx = dy w,  dw (+)= dy^T x,  dbias (+)= sum of dy over n
 */
#include "core/base/alloc.h"
#include "layers/ref/ref_internal.h"

struct dt_linear {
    int64_t n, c, n_out;
};

dt_status dt_ref_linear_create(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
                               dt_error *err)
{
    (void)k;
    if (n < 1 || c < 1 || n_out < 1)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "linear: %lld rows of %lld features to %lld outputs; each must be at least 1",
                       (long long)n, (long long)c, (long long)n_out);
    dt_linear *made = dt_calloc(1, sizeof *made);
    if (made == NULL)
        return dt_fail_memory(err, sizeof *made, "a linear layer");
    *made = (dt_linear){.n = n, .c = c, .n_out = n_out};
    *linear = made;
    return DT_OK;
}

void dt_ref_linear_destroy(dt_kernels *k, dt_linear *linear)
{
    (void)k;
    dt_free(linear);
}

/* A factor as the matrix product reads it. */
static double factor(dt_kernels *k, float v)
{
    return (double)dt_ref_factor(k, v);
}

dt_status dt_ref_linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *err)
{
    const float *in = dt_ref_data(x, linear->n, linear->c, 1, 1);
    float *out = dt_ref_data(y, linear->n, linear->n_out, 1, 1);
    (void)err;
    for (int64_t row = 0; row < linear->n; row++) {
        for (int64_t j = 0; j < linear->n_out; j++) {
            double sum = 0.0;
            for (int64_t c = 0; c < linear->c; c++)
                sum += factor(k, in[row * linear->c + c]) * factor(k, w[j * linear->c + c]);
            if (dt_ref_is_16_bit(k)) /* the library stores the product, rounded, before the bias is added */
                sum = (double)dt_ref_stored(k, sum);
            out[row * linear->n_out + j] = dt_ref_stored(k, sum + (double)bias[j]);
        }
    }
    return DT_OK;
}

static void data_gradient(dt_kernels *k, const dt_linear *linear, const float *w, const float *dy, float *dx)
{
    for (int64_t row = 0; row < linear->n; row++) {
        for (int64_t c = 0; c < linear->c; c++) {
            double sum = 0.0;
            for (int64_t j = 0; j < linear->n_out; j++)
                sum += factor(k, dy[row * linear->n_out + j]) * factor(k, w[j * linear->c + c]);
            dx[row * linear->c + c] = dt_ref_stored(k, sum);
        }
    }
}

dt_status dt_ref_linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *err)
{
    const float *in = dt_ref_data(x, linear->n, linear->c, 1, 1);
    const float *gradient = dt_ref_data(dy, linear->n, linear->n_out, 1, 1);
    (void)err;
    data_gradient(k, linear, w, gradient, dt_ref_data(dx, linear->n, linear->c, 1, 1));
    for (int64_t j = 0; j < linear->n_out; j++) {
        double bias_sum = accumulate ? (double)dbias[j] : 0.0;
        for (int64_t row = 0; row < linear->n; row++)
            bias_sum += (double)gradient[row * linear->n_out + j];
        dbias[j] = (float)bias_sum;
        for (int64_t c = 0; c < linear->c; c++) {
            double sum = 0.0;
            for (int64_t row = 0; row < linear->n; row++)
                sum += factor(k, gradient[row * linear->n_out + j]) * factor(k, in[row * linear->c + c]);
            dw[j * linear->c + c] = dt_ref_gradient(k, sum, accumulate, dw[j * linear->c + c]);
        }
    }
    return DT_OK;
}
