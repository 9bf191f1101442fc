/* simd.h: the inner loops, compiled for several instruction sets (layers.mk). Each call processes one plane
 * on one thread. The table for this processor is chosen once, when the kernels are created.
 *
 * A plane is [pixel][block] floats, block = 16 or 8 channels. `n` is the number of floats, a multiple of
 * block. Vectors per channel point to the block's first channel. Sums are double; the loops add to them, in
 * an order that depends on n and block alone.
 */
#ifndef DT_LAYERS_CPU_SIMD_H
#define DT_LAYERS_CPU_SIMD_H

#include "layers/arithmetic.h"

#include <stdbool.h>
#include <stdint.h>

/* Scale and bias of a lazy activation's channel block; scale NULL: the raw value. */
typedef struct dt_cpu_norm {
    const float *scale, *bias;
    bool relu;
} dt_cpu_norm;

/* Where backward sums of a channel block go: dot += sum of dz * (raw - mean), total += sum of dz. */
typedef struct dt_cpu_reduce {
    const float *raw; /* plane */
    const float *mean;
    double *dot, *total;
} dt_cpu_reduce;

typedef struct dt_cpu_sgd {
    dt_sgd_factors factors;
    float momentum;
    bool nesterov;
} dt_cpu_sgd;

/* One plane of max pooling: x [h][w][block] -> y [p][q][block]. */
typedef struct dt_cpu_pool {
    int64_t block, h, w, p, q, window, stride, pad;
} dt_cpu_pool;

/* A convolution restricted to one block of c and one of k, with the steps from image to image of x and dy, in
 * elements. */
typedef struct dt_cpu_window {
    int64_t block, n, h, w, p, q, r, s, stride, pad;
    int64_t x_image, y_image;
} dt_cpu_window;

/* Winograd's tiles of an image: 4x4 pixels each, row by row; the last of a row or column may reach beyond the
 * image. A tile has 36 values (frequencies) of each channel: [36][tile][channel], with steps in elements from
 * one frequency and from one tile to the next. */
typedef struct dt_cpu_tiles {
    int64_t block, h, w;
    int64_t frequency, tile;
} dt_cpu_tiles;

/* A matrix product; steps are in elements. See winograd_product and winograd_outer. */
typedef struct dt_cpu_product {
    int64_t n_rows, inner, row, block_step, to_row;
} dt_cpu_product;

/* The number of rows of winograd_product must be a multiple of this. */
#define DT_CPU_PRODUCT_ROWS 12

typedef struct dt_cpu_simd {
    const char *name; /* "AVX-512", "AVX2", "baseline" */

    /* out = relu?(scale * x + bias) */
    void (*act)(int64_t block, int64_t n, const float *x, const dt_cpu_norm *norm, float *out);
    /* sum += y, sum_of_squares += y * y */
    void (*sums)(int64_t block, int64_t n, const float *y, double *sum, double *sum_of_squares);
    /* dz = dv + add where norm passes (relu: scale * raw + bias > 0), else 0; sums of dz. add may be NULL. */
    void (*reduce)(int64_t block, int64_t n, const float *dv, const float *add, const dt_cpu_norm *norm,
                   const dt_cpu_reduce *sums, float *dz);
    /* dy = a * dz + b * raw + c */
    void (*bn_backward)(int64_t block, int64_t n, const float *dz, const float *raw, const float *a,
                        const float *b, const float *c, float *dy);
    void (*add)(int64_t n, const float *a, const float *b, float *to); /* n: a multiple of 8 */

    /* y = relu(branch + skip); a bit for each element, set where y > 0, 8 to a byte (mask NULL: not
     * wanted) */
    void (*residual)(int64_t block, int64_t n, const float *branch, const dt_cpu_norm *branch_norm,
                     const float *skip, const dt_cpu_norm *skip_norm, float *y, uint8_t *mask);
    /* g = dy where the bit is set, else 0; sums of g for up to two normalised inputs (raw NULL: none) */
    void (*residual_backward)(int64_t block, int64_t n, const float *dy, const uint8_t *mask,
                              const dt_cpu_reduce *branch, const dt_cpu_reduce *skip, float *g);

    void (*max_pool)(const dt_cpu_pool *pool, const float *x, const dt_cpu_norm *norm, float *y,
                     uint8_t *argmax);
    /* Rows begin to end - 1 of dx [h][w][block] = dy scattered by argmax */
    void (*max_pool_backward)(const dt_cpu_pool *pool, const float *dy, const uint8_t *argmax, int64_t begin,
                              int64_t end, float *dx);

    /* dw [r][s][c in block][k in block] (= or +=) the gradient from the planes of one block of c and one
     * of k */
    void (*weight_gradient)(const dt_cpu_window *conv, const float *x, const float *dy, bool accumulate,
                            float *dw);

    /* Winograd's transformations (simd_winograd.c), of tiles begin to end - 1 of a plane of an image; v and
     * m: of the tile `begin`. */
    void (*winograd_input)(const dt_cpu_tiles *tiles, const float *x, const dt_cpu_norm *norm, int64_t begin,
                           int64_t end, float *v);
    void (*winograd_output)(const dt_cpu_tiles *tiles, const float *m, int64_t begin, int64_t end, float *y);
    void (*winograd_output_gradient)(const dt_cpu_tiles *tiles, const float *dy, int64_t begin, int64_t end,
                                     float *v);
    /* u [36][c in block][k in block] from w [9][c in block][k in block] */
    void (*winograd_weights)(int64_t block, const float *w, int64_t frequency, float *u);
    /* dw [9][c in block][k in block] (= or +=) from du [36][c in block][..], from one c to the next `row`
     * elements */
    void (*winograd_weight_gradient)(int64_t block, const float *du, int64_t frequency, int64_t row,
                                     bool accumulate, float *dw);
    /* m[i][two blocks] = sum over j of v[i][j] u[j][two blocks]. Rows of v are p->row apart, those of u
     * `block`; the second block of u begins p->block_step after the first */
    void (*winograd_product)(int64_t block, const dt_cpu_product *p, const float *v, const float *u,
                             float *m);
    /* du[i][two blocks] += sum over j of v[j][i] y[j][two blocks]; rows of v are p->row apart, of y
     * p->block_step. n_rows: a multiple of 4 */
    void (*winograd_outer)(int64_t block, const dt_cpu_product *p, const float *v, const float *y, float *du);

    /* Tiles of `block` x `block` weights, transposed: to[j][i] = from[i][j] */
    void (*transpose)(int64_t block, const float *from, float *to);

    /* n: a multiple of 8 */
    void (*sgd)(const dt_cpu_sgd *sgd, int64_t n, float *values, const float *grads, float *momentum);
} dt_cpu_simd;

extern const dt_cpu_simd dt_cpu_simd_baseline, dt_cpu_simd_avx2, dt_cpu_simd_avx512;

#endif
