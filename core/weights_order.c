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

/* Copy one filter's channels [c, c + n_c) of a block: neighbours in canonical memory. In native memory all
 * filters of the block share the cache lines of these channels, which stay in the first-level cache. */
static inline void move_row(const dt_weights_order *o, bool to_canonical, float *native, float *canonical,
                            int64_t n_c)
{
    const int64_t n_taps = o->n_taps, c_step = o->c_step, tap_step = o->tap_step; /* not read again */
    for (int64_t c = 0; c < n_c; c++)
        for (int64_t tap = 0; tap < n_taps; tap++)
            if (to_canonical)
                canonical[c * n_taps + tap] = native[c * c_step + tap * tap_step];
            else
                native[c * c_step + tap * tap_step] = canonical[c * n_taps + tap];
}

static inline void move(const dt_weights_order *o, bool to_canonical, float *native, float *canonical)
{
    for (int64_t k0 = 0; k0 < o->n_k; k0 += o->k_block)
        for (int64_t c0 = 0; c0 < o->n_c; c0 += o->c_block)
            for (int64_t k = k0; k < least(k0 + o->k_block, o->n_k); k++)
                move_row(o, to_canonical,
                         native + k0 / o->k_block * o->k_block_step + (k - k0) * o->k_step +
                             c0 / o->c_block * o->c_block_step,
                         canonical + (k * o->n_c + c0) * o->n_taps, least(o->c_block, o->n_c - c0));
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
