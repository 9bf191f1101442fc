/* resize.h: antialiased bilinear resizing, row by row.
 *
 *   dt_resize_begin(resize, &view, pixels, &needed, err);  needed: the rows and columns of the source that it
 *                                                          will look at
 *   dt_resize_rows(resize, rows, n_rows);                  until needed.h rows were given, each of needed.w
 *                                                          pixels
 *
 * The filter is a triangle of half-width max(1, scale) source pixels around the centre of the target pixel,
 * cut at the edges of the source and normalised: what PIL calls BILINEAR. As there, rows are filtered
 * horizontally to 8 bits, then vertically to 8 bits, in fixed point: the results are PIL's to within 1 level.
 * (PIL's weights have 22 bits, these at least 15 significant ones of the largest, so that vector code
 * multiplies 16-bit numbers.) Integers alone: AVX2, NEON and plain C give the same bits.
 */
#ifndef DT_IO_SOURCE_RESIZE_H
#define DT_IO_SOURCE_RESIZE_H

#include "core/base/error.h"
#include "io/source/image.h"

typedef struct dt_resize dt_resize; /* one per thread; keeps its buffers from image to image */

/* One direction: `length` pixels of the source from `from` on (fractions are fine) become `full` target
 * pixels, of which some from `first` on are wanted. Nothing outside source pixels [low, high) is looked
 * at. */
typedef struct dt_resize_span {
    double from, length; /* length > 0 */
    int64_t low, high;   /* low <= from, from + length <= high */
    int64_t full, first;
} dt_resize_span;

/* What to make: n x n pixels, mirrored left to right if `flip`. */
typedef struct dt_resize_view {
    dt_resize_span x, y;
    int64_t n; /* first + n <= full in both directions */
    bool flip;
} dt_resize_view;

dt_status dt_resize_create(dt_resize **resize, dt_error *err);
void dt_resize_destroy(dt_resize *resize);

#define DT_RESIZE_MAX_ROWS 8 /* that dt_resize_rows takes at once */

/* Prepare the weights. pixels[view->n][view->n][3] is borrowed until all rows were given. *needed lies inside
 * [low, high) of both spans. DT_ERR_MEMORY. */
dt_status dt_resize_begin(dt_resize *resize, const dt_resize_view *view, uint8_t *pixels, dt_rect *needed,
                          dt_error *err);

/* The next 1 to DT_RESIZE_MAX_ROWS rows of `needed`: rows[i] is needed.w RGB pixels and DT_ROW_PADDING_BYTES
 * readable bytes more. Target rows are written as soon as their source rows are there; with the last one all
 * are. */
void dt_resize_rows(dt_resize *resize, uint8_t *const *rows, int64_t n_rows);

/* For tests and benchmarks: false makes resizes created from now on use plain C whatever the processor
 * can. */
void dt_resize_allow_vectors(bool allow);

#endif
