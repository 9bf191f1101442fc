/* jpeg.h: decode a window of a JPEG in memory to rows of RGB.
 *
 *   dt_jpeg_open(jpeg, bytes, n_bytes, &width, &height, err);
 *   dt_jpeg_begin(jpeg, 1, window, err);
 *   while (...) dt_jpeg_rows(jpeg, &rows, &n_rows, err);       until window.h rows came
 *   dt_jpeg_end(jpeg, true, err);
 *
 * Only the rows and columns of the window are transformed and colour-converted; the bits before it must still
 * be read. Its pixels are those of a whole decode, bit for bit: the window is widened inside by the
 * neighbours that the upsampling of chroma looks at. Decoding is libjpeg-turbo's default (accurate integer
 * DCT, triangle-filtered chroma), hence what PIL shows. Grey is repeated in three channels; CMYK and YCCK are
 * taken as Adobe writes them (inverted) and converted as PIL's convert("RGB") does; an EXIF orientation is
 * ignored, as PIL ignores it.
 *
 * Warnings of the library that mean lost or wrong pixels are errors here: data that ends early, bad Huffman
 * codes, markers out of place. Surplus bytes before a marker or behind the end are not. One decoder per
 * thread; it is reused, and keeps its row buffer. No function here blocks or is collective.
 */
#ifndef DT_IO_SOURCE_JPEG_H
#define DT_IO_SOURCE_JPEG_H

#include "core/base/error.h"
#include "io/source/image.h"

#include <stddef.h>

typedef struct dt_jpeg dt_jpeg;

/* A larger image is refused before anything is allocated for it: a gibibyte of RGB would be 358 million.
 * PIL's limit. */
#define DT_JPEG_MAX_PIXELS INT64_C(178956970)

#define DT_JPEG_MAX_ROWS 8 /* that dt_jpeg_rows gives at once */

dt_status dt_jpeg_create(dt_jpeg **jpeg, dt_error *err);
void dt_jpeg_destroy(dt_jpeg *jpeg);

/* Read the header. Borrows `bytes` until dt_jpeg_end or the next open. Ends what was under way.
 * DT_ERR_FORMAT: not a JPEG (the message names PNG, GIF and others), a damaged header, no pixels, too many,
 * or more than so few bytes can hold; DT_ERR_UNSUPPORTED: a kind of JPEG that PIL does not read either (2
 * components, 12 bits, lossless); DT_ERR_MEMORY. */
dt_status dt_jpeg_open(dt_jpeg *jpeg, const uint8_t *bytes, size_t n_bytes, int64_t *width, int64_t *height,
                       dt_error *err);

/* Start decoding `window` (not empty, inside the image) of the image reduced to 1/shrink in the DCT: shrink
 * 1, 2, 4 or 8; the reduced image has ceil(width / shrink) x ceil(height / shrink) pixels and `window` counts
 * in those. DT_ERR_INTERNAL: the window is empty or not inside the image. */
dt_status dt_jpeg_begin(dt_jpeg *jpeg, int shrink, dt_rect window, dt_error *err);

/* The next rows of the window, 1 to DT_JPEG_MAX_ROWS: rows[i] points to window.w RGB pixels and
 * DT_ROW_PADDING_BYTES more; valid until the next call. DT_ERR_FORMAT: damaged data; DT_ERR_INTERNAL: the
 * window's rows have all been given. */
dt_status dt_jpeg_rows(dt_jpeg *jpeg, uint8_t *const **rows, int64_t *n_rows, dt_error *err);

/* Done with this image. With `check_rest` the bits behind the window are read up to the end marker, without
 * making pixels of them: damage anywhere in the file is then DT_ERR_FORMAT. */
dt_status dt_jpeg_end(dt_jpeg *jpeg, bool check_rest, dt_error *err);

#endif
