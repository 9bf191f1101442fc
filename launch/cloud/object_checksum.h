/* object_checksum.h: the checksums that S3 keeps for objects.
 *
 *   dt_object_checksum sum;
 *   if (dt_object_checksum_parse(answer->checksum_name, answer->checksum, answer->etag, &sum))
 *       is_whole = dt_object_checksum_matches(&sum, data, bytes);
 *
 * Of an object in parts, each part's sum can be computed when it comes, in any order, and be joined:
 *
 *   part[i] = dt_object_crc(sum.kind, 0, data, n);                       in any thread
 *   all = 0; for each part in order: all = dt_object_crc_join(sum.kind, all, part[i], n_i);
 *   is_whole = all == sum.crc
 *
 * All functions are pure.
 */
#ifndef DT_LAUNCH_CLOUD_OBJECT_CHECKSUM_H
#define DT_LAUNCH_CLOUD_OBJECT_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dt_object_checksum_kind {
    DT_CHECKSUM_CRC32,     /* zlib's */
    DT_CHECKSUM_CRC32C,    /* Castagnoli */
    DT_CHECKSUM_CRC64NVME, /* S3's own choice where the writer has made none */
    DT_CHECKSUM_MD5        /* an ETag of 32 hexadecimal digits, which may be no MD5 at all (KMS) */
} dt_object_checksum_kind;

typedef struct dt_object_checksum {
    dt_object_checksum_kind kind;
    uint64_t crc;
    unsigned char md5[16];
} dt_object_checksum;

const char *dt_object_checksum_name(dt_object_checksum_kind kind); /* "CRC32". Static storage */

/* From the name and the value (base64) of a header x-amz-checksum-NAME, or else from the ETag; "" or NULL:
 * not given. False: none that says something about the whole object (one of parts, "...-N"), or an unknown
 * one. */
bool dt_object_checksum_parse(const char *name, const char *value, const char *etag, dt_object_checksum *sum);

bool dt_object_checksum_matches(const dt_object_checksum *sum, const void *data, size_t bytes);

/* The CRC of data that follows data with the CRC `crc` (0 at the beginning). Not for MD5. */
uint64_t dt_object_crc(dt_object_checksum_kind kind, uint64_t crc, const void *data, size_t bytes);

/* The CRC of `a` followed by `b`, which has b_bytes bytes. Not for MD5. */
uint64_t dt_object_crc_join(dt_object_checksum_kind kind, uint64_t a, uint64_t b, int64_t b_bytes);

typedef struct dt_md5 {
    uint32_t state[4];
    uint64_t bytes;
    unsigned char block[64];
} dt_md5;

void dt_md5_begin(dt_md5 *md5);
void dt_md5_add(dt_md5 *md5, const void *data, size_t bytes);
void dt_md5_end(dt_md5 *md5, unsigned char digest[16]);

#endif
