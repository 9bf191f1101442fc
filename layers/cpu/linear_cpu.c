/* linear_cpu.c: the fully connected layer, by oneDNN's matrix product of row-major matrices.
 *
 *   y = x w^T + bias          x [n][c], w [k][c], y [n][k]
 *   dx = dy w,  dw (+)= dy^T x,  dbias (+)= sum of dy over n
 */
#include "core/base/alloc.h"
#include "layers/cpu/cpu_internal.h"
#include "layers/cpu/onednn.h"

#include <string.h>

struct dt_linear {
    int64_t n, c, n_out;
};

dt_status dt_cpu_linear_create(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
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

void dt_cpu_linear_destroy(dt_kernels *k, dt_linear *linear)
{
    (void)k;
    dt_free(linear);
}

/* c [m][n] = op(a) op(b) + beta c; a and b are as wide as they must be. */
static dt_status product(const dt_linear *l, const char *what, char trans_a, char trans_b, int64_t m,
                         int64_t n, int64_t inner, const float *a, const float *b, float beta, float *c,
                         dt_error *err)
{
    const dnnl_status_t status =
        dnnl_sgemm(trans_a, trans_b, m, n, inner, 1.0F, a, trans_a == 'T' ? m : inner, b,
                   trans_b == 'T' ? inner : n, beta, c, n);
    if (status == dnnl_success)
        return DT_OK;
    return dt_fail(err, dt_onednn_status(status), "oneDNN: %s of linear %lldx%lld at batch %lld: %s", what,
                   (long long)l->c, (long long)l->n_out, (long long)l->n, dt_onednn_status_text(status));
}

dt_status dt_cpu_linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *err)
{
    const float *in = dt_cpu_data(x, linear->n, linear->c, 1, 1);
    float *out = dt_cpu_data(y, linear->n, linear->n_out, 1, 1);
    dt_onednn_enter(dt_cpu(k));
    for (int64_t row = 0; row < linear->n; row++)
        memcpy(out + row * linear->n_out, bias, (size_t)linear->n_out * sizeof *out);
    return product(linear, "forward", 'N', 'T', linear->n, linear->n_out, linear->c, in, w, 1.0F, out, err);
}

dt_status dt_cpu_linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *err)
{
    const float *in = dt_cpu_data(x, linear->n, linear->c, 1, 1);
    const float *gradient = dt_cpu_data(dy, linear->n, linear->n_out, 1, 1);
    dt_onednn_enter(dt_cpu(k));
    if (!accumulate)
        memset(dbias, 0, (size_t)linear->n_out * sizeof *dbias);
    for (int64_t row = 0; row < linear->n; row++)
        for (int64_t j = 0; j < linear->n_out; j++)
            dbias[j] += gradient[row * linear->n_out + j];
    DT_TRY(product(linear, "data gradient", 'N', 'N', linear->n, linear->c, linear->n_out, gradient, w, 0.0F,
                   dt_cpu_data(dx, linear->n, linear->c, 1, 1), err));
    return product(linear, "weight gradient", 'T', 'N', linear->n_out, linear->c, linear->n, gradient, in,
                   accumulate ? 1.0F : 0.0F, dw, err);
}
