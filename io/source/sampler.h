/* sampler.h: the order of the samples in an epoch, and the positions of each rank's micro-batches
 * (core/source.h).
 *
 *   dt_sampler s = {.n_samples = n, .seed = seed, .shuffle = true, .batch = 64, .accumulate = 1, .rank = r,
 *                   .world = w};
 *   for (slot = 0; slot < s.batch; slot++)         of this rank's k-th micro-batch from `start` on
 *       id = dt_sampler_id(&s, epoch, dt_sampler_position(&s, start, k, slot));
 */
#ifndef DT_IO_SOURCE_SAMPLER_H
#define DT_IO_SOURCE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dt_sampler {
    int64_t n_samples;
    uint64_t seed;
    bool shuffle; /* false: id = position */
    int64_t batch, accumulate;
    int64_t rank, world;
} dt_sampler;

/* The position in the epoch of sample slot `slot` of this rank's k-th micro-batch, counted from position
 * `start`. It may be beyond the last sample. */
int64_t dt_sampler_position(const dt_sampler *sampler, int64_t start, int64_t k, int64_t slot);

/* The id of the sample at a position of an epoch; -1 beyond the last sample. */
int64_t dt_sampler_id(const dt_sampler *sampler, int64_t epoch, int64_t position);

#endif
