/* s3_internal.h: what s3.c and s3_list.c share. */
#ifndef DT_LAUNCH_CLOUD_S3_INTERNAL_H
#define DT_LAUNCH_CLOUD_S3_INTERNAL_H

#include "launch/cloud/aws_renewal.h"
#include "launch/cloud/s3.h"
#include "launch/cloud/s3_address.h"
#include "launch/cloud/s3_signature.h"

struct dt_s3 {
    char bucket[DT_S3_BUCKET_BYTES];
    char folder[DT_S3_BUCKET_BYTES + 8]; /* "s3://bucket/" */
    char *endpoint;                      /* NULL: AWS */
    dt_s3_address address;
    bool is_anonymous, payer, signs_itself, is_redirected;
    dt_aws_renewal credentials; /* zeroed if is_anonymous */
    dt_s3_stats stats;
    char description[1024];

    char url[DT_S3_URL_BYTES]; /* of the last request that was prepared, with its headers: */
    char sigv4[DT_S3_REGION_BYTES + 16], if_match[DT_S3_ETAG_BYTES + 16];
    char *token; /* "x-amz-security-token: ...", NULL: none */
    dt_s3_signature signature;
};

typedef struct dt_s3_wanted {
    const char *method, *key, *query; /* as for dt_s3_address_url */
    const char *etag;                 /* NULL: any */
    bool wants_checksum;
} dt_s3_wanted;

/* Fills in a request, with credentials that are valid now. *signed_with: their number, for dt_s3_judge. */
dt_status dt_s3_prepare(dt_s3 *s3, const dt_s3_wanted *wanted, dt_transfer_request *request,
                        int64_t *signed_with, dt_error *err);

/* Judges a refusal: finds the region, renews credentials, or makes the message. `action`: "s3:GetObject". */
dt_transfer_verdict dt_s3_judge(dt_s3 *s3, const dt_transfer *transfer, const dt_transfer_answer *answer,
                                const char *action, int64_t signed_with, dt_error *err);

#endif
