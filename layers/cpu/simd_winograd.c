/* simd_winograd.c: Winograd's F(4x4, 3x3) (Lavin and Gray 2016): a 3x3 convolution of 4x4 outputs by 36
 * multiplications for each pair of channels instead of 144.
 *
 *   forward          Y = A' [ (G g G') . (B' d B) ] A      d: 6x6 inputs, g: 3x3 weights, Y: 4x4 outputs, .
 *                                                          element by element; ' transposes
 *   weight gradient  dg = G' [ (A dY A') . (B' d B) ] G    the adjoint of the same, summed over tiles
 *
 * The 36 elements, summed over channels (or tiles), are 36 matrix products. The matrices follow from the
 * points 0, a, -a, b, -b and infinity at which polynomials are evaluated (Toom and Cook). a = 2/3, b = 3/2
 * with a b = 1: against float64, the error is 2.4 times that of a direct convolution in float32, and half of
 * that of the usual points 1 and 2 (measured on 64 channels).
 */
#include "layers/cpu/simd_vec.h"

#define A (2.0F / 3.0F)
#define B 1.5F
#define A2 (A * A)
#define B2 (B * B)
#define FA (0.5F / (A2 * (A2 - B2))) /* the factor of G's rows of a and -a */
#define FB (0.5F / (B2 * (B2 - A2)))

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));

DT_SIMD_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
#if defined __AVX512F__
    return (v16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
    union halves {
        v16 whole;
        v8 half[2];
    } x = {a}, y = {b}, z = {c};
    for (int i = 0; i < 2; i++)
        z.half[i] = v8_fma(x.half[i], y.half[i], z.half[i]);
    return z.whole;
#endif
}

DT_SIMD_INLINE v16 v16_splat(float f)
{
    return (v16){f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f};
}

/* Rows of a product that are held in registers, times two vectors of columns: ROWS * 2 sums, 2 vectors of U,
 * one of V. Each value divides DT_CPU_PRODUCT_ROWS. */
#if defined __AVX512F__
#    define ROWS_16 12
#    define ROWS_8 12
#elif defined __AVX2__ || defined __aarch64__
#    define ROWS_16 3
#    define ROWS_8 6
#else
#    define ROWS_16 3
#    define ROWS_8 3
#endif

#define BLOCK 16
#define VEC v16
#define VECI v16i
#define VEC_FMA v16_fma
#define VEC_SPLAT v16_splat
#define ROWS ROWS_16
#define NAME(name) name##_16
#include "layers/cpu/simd_winograd_block.h"
#undef BLOCK
#undef VEC
#undef VECI
#undef VEC_FMA
#undef VEC_SPLAT
#undef ROWS
#undef NAME

#define BLOCK 8
#define VEC v8
#define VECI v8i
#define VEC_FMA v8_fma
#define VEC_SPLAT v8_splat
#define ROWS ROWS_8
#define NAME(name) name##_8
#include "layers/cpu/simd_winograd_block.h"

void DT_SIMD_NAME(winograd_input)(const dt_cpu_tiles *tiles, const float *x, const dt_cpu_norm *norm,
                                  int64_t begin, int64_t end, float *v)
{
    if (tiles->block == 16)
        input_16(tiles, x, norm, begin, end, v);
    else
        input_8(tiles, x, norm, begin, end, v);
}

void DT_SIMD_NAME(winograd_output)(const dt_cpu_tiles *tiles, const float *m, int64_t begin, int64_t end,
                                   float *y)
{
    if (tiles->block == 16)
        output_16(tiles, m, begin, end, y);
    else
        output_8(tiles, m, begin, end, y);
}

void DT_SIMD_NAME(winograd_output_gradient)(const dt_cpu_tiles *tiles, const float *dy, int64_t begin,
                                            int64_t end, float *v)
{
    if (tiles->block == 16)
        output_gradient_16(tiles, dy, begin, end, v);
    else
        output_gradient_8(tiles, dy, begin, end, v);
}

void DT_SIMD_NAME(winograd_weights)(int64_t block, const float *w, int64_t frequency, float *u)
{
    if (block == 16)
        weights_16(w, frequency, u);
    else
        weights_8(w, frequency, u);
}

void DT_SIMD_NAME(winograd_weight_gradient)(int64_t block, const float *du, int64_t frequency, int64_t row,
                                            bool accumulate, float *dw)
{
    if (block == 16)
        weight_gradient_16(du, frequency, row, accumulate, dw);
    else
        weight_gradient_8(du, frequency, row, accumulate, dw);
}

void DT_SIMD_NAME(winograd_product)(int64_t block, const dt_cpu_product *p, const float *v, const float *u,
                                    float *m)
{
    if (block == 16)
        product_16(p, v, u, m);
    else
        product_8(p, v, u, m);
}

void DT_SIMD_NAME(winograd_outer)(int64_t block, const dt_cpu_product *p, const float *v, const float *y,
                                  float *du)
{
    if (block == 16)
        outer_16(p, v, y, du);
    else
        outer_8(p, v, y, du);
}
