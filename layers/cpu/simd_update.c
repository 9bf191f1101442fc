/* simd_update.c: passes over weights. */
#include "layers/cpu/simd_vec.h"

#if defined __AVX__
/* Transpose 8x8 in registers: swap single elements, then pairs, then halves. */
DT_SIMD_INLINE void transpose_8x8(int64_t block, const float *from, float *to)
{
    __m256 row[8], pair[8], four[8];
    for (int i = 0; i < 8; i++)
        row[i] = _mm256_loadu_ps(from + i * block);
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        four[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        four[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
        four[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        four[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * block, _mm256_permute2f128_ps(four[i], four[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * block, _mm256_permute2f128_ps(four[i], four[i + 4], 0x31));
    }
}
#else
DT_SIMD_INLINE void transpose_8x8(int64_t block, const float *from, float *to)
{
    for (int64_t j = 0; j < 8; j++)
        for (int64_t i = 0; i < 8; i++)
            to[j * block + i] = from[i * block + j];
}
#endif

void DT_SIMD_NAME(transpose)(int64_t block, const float *from, float *to)
{
    for (int64_t i = 0; i < block; i += 8)
        for (int64_t j = 0; j < block; j += 8)
            transpose_8x8(block, from + i * block + j, to + j * block + i);
}

/* dt_update_sgd_value of layers/arithmetic.h, 8 at a time. */
DT_SIMD_INLINE void sgd_run(const dt_cpu_sgd *sgd, bool nesterov, int64_t n, float *values,
                            const float *grads, float *momentum)
{
    const v8 multiplier = v8_splat(sgd->factors.gradient), decay = v8_splat(sgd->factors.weight_decay),
             beta = v8_splat(sgd->momentum), lr = v8_splat(sgd->factors.rate);
    for (int64_t i = 0; i < n; i += 8) {
        const v8 w = v8_load(values + i);
        const v8 gradient = multiplier * v8_load(grads + i) + decay * w;
        const v8 velocity = beta * v8_load(momentum + i) + gradient;
        v8_store(momentum + i, velocity);
        v8_store(values + i, w - lr * (nesterov ? gradient + beta * velocity : velocity));
    }
}

void DT_SIMD_NAME(sgd)(const dt_cpu_sgd *sgd, int64_t n, float *values, const float *grads, float *momentum)
{
    if (sgd->nesterov)
        sgd_run(sgd, true, n, values, grads, momentum);
    else
        sgd_run(sgd, false, n, values, grads, momentum);
}
