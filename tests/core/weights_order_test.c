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

/* The orders of layers/cpu: n_k filters in blocks of `block`, over n_c channels in blocks of `depth`, as the
 * fast ways through whole blocks see them and with blocks that are not whole; `shift` moves native memory off
 * the cache lines. */
static void check_large(int64_t n_k, int64_t n_c, int64_t n_taps, int64_t block, int64_t depth, int64_t shift)
{
    enum { MOST = 1 << 16 };
    _Alignas(64) static float values[MOST], moved[MOST], again[MOST];
    const dt_weights_order o = {.n_k = n_k,
                                .n_c = n_c,
                                .n_taps = n_taps,
                                .k_block = block,
                                .c_block = depth,
                                .k_step = 1,
                                .k_block_step = (n_c + depth - 1) / depth * depth * n_taps * block,
                                .c_step = block,
                                .c_block_step = n_taps * depth * block,
                                .tap_step = depth * block};
    const int64_t n = n_k * n_c * n_taps;
    int64_t n_wrong = 0, n_written = 0;
    for (int64_t i = 0; i < MOST; i++) {
        values[i] = (float)i;
        moved[i] = again[i] = -1.0F;
    }
    dt_weights_from_canonical(&o, values, moved + shift);
    for (int64_t k = 0; k < n_k; k++)
        for (int64_t c = 0; c < n_c; c++)
            for (int64_t tap = 0; tap < n_taps; tap++)
                n_wrong +=
                    moved[shift + k / block * o.k_block_step + k % block + c / depth * o.c_block_step +
                          c % depth * block + tap * o.tap_step] != values[(k * n_c + c) * n_taps + tap];
    for (int64_t i = 0; i < MOST; i++)
        n_written += moved[i] >= 0.0F;
    dt_weights_to_canonical(&o, moved + shift, again);
    DT_CHECK_INT(n_wrong, 0);
    DT_CHECK_INT(n_written, n);
    DT_CHECK_BYTES(again, values, (size_t)n * sizeof *values);
    DT_CHECK(again[n] == -1.0F);
}

static void large_blocks_are_moved_as_single_elements_are(void)
{
    for (int64_t block = 8; block <= 16; block += 8)
        for (int64_t shift = 0; shift < 2; shift++) {
            check_large(4 * block, 2 * block, 9, block, block, shift);
            check_large(2 * block, 4 * block, 1, block, block, shift);
            check_large(2 * block + 3, 2 * block, 1, block, block, shift); /* filters left over */
            check_large(2 * block, 2 * block + 5, 9, block, block, shift); /* channels left over */
            check_large(2 * block, block + 4, 1, block, block, shift);     /* a part of a tile */
            check_large(4 * block, 3, 49, block, 3, shift);                /* no multiple of four */
            check_large(4 * block, 4, 9, block, 4, shift);
            check_large(2 * block, 4, 1, block, 4, shift); /* less than a tile */
            check_large(2 * block, 8, 1, block, 8, shift);
            check_large(2 * block, 4, 3, block, 4, shift);
        }
}

static const dt_test tests[] = {
    DT_TEST(an_order_gives_every_element_its_offset),
    DT_TEST(large_blocks_are_moved_as_single_elements_are),
};
DT_TEST_MAIN("core/weights_order", tests)
