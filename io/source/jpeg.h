/* jpeg.h: decode a window of a JPEG in memory into rows of RGB.
 *
 *   dt_jpeg_open(jpeg, bytes, n_bytes, &width, &height, err);
 *   dt_jpeg_begin(jpeg, 1, window, err);
 *   while (...) dt_jpeg_rows(jpeg, &rows, &n_rows, err);       until window.h rows were returned
 *   dt_jpeg_end(jpeg, true, err);
 *
 * Only the rows and columns of the window are transformed and colour-converted; the bits before it must still
 * be read. Its pixels are the same bits as in a decode of the whole image: internally the window is widened
 * by the neighbours that chroma upsampling reads. Decoding uses libjpeg-turbo's defaults (accurate integer
 * DCT, triangle-filtered chroma), as PIL does. Grey is repeated in three channels. CMYK and YCCK are read as
 * Adobe writes them (inverted) and converted as PIL's convert("RGB") does. The EXIF orientation is ignored,
 * as in PIL.
 *
 * Warnings of the library that mean lost or wrong pixels are errors here: data that ends early, bad Huffman
 * codes, markers out of place. Surplus bytes before a marker or after the end are accepted. Each thread needs
 * a decoder of its own, which it reuses: the decoder keeps its row buffer. No function here blocks.
 */
#ifndef DT_IO_SOURCE_JPEG_H
#define DT_IO_SOURCE_JPEG_H

#include "core/base/error.h"
#include "io/source/image.h"

#include <stddef.h>

typedef struct dt_jpeg dt_jpeg;

/* PIL's limit, half a gibibyte of RGB. Larger images are refused before memory is allocated for them. */
#define DT_JPEG_MAX_PIXELS INT64_C(178956970)

#define DT_JPEG_MAX_ROWS 8 /* that dt_jpeg_rows returns at once */

dt_status dt_jpeg_create(dt_jpeg **jpeg, dt_error *err);
void dt_jpeg_destroy(dt_jpeg *jpeg);

/* Read the header. Borrows `bytes` until dt_jpeg_end or the next open. Ends the decoding of an earlier image.
 * DT_ERR_FORMAT: not a JPEG (the message names PNG, GIF and others), a damaged header, no pixels, too many
 * pixels, or more than n_bytes can hold; DT_ERR_UNSUPPORTED: a kind of JPEG that PIL does not read either (2
 * components, 12 bits, lossless); DT_ERR_MEMORY. */
dt_status dt_jpeg_open(dt_jpeg *jpeg, const uint8_t *bytes, size_t n_bytes, int64_t *width, int64_t *height,
                       dt_error *err);

/* Start decoding `window` of the image reduced to 1/shrink in the DCT; shrink is 1, 2, 4 or 8. The reduced
 * image has ceil(width / shrink) x ceil(height / shrink) pixels, in which `window` is measured.
 * DT_ERR_INTERNAL: the window is empty or not inside the image; DT_ERR_FORMAT: damaged data;
 * DT_ERR_MEMORY. */
dt_status dt_jpeg_begin(dt_jpeg *jpeg, int shrink, dt_rect window, dt_error *err);

/* The next rows of the window, 1 to DT_JPEG_MAX_ROWS: rows[i] points to window.w RGB pixels and
 * DT_ROW_PADDING_BYTES more, valid until the next call. DT_ERR_FORMAT: damaged data; DT_ERR_INTERNAL: all
 * rows of the window have been returned. */
dt_status dt_jpeg_rows(dt_jpeg *jpeg, uint8_t *const **rows, int64_t *n_rows, dt_error *err);

/* End the decoding. With `check_rest` the bits after the window are read up to the end marker, without making
 * pixels of them: damage anywhere in the file is then DT_ERR_FORMAT. */
dt_status dt_jpeg_end(dt_jpeg *jpeg, bool check_rest, dt_error *err);

#endif
