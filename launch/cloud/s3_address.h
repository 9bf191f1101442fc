/* s3_address.h: where objects in S3 have their addresses. Pure functions.
 *
 *   dt_s3_address a;
 *   char url[DT_S3_URL_BYTES];
 *   DT_TRY(dt_s3_address_set(&a, NULL, "bucket", "us-east-1", err));
 *   DT_TRY(dt_s3_address_url(&a, "a b/c", NULL, url, err));
 *   url is "https://bucket.s3.us-east-1.amazonaws.com/a%20b/c"
 */
#ifndef DT_LAUNCH_CLOUD_S3_ADDRESS_H
#define DT_LAUNCH_CLOUD_S3_ADDRESS_H

#include "core/base/error.h"

#include <stddef.h>

enum { DT_S3_URL_BYTES = 16384, DT_S3_REGION_BYTES = 64, DT_S3_BASE_BYTES = 1024 };

typedef struct dt_s3_address {
    char region[DT_S3_REGION_BYTES];
    char
        base[DT_S3_BASE_BYTES]; /* what stands before the key: "https://bucket.s3.us-east-1.amazonaws.com/" */
} dt_s3_address;

/* `endpoint`: "http://127.0.0.1:9000", with a path if it has one; NULL: AWS. AWS's own addresses have the
 * bucket in the host's name, unless the name does not fit there; other stores have it in the path.
 * DT_ERR_USAGE: the endpoint, bucket or region cannot be one. */
dt_status dt_s3_address_set(dt_s3_address *address, const char *endpoint, const char *bucket,
                            const char *region, dt_error *err);

/* `key`: bytes, which are percent-encoded; NULL: the bucket itself. `query`: sorted by name, encoded, each
 * with '='; NULL: none. DT_ERR_USAGE: too long. */
dt_status dt_s3_address_url(const dt_s3_address *address, const char *key, const char *query,
                            char url[DT_S3_URL_BYTES], dt_error *err);

/* Appends text to *end, percent-encoded as AWS does: all bytes but A-Z a-z 0-9 - . _ ~, and '/' if
 * `with_slash`. Moves *end to the zero byte. False: it does not fit before `limit`. */
bool dt_s3_encode(char **end, const char *limit, const char *text, bool with_slash);

/* Decodes the keys of a listing with encoding-type=url in place: %XX, and + for a blank. False: a % without
 * two hexadecimal digits, or a zero byte. */
bool dt_s3_decode(char *text);

#endif
