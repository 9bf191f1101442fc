/* pool_cpu.c: max pooling over a lazy activation, and the average over an image.
 *
 * argmax has the order of y: a byte for each element, the position row * window + column in the window.
 */
#include "layers/cpu/cpu_internal.h"

/* Rows of dx that are gathered before they are summed up: they stay in the first-level cache. */
#define ROWS_AT_ONCE 4

typedef struct pool_pass {
    const dt_cpu_kernels *cpu;
    dt_cpu_pool shape;
    int64_t n_blocks, c;
    const dt_act *x;
    const dt_bn_backward *bn;
    const float *in;
    float *out;
    uint8_t *argmax;
    const uint8_t *argmax_in;
} pool_pass;

static pool_pass pass_of(const dt_cpu_kernels *cpu, const dt_pool_desc *pool, const dt_act *x)
{
    const int64_t h = x->raw.h, w = x->raw.w;
    assert(pool->window * pool->window <= 256 && pool->pad < pool->window);
    return (pool_pass){.cpu = cpu,
                       .shape = {.block = cpu->block,
                                 .h = h,
                                 .w = w,
                                 .p = (h + 2 * pool->pad - pool->window) / pool->stride + 1,
                                 .q = (w + 2 * pool->pad - pool->window) / pool->stride + 1,
                                 .window = pool->window,
                                 .stride = pool->stride,
                                 .pad = pool->pad},
                       .n_blocks = x->raw.c / cpu->block,
                       .c = x->raw.c,
                       .x = x};
}

static void forward_work(void *context, int thread, int64_t begin, int64_t end)
{
    const pool_pass *p = context;
    const int64_t in_elems = p->shape.h * p->shape.w * p->cpu->block,
                  out_elems = p->shape.p * p->shape.q * p->cpu->block;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const dt_cpu_norm norm = dt_cpu_norm_at(p->x, i % p->n_blocks * p->cpu->block);
        p->cpu->simd->max_pool(&p->shape, p->in + i * in_elems, &norm, p->out + i * out_elems,
                               p->argmax ? p->argmax + i * out_elems : NULL);
    }
}

dt_status dt_cpu_max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                  const dt_tensor *y, uint8_t *argmax, dt_error *err)
{
    pool_pass pass = pass_of(dt_cpu(k), pool, x);
    (void)err;
    pass.in = dt_cpu_data_like(&x->raw, &x->raw);
    pass.out = dt_cpu_data(y, x->raw.n, x->raw.c, pass.shape.p, pass.shape.q);
    pass.argmax = argmax;
    dt_cpu_parallel(pass.cpu, y->n * pass.n_blocks, forward_work, &pass);
    return DT_OK;
}

/* One plane of dz, a few rows at a time. */
static void backward_plane(const pool_pass *p, int slot, int64_t i)
{
    const dt_cpu_pool *s = &p->shape;
    const int64_t in_elems = s->h * s->w * s->block, out_elems = s->p * s->q * s->block;
    const int64_t channel = i % p->n_blocks * s->block;
    const dt_cpu_norm norm = dt_cpu_norm_at(p->x, channel);
    double *sums = dt_cpu_sums_of(p->bn->sums, p->c, slot);
    for (int64_t row = 0; row < s->h; row += ROWS_AT_ONCE) {
        const int64_t end = row + ROWS_AT_ONCE < s->h ? row + ROWS_AT_ONCE : s->h;
        const int64_t at = i * in_elems + row * s->w * s->block;
        const dt_cpu_reduce reduce = {(const float *)p->x->raw.data + at, p->bn->mean + channel,
                                      sums + channel, sums + p->c + channel};
        p->cpu->simd->max_pool_backward(s, p->in + i * out_elems, p->argmax_in + i * out_elems, row, end,
                                        p->out + i * in_elems);
        p->cpu->simd->reduce(s->block, (end - row) * s->w * s->block, p->out + at, NULL, &norm, &reduce,
                             p->out + at);
    }
}

static void backward_work(void *context, int slot, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        backward_plane(context, slot, i);
}

dt_status dt_cpu_max_pool_backward(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                   const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                   dt_error *err)
{
    pool_pass pass = pass_of(dt_cpu(k), pool, bn->x);
    (void)err;
    pass.bn = bn;
    pass.in = dt_cpu_data(dy, dz->n, dz->c, pass.shape.p, pass.shape.q);
    pass.argmax_in = argmax;
    pass.out = dt_cpu_data_like(dz, &bn->x->raw);
    dt_cpu_sums_clear(pass.c, bn->sums);
    const dt_cpu_planes planes = dt_cpu_planes_of(pass.cpu, dz->n, pass.c, dz->h * dz->w);
    dt_cpu_parallel_sums(pass.cpu, &planes, backward_work, &pass);
    return DT_OK;
}

/* x is [image][channel block][pixel][block], y [image][channel]: few values, once a step, so plain loops. */
dt_status dt_cpu_average_pool_forward(dt_kernels *k, const dt_tensor *x, const dt_tensor *y, dt_error *err)
{
    const int64_t block = dt_cpu(k)->block, n_pixels = x->h * x->w;
    const float *in = dt_cpu_data_like(x, x);
    float *out = dt_cpu_data(y, x->n, x->c, 1, 1);
    (void)err;
    for (int64_t plane = 0; plane < x->n * x->c / block; plane++) {
        double sum[16] = {0};
        for (int64_t i = 0; i < n_pixels; i++)
            for (int64_t lane = 0; lane < block; lane++)
                sum[lane] += (double)in[(plane * n_pixels + i) * block + lane];
        for (int64_t lane = 0; lane < block; lane++)
            out[plane * block + lane] = (float)(sum[lane] / (double)n_pixels);
    }
    return DT_OK;
}

dt_status dt_cpu_average_pool_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx, dt_error *err)
{
    const int64_t block = dt_cpu(k)->block, n_pixels = dx->h * dx->w;
    const float *gradient = dt_cpu_data(dy, dx->n, dx->c, 1, 1);
    float *out = dt_cpu_data_like(dx, dx);
    (void)err;
    for (int64_t plane = 0; plane < dx->n * dx->c / block; plane++)
        for (int64_t i = 0; i < n_pixels; i++)
            for (int64_t lane = 0; lane < block; lane++)
                out[(plane * n_pixels + i) * block + lane] =
                    (float)((double)gradient[plane * block + lane] / (double)n_pixels);
    return DT_OK;
}
