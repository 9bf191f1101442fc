/* simd_vec.h: vectors of 8 floats for the simd_*.c files, by the compiler's vector extension: one source for
 * SSE2, AVX2, AVX-512 and NEON.
 *
 * A step is 16 floats, two vectors: one pixel of a block of 16 channels, or two of a block of 8. Channel
 * vectors are loaded as a pair that fits a step. Only the last step of a plane with blocks of 8 can be half a
 * step.
 */
#ifndef DT_LAYERS_CPU_SIMD_VEC_H
#define DT_LAYERS_CPU_SIMD_VEC_H

#include "layers/cpu/simd.h"

#include <string.h>

#define DT_SIMD_PASTE(name, suffix) dt_cpu_##name##_##suffix
#define DT_SIMD_EXPAND(name, suffix) DT_SIMD_PASTE(name, suffix)
/* the functions of each instruction set have their own names */
#define DT_SIMD_NAME(name) DT_SIMD_EXPAND(name, DT_SIMD_SUFFIX)

/* Always inlined: functions that pass vectors wider than the registers have no fixed ABI (hence -Wno-psabi in
 * layers.mk). */
#define DT_SIMD_INLINE static inline __attribute__((always_inline))

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
/* 8 doubles: one vector with AVX-512, else two of 4. (GCC 12 keeps vectors that are wider than a register on
 * the stack.) */
#if defined __AVX512F__
typedef double v8d __attribute__((vector_size(64)));
#else
typedef double v4d __attribute__((vector_size(32)));
typedef struct v8d {
    v4d low, high;
} v8d;
#endif
typedef uint8_t v8b __attribute__((vector_size(8)));

typedef struct v8x2 {
    v8 v[2];
} v8x2;

DT_SIMD_INLINE v8 v8_load(const float *p)
{
    v8 v;
    memcpy(&v, p, sizeof v);
    return v;
}

DT_SIMD_INLINE void v8_store(float *p, v8 v)
{
    memcpy(p, &v, sizeof v);
}

DT_SIMD_INLINE v8 v8_splat(float f)
{
    return (v8){f, f, f, f, f, f, f, f};
}

/* v in the lanes where the mask is set, 0 in the others. */
DT_SIMD_INLINE v8 v8_where(v8i mask, v8 v)
{
    return (v8)((v8i)v & mask);
}

/* max(v, 0), and NaN for NaN. */
DT_SIMD_INLINE v8 v8_relu(v8 v)
{
    return (v8)((v8i)v & ~(v < 0.0F));
}

#if defined __AVX__
#    include <immintrin.h>
#endif

#if defined __AVX512F__
DT_SIMD_INLINE v8d v8_widen(v8 v)
{
    return __builtin_convertvector(v, v8d);
}

DT_SIMD_INLINE v8d v8d_plus(v8d a, v8d b)
{
    return a + b;
}

DT_SIMD_INLINE v8d v8d_times(v8d a, v8d b)
{
    return a * b;
}
#else
DT_SIMD_INLINE v8d v8_widen(v8 v)
{
#    if defined __AVX__
    return (v8d){(v4d)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v)),
                 (v4d)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1))};
#    else
    typedef float v4 __attribute__((vector_size(16)));
    v4 half[2];
    memcpy(half, &v, sizeof half);
    return (v8d){__builtin_convertvector(half[0], v4d), __builtin_convertvector(half[1], v4d)};
#    endif
}

DT_SIMD_INLINE v8d v8d_plus(v8d a, v8d b)
{
    return (v8d){a.low + b.low, a.high + b.high};
}

DT_SIMD_INLINE v8d v8d_times(v8d a, v8d b)
{
    return (v8d){a.low * b.low, a.high * b.high};
}
#endif

/* *sum += v */
DT_SIMD_INLINE void v8d_sum(v8d *sum, v8d v)
{
    *sum = v8d_plus(*sum, v);
}

/* a * b + c, rounded once where the processor can. */
DT_SIMD_INLINE v8 v8_fma(v8 a, v8 b, v8 c);

/* Values per channel for a step. */
DT_SIMD_INLINE v8x2 v8_channels(int64_t block, const float *p)
{
    return (v8x2){{v8_load(p), v8_load(p + (block == 16 ? 8 : 0))}};
}

DT_SIMD_INLINE v8x2 v8_channels_or(int64_t block, const float *p, float otherwise)
{
    return p != NULL ? v8_channels(block, p) : (v8x2){{v8_splat(otherwise), v8_splat(otherwise)}};
}

DT_SIMD_INLINE void v8d_add_to(double *p, v8d v)
{
    v8d before;
    memcpy(&before, p, sizeof before);
    v8d_sum(&before, v);
    memcpy(p, &before, sizeof before);
}

/* Add a step's lanes to the sums per channel. */
DT_SIMD_INLINE void v8_add_channels(int64_t block, const v8d lanes[2], double *sum)
{
    if (block == 16) {
        v8d_add_to(sum, lanes[0]);
        v8d_add_to(sum + 8, lanes[1]);
    } else {
        v8d_add_to(sum, v8d_plus(lanes[0], lanes[1]));
    }
}

/* Bit i of the result is set where lane i of the mask is. */
DT_SIMD_INLINE uint8_t v8_bits(v8i mask);

/* The inverse of v8_bits. */
DT_SIMD_INLINE v8i v8_from_bits(uint8_t bits)
{
    const v8i each = {1, 2, 4, 8, 16, 32, 64, 128};
    int32_t b = bits;
    return ((v8i){b, b, b, b, b, b, b, b} & each) != 0;
}

#if defined __AVX__
DT_SIMD_INLINE uint8_t v8_bits(v8i mask)
{
    return (uint8_t)_mm256_movemask_ps((__m256)mask);
}
#    if defined __FMA__
DT_SIMD_INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
    return (v8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#    endif
#else
DT_SIMD_INLINE uint8_t v8_bits(v8i mask)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < 8; i++)
        bits |= (unsigned)(mask[i] & 1) << i;
    return (uint8_t)bits;
}
#endif

#if defined __ARM_FEATURE_FMA
DT_SIMD_INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
    for (int i = 0; i < 8; i++) /* two instructions */
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
#elif !defined __FMA__
DT_SIMD_INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
    return a * b + c;
}
#endif

/* The functions of the table, for simd_table.c. */
void DT_SIMD_NAME(act)(int64_t block, int64_t n, const float *x, const dt_cpu_norm *norm, float *out);
void DT_SIMD_NAME(sums)(int64_t block, int64_t n, const float *y, double *sum, double *sum_of_squares);
void DT_SIMD_NAME(reduce)(int64_t block, int64_t n, const float *dv, const float *add,
                          const dt_cpu_norm *norm, const dt_cpu_reduce *sums, float *dz);
void DT_SIMD_NAME(bn_backward)(int64_t block, int64_t n, const float *dz, const float *raw, const float *a,
                               const float *b, const float *c, float *dy);
void DT_SIMD_NAME(add)(int64_t n, const float *a, const float *b, float *to);
void DT_SIMD_NAME(residual)(int64_t block, int64_t n, const float *branch, const dt_cpu_norm *branch_norm,
                            const float *skip, const dt_cpu_norm *skip_norm, float *y, uint8_t *mask);
void DT_SIMD_NAME(residual_backward)(int64_t block, int64_t n, const float *dy, const uint8_t *mask,
                                     const dt_cpu_reduce *branch, const dt_cpu_reduce *skip, float *g);
void DT_SIMD_NAME(max_pool)(const dt_cpu_pool *pool, const float *x, const dt_cpu_norm *norm, float *y,
                            uint8_t *argmax);
void DT_SIMD_NAME(max_pool_backward)(const dt_cpu_pool *pool, const float *dy, const uint8_t *argmax,
                                     int64_t begin, int64_t end, float *dx);
void DT_SIMD_NAME(weight_gradient)(const dt_cpu_window *conv, const float *x, const float *dy,
                                   bool accumulate, float *dw);
void DT_SIMD_NAME(winograd_input)(const dt_cpu_tiles *tiles, const float *x, const dt_cpu_norm *norm,
                                  int64_t begin, int64_t end, float *v);
void DT_SIMD_NAME(winograd_output)(const dt_cpu_tiles *tiles, const float *m, int64_t begin, int64_t end,
                                   float *y);
void DT_SIMD_NAME(winograd_output_gradient)(const dt_cpu_tiles *tiles, const float *dy, int64_t begin,
                                            int64_t end, float *v);
void DT_SIMD_NAME(winograd_weights)(int64_t block, const float *w, int64_t frequency, float *u);
void DT_SIMD_NAME(winograd_weight_gradient)(int64_t block, const float *du, int64_t frequency, int64_t row,
                                            bool accumulate, float *dw);
void DT_SIMD_NAME(winograd_product)(int64_t block, const dt_cpu_product *p, const float *v, const float *u,
                                    float *m);
void DT_SIMD_NAME(winograd_outer)(int64_t block, const dt_cpu_product *p, const float *v, const float *y,
                                  float *du);
void DT_SIMD_NAME(transpose)(int64_t block, const float *from, float *to);
void DT_SIMD_NAME(sgd)(const dt_cpu_sgd *sgd, int64_t n, float *values, const float *grads, float *momentum);

#endif
