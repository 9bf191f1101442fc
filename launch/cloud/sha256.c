#include "launch/cloud/sha256.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 64 };

typedef struct hash {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[BLOCK];
} hash;

static const uint32_t roots[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void add_block(hash *h, const unsigned char *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
               p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, h->state, sizeof v);
    for (int i = 0; i < 64; i++) {
        const uint32_t a = v[0], e = v[4];
        const uint32_t one = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                             ((e & v[5]) ^ (~e & v[6])) + roots[i] + w[i];
        const uint32_t two =
            (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        h->state[i] += v[i];
}

static void begin(hash *h)
{
    *h = (hash){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                          0x5be0cd19}};
}

static void add(hash *h, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    while (bytes > 0) {
        const size_t used = h->bytes % BLOCK, space = BLOCK - used, n = bytes < space ? bytes : space;
        memcpy(h->block + used, p, n);
        h->bytes += n;
        p += n;
        bytes -= n;
        if (used + n == BLOCK)
            add_block(h, h->block);
    }
}

static void end(hash *h, unsigned char digest[DT_SHA256_BYTES])
{
    static const unsigned char padding[BLOCK] = {0x80};
    const uint64_t bits = 8 * h->bytes, used = h->bytes % BLOCK;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    add(h, padding, (size_t)(used < 56 ? 56 - used : 120 - used));
    add(h, length, sizeof length);
    for (int i = 0; i < DT_SHA256_BYTES; i++)
        digest[i] = (unsigned char)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

void dt_sha256(const void *data, size_t bytes, unsigned char digest[DT_SHA256_BYTES])
{
    hash h;
    begin(&h);
    add(&h, data, bytes);
    end(&h, digest);
}

void dt_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                    unsigned char digest[DT_SHA256_BYTES])
{
    unsigned char pad[BLOCK] = {0}, inner[DT_SHA256_BYTES];
    hash h;
    if (key_bytes > BLOCK)
        dt_sha256(key, key_bytes, pad);
    else
        memcpy(pad, key, key_bytes);
    for (int i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36;
    begin(&h);
    add(&h, pad, BLOCK);
    add(&h, data, bytes);
    end(&h, inner);
    for (int i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    begin(&h);
    add(&h, pad, BLOCK);
    add(&h, inner, sizeof inner);
    end(&h, digest);
    explicit_bzero(pad, sizeof pad);
}

void dt_sha256_format(const unsigned char digest[DT_SHA256_BYTES], char text[2 * DT_SHA256_BYTES + 1])
{
    for (int i = 0; i < DT_SHA256_BYTES; i++)
        sprintf(text + 2 * i, "%02x", digest[i]);
}
