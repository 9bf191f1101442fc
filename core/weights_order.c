#include "core/weights_order.h"

#include <stdbool.h>
#include <string.h>

dt_weights_order dt_weights_order_plain(int64_t n)
{
    return (dt_weights_order){.n_k = 1, .n_c = 1, .n_taps = n, .k_block = 1, .c_block = 1, .tap_step = 1};
}

static bool is_plain(const dt_weights_order *o)
{
    const bool taps = o->n_taps == 1 || o->tap_step == 1;
    const bool channels = o->n_c == 1 || (o->c_block >= o->n_c && o->c_step == o->n_taps);
    const bool filters = o->n_k == 1 || (o->k_block == 1 && o->k_block_step == o->n_c * o->n_taps);
    return taps && channels && filters;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Copy n filters of one block at one channel and tap. They are neighbours in native memory and far apart in
 * canonical memory, where the cache keeps the rows of a few filters. */
static inline void move_block(const dt_weights_order *o, bool to_canonical, float *native, float *canonical,
                              int64_t n)
{
    const int64_t row = o->n_c * o->n_taps;
    for (int64_t i = 0; i < n; i++)
        if (to_canonical)
            canonical[i * row] = native[i * o->k_step];
        else
            native[i * o->k_step] = canonical[i * row];
}

static inline void move(const dt_weights_order *o, bool to_canonical, float *native, float *canonical)
{
    for (int64_t k = 0; k < o->n_k; k += o->k_block)
        for (int64_t c0 = 0; c0 < o->n_c; c0 += o->c_block)
            for (int64_t tap = 0; tap < o->n_taps; tap++)
                for (int64_t c = c0; c < least(c0 + o->c_block, o->n_c); c++)
                    move_block(o, to_canonical,
                               native + k / o->k_block * o->k_block_step + c0 / o->c_block * o->c_block_step +
                                   tap * o->tap_step + (c - c0) * o->c_step,
                               canonical + (k * o->n_c + c) * o->n_taps + tap, least(o->k_block, o->n_k - k));
}

void dt_weights_to_canonical(const dt_weights_order *o, const float *native, float *canonical)
{
    if (is_plain(o))
        memcpy(canonical, native, (size_t)(o->n_k * o->n_c * o->n_taps) * sizeof *native);
    else
        move(o, true, (float *)(uintptr_t)native, canonical); /* only read */
}

void dt_weights_from_canonical(const dt_weights_order *o, const float *canonical, float *native)
{
    if (is_plain(o))
        memcpy(native, canonical, (size_t)(o->n_k * o->n_c * o->n_taps) * sizeof *native);
    else
        move(o, false, native, (float *)(uintptr_t)canonical);
}
