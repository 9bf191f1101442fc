/* sampler.c: see sampler.h. */
#include "io/source/sampler.h"

#include "core/base/rng.h"

int64_t dt_sampler_position(const dt_sampler *sampler, int64_t start, int64_t k, int64_t slot)
{
    int64_t step = k / sampler->accumulate,
            micro = sampler->rank * sampler->accumulate + k % sampler->accumulate;
    return start + (step * sampler->world * sampler->accumulate + micro) * sampler->batch + slot;
}

int64_t dt_sampler_id(const dt_sampler *sampler, int64_t epoch, int64_t position)
{
    if (position >= sampler->n_samples)
        return -1;
    if (!sampler->shuffle)
        return position;
    return dt_rng_permute(sampler->seed, (uint64_t)epoch, sampler->n_samples, position);
}
