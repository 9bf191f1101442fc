/* simd_norm.c: passes over one plane around batch normalisation. */
#include "layers/cpu/simd_vec.h"

/* One step, or its first half, of relu?(scale * x + bias). */
DT_SIMD_INLINE void act_half(const float *x, v8 scale, v8 bias, bool relu, float *out)
{
    v8 v = scale * v8_load(x) + bias;
    v8_store(out, relu ? v8_relu(v) : v);
}

DT_SIMD_INLINE void act_run(int64_t block, int64_t n, const float *x, const dt_cpu_norm *norm, bool relu,
                            float *out)
{
    const v8x2 scale = v8_channels(block, norm->scale), bias = v8_channels(block, norm->bias);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        act_half(x + i, scale.v[0], bias.v[0], relu, out + i);
        act_half(x + i + 8, scale.v[1], bias.v[1], relu, out + i + 8);
    }
    if (i < n)
        act_half(x + i, scale.v[0], bias.v[0], relu, out + i);
}

void DT_SIMD_NAME(act)(int64_t block, int64_t n, const float *x, const dt_cpu_norm *norm, float *out)
{
    if (norm->scale == NULL)
        memmove(out, x, (size_t)n * sizeof *out);
    else if (norm->relu)
        act_run(block, n, x, norm, true, out);
    else
        act_run(block, n, x, norm, false, out);
}

DT_SIMD_INLINE void sums_half(const float *y, v8d *sum, v8d *sum_of_squares)
{
    const v8d v = v8_widen(v8_load(y));
    v8d_sum(sum, v);
    v8d_sum(sum_of_squares, v8d_times(v, v));
}

void DT_SIMD_NAME(sums)(int64_t block, int64_t n, const float *y, double *sum, double *sum_of_squares)
{
    v8d s[2] = {0}, q[2] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        sums_half(y + i, &s[0], &q[0]);
        sums_half(y + i + 8, &s[1], &q[1]);
    }
    if (i < n)
        sums_half(y + i, &s[0], &q[0]);
    v8_add_channels(block, s, sum);
    v8_add_channels(block, q, sum_of_squares);
}

/* The gradient after the addition and the ReLU's mask, 8 lanes of it, and what it adds to the sums. */
DT_SIMD_INLINE void reduce_half(const float *dv, const float *add, const float *raw, v8 scale, v8 bias,
                                v8 mean, bool relu, v8d *dot, v8d *total, float *dz)
{
    const v8 x = v8_load(raw);
    v8 g = v8_load(dv);
    if (add != NULL)
        g += v8_load(add);
    if (relu)
        g = v8_where(scale * x + bias > 0.0F, g);
    v8_store(dz, g);
    v8d_sum(dot, v8_widen(g * (x - mean)));
    v8d_sum(total, v8_widen(g));
}

DT_SIMD_INLINE void reduce_run(int64_t block, int64_t n, const float *dv, const float *add,
                               const dt_cpu_norm *norm, bool relu, const dt_cpu_reduce *sums, float *dz)
{
    const v8x2 scale = v8_channels_or(block, norm->scale, 1.0F),
               bias = v8_channels_or(block, norm->bias, 0.0F);
    const v8x2 mean = v8_channels(block, sums->mean);
    v8d dot[2] = {0}, total[2] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        reduce_half(dv + i, add ? add + i : NULL, sums->raw + i, scale.v[0], bias.v[0], mean.v[0], relu,
                    &dot[0], &total[0], dz + i);
        reduce_half(dv + i + 8, add ? add + i + 8 : NULL, sums->raw + i + 8, scale.v[1], bias.v[1], mean.v[1],
                    relu, &dot[1], &total[1], dz + i + 8);
    }
    if (i < n)
        reduce_half(dv + i, add ? add + i : NULL, sums->raw + i, scale.v[0], bias.v[0], mean.v[0], relu,
                    &dot[0], &total[0], dz + i);
    v8_add_channels(block, dot, sums->dot);
    v8_add_channels(block, total, sums->total);
}

void DT_SIMD_NAME(reduce)(int64_t block, int64_t n, const float *dv, const float *add,
                          const dt_cpu_norm *norm, const dt_cpu_reduce *sums, float *dz)
{
    if (norm->relu && add != NULL)
        reduce_run(block, n, dv, add, norm, true, sums, dz);
    else if (norm->relu)
        reduce_run(block, n, dv, NULL, norm, true, sums, dz);
    else if (add != NULL)
        reduce_run(block, n, dv, add, norm, false, sums, dz);
    else
        reduce_run(block, n, dv, NULL, norm, false, sums, dz);
}

DT_SIMD_INLINE void bn_backward_half(const float *dz, const float *raw, v8 a, v8 b, v8 c, float *dy)
{
    v8_store(dy, a * v8_load(dz) + b * v8_load(raw) + c);
}

void DT_SIMD_NAME(bn_backward)(int64_t block, int64_t n, const float *dz, const float *raw, const float *a,
                               const float *b, const float *c, float *dy)
{
    const v8x2 va = v8_channels(block, a), vb = v8_channels(block, b), vc = v8_channels(block, c);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        bn_backward_half(dz + i, raw + i, va.v[0], vb.v[0], vc.v[0], dy + i);
        bn_backward_half(dz + i + 8, raw + i + 8, va.v[1], vb.v[1], vc.v[1], dy + i + 8);
    }
    if (i < n)
        bn_backward_half(dz + i, raw + i, va.v[0], vb.v[0], vc.v[0], dy + i);
}

void DT_SIMD_NAME(add)(int64_t n, const float *a, const float *b, float *to)
{
    for (int64_t i = 0; i < n; i += 8)
        v8_store(to + i, v8_load(a + i) + v8_load(b + i));
}
