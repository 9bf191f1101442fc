/* s3_signature.h: Signature Version 4 of a GET or HEAD, for a libcurl whose own signatures S3 does not accept
 * (before 7.88).
 *
 *   dt_s3_signature signature;
 *   DT_TRY(dt_s3_sign(&key, "GET", url, headers, n_headers, unix_s, &signature, err));
 *   send signature.date and signature.authorization beside the headers
 */
#ifndef DT_LAUNCH_CLOUD_S3_SIGNATURE_H
#define DT_LAUNCH_CLOUD_S3_SIGNATURE_H

#include "core/base/error.h"

#include <stddef.h>

typedef struct dt_s3_signing_key {
    const char *region, *key_id, *secret;
} dt_s3_signing_key;

typedef struct dt_s3_signature {
    char date[64];           /* "x-amz-date: 20261130T120000Z" */
    char authorization[768]; /* "Authorization: AWS4-HMAC-SHA256 Credential=..., Signature=..." */
} dt_s3_signature;

/* Signs the host, the date, and `headers` ("name: value", at most 8, names in small letters), one of which is
 * x-amz-content-sha256, the hash of the body or UNSIGNED-PAYLOAD. `url` is percent-encoded, its query sorted.
 * DT_ERR_MEMORY; DT_ERR_INTERNAL: something is too long. */
dt_status dt_s3_sign(const dt_s3_signing_key *key, const char *method, const char *url,
                     const char *const *headers, int n_headers, double unix_s, dt_s3_signature *signature,
                     dt_error *err);

#endif
