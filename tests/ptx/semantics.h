/* semantics.h: what PTX instructions do that C's operators do not. The C that translate.py writes includes
 * it. Sources: "Parallel Thread Execution ISA", version 9.0. */
#ifndef DTRAIN_TESTS_PTX_SEMANTICS_H
#define DTRAIN_TESTS_PTX_SEMANTICS_H

#include "layers/half.h"
#include "tests/ptx/library.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* What a register contains before the first write. */
#define PTX_UNSET 0x5A

/* -- registers as bits and as numbers -------------------------------------------------------------------- */

static inline float ptx_f32_of(uint32_t bits)
{
    return dt_float_of_bits(bits);
}

static inline uint32_t ptx_bits32_of(float v)
{
    return dt_float_bits(v);
}

static inline double ptx_f64_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint64_t ptx_bits64_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* -- conversions ----------------------------------------------------------------------------------------- */

/* cvt.sat: to [0, 1]; a NaN becomes 0. */
static inline float ptx_saturate(float v)
{
    return v > 0.0F ? v < 1.0F ? v : 1.0F : 0.0F;
}

/* The first operand is the upper half. */
static inline uint32_t ptx_f16x2(float high, float low)
{
    return (uint32_t)dt_half_from_float(high) << 16 | dt_half_from_float(low);
}

static inline uint32_t ptx_bf16x2(float high, float low)
{
    return (uint32_t)dt_bfloat_from_float(high) << 16 | dt_bfloat_from_float(low);
}

/* -- logic ----------------------------------------------------------------------------------------------- */

/* bfi: `base` with the lowest `length` bits of `bits` from bit `first` on, in a word of `width` bits; both
 * numbers are taken modulo 256. */
static inline uint64_t ptx_bfi(uint64_t bits, uint64_t base, uint32_t first, uint32_t length, uint32_t width)
{
    first &= 0xFFU;
    length &= 0xFFU;
    if (first >= width || length == 0)
        return base;
    const uint64_t mask = (length >= width ? UINT64_MAX : (UINT64_C(1) << length) - 1) << first;
    return (base & ~mask) | ((bits << first) & mask);
}

/* -- arithmetic ------------------------------------------------------------------------------------------ */

/* .ftz: subnormal numbers count as zero of the same sign. */
static inline float ptx_flush(float v)
{
    return fabsf(v) < FLT_MIN ? copysignf(0.0F, v) : v;
}

/* fma.rm: rounded towards minus infinity. */
static inline float ptx_fma_rm(float a, float b, float c)
{
    const int before = fegetround();
    volatile float x = a, y = b, z = c;
    fesetround(FE_DOWNWARD);
    volatile float sum = fmaf(x, y, z);
    fesetround(before);
    return sum;
}

/* ex2.approx.ftz: a GPU's result may differ by 2 ulp. */
static inline float ptx_ex2_ftz(float v)
{
    return ptx_flush(exp2f(ptx_flush(v)));
}

/* min.f32 and max.f32: of a number and a NaN, the number. */
static inline float ptx_min(float a, float b)
{
    return fminf(a, b);
}

static inline float ptx_max(float a, float b)
{
    return fmaxf(a, b);
}

/* -- warps ----------------------------------------------------------------------------------------------- */

/* shfl.sync.bfly: the value of lane `own lane xor bits`. `clamp`: 31, all lanes are one segment. */
static inline uint32_t ptx_shuffle_xor(uint32_t value, uint32_t bits, uint32_t clamp, uint32_t mask, int line)
{
    if (clamp != 31)
        ptx_machine->fail("line %d of the PTX: a shuffle with clamp 0x%x is not translated", line, clamp);
    const uint64_t *values = ptx_machine->sync_warp(mask, line, value);
    return (uint32_t)values[(ptx_machine->lane() ^ bits) & 31U];
}

#endif
