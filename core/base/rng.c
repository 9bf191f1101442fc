#include "core/base/rng.h"

#include <math.h>

/* Philox4x32: the multipliers, and the Weyl increments of the key (golden ratio, sqrt(3) - 1), as
 * published. */
enum { PHILOX_ROUNDS = 10 };
#define PHILOX_M0 0xD2511F53U
#define PHILOX_M1 0xCD9E8D57U
#define PHILOX_W0 0x9E3779B9U
#define PHILOX_W1 0xBB67AE85U

void dt_rng_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t product0 = (uint64_t)PHILOX_M0 * c0;
        const uint64_t product1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The stream's key is the encryption of (a, purpose) under the seed, because 232 bits of input must go into
 * Philox's 192. Two streams of one purpose with different a have the same key with probability 2^-64. Under
 * one key, streams of different purposes or different b never overlap, since both are part of the counter. */
dt_rng dt_rng_at(uint64_t seed, dt_rng_purpose purpose, uint64_t a, uint64_t b)
{
    const uint32_t seed_key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t stream[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)purpose, 0};
    uint32_t key[4];
    dt_rng_philox4x32(stream, seed_key, key);
    dt_rng g = {.key = {key[0], key[1]}, .counter = {0, (uint32_t)purpose, (uint32_t)b, (uint32_t)(b >> 32)}};
    return g;
}

uint32_t dt_rng_u32(dt_rng *g)
{
    if (g->n_left == 0) {
        dt_rng_philox4x32(g->counter, g->key, g->buffer);
        g->counter[0]++;
        g->n_left = 4;
    }
    return g->buffer[4 - g->n_left--];
}

uint64_t dt_rng_u64(dt_rng *g)
{
    const uint64_t low = dt_rng_u32(g);
    return low | (uint64_t)dt_rng_u32(g) << 32;
}

float dt_rng_uniform(dt_rng *g)
{
    return (float)(dt_rng_u32(g) >> 8) * 0x1p-24F;
}

double dt_rng_uniform_double(dt_rng *g)
{
    return (double)(dt_rng_u64(g) >> 11) * 0x1p-53;
}

uint64_t dt_rng_below(dt_rng *g, uint64_t n)
{
    /* Reject the lowest 2^64 mod n values: the number of the others is a multiple of n. */
    const uint64_t lowest = (0 - n) % n;
    uint64_t value;
    do
        value = dt_rng_u64(g);
    while (value < lowest);
    return value % n;
}

float dt_rng_normal(dt_rng *g)
{
    if (g->has_spare_normal) {
        g->has_spare_normal = false;
        return g->spare_normal;
    }
    /* In double, so that the resulting float does not depend on the last bit of a machine's log and cos. */
    const double two_pi = 6.283185307179586476925;
    const double u = ((double)dt_rng_u32(g) + 1.0) * 0x1p-32; /* (0, 1] */
    const double angle = two_pi * 0x1p-32 * (double)dt_rng_u32(g);
    const double radius = sqrt(-2.0 * log(u));
    g->spare_normal = (float)(radius * sin(angle));
    g->has_spare_normal = true;
    return (float)(radius * cos(angle));
}

/* The finalizer of splitmix64 (Steele, Lea and Flood 2014), variant 13 of Stafford's mixers. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
}

/* Four rounds with random round functions are a strong pseudorandom permutation of large blocks (Luby and
 * Rackoff 1988). Blocks of a few bits need more: with 10 rounds the orders of 6 samples are still measurably
 * uneven, with 12 they are not. */
enum { FEISTEL_ROUNDS = 12 };

int64_t dt_rng_permute(uint64_t seed, uint64_t epoch, int64_t n, int64_t position)
{
    int half_bits = 1;
    while (half_bits < 32 && (uint64_t)(n - 1) >> (2 * half_bits) != 0)
        half_bits++;
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;

    uint64_t round_key[FEISTEL_ROUNDS];
    dt_rng g = dt_rng_at(seed, DT_RNG_ORDER, epoch, 0);
    for (int round = 0; round < FEISTEL_ROUNDS; round++)
        round_key[round] = dt_rng_u64(&g);
    /* A Feistel network of 4 bits or more is an even permutation, whatever its keys; for small n the orders
     * show it. For half of the keys, exchange 0 and 1 first, which makes the permutation odd. */
    const uint64_t exchange = dt_rng_u32(&g) & 1;

    /* The cycle of `position` returns to it, so some value on it is below n. */
    uint64_t value = (uint64_t)position;
    do {
        value ^= value <= 1 ? exchange : 0;
        uint64_t left = value >> half_bits, right = value & mask;
        for (int round = 0; round < FEISTEL_ROUNDS; round++) {
            const uint64_t next = left ^ (mix(right ^ round_key[round]) & mask);
            left = right;
            right = next;
        }
        value = left << half_bits | right;
    } while (value >= (uint64_t)n);
    return (int64_t)value;
}
