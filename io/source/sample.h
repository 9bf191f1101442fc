/* sample.h: from a file's path to n x n pixels of a batch. What one thread of the loader does again and
 * again.
 *
 *   dt_sample_open(sample, path, &width, &height, err);
 *   dt_crop crop = dt_crop_centre(0.875, width, height, 224);
 *   dt_sample_decode(sample, &crop, true, row, err);
 *
 * All memory is kept from file to file. Fault points: loader.open, loader.read.
 */
#ifndef DT_IO_SOURCE_SAMPLE_H
#define DT_IO_SOURCE_SAMPLE_H

#include "core/base/error.h"
#include "io/source/augment.h"

#include <stddef.h>

typedef struct dt_sample dt_sample; /* one per thread */

/* A larger file is refused. */
#define DT_SAMPLE_MAX_BYTES (INT64_C(1) << 30)

dt_status dt_sample_create(dt_sample **sample, dt_error *err);
void dt_sample_destroy(dt_sample *sample);

/* Read a file and its header. Blocks on the disk. DT_ERR_IO, DT_ERR_FORMAT and DT_ERR_UNSUPPORTED
 * (dt_jpeg_open) speak of this file; DT_ERR_MEMORY (memory or file descriptors have run out) does not.
 * Messages do not repeat the path. */
dt_status dt_sample_open(dt_sample *sample, const char *path, int64_t *width, int64_t *height, dt_error *err);

/* The same with the file's content in memory, borrowed until dt_sample_decode is done. */
dt_status dt_sample_open_bytes(dt_sample *sample, const uint8_t *bytes, size_t n_bytes, int64_t *width,
                               int64_t *height, dt_error *err);

/* Decode and resize `crop` of the opened file into pixels[n][n][3]; once per open. With `check_whole`, damage
 * anywhere in the file is an error (dt_jpeg_end). DT_ERR_INTERNAL: the crop is not inside the image; other
 * errors as above. After an error the pixels are undefined. */
dt_status dt_sample_decode(dt_sample *sample, const dt_crop *crop, bool check_whole, uint8_t *pixels,
                           dt_error *err);

#endif
