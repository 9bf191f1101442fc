/* jpeg_write.h: encode a picture, for the demo data, `dtrain bench` and the tests. */
#ifndef DT_IO_SOURCE_JPEG_WRITE_H
#define DT_IO_SOURCE_JPEG_WRITE_H

#include "core/base/error.h"

#include <stdint.h>

/* Write width * height grey pixels as a baseline JPEG of `quality` 1 to 100, with optimised Huffman tables.
 * The same pixels give the same bytes. Neither atomic nor synced. DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_jpeg_write_grey(const char *path, const uint8_t *pixels, int64_t width, int64_t height,
                             int quality, dt_error *err);

/* The same of width * height pixels of red, green and blue, whose colours have half the resolution. */
dt_status dt_jpeg_write_rgb(const char *path, const uint8_t *pixels, int64_t width, int64_t height,
                            int quality, dt_error *err);

#endif
