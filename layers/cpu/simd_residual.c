/* simd_residual.c: the residual join over one plane. */
#include "layers/cpu/simd_vec.h"

typedef struct affine {
    v8x2 scale, bias;
} affine;

DT_SIMD_INLINE affine affine_of(int64_t block, const dt_cpu_norm *norm)
{
    return (affine){v8_channels_or(block, norm->scale, 1.0F), v8_channels_or(block, norm->bias, 0.0F)};
}

/* The value of 8 lanes of an input, relu included; `lazy` is known when this is inlined. */
DT_SIMD_INLINE v8 value(const float *p, const affine *a, int half, bool lazy, bool relu)
{
    v8 v = v8_load(p);
    if (lazy)
        v = a->scale.v[half] * v + a->bias.v[half];
    return relu ? v8_relu(v) : v;
}

DT_SIMD_INLINE void join_half(const float *branch, const affine *b, const dt_cpu_norm *bn, const float *skip,
                              const affine *s, const dt_cpu_norm *sn, int half, bool branch_lazy,
                              bool skip_lazy, float *y, uint8_t *mask)
{
    v8 v = v8_relu(value(branch, b, half, branch_lazy, branch_lazy && bn->relu) +
                   value(skip, s, half, skip_lazy, skip_lazy && sn->relu));
    v8_store(y, v);
    if (mask != NULL)
        *mask = v8_bits(v > 0.0F);
}

DT_SIMD_INLINE void join_run(int64_t block, int64_t n, const float *branch, const dt_cpu_norm *bn,
                             bool branch_lazy, const float *skip, const dt_cpu_norm *sn, bool skip_lazy,
                             float *y, uint8_t *mask)
{
    const affine b = affine_of(block, bn), s = affine_of(block, sn);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int half = 0; half < 2; half++)
            join_half(branch + i + 8 * half, &b, bn, skip + i + 8 * half, &s, sn, half, branch_lazy,
                      skip_lazy, y + i + 8 * half, mask ? mask + i / 8 + half : NULL);
    if (i < n)
        join_half(branch + i, &b, bn, skip + i, &s, sn, 0, branch_lazy, skip_lazy, y + i,
                  mask ? mask + i / 8 : NULL);
}

void DT_SIMD_NAME(residual)(int64_t block, int64_t n, const float *branch, const dt_cpu_norm *branch_norm,
                            const float *skip, const dt_cpu_norm *skip_norm, float *y, uint8_t *mask)
{
    const bool branch_lazy = branch_norm->scale != NULL, skip_lazy = skip_norm->scale != NULL;
    if (branch_lazy && !skip_lazy && mask != NULL) /* an identity block in training */
        join_run(block, n, branch, branch_norm, true, skip, skip_norm, false, y, mask);
    else if (branch_lazy && skip_lazy && mask != NULL) /* a block with a projection in training */
        join_run(block, n, branch, branch_norm, true, skip, skip_norm, true, y, mask);
    else /* everything else */
        join_run(block, n, branch, branch_norm, branch_lazy, skip, skip_norm, skip_lazy, y, mask);
}

typedef struct accumulators {
    v8x2 mean;
    v8d dot[2];
} accumulators;

DT_SIMD_INLINE void backward_half(const float *dy, uint8_t bits, int half, const float *branch,
                                  accumulators *b, const float *skip, accumulators *s, v8d *total, float *g)
{
    const v8 v = v8_where(v8_from_bits(bits), v8_load(dy));
    v8_store(g, v);
    if (branch != NULL)
        v8d_sum(&b->dot[half], v8_widen(v * (v8_load(branch) - b->mean.v[half])));
    if (skip != NULL)
        v8d_sum(&s->dot[half], v8_widen(v * (v8_load(skip) - s->mean.v[half])));
    if (branch != NULL || skip != NULL)
        v8d_sum(total, v8_widen(v));
}

DT_SIMD_INLINE void backward_run(int64_t block, int64_t n, const float *dy, const uint8_t *mask,
                                 const dt_cpu_reduce *branch, const dt_cpu_reduce *skip, float *g)
{
    accumulators b = {0}, s = {0};
    v8d total[2] = {0};
    if (branch != NULL)
        b.mean = v8_channels(block, branch->mean);
    if (skip != NULL)
        s.mean = v8_channels(block, skip->mean);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int half = 0; half < 2; half++)
            backward_half(dy + i + 8 * half, mask[i / 8 + half], half,
                          branch ? branch->raw + i + 8 * half : NULL, &b,
                          skip ? skip->raw + i + 8 * half : NULL, &s, &total[half], g + i + 8 * half);
    if (i < n)
        backward_half(dy + i, mask[i / 8], 0, branch ? branch->raw + i : NULL, &b,
                      skip ? skip->raw + i : NULL, &s, &total[0], g + i);
    if (branch != NULL) {
        v8_add_channels(block, b.dot, branch->dot);
        v8_add_channels(block, total, branch->total);
    }
    if (skip != NULL) {
        v8_add_channels(block, s.dot, skip->dot);
        v8_add_channels(block, total, skip->total);
    }
}

void DT_SIMD_NAME(residual_backward)(int64_t block, int64_t n, const float *dy, const uint8_t *mask,
                                     const dt_cpu_reduce *branch, const dt_cpu_reduce *skip, float *g)
{
    if (branch != NULL && skip != NULL)
        backward_run(block, n, dy, mask, branch, skip, g);
    else if (branch != NULL)
        backward_run(block, n, dy, mask, branch, NULL, g);
    else if (skip != NULL)
        backward_run(block, n, dy, mask, NULL, skip, g);
    else
        backward_run(block, n, dy, mask, NULL, NULL, g);
}
