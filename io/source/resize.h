/* resize.h: antialiased bilinear resizing, row by row.
 *
 *   dt_resize_begin(resize, &view, pixels, &needed, err);  needed: the window of the source that it reads
 *   dt_resize_rows(resize, rows, n_rows);                  until it got needed.h rows of needed.w pixels
 *
 * The filter is a triangle of half-width max(1, scale) source pixels around the centre of the target pixel,
 * cut at the edges of the source and normalised. PIL calls it BILINEAR. As in PIL, rows are filtered
 * horizontally to 8 bits, then vertically to 8 bits, in fixed point: the results differ from PIL's by 1 level
 * at most. (PIL's weights have 22 bits; here the largest weight has at least 15 significant bits, so that
 * vector code multiplies 16-bit numbers.) All arithmetic is in integers: AVX2, NEON and plain C give the same
 * bits.
 */
#ifndef DT_IO_SOURCE_RESIZE_H
#define DT_IO_SOURCE_RESIZE_H

#include "core/base/error.h"
#include "io/source/image.h"

typedef struct dt_resize dt_resize; /* one per thread; keeps its buffers from image to image */

/* One direction: `length` source pixels from `from` on (both may be fractions) become `full` target pixels;
 * the view's n pixels begin at target pixel `first`. Only source pixels in [low, high) are read. */
typedef struct dt_resize_span {
    double from, length; /* length > 0 */
    int64_t low, high;   /* low <= from, from + length <= high */
    int64_t full, first;
} dt_resize_span;

/* The result: n x n pixels, mirrored left to right if `flip`. */
typedef struct dt_resize_view {
    dt_resize_span x, y;
    int64_t n; /* first + n <= full in both directions */
    bool flip;
} dt_resize_view;

dt_status dt_resize_create(dt_resize **resize, dt_error *err);
void dt_resize_destroy(dt_resize *resize);

#define DT_RESIZE_MAX_ROWS 8 /* that dt_resize_rows accepts at once */

/* Compute the weights. Borrows pixels[view->n][view->n][3] until all rows were passed. *needed is inside
 * [low, high) of both spans. DT_ERR_MEMORY. */
dt_status dt_resize_begin(dt_resize *resize, const dt_resize_view *view, uint8_t *pixels, dt_rect *needed,
                          dt_error *err);

/* Pass the next 1 to DT_RESIZE_MAX_ROWS rows of `needed`: rows[i] has needed.w RGB pixels and
 * DT_ROW_PADDING_BYTES readable bytes more. Each target row is written once its source rows were passed;
 * after the last source row all are written. */
void dt_resize_rows(dt_resize *resize, uint8_t *const *rows, int64_t n_rows);

/* For tests and benchmarks: after false, new resizers use plain C on any processor. */
void dt_resize_allow_vectors(bool allow);

#endif
