/* half.h: FP16 and BF16 on the host, in plain C, for data that enters or leaves a backend with 16-bit
 * tensors, and for tests. Rounding is to nearest, ties to even, as on GPUs. A value that is too large becomes
 * infinity; a NaN stays a NaN.
 *
 *   uint16_t bits = dt_half_from_float(0.1F);
 *   float rounded = dt_half_to_float(bits);
 */
#ifndef DT_LAYERS_HALF_H
#define DT_LAYERS_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t dt_float_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float dt_float_of_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. A NaN keeps the upper bits of its
 * payload. */
static inline uint16_t dt_half_from_float(float v)
{
    uint32_t bits = dt_float_bits(v), magnitude = bits & 0x7FFFFFFFU;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000U);
    if (magnitude > 0x7F800000U)
        return (uint16_t)(sign | 0x7E00U | (magnitude >> 13 & 0x1FFU));
    if (magnitude >= 0x477FF000U) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7C00U);
    /* below 2^-14: a multiple of 2^-24; adding 0.5 leaves that multiple in the low bits, rounded */
    if (magnitude < 0x38800000U) {
        uint32_t sum = dt_float_bits(dt_float_of_bits(magnitude) + 0.5F);
        return (uint16_t)(sign | (sum - 0x3F000000U));
    }
    uint32_t odd = magnitude >> 13 & 1U;
    return (uint16_t)(sign | ((magnitude + 0xFFFU + odd - 0x38000000U) >> 13));
}

static inline float dt_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000U) << 16, magnitude = half & 0x7FFFU;
    if (magnitude >= 0x7C00U)
        return dt_float_of_bits(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13);
    if (magnitude < 0x400U) {
        float v = (float)magnitude / 16777216.0F;
        return sign ? -v : v;
    }
    return dt_float_of_bits(sign | ((magnitude << 13) + 0x38000000U));
}

/* The upper half of a float. */
static inline uint16_t dt_bfloat_from_float(float v)
{
    uint32_t bits = dt_float_bits(v);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
        return (uint16_t)(bits >> 16 | 0x40U);
    return (uint16_t)((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

static inline float dt_bfloat_to_float(uint16_t bfloat)
{
    return dt_float_of_bits((uint32_t)bfloat << 16);
}

/* TF32: a float with 10 mantissa bits, as tensor cores read it (ties away from zero: cvt.rna). */
static inline float dt_tf32_of_float(float v)
{
    uint32_t bits = dt_float_bits(v);
    if ((bits & 0x7F800000U) == 0x7F800000U)
        return v;
    return dt_float_of_bits((bits + 0x1000U) & 0xFFFFE000U);
}

#endif
