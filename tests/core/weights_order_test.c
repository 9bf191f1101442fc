/* Orders of weights: conversions by dt_weights_order against offsets that the test computes. */
#include "core/weights_order.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { K = 5, C = 6, TAPS = 3 };

static float oihw[K * C * TAPS], native[1024], back[K * C * TAPS];

static void fill(void)
{
    for (int i = 0; i < K * C * TAPS; i++)
        oihw[i] = (float)i;
    for (size_t i = 0; i < sizeof native / sizeof *native; i++)
        native[i] = -1.0f;
    memset(back, 0, sizeof back);
}

/* Convert there and back; every element must be at offset(k, c, tap). */
static void check_order(const dt_weights_order *o, int64_t (*offset)(int64_t k, int64_t c, int64_t tap))
{
    int n_written = 0;
    fill();
    dt_weights_from_canonical(o, oihw, native);
    for (int64_t k = 0; k < K; k++)
        for (int64_t c = 0; c < C; c++)
            for (int64_t tap = 0; tap < TAPS; tap++)
                DT_CHECK(native[offset(k, c, tap)] == oihw[(k * C + c) * TAPS + tap]);
    for (size_t i = 0; i < sizeof native / sizeof *native; i++)
        n_written += native[i] >= 0.0f;
    DT_CHECK_INT(n_written, K * C * TAPS); /* padding is left alone */
    dt_weights_to_canonical(o, native, back);
    DT_CHECK_BYTES(back, oihw, sizeof oihw);
}

static int64_t krsc_padded(int64_t k, int64_t c, int64_t tap)
{
    return (k * TAPS + tap) * 8 + c;
}

/* [k / 2][c / 3][tap][c % 3][k % 2]: five filters leave half of the last block empty. */
static int64_t blocked(int64_t k, int64_t c, int64_t tap)
{
    return ((((k / 2) * 2 + c / 3) * TAPS + tap) * 3 + c % 3) * 2 + k % 2;
}

static int64_t canonical(int64_t k, int64_t c, int64_t tap)
{
    return (k * C + c) * TAPS + tap;
}

static int64_t filters_apart(int64_t k, int64_t c, int64_t tap)
{
    return k * 40 + c * TAPS + tap;
}

static void an_order_gives_every_element_its_offset(void)
{
    dt_weights_order o = {.n_k = K,
                          .n_c = C,
                          .n_taps = TAPS,
                          .k_block = 1,
                          .c_block = C,
                          .k_block_step = TAPS * 8,
                          .c_step = 1,
                          .tap_step = 8};
    check_order(&o, krsc_padded);
    o = (dt_weights_order){.n_k = K,
                           .n_c = C,
                           .n_taps = TAPS,
                           .k_block = 2,
                           .c_block = 3,
                           .k_step = 1,
                           .k_block_step = 36,
                           .c_step = 2,
                           .c_block_step = 18,
                           .tap_step = 6};
    check_order(&o, blocked);
    o = (dt_weights_order){.n_k = K,
                           .n_c = C,
                           .n_taps = TAPS,
                           .k_block = 1,
                           .c_block = C,
                           .k_block_step = C * TAPS,
                           .c_step = TAPS,
                           .tap_step = 1};
    check_order(&o, canonical);
    o.k_block_step = 40; /* nearly canonical */
    check_order(&o, filters_apart);
    o = dt_weights_order_plain(K * C * TAPS);
    check_order(&o, canonical);
}

static const dt_test tests[] = {
    DT_TEST(an_order_gives_every_element_its_offset),
};
DT_TEST_MAIN("core/weights_order", tests)
