#include "core/weights_order.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { TILE = 16 }; /* floats of a cache line */

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

/* Four floats, aligned as one float: every processor has four lanes, and the compiler need not vectorise by
 * itself. */
typedef float v4 __attribute__((vector_size(16), aligned(sizeof(float)), may_alias));

static inline v4 low_pairs(v4 a, v4 b)
{
    return (v4){a[0], b[0], a[1], b[1]};
}

static inline v4 high_pairs(v4 a, v4 b)
{
    return (v4){a[2], b[2], a[3], b[3]};
}

/* Transpose 4 x 4 elements: element j of from[i] becomes element i of to[j]. */
static inline void transpose4(float *const from[4], float *const to[4])
{
    const v4 r0 = *(const v4 *)from[0], r1 = *(const v4 *)from[1], r2 = *(const v4 *)from[2],
             r3 = *(const v4 *)from[3];
    const v4 low02 = low_pairs(r0, r2), low13 = low_pairs(r1, r3), high02 = high_pairs(r0, r2),
             high13 = high_pairs(r1, r3);
    *(v4 *)to[0] = low_pairs(low02, low13);
    *(v4 *)to[1] = high_pairs(low02, low13);
    *(v4 *)to[2] = low_pairs(high02, high13);
    *(v4 *)to[3] = high_pairs(high02, high13);
}

#if defined __SSE2__ && defined __GNUC__ && !defined __clang__ /* these built-ins are GCC's */
#    define CAN_STREAM true
typedef float aligned_v4 __attribute__((vector_size(16), may_alias));

/* Store past the caches: without reading the cache line before. `to` is aligned to it. */
static inline void stream_line(float *to, const float *from)
{
    for (int i = 0; i < TILE; i += 4)
        __builtin_ia32_movntps(to + i, *(const aligned_v4 *)(from + i));
}

static inline void end_streams(void)
{
    __builtin_ia32_sfence();
}
#else
#    define CAN_STREAM false
static inline void stream_line(float *to, const float *from)
{
    memcpy(to, from, TILE * sizeof *to);
}

static inline void end_streams(void)
{
}
#endif

/* n <= TILE neighbours in canonical memory, of `n_k` filters, which are neighbours in native memory: that is
 * lines[n], of n_k elements each. n and n_k are multiples of 4. */
static inline void move_tile(bool to_canonical, float *const lines[TILE], float *canonical, int64_t row,
                             int64_t n_k, int64_t n)
{
    for (int64_t k = 0; k < n_k; k += 4)
        for (int64_t i = 0; i < n; i += 4) {
            float *const at = canonical + k * row + i;
            float *const rows[4] = {at, at + row, at + 2 * row, at + 3 * row};
            float *const columns[4] = {lines[i] + k, lines[i + 1] + k, lines[i + 2] + k, lines[i + 3] + k};
            if (to_canonical)
                transpose4(columns, rows);
            else
                transpose4(rows, columns);
        }
}

/* A block of whole filters, which are neighbours in native memory, and of its n_c channels, tile by tile.
 * False: the order is another one, and nothing was moved. */
static inline bool move_block(const dt_weights_order *o, bool to_canonical, float *native, float *canonical,
                              int64_t n_c)
{
    _Alignas(TILE * sizeof(float)) float streamed[TILE * TILE];
    float *lines[TILE], *streamed_lines[TILE];
    const int64_t n = n_c * o->n_taps, row = o->n_c * o->n_taps;
    if (o->k_step != 1 || o->k_block % 4 != 0 || n % 4 != 0)
        return false;
    const bool whole_lines = CAN_STREAM && !to_canonical && o->k_block == TILE && n % TILE == 0 &&
                             o->c_step % TILE == 0 && o->tap_step % TILE == 0 &&
                             (uintptr_t)native % (TILE * sizeof *native) == 0;
    for (int64_t i = 0; i < TILE; i++)
        streamed_lines[i] = streamed + i * TILE;
    for (int64_t at = 0, c = 0, tap = 0; at < n; at += TILE) {
        const int64_t n_lines = least(TILE, n - at);
        for (int64_t i = 0; i < n_lines; i++) {
            lines[i] = native + c * o->c_step + tap * o->tap_step;
            if (!whole_lines) /* of the next block: they are far apart, and no processor foresees them */
                __builtin_prefetch((const void *)((uintptr_t)lines[i] + (uintptr_t)o->c_block_step * 4), 1);
            c += ++tap == o->n_taps;
            tap = tap == o->n_taps ? 0 : tap;
        }
        move_tile(to_canonical, whole_lines ? streamed_lines : lines, canonical + at, row, o->k_block,
                  n_lines);
        for (int64_t i = 0; whole_lines && i < TILE; i++)
            stream_line(lines[i], streamed_lines[i]);
    }
    return true;
}

static inline void move(const dt_weights_order *o, bool to_canonical, float *native, float *canonical)
{
    for (int64_t k0 = 0; k0 < o->n_k; k0 += o->k_block)
        for (int64_t c0 = 0; c0 < o->n_c; c0 += o->c_block) {
            const int64_t n_k = least(o->k_block, o->n_k - k0), n_c = least(o->c_block, o->n_c - c0);
            float *block = native + k0 / o->k_block * o->k_block_step + c0 / o->c_block * o->c_block_step,
                  *rows = canonical + (k0 * o->n_c + c0) * o->n_taps;
            if (n_k == o->k_block && move_block(o, to_canonical, block, rows, n_c))
                continue;
            for (int64_t k = 0; k < n_k; k++)
                move_row(o, to_canonical, block + k * o->k_step, rows + k * o->n_c * o->n_taps, n_c);
        }
    end_streams();
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
