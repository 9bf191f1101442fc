/* transfers.h: many HTTP requests at once, whose answers go straight into the caller's memory (libcurl).
 *
 *   dt_transfers *t;
 *   DT_TRY(dt_transfers_create(&(dt_transfers_options){0}, &t, err));
 *   while (there is more, or dt_transfers_left(t) > 0) {
 *       while (there is more && dt_transfers_wanted(t) > 0)
 *           dt_transfers_add(t, &part->transfer);        its .done is called from dt_transfers_run
 *       DT_TRY(dt_transfers_run(t, 1.0, err));
 *   }
 *   dt_transfers_destroy(t);
 *
 * The transfers share a pool of connections, which are kept open from one request to the next. How many
 * there are follows from the measured rate: the pool grows while more connections bring more, and shrinks
 * when they do not, or when the server asks for fewer requests (transfer_width.h).
 *
 * A try that fails is repeated after a random wait (full jitter: from 0 to twice as long each time): the
 * answers 500, 502, 503, 504, 429 and 408, time-outs, connections that are cut, and answers that are too
 * short. A repeated try asks only for the bytes that are still missing. The engine calls `prepare` for each
 * try, so that the caller can sign it with the present credentials.
 *
 * One thread uses an engine, apart from dt_transfers_wake. A thread receives about 1 GB/s with TLS; more
 * threads or ranks have an engine each.
 */
#ifndef DT_LAUNCH_CLOUD_TRANSFERS_H
#define DT_LAUNCH_CLOUD_TRANSFERS_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dt_transfers dt_transfers;
typedef struct dt_transfer dt_transfer;

/* Zeros are the defaults in brackets. */
typedef struct dt_transfers_options {
    int min_connections, max_connections; /* [1, 128]; equal: the number does not change */
    int first_connections;                /* [16] */
    int max_tries;     /* [15] in a row without a byte that was new; then the transfer has failed */
    double wait_s;     /* [0.2] the longest wait before the first repetition */
    double max_wait_s; /* [20] the longest wait before any */
    double connect_s;  /* [10] for name, connection and TLS */
    double stall_s;    /* [20] a try that gets less than 1 KB/s for so long is cut and repeated */
} dt_transfers_options;

typedef enum dt_transfer_kind {
    DT_TRANSFER_RANGE, /* exactly `bytes` bytes, at least 1, from `offset` (206) */
    DT_TRANSFER_WHOLE, /* all of it (200), which is exactly `bytes` bytes; no range is asked for */
    DT_TRANSFER_TEXT,  /* all of it (200), at most `bytes` bytes: for listings */
    DT_TRANSFER_HEAD   /* the headers alone (200) */
} dt_transfer_kind;

enum { DT_TRANSFER_MAX_HEADERS = 8, DT_TRANSFER_TEXT_BYTES = 64, DT_TRANSFER_ERROR_BYTES = 2048 };

/* What one try sends. Texts are borrowed until the function that fills it in is called again. */
typedef struct dt_transfer_request {
    const char *url; /* as it goes over the wire: percent-encoded, http:// or https:// */
    const char *headers[DT_TRANSFER_MAX_HEADERS]; /* "name: value" */
    int n_headers;
    const char *sigv4; /* "aws:amz:REGION:s3", signed by libcurl (Signature Version 4); NULL: not signed */
    const char *key_id, *secret; /* for sigv4 */
} dt_transfer_request;

/* What the server said in the last try. "" and -1: it did not say. */
typedef struct dt_transfer_answer {
    int status;           /* of HTTP; 0: none came */
    int64_t object_bytes; /* the size of the whole object, from Content-Range or Content-Length */
    double server_unix_s; /* the server's clock */
    char etag[DT_TRANSFER_TEXT_BYTES + 2]; /* as it was sent, with its quotes */
    char checksum_name[16];                /* of x-amz-checksum-NAME: "crc32", "crc64nvme" */
    char checksum[DT_TRANSFER_TEXT_BYTES]; /* in base64, "...-N" for one that is made of parts */
    char region[DT_TRANSFER_TEXT_BYTES];   /* x-amz-bucket-region */
    bool has_ranges;                       /* Accept-Ranges: bytes */
    bool etag_is_no_md5;                   /* S3 has encrypted it with a key of KMS or the customer */
    size_t error_bytes;                    /* of `error`, the body of an answer that is no success */
    char error[DT_TRANSFER_ERROR_BYTES];   /* its beginning, ended by a zero byte */
} dt_transfer_answer;

typedef enum dt_transfer_verdict {
    DT_TRANSFER_FAIL,       /* the transfer fails with *err */
    DT_TRANSFER_RETRY,      /* again after a wait; *err is the error if there are no tries left */
    DT_TRANSFER_RETRY_SLOW, /* the same, and there are too many requests: fewer connections */
    DT_TRANSFER_RETRY_NOW   /* something has been put right (region, credentials): again at once */
} dt_transfer_verdict;

/* Fills in what the next try sends; *request is zeroed before. Another status than DT_OK is the transfer's.
 * NULL: transfer->url without more. */
typedef dt_status dt_transfer_prepare(dt_transfer *transfer, dt_transfer_request *request, dt_error *err);

/* Judges an answer whose status is no success: sets *err in any case. NULL: dt_transfer_judge_http. */
typedef dt_transfer_verdict dt_transfer_judge(dt_transfer *transfer, const dt_transfer_answer *answer,
                                              dt_error *err);

/* The transfer has ended. DT_OK: the buffer has transfer->received bytes. Otherwise *err (never NULL) says
 * why. The transfer and its buffer are the caller's again, and may be added again. What this returns other
 * than DT_OK ends dt_transfers_run. Must not destroy the engine. */
typedef dt_status dt_transfer_done(dt_transfer *transfer, dt_status status, dt_error *err);

/* Owned by the caller, at the same address until `done` is called. Zero what is not used. */
struct dt_transfer {
    const char *folder, *name; /* for messages, which have one after the other; NULL: "", the address */
    const char *url;           /* used if prepare is NULL */
    dt_transfer_kind kind;
    int64_t offset, bytes;
    char *buffer;           /* of `bytes` bytes; HEAD: NULL */
    bool follows_redirects; /* to other addresses; not with sigv4 */
    dt_transfer_prepare *prepare;
    dt_transfer_judge *judge;
    dt_transfer_done *done;
    void *context; /* the caller's */

    /* Set by the engine. */
    int64_t received;                 /* bytes that are in the buffer */
    const dt_transfer_answer *answer; /* in `done`: the last try's, until it returns; NULL: none */

    struct { /* the engine's own */
        dt_transfer *next;
        double not_before_s;
        int tries, tries_at_once;
        uint64_t etag_hash; /* of the first answer */
        bool is_answered;
    } own;
};

typedef struct dt_transfers_stats {
    int64_t requests;      /* sent, with those that failed */
    int64_t bytes;         /* of bodies that were received and kept */
    int64_t retries;       /* requests that repeat one */
    int64_t slow_downs;    /* answers that asked for fewer requests */
    int64_t connections;   /* opened */
    int64_t transfers;     /* ended well */
    int width, most_width; /* connections that are to work at once, now and at most */
} dt_transfers_stats;

/* Whether this build has libcurl. If not, create fails with DT_ERR_UNSUPPORTED. */
bool dt_transfers_are_built_in(void);

/* Whether the libcurl that runs can sign requests to S3: 7.88 or later. Older ones leave out headers that S3
 * requires in the signature. */
bool dt_transfers_can_sign(void);

/* Does not connect yet. AWS_CA_BUNDLE names a file of certificates that are trusted; the proxies of the
 * environment are used. DT_ERR_UNSUPPORTED, DT_ERR_MEMORY, DT_ERR_IO (no file descriptors). */
dt_status dt_transfers_create(const dt_transfers_options *options, dt_transfers **transfers, dt_error *err);

/* Cuts what is under way; transfers that have not ended are forgotten, without a call of their `done`. NULL
 * is fine. */
void dt_transfers_destroy(dt_transfers *transfers);

/* Enqueues; starts nothing before dt_transfers_run. Allowed in `done` too. */
void dt_transfers_add(dt_transfers *transfers, dt_transfer *transfer);

/* Enqueues before those that wait: what others wait for, such as a listing. */
void dt_transfers_add_first(dt_transfers *transfers, dt_transfer *transfer);

int64_t dt_transfers_left(const dt_transfers *transfers); /* that have been added and have not ended */

/* How many more transfers the engine can use to keep all connections busy: it likes to have a few waiting.
 * Memory for dt_transfers_most(t) buffers is enough. */
int dt_transfers_wanted(const dt_transfers *transfers);
int dt_transfers_most(const dt_transfers *transfers);

/* Works until at least one transfer has ended, dt_transfers_wake was called, most_s seconds have passed, or
 * no transfer is left. DT_ERR_INTERRUPTED: a stop is requested (core/base/waits.h); what `done` returned.
 * After an error the engine can only be destroyed. */
dt_status dt_transfers_run(dt_transfers *transfers, double most_s, dt_error *err);

/* Works until no transfer is left. */
dt_status dt_transfers_finish(dt_transfers *transfers, dt_error *err);

/* For any thread: dt_transfers_run, now or when it is called next, returns soon. */
void dt_transfers_wake(dt_transfers *transfers);

void dt_transfers_get_stats(const dt_transfers *transfers, dt_transfers_stats *stats);

/* What the status of an answer means where no service is known: too many requests and faults of the server
 * are worth another try, others are not. */
dt_transfer_verdict dt_transfer_judge_http(dt_transfer *transfer, const dt_transfer_answer *answer,
                                           dt_error *err);

#endif
