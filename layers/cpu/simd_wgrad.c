/* simd_wgrad.c: the weight gradient of one block of input channels and one of filters.
 *
 * For each tap (r, s), dw[c][k] = sum over images and pixels of x[c] dy[k]. The sums of 8 channels times the
 * block's filters stay in registers while x and dy stream from the first-level cache. Pixels whose tap falls
 * into the padding are left out, not multiplied by zero: of a 3x3 window on a 2x2 image that is more than
 * half.
 */
#include "layers/cpu/simd_vec.h"

/* The output rows (or columns) begin to end - 1 whose tap at `offset` lies inside the image. */
typedef struct range {
    int64_t begin, end;
} range;

DT_SIMD_INLINE range inside(int64_t n_in, int64_t n_out, int64_t stride, int64_t pad, int64_t offset)
{
    const int64_t low = pad - offset, high = n_in - 1 + pad - offset; /* low <= out * stride <= high */
    range r = {low > 0 ? (low + stride - 1) / stride : 0, high >= 0 ? high / stride + 1 : 0};
    r.end = r.end < n_out ? r.end : n_out;
    return r;
}

/* 8 channels of x for one tap, which output pixel (0, 0) would find at x[corner], if that is inside.
 * `vectors` of k in a block: 2 or 1, known when this is inlined. */
DT_SIMD_INLINE void tap_run(const dt_cpu_window *c, int64_t vectors, range rows, range columns,
                            const float *x, int64_t corner, const float *dy, bool accumulate, float *dw)
{
    const int64_t block = vectors * 8;
    v8 sum[8][2];
    for (int i = 0; i < 8; i++)
        for (int64_t j = 0; j < vectors; j++)
            sum[i][j] = accumulate ? v8_load(dw + i * block + 8 * j) : v8_splat(0.0F);
    for (int64_t image = 0; image < c->n; image++) {
        for (int64_t p = rows.begin; p < rows.end; p++) {
            const float *in =
                x + (corner + image * c->x_image + (p * c->w + columns.begin) * c->stride * block);
            const float *out = dy + image * c->y_image + (p * c->q + columns.begin) * block;
            for (int64_t q = columns.begin; q < columns.end; q++, in += c->stride * block, out += block) {
                const v8 k[2] = {v8_load(out), v8_load(out + 8 * (vectors - 1))};
                for (int i = 0; i < 8; i++)
                    for (int64_t j = 0; j < vectors; j++)
                        sum[i][j] = v8_fma(v8_splat(in[i]), k[j], sum[i][j]);
            }
        }
    }
    for (int i = 0; i < 8; i++)
        for (int64_t j = 0; j < vectors; j++)
            v8_store(dw + i * block + 8 * j, sum[i][j]);
}

void DT_SIMD_NAME(weight_gradient)(const dt_cpu_window *conv, const float *x, const float *dy,
                                   bool accumulate, float *dw)
{
    const int64_t block = conv->block;
    for (int64_t tap = 0; tap < conv->r * conv->s; tap++) {
        const int64_t r = tap / conv->s, s = tap % conv->s;
        const range rows = inside(conv->h, conv->p, conv->stride, conv->pad, r),
                    columns = inside(conv->w, conv->q, conv->stride, conv->pad, s);
        const int64_t corner = ((r - conv->pad) * conv->w + s - conv->pad) * block;
        for (int64_t c = 0; c < block; c += 8) {
            float *to = dw + (tap * block + c) * block;
            if (block == 16)
                tap_run(conv, 2, rows, columns, x, corner + c, dy, accumulate, to);
            else
                tap_run(conv, 1, rows, columns, x, corner + c, dy, accumulate, to);
        }
    }
}
