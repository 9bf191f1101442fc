/* sample.h: from a file's path to the n x n pixels of a sample slot: one thread's work on one file.
 *
 *   dt_sample_open(sample, path, &width, &height, err);
 *   dt_crop crop = dt_crop_centre(&settings, width, height, 224);
 *   dt_sample_decode(sample, &crop, true, pixels, err);
 *
 * A dt_sample keeps its memory from file to file. Fault points: loader.open, loader.read.
 */
#ifndef DT_IO_SOURCE_SAMPLE_H
#define DT_IO_SOURCE_SAMPLE_H

#include "core/base/error.h"
#include "io/source/augment.h"

#include <stddef.h>

typedef struct dt_sample dt_sample; /* one per thread */

/* Larger files are refused. */
#define DT_SAMPLE_MAX_BYTES (INT64_C(1) << 30)

dt_status dt_sample_create(dt_sample **sample, dt_error *err);
void dt_sample_destroy(dt_sample *sample);

/* For another thread: for how many seconds this sample's thread has been reading a file, and the file's path.
 * 0 and "" if it reads none. */
double dt_sample_reading(dt_sample *sample, char *path, size_t path_bytes);

/* Read a file and its header. Blocks on the disk. DT_ERR_IO, DT_ERR_FORMAT and DT_ERR_UNSUPPORTED
 * (dt_jpeg_open): this file is broken. DT_ERR_MEMORY: the process is out of memory or of file descriptors.
 * Messages do not contain the path. */
dt_status dt_sample_open(dt_sample *sample, const char *path, int64_t *width, int64_t *height, dt_error *err);

/* The same with the file's content in memory, which is borrowed until dt_sample_decode returns. */
dt_status dt_sample_open_bytes(dt_sample *sample, const uint8_t *bytes, size_t n_bytes, int64_t *width,
                               int64_t *height, dt_error *err);

/* Decode and resize `crop` of the opened file into pixels[n][n][3]. Call it once per open. With
 * `check_whole`, damage anywhere in the file is an error (dt_jpeg_end). DT_ERR_INTERNAL: the crop is not
 * inside the image; other errors as above. After an error the pixels are undefined. */
dt_status dt_sample_decode(dt_sample *sample, const dt_crop *crop, bool check_whole, uint8_t *pixels,
                           dt_error *err);

#endif
