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

/* Outputs, or features, that one call of oneDNN computes. The columns of the result are divided into such
 * parts, whatever the number of threads, so that its bits do not depend on it. */
#define PART 64

/* c [m][n] = op(a) op(b) + beta c, row-major. */
typedef struct product {
    char trans_a, trans_b;
    bool divides_rows; /* the parts are rows of c; else columns */
    int64_t m, n, inner;
    const float *a, *b;
    float beta, *c;
    _Atomic int status; /* the first error of a part */
} product;

static dnnl_status_t multiply(const product *p, int64_t first, int64_t count)
{
    const int64_t lda = p->trans_a == 'T' ? p->m : p->inner, ldb = p->trans_b == 'T' ? p->inner : p->n;
    if (p->divides_rows)
        return dt_onednn_sgemm(p->trans_a, p->trans_b, count, p->n, p->inner, 1.0F,
                               p->a + first * (p->trans_a == 'T' ? 1 : lda), lda, p->b, ldb, p->beta,
                               p->c + first * p->n, p->n);
    return dt_onednn_sgemm(p->trans_a, p->trans_b, p->m, count, p->inner, 1.0F, p->a, lda,
                           p->b + first * (p->trans_b == 'T' ? ldb : 1), ldb, p->beta, p->c + first, p->n);
}

static void product_work(void *context, int share, int64_t begin, int64_t end)
{
    product *p = context;
    const int64_t n = p->divides_rows ? p->m : p->n;
    (void)share;
    for (int64_t part = begin; part < end; part++) {
        const int64_t first = part * PART, count = n - first < PART ? n - first : PART;
        const dnnl_status_t status = multiply(p, first, count);
        if (status != dnnl_success)
            p->status = (int)status;
    }
}

static dt_status run(const dt_cpu_kernels *cpu, const dt_linear *l, const char *what, product *p,
                     dt_error *err)
{
    dt_cpu_parallel(cpu, ((p->divides_rows ? p->m : p->n) + PART - 1) / PART, product_work, p);
    const dnnl_status_t status = (dnnl_status_t)p->status;
    if (status == dnnl_success)
        return DT_OK;
    return dt_fail(err, dt_onednn_status(status), "oneDNN: %s of linear %lldx%lld at batch %lld: %s", what,
                   (long long)l->c, (long long)l->n_out, (long long)l->n, dt_onednn_status_text(status));
}

dt_status dt_cpu_linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *err)
{
    const dt_linear *l = linear;
    product p = {.trans_a = 'N',
                 .trans_b = 'T',
                 .m = l->n,
                 .n = l->n_out,
                 .inner = l->c,
                 .a = dt_cpu_data(x, l->n, l->c, 1, 1),
                 .b = w,
                 .beta = 1.0F,
                 .c = dt_cpu_data(y, l->n, l->n_out, 1, 1)};
    for (int64_t row = 0; row < l->n; row++)
        memcpy(p.c + row * l->n_out, bias, (size_t)l->n_out * sizeof *bias);
    return run(dt_cpu(k), l, "forward", &p, err);
}

dt_status dt_cpu_linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *err)
{
    const dt_linear *l = linear;
    const float *in = dt_cpu_data(x, l->n, l->c, 1, 1), *gradient = dt_cpu_data(dy, l->n, l->n_out, 1, 1);
    product to_dx = {.trans_a = 'N',
                     .trans_b = 'N',
                     .m = l->n,
                     .n = l->c,
                     .inner = l->n_out,
                     .a = gradient,
                     .b = w,
                     .c = dt_cpu_data(dx, l->n, l->c, 1, 1)};
    product to_dw = {.trans_a = 'T',
                     .trans_b = 'N',
                     .divides_rows = true,
                     .m = l->n_out,
                     .n = l->c,
                     .inner = l->n,
                     .a = gradient,
                     .b = in,
                     .beta = accumulate ? 1.0F : 0.0F,
                     .c = dw};
    if (!accumulate)
        memset(dbias, 0, (size_t)l->n_out * sizeof *dbias);
    for (int64_t row = 0; row < l->n; row++)
        for (int64_t j = 0; j < l->n_out; j++)
            dbias[j] += gradient[row * l->n_out + j];
    DT_TRY(run(dt_cpu(k), l, "data gradient", &to_dx, err));
    return run(dt_cpu(k), l, "weight gradient", &to_dw, err);
}
