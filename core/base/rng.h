/* rng.h: random numbers that depend on what they are for, not on how many were drawn before.
 *
 *   dt_rng g = dt_rng_at(seed, DT_RNG_AUGMENT, epoch, sample_id);
 *   float u = dt_rng_uniform(&g);
 *
 * The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): a
 * function of a counter and a key to 128 random bits. So the augmentation of sample 7 in epoch 3 is the same
 * on any rank and thread, and after any restart.
 */
#ifndef DT_CORE_BASE_RNG_H
#define DT_CORE_BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

/* What the numbers are for. Streams of different purposes never overlap. */
typedef enum dt_rng_purpose {
    DT_RNG_ORDER = 1,
    DT_RNG_AUGMENT = 2,
    DT_RNG_INIT = 3,
    DT_RNG_REPLACE = 4,
    DT_RNG_TEST = 5,
    DT_RNG_INTERRUPTION = 6
} dt_rng_purpose;

typedef struct dt_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t buffer[4];
    int n_left; /* values left in buffer */
    bool has_spare_normal;
    float spare_normal; /* the second of the pair that dt_rng_normal made */
} dt_rng;

/* The generator for (seed, purpose, a, b); a and b are, for instance, epoch and sample id. It yields 2^34
 * values of 32 bits before they repeat. It owns no memory; a copy yields the same values as the original. */
dt_rng dt_rng_at(uint64_t seed, dt_rng_purpose purpose, uint64_t a, uint64_t b);

uint32_t dt_rng_u32(dt_rng *g);
uint64_t dt_rng_u64(dt_rng *g);
float dt_rng_uniform(dt_rng *g);              /* [0, 1), 24 bits */
double dt_rng_uniform_double(dt_rng *g);      /* [0, 1), 53 bits */
uint64_t dt_rng_below(dt_rng *g, uint64_t n); /* [0, n) without bias, n >= 1 */
float dt_rng_normal(dt_rng *g);               /* mean 0, variance 1 (Box and Muller) */

/* One Philox4x32-10 block, for tests against the published vectors. */
void dt_rng_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The value of `position` under a permutation of 0..n-1 that (seed, epoch) selects. It takes O(1) memory and
 * time, so an epoch's order needs no table, and a cursor into it is one integer. The permutation is a Feistel
 * network over the next power of four, applied until the value is below n. n >= 1, 0 <= position < n. */
int64_t dt_rng_permute(uint64_t seed, uint64_t epoch, int64_t n, int64_t position);

#endif
