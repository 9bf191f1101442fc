/* pool_ref.c: max pooling over a lazy activation, and the average over an image.
 *
 * argmax is the position in the window, row * window + column, padding counted; the first maximum wins.
 * Backward sends each gradient to that element; windows that overlap add up there.
 */
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

/* Return the maximum of one window of the plane that begins at element `plane`; *argmax gets its position. */
static float window_max(const dt_pool_desc *pool, const dt_act *x, int64_t c, int64_t plane, int64_t p,
                        int64_t q, uint8_t *argmax)
{
    float best = -INFINITY;
    bool found = false;
    for (int64_t r = 0; r < pool->window; r++) {
        for (int64_t s = 0; s < pool->window; s++) {
            int64_t row = p * pool->stride - pool->pad + r;
            int64_t column = q * pool->stride - pool->pad + s;
            if (row < 0 || row >= x->raw.h || column < 0 || column >= x->raw.w)
                continue;
            float v = dt_ref_act_at(x, c, plane + row * x->raw.w + column);
            if (!found || dt_max_pool_replaces(v, best)) {
                best = v;
                *argmax = (uint8_t)(r * pool->window + s);
            }
            found = true;
        }
    }
    assert(found); /* pad is less than window */
    return best;
}

dt_status dt_ref_max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                  const dt_tensor *y, uint8_t *argmax, dt_error *err)
{
    const dt_tensor *in = &x->raw;
    float *out = dt_ref_data(y, in->n, in->c, (in->h + 2 * pool->pad - pool->window) / pool->stride + 1,
                             (in->w + 2 * pool->pad - pool->window) / pool->stride + 1);
    assert(pool->window * pool->window <= 256 && pool->pad < pool->window);
    (void)err;
#pragma omp parallel for schedule(static) num_threads(dt_ref(k)->n_threads)
    for (int64_t plane = 0; plane < y->n * y->c; plane++) {
        for (int64_t pixel = 0; pixel < y->h * y->w; pixel++) {
            uint8_t position = 0;
            int64_t at = plane * y->h * y->w + pixel;
            float largest = window_max(pool, x, plane % y->c, plane * in->h * in->w, pixel / y->w,
                                       pixel % y->w, &position);
            out[at] = dt_ref_stored(k, (double)largest);
            if (argmax != NULL)
                argmax[at] = position;
        }
    }
    return DT_OK;
}

/* The gradient of the element (row, column): the sum over the windows that hold it and have their maximum
 * there. */
static double gathered(const dt_pool_desc *pool, const dt_tensor *dy, const uint8_t *argmax, int64_t plane,
                       int64_t row, int64_t column)
{
    const float *gradient = dy->data;
    double sum = 0.0;
    for (int64_t r = 0; r < pool->window; r++) {
        for (int64_t s = 0; s < pool->window; s++) {
            int64_t top = row + pool->pad - r;
            int64_t left = column + pool->pad - s;
            if (top < 0 || left < 0 || top % pool->stride != 0 || left % pool->stride != 0)
                continue;
            if (top / pool->stride >= dy->h || left / pool->stride >= dy->w)
                continue;
            int64_t at = (plane * dy->h + top / pool->stride) * dy->w + left / pool->stride;
            if (argmax[at] == r * pool->window + s)
                sum += (double)gradient[at];
        }
    }
    return sum;
}

dt_status dt_ref_max_pool_backward(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                   const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                   dt_error *err)
{
    float *out = dt_ref_data(dz, dy->n, dy->c, dz->h, dz->w);
    (void)dt_ref_data_like(dy, dy);
#pragma omp parallel for schedule(static) num_threads(dt_ref(k)->n_threads)
    for (int64_t plane = 0; plane < dz->n * dz->c; plane++)
        for (int64_t pixel = 0; pixel < dz->h * dz->w; pixel++)
            out[plane * dz->h * dz->w + pixel] =
                dt_ref_stored(k, gathered(pool, dy, argmax, plane, pixel / dz->w, pixel % dz->w));
    return dt_ref_bn_backward_reduce(k, bn, dz, dz, err);
}

dt_status dt_ref_average_pool_forward(dt_kernels *k, const dt_tensor *x, const dt_tensor *y, dt_error *err)
{
    const float *values = dt_ref_data_like(x, x);
    float *out = dt_ref_data(y, x->n, x->c, 1, 1);
    int64_t n_pixels = x->h * x->w;
    (void)err;
    for (int64_t plane = 0; plane < x->n * x->c; plane++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n_pixels; i++)
            sum += (double)values[plane * n_pixels + i];
        out[plane] = dt_ref_stored(k, sum / (double)n_pixels);
    }
    return DT_OK;
}

dt_status dt_ref_average_pool_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx, dt_error *err)
{
    const float *gradient = dt_ref_data(dy, dx->n, dx->c, 1, 1);
    float *out = dt_ref_data_like(dx, dx);
    int64_t n_pixels = dx->h * dx->w;
    (void)err;
    for (int64_t plane = 0; plane < dx->n * dx->c; plane++)
        for (int64_t i = 0; i < n_pixels; i++)
            out[plane * n_pixels + i] = dt_ref_stored(k, (double)gradient[plane] / (double)n_pixels);
    return DT_OK;
}
