/* resize_exact.h: what resizing must give, computed from the definition of PIL's BILINEAR filter in double
 * precision, without io/ and without PIL. The product's fixed point may differ by one level, at few values
 * (io/README.md). */
#ifndef DTRAIN_TESTS_IO_RESIZE_EXACT_H
#define DTRAIN_TESTS_IO_RESIZE_EXACT_H

#include "io/source/augment.h"
#include "io/source/resize.h"

/* Write out[n][n][3], the view of pixels[height][width][3]. */
void resize_exact_view(const uint8_t *pixels, int64_t width, int64_t height, const dt_resize_view *view,
                       uint8_t *out);

/* Write out[n][n][3], the crop of pixels[][width][3]. */
void resize_exact_crop(const uint8_t *pixels, int64_t width, const dt_crop *crop, uint8_t *out);

int64_t resize_exact_largest(const uint8_t *a, const uint8_t *b, int64_t n);     /* difference */
int64_t resize_exact_n_different(const uint8_t *a, const uint8_t *b, int64_t n); /* values */

#endif
