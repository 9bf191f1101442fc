/* resize_kernels.h: the two passes of resize.c in plain C, AVX2 and NEON. All give the same bits. */
#ifndef DT_IO_SOURCE_RESIZE_KERNELS_H
#define DT_IO_SOURCE_RESIZE_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* The filter along one direction. Target pixel i is
 *   clamp((sum over t < n_taps of weights[i][t] * source[first[i] + t] + 2^(bits - 1)) >> bits, 0, 255).
 * Weights are padded with zeros to n_taps; all sums fit 32 bits. */
typedef struct dt_resize_axis {
    int64_t n, n_taps;
    int bits;
    int32_t *first;   /* [n] relative to the first source pixel of the window */
    int16_t *weights; /* [n][n_taps] */
} dt_resize_axis;

typedef struct dt_resize_kernels {
    const char *name;
    /* Filter n_rows rows of RGB pixels to x->n pixels each, written row_bytes apart. n_taps is a multiple of
     * 4. Reads 16 bytes for each group of 4 taps; may write 4 bytes after the last pixel. */
    void (*horizontal)(const dt_resize_axis *x, uint8_t *const *rows, int64_t n_rows, uint8_t *out,
                       int64_t row_bytes);
    /* Compute the n_bytes values of target row i from its n_taps source rows, row_bytes apart. n_taps is
     * even. row_bytes and the memory at `out` are at least n_bytes rounded up to 32. */
    void (*vertical)(const dt_resize_axis *y, int64_t i, const uint8_t *rows, int64_t row_bytes, uint8_t *out,
                     int64_t n_bytes);
} dt_resize_kernels;

/* The fastest kernels that this processor runs; without `vectors` plain C. Static storage. */
const dt_resize_kernels *dt_resize_kernels_best(bool vectors);

#endif
