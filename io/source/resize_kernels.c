/* resize_kernels.c: see resize_kernels.h. */
#include "io/source/resize_kernels.h"

#include <string.h>

static uint8_t to_level(int32_t sum, int bits)
{
    int32_t level = (sum + (1 << (bits - 1))) >> bits;
    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

/* One row's target pixels from `begin` on. */
static void horizontal_row_c(const dt_resize_axis *x, int64_t begin, const uint8_t *row, uint8_t *out)
{
    for (int64_t i = begin; i < x->n; i++) {
        const uint8_t *source = row + 3 * (int64_t)x->first[i];
        const int16_t *weights = x->weights + i * x->n_taps;
        int32_t red = 0, green = 0, blue = 0;
        for (int64_t t = 0; t < x->n_taps; t++) {
            red += weights[t] * source[3 * t];
            green += weights[t] * source[3 * t + 1];
            blue += weights[t] * source[3 * t + 2];
        }
        out[3 * i] = to_level(red, x->bits);
        out[3 * i + 1] = to_level(green, x->bits);
        out[3 * i + 2] = to_level(blue, x->bits);
    }
}

static void horizontal_c(const dt_resize_axis *x, uint8_t *const *rows, int64_t n_rows, uint8_t *out,
                         int64_t row_bytes)
{
    for (int64_t row = 0; row < n_rows; row++)
        horizontal_row_c(x, 0, rows[row], out + row * row_bytes);
}

static void vertical_c(const dt_resize_axis *y, int64_t i, const uint8_t *rows, int64_t row_bytes,
                       uint8_t *out, int64_t n_bytes)
{
    const int16_t *weights = y->weights + i * y->n_taps;
    enum { CHUNK = 64 };
    for (int64_t begin = 0; begin < n_bytes; begin += CHUNK) {
        int64_t n = n_bytes - begin < CHUNK ? n_bytes - begin : CHUNK;
        int32_t sums[CHUNK] = {0};
        for (int64_t t = 0; t < y->n_taps; t++)
            for (int64_t b = 0; b < n; b++)
                sums[b] += weights[t] * rows[t * row_bytes + begin + b];
        for (int64_t b = 0; b < n; b++)
            out[begin + b] = to_level(sums[b], y->bits);
    }
}

static const dt_resize_kernels kernels_c = {"C", horizontal_c, vertical_c};

#if defined __x86_64__ && defined __GNUC__
#    include <immintrin.h>

#    define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i four_weights(const int16_t *weights)
{
    int64_t four;
    memcpy(&four, weights, sizeof four);
    return _mm256_set1_epi64x(four);
}

/* Four taps of one target pixel: in 32-bit lanes (r0+r1, r2+r3, g0+g1, g2+g3 | b0+b1, b2+b3, 0, 0), each
 * weighted. */
AVX2 static inline __m256i four_taps(const uint8_t *source, __m256i weights)
{
    const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, /* */
                                            2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i pixels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)source));
    return _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, spread), weights);
}

/* Round four target pixels' sums to 12 bytes, and write 16. */
AVX2 static inline void store_four(__m256i p0, __m256i p1, __m256i p2, __m256i p3, int bits, uint8_t *out)
{
    /* from r0 g0 r1 g1 r2 g2 r3 g3 b0 . b1 . b2 . b3 . */
    const __m128i gather = _mm_setr_epi8(0, 1, 8, 2, 3, 10, 4, 5, 12, 6, 7, 14, -1, -1, -1, -1);
    const __m256i half = _mm256_set1_epi32(1 << (bits - 1));
    const __m128i shift = _mm_cvtsi32_si128(bits);
    __m256i p01 = _mm256_sra_epi32(_mm256_add_epi32(_mm256_hadd_epi32(p0, p1), half), shift);
    __m256i p23 = _mm256_sra_epi32(_mm256_add_epi32(_mm256_hadd_epi32(p2, p3), half), shift);
    __m256i words = _mm256_packs_epi32(p01, p23);
    __m256i levels = _mm256_packus_epi16(words, words);
    __m128i both = _mm_unpacklo_epi64(_mm256_castsi256_si128(levels), _mm256_extracti128_si256(levels, 1));
    _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(both, gather));
}

/* Four target pixels from i on, for all rows, so that weights and offsets are loaded once. n_groups (of 4
 * taps) is a constant at each call, so the weights stay in registers. */
AVX2 static inline __attribute__((always_inline)) void four_pixels(const dt_resize_axis *x, int64_t i,
                                                                   const int n_groups, uint8_t *const *rows,
                                                                   int64_t n_rows, uint8_t *out,
                                                                   int64_t row_bytes)
{
    int64_t at[4];
    __m256i weights[4][2];
    for (int p = 0; p < 4; p++) {
        at[p] = 3 * x->first[i + p];
        for (int g = 0; g < n_groups; g++)
            weights[p][g] = four_weights(x->weights + 4 * (n_groups * (i + p) + g));
    }
    const int bits = x->bits;
    for (int64_t row = 0; row < n_rows; row++) {
        __m256i sums[4];
        for (int p = 0; p < 4; p++) {
            sums[p] = four_taps(rows[row] + at[p], weights[p][0]);
            if (n_groups == 2)
                sums[p] = _mm256_add_epi32(sums[p], four_taps(rows[row] + at[p] + 12, weights[p][1]));
        }
        store_four(sums[0], sums[1], sums[2], sums[3], bits, out + row * row_bytes + 3 * i);
    }
}

/* The same for any number of taps, for strong reductions. */
AVX2 static inline void four_pixels_many_taps(const dt_resize_axis *x, int64_t i, uint8_t *const *rows,
                                              int64_t n_rows, uint8_t *out, int64_t row_bytes)
{
    for (int64_t row = 0; row < n_rows; row++) {
        __m256i sums[4];
        for (int p = 0; p < 4; p++) {
            const uint8_t *source = rows[row] + 3 * (int64_t)x->first[i + p];
            const int16_t *weights = x->weights + (i + p) * x->n_taps;
            sums[p] = _mm256_setzero_si256();
            for (int64_t t = 0; t < x->n_taps; t += 4)
                sums[p] = _mm256_add_epi32(sums[p], four_taps(source + 3 * t, four_weights(weights + t)));
        }
        store_four(sums[0], sums[1], sums[2], sums[3], x->bits, out + row * row_bytes + 3 * i);
    }
}

AVX2 static void horizontal_avx2(const dt_resize_axis *x, uint8_t *const *rows, int64_t n_rows, uint8_t *out,
                                 int64_t row_bytes)
{
    int64_t i = 0;
    for (; i + 4 <= x->n; i += 4)
        if (x->n_taps == 4)
            four_pixels(x, i, 1, rows, n_rows, out, row_bytes);
        else if (x->n_taps == 8)
            four_pixels(x, i, 2, rows, n_rows, out, row_bytes);
        else
            four_pixels_many_taps(x, i, rows, n_rows, out, row_bytes);
    for (int64_t row = 0; row < n_rows && i < x->n; row++)
        horizontal_row_c(x, i, rows[row], out + row * row_bytes);
}

AVX2 static void vertical_avx2(const dt_resize_axis *y, int64_t i, const uint8_t *rows, int64_t row_bytes,
                               uint8_t *out, int64_t n_bytes)
{
    const int16_t *weights = y->weights + i * y->n_taps;
    const __m256i half = _mm256_set1_epi32(1 << (y->bits - 1)), zero = _mm256_setzero_si256();
    const __m128i bits = _mm_cvtsi32_si128(y->bits);
    for (int64_t begin = 0; begin < n_bytes; begin += 32) {
        __m256i sum0 = half, sum1 = half, sum2 = half, sum3 = half;
        for (int64_t t = 0; t < y->n_taps; t += 2) {
            int32_t two;
            memcpy(&two, weights + t, sizeof two);
            __m256i pair = _mm256_set1_epi32(two);
            __m256i a = _mm256_loadu_si256((const __m256i *)(rows + t * row_bytes + begin));
            __m256i b = _mm256_loadu_si256((const __m256i *)(rows + (t + 1) * row_bytes + begin));
            __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
            sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), pair));
            sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), pair));
            sum2 = _mm256_add_epi32(sum2, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), pair));
            sum3 = _mm256_add_epi32(sum3, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), pair));
        }
        /* unpack and pack both stay within 128-bit lanes, which keeps the order of the values */
        __m256i words0 = _mm256_packs_epi32(_mm256_sra_epi32(sum0, bits), _mm256_sra_epi32(sum1, bits));
        __m256i words1 = _mm256_packs_epi32(_mm256_sra_epi32(sum2, bits), _mm256_sra_epi32(sum3, bits));
        _mm256_storeu_si256((__m256i *)(out + begin), _mm256_packus_epi16(words0, words1));
    }
}

static const dt_resize_kernels kernels_avx2 = {"AVX2", horizontal_avx2, vertical_avx2};
#endif

#if defined __aarch64__ && defined __ARM_NEON
#    include <arm_neon.h>

/* Weighted taps of one target pixel; the sum of the lanes is the result. */
typedef struct pixel_sums {
    int32x4_t red, green, blue;
} pixel_sums;

static inline pixel_sums weigh_pixel(const uint8_t *source, const int16_t *weights, int64_t n_taps)
{
    static const uint8_t spread_red_green[16] = {0, 255, 3, 255, 6, 255, 9,  255,
                                                 1, 255, 4, 255, 7, 255, 10, 255},
                         spread_blue[8] = {2, 255, 5, 255, 8, 255, 11, 255}; /* 255 makes a zero */
    pixel_sums sums = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (int64_t t = 0; t < n_taps; t += 4) {
        const uint8x16_t pixels = vld1q_u8(source + 3 * t);
        const int16x4_t four = vld1_s16(weights + t);
        const int16x8_t red_green = vreinterpretq_s16_u8(vqtbl1q_u8(pixels, vld1q_u8(spread_red_green)));
        const int16x4_t blue = vreinterpret_s16_u8(vqtbl1_u8(pixels, vld1_u8(spread_blue)));
        sums.red = vmlal_s16(sums.red, vget_low_s16(red_green), four);
        sums.green = vmlal_s16(sums.green, vget_high_s16(red_green), four);
        sums.blue = vmlal_s16(sums.blue, blue, four);
    }
    return sums;
}

/* Round the sums to levels; `shift` holds -bits. */
static inline int16x4_t round_neon(int32x4_t sums, int32x4_t shift)
{
    return vqmovn_s32(vrshlq_s32(sums, shift));
}

/* Round four target pixels' sums to 12 bytes, and write 16. */
static inline void store_four_neon(const pixel_sums *p, int32x4_t shift, uint8_t *out)
{
    /* from r0 g0 r1 g1 r2 g2 r3 g3 b0 b1 b2 b3 . . . . */
    static const uint8_t gather[16] = {0, 1, 8, 2, 3, 9, 4, 5, 10, 6, 7, 11, 255, 255, 255, 255};
    const int32x4_t rg01 = vpaddq_s32(vpaddq_s32(p[0].red, p[0].green), vpaddq_s32(p[1].red, p[1].green));
    const int32x4_t rg23 = vpaddq_s32(vpaddq_s32(p[2].red, p[2].green), vpaddq_s32(p[3].red, p[3].green));
    const int32x4_t b = vpaddq_s32(vpaddq_s32(p[0].blue, p[1].blue), vpaddq_s32(p[2].blue, p[3].blue));
    const uint8x8_t red_green = vqmovun_s16(vcombine_s16(round_neon(rg01, shift), round_neon(rg23, shift)));
    const uint8x8_t blue = vqmovun_s16(vcombine_s16(round_neon(b, shift), vdup_n_s16(0)));
    vst1q_u8(out, vqtbl1q_u8(vcombine_u8(red_green, blue), vld1q_u8(gather)));
}

static void horizontal_neon(const dt_resize_axis *x, uint8_t *const *rows, int64_t n_rows, uint8_t *out,
                            int64_t row_bytes)
{
    const int32x4_t shift = vdupq_n_s32(-x->bits);
    const int64_t n_whole = x->n / 4 * 4;
    for (int64_t row = 0; row < n_rows; row++) {
        for (int64_t i = 0; i < n_whole; i += 4) {
            pixel_sums sums[4];
            for (int p = 0; p < 4; p++)
                sums[p] = weigh_pixel(rows[row] + 3 * (int64_t)x->first[i + p],
                                      x->weights + (i + p) * x->n_taps, x->n_taps);
            store_four_neon(sums, shift, out + row * row_bytes + 3 * i);
        }
        horizontal_row_c(x, n_whole, rows[row], out + row * row_bytes);
    }
}

static void vertical_neon(const dt_resize_axis *y, int64_t i, const uint8_t *rows, int64_t row_bytes,
                          uint8_t *out, int64_t n_bytes)
{
    const int16_t *weights = y->weights + i * y->n_taps;
    const int32x4_t shift = vdupq_n_s32(-y->bits);
    for (int64_t begin = 0; begin < n_bytes; begin += 16) {
        int32x4_t sum0 = vdupq_n_s32(0), sum1 = sum0, sum2 = sum0, sum3 = sum0;
        for (int64_t t = 0; t < y->n_taps; t++) {
            const uint8x16_t pixels = vld1q_u8(rows + t * row_bytes + begin);
            const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(pixels)));
            const int16x8_t high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(pixels)));
            sum0 = vmlal_n_s16(sum0, vget_low_s16(low), weights[t]);
            sum1 = vmlal_n_s16(sum1, vget_high_s16(low), weights[t]);
            sum2 = vmlal_n_s16(sum2, vget_low_s16(high), weights[t]);
            sum3 = vmlal_n_s16(sum3, vget_high_s16(high), weights[t]);
        }
        const int16x8_t words0 = vcombine_s16(round_neon(sum0, shift), round_neon(sum1, shift));
        const int16x8_t words1 = vcombine_s16(round_neon(sum2, shift), round_neon(sum3, shift));
        vst1q_u8(out + begin, vcombine_u8(vqmovun_s16(words0), vqmovun_s16(words1)));
    }
}

static const dt_resize_kernels kernels_neon = {"NEON", horizontal_neon, vertical_neon};
#endif

const dt_resize_kernels *dt_resize_kernels_best(bool vectors)
{
#if defined __x86_64__ && defined __GNUC__
    if (vectors && __builtin_cpu_supports("avx2"))
        return &kernels_avx2;
#elif defined __aarch64__ && defined __ARM_NEON
    if (vectors) /* every 64-bit Arm processor has it */
        return &kernels_neon;
#endif
    (void)vectors;
    return &kernels_c;
}
