/* source_s3.c: the objects of a bucket below a prefix, or one object. */
#include "config.h"

#include "launch/stage/source.h"

#include "core/base/alloc.h"
#include "core/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS_AT_ONCE = 256 };

typedef struct s3_source {
    dt_stage_source base; /* first */
    dt_s3 *s3;
    dt_transfers *transfers;
    dt_s3_location where;
    bool is_at_aws;
} s3_source;

static s3_source *mine(dt_stage_source *source)
{
    return (s3_source *)source;
}

static void destroy(dt_stage_source *source)
{
    s3_source *s = mine(source);
    if (!s)
        return;
    dt_transfers_destroy(s->transfers); /* no get is under way after this */
    dt_s3_destroy(s->s3);
    dt_free(s);
}

/* -- listing --------------------------------------------------------------------------------------------- */

typedef struct lister {
    dt_stage_listing *list;
    const char *only; /* this key alone; NULL: all */
    int64_t n_markers;
} lister;

static dt_status visit(void *context, const dt_s3_object *object, dt_error *err)
{
    lister *l = context;
    const size_t n = strlen(object->key);
    if (l->only && strcmp(object->key, l->only) != 0)
        return DT_OK;
    if (n > 0 && object->key[n - 1] == '/' && object->bytes == 0) {
        l->n_markers++; /* what consoles create to show an empty folder */
        return DT_OK;
    }
    return dt_stage_listing_add(l->list, object->key, object->bytes, object->etag, err);
}

static bool find_sum(const dt_transfer_answer *a, dt_object_checksum *sum)
{
    return dt_object_checksum_parse(a->checksum_name, a->checksum, a->etag_is_no_md5 ? "" : a->etag, sum);
}

/* A size and a checksum of a large object, which ranges do not bring. Without one, its size counts alone. */
static dt_status head_done(dt_s3_get *get, dt_status status, dt_error *err)
{
    dt_stage_object *object = get->context;
    const dt_transfer_answer *answer = get->transfer.answer;
    (void)err;
    if (status == DT_ERR_INTERRUPTED || status == DT_ERR_MEMORY)
        return status;
    if (status == DT_OK && answer)
        object->has_sum = find_sum(answer, &object->sum);
    return DT_OK;
}

static dt_status ask_for_sums(s3_source *s, dt_stage_listing *list, dt_error *err)
{
    dt_s3_get *gets = dt_calloc(HEADS_AT_ONCE, sizeof *gets);
    dt_status status =
        gets ? DT_OK : dt_fail_memory(err, HEADS_AT_ONCE * sizeof *gets, "asking for checksums");
    for (int64_t i = 0; i < list->n && status == DT_OK;) {
        for (int n = 0; n < HEADS_AT_ONCE && i < list->n; i++) {
            dt_stage_object *o = &list->objects[i];
            if (o->first_part < 0)
                continue;
            gets[n] = (dt_s3_get){.object = {.key = dt_stage_text(list, o->key),
                                             .bytes = o->bytes,
                                             .etag = dt_stage_text(list, o->etag)},
                                  .done = head_done,
                                  .context = o};
            dt_s3_head_start(s->s3, s->transfers, &gets[n++]);
        }
        status = dt_transfers_finish(s->transfers, err);
    }
    dt_free(gets);
    return status;
}

/* "imagenet" is the folder imagenet/, not also imagenet-21k/; or else the object of this name. */
static dt_status list_prefix(s3_source *s, dt_stage_listing *list, int64_t *n_markers, dt_error *err)
{
    char folder[DT_S3_KEY_BYTES + 1];
    const char *prefix = s->where.prefix, *slash = strrchr(prefix, '/');
    const size_t n = strlen(prefix);
    lister all = {.list = list}, one = {.list = list, .only = prefix};
    snprintf(folder, sizeof folder, "%s%s", prefix, n > 0 && prefix[n - 1] != '/' ? "/" : "");
    list->prefix_bytes = (int64_t)strlen(folder);
    DT_TRY(dt_s3_list(s->s3, s->transfers, folder, visit, &all, err));
    *n_markers = all.n_markers;
    if (list->n > 0 || strcmp(folder, prefix) == 0)
        return DT_OK;
    list->prefix_bytes = slash ? (int64_t)(slash + 1 - prefix) : 0;
    return dt_s3_list(s->s3, s->transfers, prefix, visit, &one, err);
}

static dt_status list(dt_stage_source *source, dt_stage_listing *list, dt_error *err)
{
    s3_source *s = mine(source);
    int64_t n_markers = 0;
    DT_TRY(list_prefix(s, list, &n_markers, err));
    if (list->n == 0)
        return dt_fail(
            err, DT_ERR_USAGE, "s3://%s/%s: no object there%s; aws s3 ls s3://%s/ shows what the bucket has",
            s->where.bucket, s->where.prefix, n_markers ? ", only empty folders" : "", s->where.bucket);
    if (n_markers > 0)
        dt_log_info("%lld empty object%s whose key ends with '/' (a folder in the console) %s left out",
                    (long long)n_markers, n_markers == 1 ? "" : "s", n_markers == 1 ? "is" : "are");
    return ask_for_sums(s, list, err);
}

/* -- reading --------------------------------------------------------------------------------------------- */

static dt_status read_done(dt_s3_get *get, dt_status status, dt_error *err)
{
    dt_stage_read *r = get->context;
    const dt_transfer_answer *answer = get->transfer.answer;
    if (status == DT_OK && answer && r->offset == 0 && r->bytes == get->object.bytes)
        r->has_sum = find_sum(answer, &r->sum);
    return r->done(r, status, err);
}

static void start(dt_stage_source *source, dt_stage_read *r)
{
    s3_source *s = mine(source);
    const dt_stage_object *o = &source->list->objects[r->object];
    r->source = source;
    r->has_sum = false;
    r->get = (dt_s3_get){.object = {.key = dt_stage_text(source->list, o->key),
                                    .bytes = o->bytes,
                                    .etag = dt_stage_text(source->list, o->etag)},
                         .offset = r->offset,
                         .bytes = r->bytes,
                         .buffer = r->buffer,
                         .done = read_done,
                         .context = r};
    dt_s3_get_start(s->s3, s->transfers, &r->get);
}

static dt_status run(dt_stage_source *source, double most_s, dt_error *err)
{
    return dt_transfers_run(mine(source)->transfers, most_s, err);
}

static int wanted(dt_stage_source *source)
{
    return dt_transfers_wanted(mine(source)->transfers);
}

static int64_t left(dt_stage_source *source)
{
    return dt_transfers_left(mine(source)->transfers);
}

static void wake(dt_stage_source *source)
{
    dt_transfers_wake(mine(source)->transfers);
}

static void get_stats(dt_stage_source *source, dt_stage_source_stats *stats)
{
    dt_transfers_stats t;
    dt_s3_stats s;
    dt_transfers_get_stats(mine(source)->transfers, &t);
    dt_s3_get_stats(mine(source)->s3, &s);
    *stats = (dt_stage_source_stats){.lists = s.lists,
                                     .gets = s.gets,
                                     .heads = s.heads,
                                     .bytes = t.bytes,
                                     .retries = t.retries,
                                     .width = t.width,
                                     .most_width = t.most_width,
                                     .is_s3 = true,
                                     .is_at_aws = mine(source)->is_at_aws};
}

/* -- opening --------------------------------------------------------------------------------------------- */

/* Other stores have other prices. */
static bool names_endpoint(const dt_s3_options *o)
{
    return o->endpoint_url || getenv("AWS_ENDPOINT_URL_S3") || getenv("AWS_ENDPOINT_URL");
}

dt_status dt_stage_s3_open(const char *text, const dt_stage_source_options *options, dt_stage_source **source,
                           dt_error *err)
{
    static const dt_stage_source_ops ops = {.destroy = destroy,
                                            .list = list,
                                            .start = start,
                                            .run = run,
                                            .wanted = wanted,
                                            .left = left,
                                            .wake = wake,
                                            .get_stats = get_stats};
    const char *why_not = dt_s3_why_not();
    if (why_not)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: %s", text, why_not);
    s3_source *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "a bucket");
    s->base.ops = &ops;
    s->is_at_aws = !names_endpoint(&options->s3);
    dt_transfers_options transfers = {0};
    if (options->connections > 0)
        transfers.min_connections = transfers.max_connections = transfers.first_connections =
            options->connections;
    dt_status status = dt_s3_parse(text, &s->where, err);
    dt_s3_options s3 = options->s3;
    s3.bucket = s->where.bucket;
    if (status == DT_OK)
        status = dt_s3_create(&s3, &s->s3, err);
    if (status == DT_OK)
        status = dt_transfers_create(&transfers, &s->transfers, err);
    if (status == DT_OK)
        *source = &s->base;
    else
        destroy(&s->base);
    return status;
}
