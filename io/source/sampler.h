/* sampler.h: which sample is where: the order of an epoch, and which positions a rank's micro-batches take
 * (core/source.h).
 *
 *   dt_sampler s = {.n_samples = n, .seed = seed, .shuffle = true, .batch = 64, .accumulate = 1, .rank = r,
 *   .world = w}; for (row = 0; row < s.batch; row++)
 *       id = dt_sampler_id(&s, epoch, dt_sampler_position(&s, start, k, row));     of this rank's k-th
 *       micro-batch from start
 */
#ifndef DT_IO_SOURCE_SAMPLER_H
#define DT_IO_SOURCE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dt_sampler {
    int64_t n_samples;
    uint64_t seed;
    bool shuffle; /* else position = id */
    int64_t batch, accumulate;
    int64_t rank, world;
} dt_sampler;

/* The position in the epoch of row `row` of the k-th micro-batch that this rank takes, counted from position
 * `start`. It may lie beyond the last sample. */
int64_t dt_sampler_position(const dt_sampler *sampler, int64_t start, int64_t k, int64_t row);

/* The sample at a position of an epoch; -1 beyond the last. */
int64_t dt_sampler_id(const dt_sampler *sampler, int64_t epoch, int64_t position);

#endif
