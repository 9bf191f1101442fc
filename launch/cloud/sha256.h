/* sha256.h: SHA-256 (FIPS 180-4) and HMAC of it, of short texts. Pure functions. */
#ifndef DT_LAUNCH_CLOUD_SHA256_H
#define DT_LAUNCH_CLOUD_SHA256_H

#include <stddef.h>

enum { DT_SHA256_BYTES = 32 };

void dt_sha256(const void *data, size_t bytes, unsigned char digest[DT_SHA256_BYTES]);

/* `key` of any length. `digest` may be `key`. */
void dt_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                    unsigned char digest[DT_SHA256_BYTES]);

/* 64 small hexadecimal digits, ended by a zero byte. */
void dt_sha256_format(const unsigned char digest[DT_SHA256_BYTES], char text[2 * DT_SHA256_BYTES + 1]);

#endif
