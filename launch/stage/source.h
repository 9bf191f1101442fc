/* source.h: where data comes from: S3, HTTP servers, a folder. An interface with one implementation each.
 *
 *   DT_TRY(dt_stage_source_open("s3://bucket/imagenet", &options, &source, err));
 *   DT_TRY(source->ops->list(source, &list, err));               on one rank
 *   source->list = &list;
 *   source->ops->start(source, &read);                           read.done is called from run
 *   DT_TRY(source->ops->run(source, 1.0, err));
 *   source->ops->destroy(source);
 *
 * One thread at a time uses a source, apart from wake.
 */
#ifndef DT_LAUNCH_STAGE_SOURCE_H
#define DT_LAUNCH_STAGE_SOURCE_H

#include "launch/cloud/s3.h"
#include "launch/stage/listing.h"

#include <stdbool.h>

typedef struct dt_stage_source dt_stage_source;
typedef struct dt_stage_read dt_stage_read;

/* As dt_transfer_done. */
typedef dt_status dt_stage_read_done(dt_stage_read *read, dt_status status, dt_error *err);

/* A part of an object, or all of it. The caller owns it until `done` is called. */
struct dt_stage_read {
    int64_t object, offset, bytes; /* at least one byte */
    char *buffer;
    dt_stage_read_done *done;
    void *context;
    bool has_sum;           /* set by the source before `done`: it has said a checksum of the whole object, */
    dt_object_checksum sum; /* which was read as a whole */

    dt_stage_source *source; /* the rest is the source's own */
    dt_s3_get get;
    dt_stage_read *next;
    dt_status status;
    dt_error error;
};

typedef struct dt_stage_source_stats {
    int64_t lists, gets, heads; /* requests that were sent, with repeated ones */
    int64_t bytes, retries;
    int width, most_width; /* connections, or threads, that work at once, now and at most */
    bool is_s3, is_at_aws; /* requests cost; by AWS's prices */
} dt_stage_source_stats;

typedef struct dt_stage_source_ops {
    void (*destroy)(dt_stage_source *source); /* NULL is fine. Forgets what is under way */
    /* Appends all objects, sorted by key. Blocks. DT_ERR_USAGE: there is no such bucket, file or folder, or
     * nothing in it; DT_ERR_IO, DT_ERR_INTERRUPTED and others. */
    dt_status (*list)(dt_stage_source *source, dt_stage_listing *list, dt_error *err);
    void (*start)(dt_stage_source *source, dt_stage_read *read);
    /* Works until a read has ended, wake was called, most_s have passed, or none is left. What `done`
     * returned. */
    dt_status (*run)(dt_stage_source *source, double most_s, dt_error *err);
    int (*wanted)(dt_stage_source *source);   /* how many more reads it can use now */
    int64_t (*left)(dt_stage_source *source); /* that were started and have not ended */
    void (*wake)(dt_stage_source *source);    /* any thread */
    void (*get_stats)(dt_stage_source *source, dt_stage_source_stats *stats);
} dt_stage_source_ops;

/* Implementations begin with this. */
struct dt_stage_source {
    const dt_stage_source_ops *ops;
    const dt_stage_listing *list; /* the caller sets it before the first start */
};

typedef struct dt_stage_source_options {
    dt_s3_options s3; /* without the bucket */
    int connections;  /* at once; 0: as many as help */
} dt_stage_source_options;

/* Whether the text is an address, s3:// or http(s)://, and not a folder. */
bool dt_stage_is_address(const char *text);

/* By the text's form. Asks nothing of the source yet. The caller destroys it. DT_ERR_USAGE,
 * DT_ERR_UNSUPPORTED, DT_ERR_MEMORY, and those of dt_s3_create. */
dt_status dt_stage_source_open(const char *text, const dt_stage_source_options *options,
                               dt_stage_source **source, dt_error *err);

/* The implementations. */
dt_status dt_stage_s3_open(const char *text, const dt_stage_source_options *options, dt_stage_source **source,
                           dt_error *err);
dt_status dt_stage_http_open(const char *text, const dt_stage_source_options *options,
                             dt_stage_source **source, dt_error *err);
dt_status dt_stage_folder_open(const char *folder, dt_stage_source **source, dt_error *err);

/* A source of files whose paths a function gives: what this node has on its disk, for other nodes. It lists
 * nothing. */
typedef dt_status dt_stage_path_of(void *context, const dt_stage_read *read, char path[4096], dt_error *err);
dt_status dt_stage_disk_open(dt_stage_path_of *path_of, void *context, dt_stage_source **source,
                             dt_error *err);

#endif
