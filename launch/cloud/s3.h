/* s3.h: objects in S3, or in a store that speaks its protocol (MinIO, Ceph), to be read.
 *
 *   dt_s3 *s3;
 *   dt_s3_location where;
 *   DT_TRY(dt_s3_parse("s3://bucket/imagenet/", &where, err));
 *   DT_TRY(dt_s3_create(&(dt_s3_options){.bucket = where.bucket}, &s3, err));
 *   DT_TRY(dt_s3_list(s3, transfers, where.prefix, visit, context, err));
 *
 *   get->object = (dt_s3_object){.key = key, .bytes = bytes, .etag = etag};
 *   get->offset = 0, get->bytes = bytes, get->buffer = buffer, get->done = done;
 *   dt_s3_get_start(s3, transfers, get);               done is called from dt_transfers_run
 *
 * Requests are signed (Signature Version 4; by libcurl from 7.88 on, else by s3_signature.h) with the
 * credentials that the AWS command line would use (aws_credentials.h). Temporary credentials are fetched
 * again some minutes before they expire, or when the store says that they have. The bucket's region is found
 * by the way: a store that names another region is asked there.
 *
 * Objects are read with If-Match: one that another program overwrites meanwhile is an error that names it,
 * never a mixture.
 *
 * One thread uses a dt_s3 and its engine. Keys are bytes without zero; they are percent-encoded here.
 */
#ifndef DT_LAUNCH_CLOUD_S3_H
#define DT_LAUNCH_CLOUD_S3_H

#include "core/base/error.h"
#include "launch/cloud/transfers.h"

#include <stdbool.h>
#include <stdint.h>

enum { DT_S3_BUCKET_BYTES = 256, DT_S3_KEY_BYTES = 1025, DT_S3_ETAG_BYTES = DT_TRANSFER_TEXT_BYTES + 2 };

typedef struct dt_s3 dt_s3;

typedef struct dt_s3_location {
    char bucket[DT_S3_BUCKET_BYTES];
    char prefix[DT_S3_KEY_BYTES]; /* or key; "": the whole bucket */
} dt_s3_location;

/* Texts are copied; NULL: see there. */
typedef struct dt_s3_options {
    const char *bucket;
    const char
        *endpoint_url;   /* "http://127.0.0.1:9000"; NULL: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS */
    const char *profile; /* NULL: AWS_PROFILE, or "default" */
    const char *region;  /* NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's, or us-east-1 */
    bool anonymous;      /* requests are not signed: for public buckets */
    bool requester_pays; /* the account of the credentials pays for the requests */
    bool signs_itself;   /* for tests: as where libcurl cannot sign (dt_transfers_can_sign) */
} dt_s3_options;

typedef struct dt_s3_object {
    const char *key;
    int64_t bytes;
    const char *etag; /* as in If-Match, with its quotes; NULL or "": the object may change unnoticed */
} dt_s3_object;

/* "s3://BUCKET", "s3://BUCKET/PREFIX". DT_ERR_USAGE: something else, or a name that no bucket can have. */
dt_status dt_s3_parse(const char *url, dt_s3_location *location, dt_error *err);

/* Whether the text begins with s3://, in any case. */
bool dt_s3_is_url(const char *text);

/* Why this build cannot read S3 ("this build has no expat: ..."); NULL: it can. */
const char *dt_s3_why_not(void);

/* Finds the credentials unless `anonymous`; asks nothing of the store. DT_ERR_UNSUPPORTED; DT_ERR_USAGE: the
 * endpoint is no address, the profile does not exist, or there are no credentials; other errors of
 * dt_aws_credentials_find. */
dt_status dt_s3_create(const dt_s3_options *options, dt_s3 **s3, dt_error *err);
void dt_s3_destroy(dt_s3 *s3); /* NULL is fine. No get may be under way */

/* Called for each object in the order of the store (bytes of the keys). The object's texts are valid during
 * the call. An error ends the listing. May add transfers to the engine. */
typedef dt_status dt_s3_visit(void *context, const dt_s3_object *object, dt_error *err);

/* Lists all objects whose keys begin with `prefix`, 1,000 a request. Blocks; transfers that are under way in
 * the engine go on meanwhile. DT_ERR_USAGE: there is no such bucket, the credentials are wrong or may not
 * list it, this machine's clock is wrong; DT_ERR_IO: the store does not answer; DT_ERR_FORMAT: it answers
 * with something else; DT_ERR_INTERRUPTED, DT_ERR_MEMORY, and what `visit` returned. */
dt_status dt_s3_list(dt_s3 *s3, dt_transfers *transfers, const char *prefix, dt_s3_visit *visit,
                     void *context, dt_error *err);

typedef struct dt_s3_get dt_s3_get;

/* As dt_transfer_done. DT_ERR_DATA: the object has changed since it was listed. In the call,
 * get->transfer.answer has the checksum of the object, if all of it was asked for and the store has one. */
typedef dt_status dt_s3_get_done(dt_s3_get *get, dt_status status, dt_error *err);

/* Owned by the caller, at the same address until `done` is called, as are the texts of `object`. */
struct dt_s3_get {
    dt_s3_object object;
    int64_t offset, bytes; /* a part of the object, at least one byte; all of it: the checksum comes too */
    char *buffer;          /* of `bytes` bytes */
    dt_s3_get_done *done;
    void *context; /* the caller's */

    dt_transfer transfer; /* from here on: set by dt_s3_get_start */
    dt_s3 *s3;
    int64_t signed_with;
};

/* Enqueues the request. Allowed in `done` and `visit` too. */
void dt_s3_get_start(dt_s3 *s3, dt_transfers *transfers, dt_s3_get *get);

/* What the store has to say about one object without its content: its size, and a checksum of all of it if
 * the store has one, which ranges do not bring. As dt_s3_get_start; offset, bytes and buffer do not count. In
 * `done`, get->transfer.answer has object_bytes, etag and checksum. DT_ERR_USAGE: there is no such object. */
void dt_s3_head_start(dt_s3 *s3, dt_transfers *transfers, dt_s3_get *get);

typedef struct dt_s3_stats {
    int64_t gets, lists, heads; /* requests that were sent, with repeated ones: what S3 charges for */
    int64_t renewals;           /* of credentials */
} dt_s3_stats;

void dt_s3_get_stats(const dt_s3 *s3, dt_s3_stats *stats);

/* For people: "s3://bucket in us-east-1 with the credentials from the environment". Valid until the next
 * call. */
const char *dt_s3_describe(dt_s3 *s3);

#endif
