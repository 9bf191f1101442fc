/* max_pool.cu: the stem's normalisation, ReLU and max pooling in one pass in each direction.
 *
 * Forward: a thread computes 8 channels of one output pixel from the raw tensor. Two output rows read the
 * same row of the input, and two output columns the same column: the second read hits the caches. ReLU is
 * applied to the maximum and not to the window, which is the same since ReLU is monotone. Where all values
 * are below zero the first one counts as the maximum, as if all had been set to zero. A window of 3x3 that
 * lies inside the image has its nine loads in flight together. Stem at batch 256, FP16, H200: 411 MB in,
 * 103 + 51 MB out: 131 us.
 *
 * Backward gathers: a thread computes 8 channels of input pixels from the windows that hold them, applies
 * ReLU's gradient, and adds up BatchNorm's two sums. 411 + 103 + 51 MB in, 411 MB out: 227 us. With one pixel
 * per thread the arithmetic (which pixel, 2.25 windows to unpack and compare) would take as long; the stem's
 * own kernel therefore processes 4 pixels at a time, which share their windows and the divisions.
 */
#include "layers/cuda/norm.cuh"

enum { FORWARD_BLOCKS = 3, BACKWARD_BLOCKS = 2 /* 3 would leave 80 registers; it needs more */ };

/* Shapes in 32 bits, since each thread divides by them. */
struct pool_shape {
    int window, stride, pad;
    unsigned in_h, in_w, out_h, out_w;
};

static pool_shape make_shape(const dt_pool_desc *pool, const dt_tensor *in, const dt_tensor *out)
{
    pool_shape shape;
    assert(pool->window * pool->window <= 256 && pool->pad < pool->window);
    assert(dt_rows_of(in) < INT32_MAX && dt_rows_of(out) < INT32_MAX);
    shape.window = static_cast<int>(pool->window);
    shape.stride = static_cast<int>(pool->stride);
    shape.pad = static_cast<int>(pool->pad);
    shape.in_h = static_cast<unsigned>(in->h);
    shape.in_w = static_cast<unsigned>(in->w);
    shape.out_h = static_cast<unsigned>(out->h);
    shape.out_w = static_cast<unsigned>(out->w);
    return shape;
}

struct pixel {
    int n, row, column;
};

static __device__ __forceinline__ pixel pixel_of(int64_t index, unsigned h, unsigned w)
{
    const unsigned i = static_cast<unsigned>(index);
    const unsigned line = i / w;
    return {static_cast<int>(line / h), static_cast<int>(line % h), static_cast<int>(i % w)};
}

/* The maxima of 8 channels so far, and their positions in the window. */
struct maxima {
    float value[8];
    unsigned position[8];
};

static __device__ __forceinline__ void keep_larger(maxima &best, const float v[8], unsigned position,
                                                   bool is_first)
{
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++) {
        if (is_first || dt_max_pool_replaces(v[i], best.value[i])) {
            best.value[i] = v[i];
            best.position[i] = position;
        }
    }
}

/* The maxima of a window that begins at row and column `at` of an image. Return the position of its first
 * element inside the image; there always is one. */
template <typename T>
static __device__ __forceinline__ unsigned any_window(const T *__restrict__ x, const pool_shape &shape,
                                                      pixel at, int64_t c, const float s[8], const float b[8],
                                                      maxima &best)
{
    const int64_t image = static_cast<int64_t>(at.n) * shape.in_h;
    unsigned first = 0;
    bool found = false;
    for (int r = 0; r < shape.window; r++) {
        for (int q = 0; q < shape.window; q++) {
            const int row = at.row + r, column = at.column + q;
            if (row < 0 || row >= static_cast<int>(shape.in_h) || column < 0 ||
                column >= static_cast<int>(shape.in_w))
                continue;
            float v[8];
            dt_load8<T>(x + ((image + row) * shape.in_w + column) * c, v);
            DT_UNROLL_ALL
            for (int i = 0; i < 8; i++)
                v[i] = dt_act_value(v[i], s[i], b[i], false);
            first = found ? first : static_cast<unsigned>(r * shape.window + q);
            keep_larger(best, v, static_cast<unsigned>(r * shape.window + q), !found);
            found = true;
        }
    }
    return first;
}

/* The same for a window of 3x3 that lies inside the image. Nothing depends on where it lies, so its loads are
 * in flight together: all nine with 16 bits, three with FP32, which has no registers for more. */
template <typename T>
static __device__ __forceinline__ void inner_window(const T *__restrict__ x, const pool_shape &shape,
                                                    pixel at, int64_t c, const float s[8], const float b[8],
                                                    maxima &best)
{
    constexpr int in_flight = sizeof(T) == 2 ? 9 : 3;
    const T *from = x + ((static_cast<int64_t>(at.n) * shape.in_h + at.row) * shape.in_w + at.column) * c;
    const int64_t line = static_cast<int64_t>(shape.in_w) * c;
    DT_UNROLL_ALL
    for (int first = 0; first < 9; first += in_flight) {
        dt_packed<T> packed[in_flight];
        DT_UNROLL_ALL
        for (int k = 0; k < in_flight; k++)
            packed[k] = dt_load<T>(from + (first + k) / 3 * line + (first + k) % 3 * c);
        DT_UNROLL_ALL
        for (int k = 0; k < in_flight; k++) {
            float v[8];
            dt_unpack<T>(packed[k], v);
            DT_UNROLL_ALL
            for (int i = 0; i < 8; i++)
                v[i] = dt_act_value(v[i], s[i], b[i], false);
            keep_larger(best, v, static_cast<unsigned>(first + k), first + k == 0);
        }
    }
}

/* Apply ReLU to the maxima of one output pixel, and store them and their positions. Of values below zero the
 * one at `first` counts as the maximum. */
template <typename T>
static __device__ __forceinline__ void store_maxima(maxima &best, bool relu, unsigned first, T *y,
                                                    uint8_t *argmax)
{
    if (relu) {
        DT_UNROLL_ALL
        for (int i = 0; i < 8; i++) {
            best.position[i] = best.value[i] <= 0.0F ? first : best.position[i];
            best.value[i] = dt_relu(best.value[i]);
        }
    }
    dt_store8<T>(y, best.value);
    if (argmax == nullptr)
        return;
    uint2 bytes;
    bytes.x = best.position[0] | best.position[1] << 8 | best.position[2] << 16 | best.position[3] << 24;
    bytes.y = best.position[4] | best.position[5] << 8 | best.position[6] << 16 | best.position[7] << 24;
    *reinterpret_cast<uint2 *>(argmax) = bytes;
}

/* WINDOW: 3, or 0 for any. */
template <typename T, int WINDOW>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, FORWARD_BLOCKS)
    max_pool_forward(const T *__restrict__ x, const float *scale, const float *bias, bool relu,
                     pool_shape shape, int64_t n_rows, int c, T *__restrict__ y, uint8_t *__restrict__ argmax)
{
    const int channel = dt_channel();
    float s[8], b[8];
    if (channel >= c)
        return;
    dt_load8_or(scale, channel, 1.0F, s);
    dt_load8_or(bias, channel, 0.0F, b);
    DT_FOR_ROWS(n_rows, out)
    {
        pixel at = pixel_of(out, shape.out_h, shape.out_w); /* then: the window's first pixel */
        at.row = at.row * shape.stride - shape.pad;
        at.column = at.column * shape.stride - shape.pad;
        maxima best = {{0.0F}, {0}};
        unsigned first = 0;
        const bool is_inner = WINDOW == 3 && at.row >= 0 && at.row + 3 <= static_cast<int>(shape.in_h) &&
                              at.column >= 0 && at.column + 3 <= static_cast<int>(shape.in_w);
        if (is_inner)
            inner_window<T>(x + channel, shape, at, c, s, b, best);
        else
            first = any_window<T>(x + channel, shape, at, c, s, b, best);
        store_maxima<T>(best, relu, first, y + out * c + channel,
                        argmax != nullptr ? argmax + out * c + channel : nullptr);
    }
}

int dt_cuda_max_pool_forward(dt_cuda_stream stream, const dt_pool_desc *pool, const dt_act *x,
                             const dt_tensor *y, uint8_t *argmax)
{
    const pool_shape shape = make_shape(pool, &x->raw, y);
    const int64_t n_rows = dt_rows_of(y);
    if (n_rows == 0 || y->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, y->c, FORWARD_BLOCKS, DT_SETS);
    return dt_for_dtype(y->dtype, [&](auto type) {
        using T = decltype(type);
        const T *raw = static_cast<const T *>(x->raw.data);
        T *out = static_cast<T *>(y->data);
        const int c = static_cast<int>(y->c);
        if (shape.window == 3)
            return DT_LAUNCH((max_pool_forward<T, 3>), g.grid, g.block, 0, stream, raw, x->scale, x->bias,
                             x->relu, shape, n_rows, c, out, argmax);
        return DT_LAUNCH((max_pool_forward<T, 0>), g.grid, g.block, 0, stream, raw, x->scale, x->bias,
                         x->relu, shape, n_rows, c, out, argmax);
    });
}

/* -- backward -------------------------------------------------------------------------------------------- */

/* The first and the last window along one direction that hold an element. */
struct windows {
    int first, last;
};

static __device__ __forceinline__ windows windows_of(int at, const pool_shape &shape, unsigned n_out)
{
    const int last = (at + shape.pad) / shape.stride;
    const int last_ended = at + shape.pad - shape.window; /* a window that begins here ends before `at` */
    windows w;
    w.first = last_ended < 0 ? 0 : last_ended / shape.stride + 1;
    w.last = last < static_cast<int>(n_out) ? last : static_cast<int>(n_out) - 1;
    return w;
}

/* sum[8]: the gradients of the windows whose maximum was this pixel. */
template <typename T>
static __device__ __forceinline__ void gather(const T *__restrict__ dy, const uint8_t *__restrict__ argmax,
                                              const pool_shape &shape, pixel at, int c, int channel,
                                              float sum[8])
{
    const windows rows = windows_of(at.row, shape, shape.out_h),
                  columns = windows_of(at.column, shape, shape.out_w);
    for (int p = rows.first; p <= rows.last; p++) {
        for (int q = columns.first; q <= columns.last; q++) {
            const int64_t out =
                ((static_cast<int64_t>(at.n) * shape.out_h + p) * shape.out_w + q) * c + channel;
            const unsigned position =
                static_cast<unsigned>((at.row + shape.pad - p * shape.stride) * shape.window + at.column +
                                      shape.pad - q * shape.stride);
            const uint2 bytes = *reinterpret_cast<const uint2 *>(argmax + out);
            float v[8];
            dt_load8<T>(dy + out, v);
            DT_UNROLL_ALL
            for (int i = 0; i < 8; i++)
                sum[i] += ((i < 4 ? bytes.x : bytes.y) >> i % 4 * 8 & 0xFFU) == position ? v[i] : 0.0F;
        }
    }
}

/* Apply ReLU's mask to the gradient g[8] of one pixel, store it, and add what was stored to BatchNorm's
 * sums. */
template <typename T>
static __device__ __forceinline__ void finish_pixel(dt_norm_sums &sums, float g[8], dt_packed<T> raw, T *dz)
{
    float v[8];
    dt_unpack<T>(raw, v);
    dt_norm_mask(sums, v, g);
    const dt_packed<T> packed = dt_pack<T>(g);
    dt_store<T>(dz, packed);
    dt_unpack<T>(packed, g);
    dt_norm_sums_add(sums, v, g);
}

/* Any window. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, BACKWARD_BLOCKS)
    max_pool_backward(const T *__restrict__ dy, const uint8_t *__restrict__ argmax, const T *__restrict__ raw,
                      dt_norm_arguments norm, pool_shape shape, int64_t n_rows, int c, T *__restrict__ dz,
                      float *parts)
{
    DT_SHARED(float, shared, DT_BLOCK_THREADS * 8);
    const int channel = dt_channel();
    dt_norm_sums sums = dt_norm_sums_zero(norm.relu);
    if (channel < c) {
        dt_norm_sums_load(sums, norm, channel);
        DT_FOR_ROWS(n_rows, in)
        {
            float g[8] = {0.0F};
            const dt_packed<T> value = dt_load<T>(raw + in * c + channel);
            gather<T>(dy, argmax, shape, pixel_of(in, shape.in_h, shape.in_w), c, channel, g);
            finish_pixel<T>(sums, g, value, dz + in * c + channel);
        }
    }
    dt_norm_sums_of_block(sums, c, parts, shared);
}

/* -- the stem's window, 3x3, stride 2, pad 1 ------------------------------------------------------------- */

/* The input pixels (2i, 2j) to (2i + 1, 2j + 1) lie in windows (i, j) to (i + 1, j + 1) and no others: 4
 * windows are read for 4 pixels. */
template <typename T> struct quad_windows {
    dt_packed<T> dy[4]; /* (a, b) at 2a + b; zeros where there is no such window */
    uint2 argmax[4];
};

template <typename T>
static __device__ __forceinline__ void load_windows(quad_windows<T> &w, const T *__restrict__ dy,
                                                    const uint8_t *__restrict__ argmax,
                                                    const pool_shape &shape, pixel quad, int c, int channel)
{
    const float zeros[8] = {0.0F};
    DT_UNROLL_ALL
    for (int k = 0; k < 4; k++) {
        const unsigned p = static_cast<unsigned>(quad.row + k / 2),
                       q = static_cast<unsigned>(quad.column + k % 2);
        const int64_t at = ((static_cast<int64_t>(quad.n) * shape.out_h + p) * shape.out_w + q) * c + channel;
        const bool is_there = p < shape.out_h && q < shape.out_w;
        w.dy[k] = is_there ? dt_load<T>(dy + at) : dt_pack<T>(zeros);
        w.argmax[k] = is_there ? *reinterpret_cast<const uint2 *>(argmax + at) : make_uint2(0, 0);
    }
}

/* g[8] of pixel (2i + R, 2j + S). */
template <typename T, int R, int S>
static __device__ __forceinline__ void gather_from(const quad_windows<T> &w, float g[8])
{
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++)
        g[i] = 0.0F;
    DT_UNROLL_ALL
    for (int a = 0; a <= R; a++) {
        DT_UNROLL_ALL
        for (int b = 0; b <= S; b++) {
            const unsigned position = static_cast<unsigned>((R + 1 - 2 * a) * 3 + S + 1 - 2 * b);
            float v[8];
            dt_unpack<T>(w.dy[2 * a + b], v);
            DT_UNROLL_ALL
            for (int i = 0; i < 8; i++)
                g[i] +=
                    ((i < 4 ? w.argmax[2 * a + b].x : w.argmax[2 * a + b].y) >> i % 4 * 8 & 0xFFU) == position
                        ? v[i]
                        : 0.0F;
        }
    }
}

/* With 16 bits the raw values were loaded together with the windows; with FP32 there are no registers left
 * for that. */
template <typename T, int R, int S>
static __device__ __forceinline__ void do_pixel(dt_norm_sums &sums, const quad_windows<T> &w,
                                                dt_packed<T> early, const T *__restrict__ raw, bool is_there,
                                                T *dz)
{
    float g[8];
    if (!is_there)
        return;
    gather_from<T, R, S>(w, g);
    finish_pixel<T>(sums, g, sizeof(T) == 2 ? early : dt_load<T>(raw), dz);
}

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, BACKWARD_BLOCKS)
    max_pool_backward_stem(const T *__restrict__ dy, const uint8_t *__restrict__ argmax,
                           const T *__restrict__ raw, dt_norm_arguments norm, pool_shape shape,
                           int64_t n_quads, int c, T *__restrict__ dz, float *parts)
{
    DT_SHARED(float, shared, DT_BLOCK_THREADS * 8);
    const int channel = dt_channel();
    dt_norm_sums sums = dt_norm_sums_zero(norm.relu);
    if (channel < c) {
        dt_norm_sums_load(sums, norm, channel);
        DT_FOR_ROWS(n_quads, index)
        {
            const pixel quad = pixel_of(index, shape.out_h, shape.out_w);
            const int64_t row = static_cast<int64_t>(quad.n) * shape.in_h + 2 * quad.row;
            const int64_t at = (row * shape.in_w + 2 * quad.column) * c + channel;
            const int64_t right = c, below = static_cast<int64_t>(shape.in_w) * c;
            const bool has_right = 2 * quad.column + 1 < static_cast<int>(shape.in_w),
                       has_below = 2 * quad.row + 1 < static_cast<int>(shape.in_h);
            quad_windows<T> w;
            dt_packed<T> value[4];
            const int64_t offset[4] = {at, at + right, at + below, at + below + right};
            const bool is_there[4] = {true, has_right, has_below, has_right && has_below};
            load_windows<T>(w, dy, argmax, shape, quad, c, channel);
            DT_UNROLL_ALL
            for (int k = 0; k < 4 && sizeof(T) == 2; k++)
                value[k] = dt_load<T>(raw + (is_there[k] ? offset[k] : at));
            do_pixel<T, 0, 0>(sums, w, value[0], raw + offset[0], is_there[0], dz + offset[0]);
            do_pixel<T, 0, 1>(sums, w, value[1], raw + offset[1], is_there[1], dz + offset[1]);
            do_pixel<T, 1, 0>(sums, w, value[2], raw + offset[2], is_there[2], dz + offset[2]);
            do_pixel<T, 1, 1>(sums, w, value[3], raw + offset[3], is_there[3], dz + offset[3]);
        }
    }
    dt_norm_sums_of_block(sums, c, parts, shared);
}

int dt_cuda_max_pool_backward(dt_cuda_stream stream, const dt_pool_desc *pool, const dt_tensor *dy,
                              const uint8_t *argmax, const dt_bn_backward *bn, void *scratch,
                              const dt_tensor *dz)
{
    const pool_shape shape = make_shape(pool, dz, dy);
    /* the stem's own kernel: one quad of pixels for each window */
    const bool is_stem = pool->window == 3 && pool->stride == 2 && pool->pad == 1;
    const int64_t n_rows = is_stem ? dt_rows_of(dy) : dt_rows_of(dz);
    const int c = static_cast<int>(dz->c);
    float *parts = static_cast<float *>(scratch);
    if (n_rows == 0 || dz->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, dz->c, BACKWARD_BLOCKS, DT_SETS_WITH_SUMS);
    const dt_norm_arguments norm = dt_norm_arguments_of(bn);
    int code = dt_for_dtype(dz->dtype, [&](auto type) {
        using T = decltype(type);
        const T *gradient = static_cast<const T *>(dy->data), *raw = static_cast<const T *>(bn->x->raw.data);
        T *out = static_cast<T *>(dz->data);
        return is_stem ? DT_LAUNCH((max_pool_backward_stem<T>), g.grid, g.block, 0, stream, gradient, argmax,
                                   raw, norm, shape, n_rows, c, out, parts)
                       : DT_LAUNCH((max_pool_backward<T>), g.grid, g.block, 0, stream, gradient, argmax, raw,
                                   norm, shape, n_rows, c, out, parts);
    });
    return code != 0 ? code : dt_norm_sums_finish(stream, parts, g.grid.x, dz->c, bn);
}
