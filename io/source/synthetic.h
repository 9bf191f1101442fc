/* synthetic.h: batches that cost nothing: core/source.h without files or decoding, to measure the network
 * alone.
 *
 *   dt_synthetic_options o = {.n_samples = 1281167, .n_classes = 1000, .image_size = 224, .batch = 256, .seed
 *   = 1}; dt_synthetic_create(&o, &source, err);
 *
 * The same DT_SYNTHETIC_BATCHES batches of random pixels and labels come over and over, whatever the epoch;
 * they are made at the start and when the image size changes. Every rank gets others.
 */
#ifndef DT_IO_SOURCE_SYNTHETIC_H
#define DT_IO_SOURCE_SYNTHETIC_H

#include "core/device.h"
#include "core/source.h"

/* More than a step can hold at once, unless it accumulates; and that does no harm: what is in them never
 * changes. */
#define DT_SYNTHETIC_BATCHES 4

typedef struct dt_synthetic_options {
    int64_t n_samples, n_classes; /* that it pretends to have */
    int64_t image_size, batch;
    int rank;
    uint64_t seed;
    dt_device *device; /* batches come from its host_alloc (pinned memory); borrowed for the source's life;
                          NULL: dt_alloc */
} dt_synthetic_options;

/* Local. DT_ERR_USAGE: a size below 1; DT_ERR_MEMORY. */
dt_status dt_synthetic_create(const dt_synthetic_options *options, dt_source **source, dt_error *err);

#endif
