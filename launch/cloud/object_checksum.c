#include "launch/cloud/object_checksum.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#if defined __x86_64__
#    include <immintrin.h>
#endif

/* Polynomials with the coefficient of the highest power, and the first bit of the data, in the lowest bit. */
static const struct {
    const char *name, *word;
    int bits;
    uint64_t polynomial;
} crcs[] = {
    [DT_CHECKSUM_CRC32] = {"CRC32", "crc32", 32, 0xedb88320U},
    [DT_CHECKSUM_CRC32C] = {"CRC32C", "crc32c", 32, 0x82f63b78U},
    [DT_CHECKSUM_CRC64NVME] = {"CRC64NVME", "crc64nvme", 64, 0x9a6c9329ac4bc9b5U},
};

enum { N_CRCS = sizeof crcs / sizeof crcs[0], SLICES = 8 };

static uint64_t tables[N_CRCS][SLICES][256];
static uint64_t folds[N_CRCS]
                     [4]; /* x to the power of 575, 511, 191 and 127: what moves 64 bits by 512 and 128 */
static uint32_t md5_sines[64];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t ones(int kind)
{
    return crcs[kind].bits == 64 ? UINT64_MAX : UINT32_MAX;
}

/* a * b modulo the polynomial. */
static uint64_t multiply(int kind, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = (uint64_t)1 << (crcs[kind].bits - 1); bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b >> 1) ^ (b & 1 ? crcs[kind].polynomial : 0);
    }
    return product;
}

/* x to the power of n modulo the polynomial. */
static uint64_t power(int kind, uint64_t n)
{
    uint64_t result = (uint64_t)1 << (crcs[kind].bits - 1), square = result >> 1;
    for (; n > 0; n >>= 1) {
        if (n & 1)
            result = multiply(kind, result, square);
        square = multiply(kind, square, square);
    }
    return result;
}

static void make_tables(void)
{
    static const uint64_t powers[4] = {575, 511, 191, 127};
    for (int kind = 0; kind < N_CRCS; kind++) {
        for (uint64_t i = 0; i < 256; i++) {
            uint64_t crc = i;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ (crc & 1 ? crcs[kind].polynomial : 0);
            tables[kind][0][i] = crc;
        }
        for (int slice = 1; slice < SLICES; slice++)
            for (int i = 0; i < 256; i++) {
                const uint64_t before = tables[kind][slice - 1][i];
                tables[kind][slice][i] = (before >> 8) ^ tables[kind][0][before & 255];
            }
        for (int i = 0; i < 4; i++)
            folds[kind][i] = power(kind, powers[i]) << (64 - crcs[kind].bits);
    }
    for (int i = 0; i < 64; i++)
        md5_sines[i] = (uint32_t)(fabs(sin(i + 1)) * 4294967296.0);
}

/* -- CRCs ------------------------------------------------------------------------------------------------ */

static uint64_t load64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) /* compilers make one load of it */
        v = v << 8 | p[i];
    return v;
}

static uint64_t add_by_table(int kind, uint64_t state, const unsigned char *p, size_t n)
{
    uint64_t(*const t)[256] = tables[kind];
    for (; n >= 8; n -= 8, p += 8) {
        const uint64_t x = state ^ load64(p);
        state = t[7][x & 255] ^ t[6][x >> 8 & 255] ^ t[5][x >> 16 & 255] ^ t[4][x >> 24 & 255] ^
                t[3][x >> 32 & 255] ^ t[2][x >> 40 & 255] ^ t[1][x >> 48 & 255] ^ t[0][x >> 56];
    }
    for (; n > 0; n--)
        state = (state >> 8) ^ t[0][(state ^ *p++) & 255];
    return state;
}

#if defined __x86_64__

__attribute__((target("pclmul,sse2"))) static __m128i fold(__m128i x, __m128i k, __m128i next)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11)),
                         next);
}

/* At least 64 bytes: folds blocks of 128 bits, which leaves 16 bytes with the same remainder, and what is
 * after the last block. */
__attribute__((target("pclmul,sse2"))) static uint64_t add_by_folding(int kind, uint64_t state,
                                                                      const unsigned char *p, size_t n)
{
    const uint64_t *f = folds[kind];
    const __m128i by512 = _mm_set_epi64x((int64_t)f[1], (int64_t)f[0]);
    const __m128i by128 = _mm_set_epi64x((int64_t)f[3], (int64_t)f[2]);
    unsigned char rest[16];
    __m128i x[4];
    for (int i = 0; i < 4; i++)
        x[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
    x[0] = _mm_xor_si128(x[0], _mm_set_epi64x(0, (int64_t)state));
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64)
        for (int i = 0; i < 4; i++)
            x[i] = fold(x[i], by512, _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)));
    __m128i y = x[0];
    for (int i = 1; i < 4; i++)
        y = fold(y, by128, x[i]);
    for (; n >= 16; p += 16, n -= 16)
        y = fold(y, by128, _mm_loadu_si128((const __m128i *)(const void *)p));
    _mm_storeu_si128((__m128i *)(void *)rest, y);
    return add_by_table(kind, add_by_table(kind, 0, rest, sizeof rest), p, n);
}

#endif

uint64_t dt_object_crc(dt_object_checksum_kind kind, uint64_t crc, const void *data, size_t bytes)
{
    uint64_t state = crc ^ ones((int)kind);
    (void)pthread_once(&once, make_tables);
#if defined __x86_64__
    if (bytes >= 64 && __builtin_cpu_supports("pclmul"))
        return add_by_folding((int)kind, state, data, bytes) ^ ones((int)kind);
#endif
    state = add_by_table((int)kind, state, data, bytes);
    return state ^ ones((int)kind);
}

uint64_t dt_object_crc_join(dt_object_checksum_kind kind, uint64_t a, uint64_t b, int64_t b_bytes)
{
    return multiply((int)kind, a, power((int)kind, 8 * (uint64_t)b_bytes)) ^ b;
}

/* -- MD5 ------------------------------------------------------------------------------------------------- */

static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void add_block(dt_md5 *md5, const unsigned char *p)
{
    static const unsigned char shifts[4][4] = {
        {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t m[16], a = md5->state[0], b = md5->state[1], c = md5->state[2], d = md5->state[3];
    for (int i = 0; i < 16; i++)
        m[i] = (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 |
               (uint32_t)p[4 * i + 3] << 24;
    for (int i = 0; i < 64; i++) {
        uint32_t f;
        int word;
        if (i < 16)
            f = d ^ (b & (c ^ d)), word = i;
        else if (i < 32)
            f = c ^ (d & (b ^ c)), word = (5 * i + 1) % 16;
        else if (i < 48)
            f = b ^ c ^ d, word = (3 * i + 5) % 16;
        else
            f = c ^ (b | ~d), word = 7 * i % 16;
        const uint32_t next = b + rotate(a + f + md5_sines[i] + m[word], shifts[i / 16][i % 4]);
        a = d;
        d = c;
        c = b;
        b = next;
    }
    md5->state[0] += a;
    md5->state[1] += b;
    md5->state[2] += c;
    md5->state[3] += d;
}

void dt_md5_begin(dt_md5 *md5)
{
    (void)pthread_once(&once, make_tables);
    *md5 = (dt_md5){.state = {0x67452301U, 0xefcdab89U, 0x98badcfeU, 0x10325476U}};
}

void dt_md5_add(dt_md5 *md5, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    size_t used = md5->bytes % 64;
    md5->bytes += bytes;
    if (used > 0) {
        const size_t n = bytes < 64 - used ? bytes : 64 - used;
        memcpy(md5->block + used, p, n);
        if (used + n < 64)
            return;
        add_block(md5, md5->block);
        p += n;
        bytes -= n;
    }
    for (; bytes >= 64; p += 64, bytes -= 64)
        add_block(md5, p);
    memcpy(md5->block, p, bytes);
}

void dt_md5_end(dt_md5 *md5, unsigned char digest[16])
{
    static const unsigned char padding[64] = {0x80};
    const uint64_t bits = 8 * md5->bytes, used = md5->bytes % 64;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (8 * i));
    dt_md5_add(md5, padding, (size_t)(used < 56 ? 56 - used : 120 - used));
    dt_md5_add(md5, length, sizeof length);
    for (int i = 0; i < 16; i++)
        digest[i] = (unsigned char)(md5->state[i / 4] >> (8 * (i % 4)));
}

/* -- what a store says ----------------------------------------------------------------------------------- */

const char *dt_object_checksum_name(dt_object_checksum_kind kind)
{
    return kind == DT_CHECKSUM_MD5 ? "MD5" : crcs[kind].name;
}

/* A number of `bytes` bytes, the highest first, in base64. */
static bool read_base64(const char *text, int bytes, uint64_t *number)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = 0, n = 0;
    int n_bits = 0, n_bytes = 0;
    for (; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit || n_bytes == bytes)
            return false;
        bits = bits << 6 | (uint64_t)(digit - digits);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            n = n << 8 | (bits >> n_bits & 255);
            n_bytes++;
        }
    }
    *number = n;
    return n_bytes == bytes && strspn(text, "=") == strlen(text);
}

static bool read_etag(const char *etag, unsigned char md5[16])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(etag) != 34 || etag[0] != '"' || etag[33] != '"')
        return false;
    for (int i = 0; i < 32; i++) {
        const char *digit = etag[1 + i] ? strchr(digits, etag[1 + i]) : NULL;
        if (!digit)
            return false;
        md5[i / 2] = (unsigned char)(md5[i / 2] << 4 | (digit - digits));
    }
    return true;
}

bool dt_object_checksum_parse(const char *name, const char *value, const char *etag, dt_object_checksum *sum)
{
    *sum = (dt_object_checksum){0};
    for (int kind = 0; name && value && kind < N_CRCS; kind++)
        if (strcasecmp(name, crcs[kind].word) == 0 && read_base64(value, crcs[kind].bits / 8, &sum->crc)) {
            sum->kind = (dt_object_checksum_kind)kind;
            return true;
        }
    sum->kind = DT_CHECKSUM_MD5;
    return etag && read_etag(etag, sum->md5);
}

bool dt_object_checksum_matches(const dt_object_checksum *sum, const void *data, size_t bytes)
{
    dt_md5 md5;
    unsigned char digest[16];
    if (sum->kind != DT_CHECKSUM_MD5)
        return dt_object_crc(sum->kind, 0, data, bytes) == sum->crc;
    dt_md5_begin(&md5);
    dt_md5_add(&md5, data, bytes);
    dt_md5_end(&md5, digest);
    return memcmp(digest, sum->md5, sizeof digest) == 0;
}
