/* layers/half.h: every FP16 and BF16 number, and what lies between two of them. */
#include "layers/half.h"
#include "tests/testing.h"

#include <math.h>

static void every_half_survives_the_round_trip(void)
{
    for (uint32_t bits = 0; bits < 0x10000U; bits++) {
        float v = dt_half_to_float((uint16_t)bits);
        if (!isnan(v))
            DT_REQUIRE(dt_half_from_float(v) == bits);
        else
            DT_REQUIRE(isnan(dt_half_to_float(dt_half_from_float(v))));
        v = dt_bfloat_to_float((uint16_t)bits);
        if (!isnan(v))
            DT_REQUIRE(dt_bfloat_from_float(v) == bits);
        else
            DT_REQUIRE(isnan(dt_bfloat_to_float(dt_bfloat_from_float(v))));
    }
    DT_CHECK_INT(dt_half_from_float(1.0F), 0x3C00);
    DT_CHECK_INT(dt_half_from_float(-2.0F), 0xC000);
    DT_CHECK_INT(dt_half_from_float(65504.0F), 0x7BFF);
    DT_CHECK_CLOSE(dt_half_to_float(1), ldexp(1, -24), 0);
    DT_CHECK_INT(dt_bfloat_from_float(1.0F), 0x3F80);
}

/* Between two neighbours the middle rounds to the even one, and any other value to the nearer one. */
static void check_between(uint16_t below, float low, float high, uint16_t (*from_float)(float))
{
    float middle = (float)(((double)low + (double)high) / 2); /* exact: a float has more bits */
    DT_REQUIRE(from_float(middle) == (below & 1 ? below + 1 : below));
    DT_REQUIRE(from_float(nextafterf(middle, 0)) == below);
    DT_REQUIRE(from_float(nextafterf(middle, INFINITY)) == below + 1);
}

static void values_between_two_halves_round_to_the_nearest(void)
{
    for (uint16_t bits = 0; bits < 0x7BFF; bits++)
        check_between(bits, dt_half_to_float(bits), dt_half_to_float((uint16_t)(bits + 1)),
                      dt_half_from_float);
    for (uint16_t bits = 0x0080; bits < 0x7F7F; bits++)
        check_between(bits, dt_bfloat_to_float(bits), dt_bfloat_to_float((uint16_t)(bits + 1)),
                      dt_bfloat_from_float);
    DT_CHECK_INT(dt_half_from_float(65519.99F), 0x7BFF);
    DT_CHECK_INT(dt_half_from_float(65520.0F), 0x7C00);
    DT_CHECK_INT(dt_half_from_float(-1e30F), 0xFC00);
    DT_CHECK_INT(dt_half_from_float(-1e-30F), 0x8000);
    DT_CHECK_INT(dt_bfloat_from_float(3.4e38F), 0x7F80);
}

static void tf32_has_ten_bits_of_mantissa(void)
{
    const float step = 0.0009765625F; /* 2^-10 */
    DT_CHECK_CLOSE(dt_tf32_of_float(1.0F + step), 1.0F + step, 0);
    DT_CHECK_CLOSE(dt_tf32_of_float(1.0F + 0.49F * step), 1.0F, 0);
    DT_CHECK_CLOSE(dt_tf32_of_float(-1.0F - 0.5F * step), -1.0F - step, 0); /* ties away from zero */
    DT_CHECK(isnan(dt_tf32_of_float(NAN)) && isinf(dt_tf32_of_float(INFINITY)));
}

static const dt_test tests[] = {
    DT_TEST(every_half_survives_the_round_trip),
    DT_TEST(values_between_two_halves_round_to_the_nearest),
    DT_TEST(tf32_has_ten_bits_of_mantissa),
};
DT_TEST_MAIN("layers/half", tests)
