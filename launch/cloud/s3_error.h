/* s3_error.h: what a store means when it refuses a request. For s3.c.
 *
 *   dt_s3_refusal r;
 *   dt_s3_refusal_parse(answer, &r);       r.kind says what is to be done, r.region where the bucket is
 */
#ifndef DT_LAUNCH_CLOUD_S3_ERROR_H
#define DT_LAUNCH_CLOUD_S3_ERROR_H

#include "launch/cloud/transfers.h"

typedef enum dt_s3_refusal_kind {
    DT_S3_IS_BUSY,         /* fewer requests */
    DT_S3_HAS_FAILED,      /* a fault of the server: again */
    DT_S3_OTHER_REGION,    /* the bucket is in `region` */
    DT_S3_EXPIRED,         /* the credentials */
    DT_S3_UNKNOWN_KEY,     /* the access key does not exist */
    DT_S3_WRONG_TOKEN,     /* the session token does not belong to the key */
    DT_S3_WRONG_SIGNATURE, /* the secret does not belong to the key */
    DT_S3_WRONG_CLOCK,
    DT_S3_DENIED,
    DT_S3_NO_BUCKET,
    DT_S3_NO_OBJECT,
    DT_S3_CHANGED, /* the object is not the one that If-Match names, or is shorter than it was */
    DT_S3_ARCHIVED,
    DT_S3_OTHER
} dt_s3_refusal_kind;

typedef struct dt_s3_refusal {
    dt_s3_refusal_kind kind;
    char code[64];     /* "SignatureDoesNotMatch"; "": the answer names none */
    char message[256]; /* its first line, cut */
    char region[64];   /* for OTHER_REGION */
} dt_s3_refusal;

/* Without expat, or for an answer to HEAD, which has no text, the status alone decides. */
void dt_s3_refusal_parse(const dt_transfer_answer *answer, dt_s3_refusal *refusal);

#endif
