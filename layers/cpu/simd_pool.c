/* simd_pool.c: max pooling over one plane.
 *
 * Forward normalises a value once for each window that holds it (2.25 times for 3x3, stride 2), which is
 * cheaper than keeping rows. Backward gathers: each pixel of dx adds up the windows that hold it, so dx is
 * written once.
 */
#include "layers/cpu/simd_vec.h"

DT_SIMD_INLINE int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

DT_SIMD_INLINE int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The part of a window that lies inside the image: positions [r_begin, r_end) x [s_begin, s_end) at the
 * image's (top + r, left + s). */
typedef struct window {
    int64_t top, left, r_begin, r_end, s_begin, s_end;
} window;

DT_SIMD_INLINE window window_at(const dt_cpu_pool *pool, int64_t p, int64_t q)
{
    window at = {.top = p * pool->stride - pool->pad, .left = q * pool->stride - pool->pad};
    at.r_begin = at_least(0, -at.top);
    at.r_end = at_most(pool->window, pool->h - at.top);
    at.s_begin = at_least(0, -at.left);
    at.s_end = at_most(pool->window, pool->w - at.left);
    return at;
}

/* 8 lanes of one window: its maximum, and the position of the first one. A NaN counts as the maximum. */
DT_SIMD_INLINE v8 window_max(const dt_cpu_pool *pool, const window *at, const float *x, v8 scale, v8 bias,
                             bool relu, v8i *position)
{
    v8 best = v8_splat(0.0F);
    v8i where = {0};
    v8i first = ~(v8i){0};
    for (int64_t r = at->r_begin; r < at->r_end; r++) {
        for (int64_t s = at->s_begin; s < at->s_end; s++) {
            v8 v = scale * v8_load(x + ((at->top + r) * pool->w + at->left + s) * pool->block) + bias;
            if (relu)
                v = v8_relu(v);
            const v8i replaces = (v > best) | (v != v) | first;
            const int32_t here = (int32_t)(r * pool->window + s);
            best = (v8)(((v8i)v & replaces) | ((v8i)best & ~replaces));
            where = (replaces & here) | (where & ~replaces);
            first = (v8i){0};
        }
    }
    *position = where;
    return best;
}

DT_SIMD_INLINE void max_pool_run(const dt_cpu_pool *pool, const float *x, v8x2 scale, v8x2 bias, bool relu,
                                 float *y, uint8_t *argmax)
{
    for (int64_t p = 0; p < pool->p; p++) {
        for (int64_t q = 0; q < pool->q; q++) {
            const window at = window_at(pool, p, q);
            for (int64_t lane = 0; lane < pool->block; lane += 8) {
                const int64_t to = (p * pool->q + q) * pool->block + lane;
                v8i position;
                v8_store(y + to, window_max(pool, &at, x + lane, scale.v[lane / 8], bias.v[lane / 8], relu,
                                            &position));
                const v8b narrow = __builtin_convertvector(position, v8b);
                if (argmax != NULL)
                    memcpy(argmax + to, &narrow, sizeof narrow);
            }
        }
    }
}

void DT_SIMD_NAME(max_pool)(const dt_cpu_pool *pool, const float *x, const dt_cpu_norm *norm, float *y,
                            uint8_t *argmax)
{
    const v8x2 scale = v8_channels_or(pool->block, norm->scale, 1.0F),
               bias = v8_channels_or(pool->block, norm->bias, 0.0F);
    if (norm->relu)
        max_pool_run(pool, x, scale, bias, true, y, argmax);
    else
        max_pool_run(pool, x, scale, bias, false, y, argmax);
}

/* The windows along one axis that hold a pixel: it is at offset `offset` of window `window`, at offset +
 * stride of window - 1, and so on. */
typedef struct axis_position {
    int64_t offset, window;
} axis_position;

DT_SIMD_INLINE axis_position axis_position_of(const dt_cpu_pool *pool, int64_t pixel)
{
    return (axis_position){(pixel + pool->pad) % pool->stride, (pixel + pool->pad) / pool->stride};
}

DT_SIMD_INLINE axis_position axis_position_next(const dt_cpu_pool *pool, axis_position at)
{
    return at.offset + 1 < pool->stride ? (axis_position){at.offset + 1, at.window}
                                        : (axis_position){0, at.window + 1};
}

/* The gradient of 8 lanes of a pixel: from the windows that hold it and have their maximum there. */
DT_SIMD_INLINE v8 gathered(const dt_cpu_pool *pool, const float *dy, const uint8_t *argmax, axis_position row,
                           axis_position column)
{
    v8 sum = v8_splat(0.0F);
    for (int64_t r = row.offset, p = row.window; r < pool->window && p >= 0; r += pool->stride, p--) {
        if (p >= pool->p)
            continue;
        for (int64_t s = column.offset, q = column.window; s < pool->window && q >= 0;
             s += pool->stride, q--) {
            if (q >= pool->q)
                continue;
            const int64_t at = (p * pool->q + q) * pool->block;
            v8b narrow;
            memcpy(&narrow, argmax + at, sizeof narrow);
            const v8i position = __builtin_convertvector(narrow, v8i);
            sum += v8_where(position == (int32_t)(r * pool->window + s), v8_load(dy + at));
        }
    }
    return sum;
}

void DT_SIMD_NAME(max_pool_backward)(const dt_cpu_pool *pool, const float *dy, const uint8_t *argmax,
                                     int64_t begin, int64_t end, float *dx)
{
    for (int64_t row = begin; row < end; row++) {
        const axis_position row_position = axis_position_of(pool, row);
        axis_position column_position = axis_position_of(pool, 0);
        for (int64_t column = 0; column < pool->w;
             column++, column_position = axis_position_next(pool, column_position))
            for (int64_t lane = 0; lane < pool->block; lane += 8)
                v8_store(dx + (row * pool->w + column) * pool->block + lane,
                         gathered(pool, dy + lane, argmax + lane, row_position, column_position));
    }
}
