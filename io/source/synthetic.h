/* synthetic.h: batches without files or decoding, to measure the network alone. Implements core/source.h.
 *
 *   dt_synthetic_options o = {.n_samples = 1281167, .n_classes = 1000, .image_size = 224, .batch = 256,
 *                             .seed = 1};
 *   dt_synthetic_create(&o, &source, err);
 *
 * The source returns the same DT_SYNTHETIC_BATCHES batches of random pixels and labels in every epoch. create
 * and set_image_size make them. Each rank has different ones.
 */
#ifndef DT_IO_SOURCE_SYNTHETIC_H
#define DT_IO_SOURCE_SYNTHETIC_H

#include "core/device.h"
#include "core/source.h"

/* More than a step holds at a time. A step that accumulates may hold the same batch twice, which is harmless:
 * batches never change. */
#define DT_SYNTHETIC_BATCHES 4

typedef struct dt_synthetic_options {
    int64_t n_samples, n_classes; /* that info reports */
    int64_t image_size, batch;
    int rank;
    uint64_t seed;
    dt_device *device; /* its host_alloc gives the batches' memory (pinned); borrowed while the source lives;
                          NULL: dt_alloc */
} dt_synthetic_options;

/* Not collective. DT_ERR_USAGE: a size below 1; DT_ERR_MEMORY. */
dt_status dt_synthetic_create(const dt_synthetic_options *options, dt_source **source, dt_error *err);

#endif
