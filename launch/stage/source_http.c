/* source_http.c: files at addresses. {000..146} at the end of an address stands for all numbers between. */
#include "config.h"

#include "launch/stage/source.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 100000, HEADS_AT_ONCE = 64, HEADER_BYTES = DT_TRANSFER_TEXT_BYTES + 16 };

typedef struct http_source {
    dt_stage_source base; /* first */
    dt_transfers *transfers;
    int64_t n_heads, n_gets;
    char *address;
    char if_match[HEADER_BYTES]; /* of the request that is being prepared */
} http_source;

static http_source *mine(dt_stage_source *source)
{
    return (http_source *)source;
}

static void destroy(dt_stage_source *source)
{
    http_source *s = mine(source);
    if (!s)
        return;
    dt_transfers_destroy(s->transfers);
    dt_free(s->address);
    dt_free(s);
}

/* -- listing --------------------------------------------------------------------------------------------- */

typedef struct head {
    dt_transfer transfer;
    char *url, *name; /* name: without a query, which may hold a signature */
    int64_t bytes;
    char etag[DT_TRANSFER_TEXT_BYTES + 2];
} head;

static dt_status head_done(dt_transfer *transfer, dt_status status, dt_error *err)
{
    head *h = transfer->context;
    if (status != DT_OK)
        return status;
    if (transfer->answer->object_bytes < 0)
        return dt_fail(
            err, DT_ERR_UNSUPPORTED,
            "%s: the server does not say how large it is; download it by curl, and copy the folder", h->name);
    h->bytes = transfer->answer->object_bytes;
    snprintf(h->etag, sizeof h->etag, "%s", transfer->answer->etag);
    return DT_OK;
}

static dt_status ask(http_source *s, head *heads, int n, dt_stage_listing *list, dt_error *err)
{
    for (int i = 0; i < n; i++) {
        heads[i].transfer = (dt_transfer){.name = heads[i].name,
                                          .url = heads[i].url,
                                          .kind = DT_TRANSFER_HEAD,
                                          .done = head_done,
                                          .context = &heads[i]};
        dt_transfers_add(s->transfers, &heads[i].transfer);
    }
    s->n_heads += n;
    DT_TRY(dt_transfers_finish(s->transfers, err));
    for (int i = 0; i < n; i++)
        DT_TRY(dt_stage_listing_add(list, heads[i].url, heads[i].bytes, heads[i].etag, err));
    return DT_OK;
}

/* "{000..146}": the numbers and their least digits. A part in braces that is no such range stays as it is. */
static bool find_range(const char *address, const char **open, const char **rest, int64_t *from, int64_t *to,
                       int *digits)
{
    int used = 0;
    char first[24];
    *open = strchr(address, '{');
    if (!*open || sscanf(*open, "{%19[0-9]..%ld}%n", first, to, &used) != 2 || used == 0)
        return false;
    *from = strtoll(first, NULL, 10);
    *digits = first[0] == '0' ? (int)strlen(first) : 1;
    *rest = *open + used;
    return *to >= *from;
}

static dt_status list_all(http_source *s, head *heads, dt_stage_listing *list, dt_error *err)
{
    const char *open = NULL, *rest = "";
    int64_t from = 0, to = 0;
    int digits = 1;
    const bool has_range = find_range(s->address, &open, &rest, &from, &to, &digits);
    if (to - from >= MAX_FILES)
        return dt_fail(err, DT_ERR_USAGE, "%s: the range has %lld numbers; at most %d are allowed",
                       s->address, (long long)(to - from + 1), MAX_FILES);
    for (int64_t at = from; at <= to;) {
        int n = 0;
        dt_status status = DT_OK;
        for (; n < HEADS_AT_ONCE && at <= to && status == DT_OK; n++, at++) {
            heads[n] = (head){.bytes = -1};
            heads[n].url = has_range ? dt_strprintf("%.*s%0*lld%s", (int)(open - s->address), s->address,
                                                    digits, (long long)at, rest)
                                     : dt_strdup(s->address);
            if (heads[n].url)
                heads[n].name = dt_strprintf("%.*s", (int)strcspn(heads[n].url, "?#"), heads[n].url);
            if (!heads[n].url || !heads[n].name)
                status = dt_fail_memory(err, strlen(s->address) + 24, "an address");
        }
        if (status == DT_OK)
            status = ask(s, heads, n, list, err);
        for (int i = 0; i < n; i++) {
            dt_free(heads[i].url);
            dt_free(heads[i].name);
        }
        DT_TRY(status);
    }
    return DT_OK;
}

static dt_status list(dt_stage_source *source, dt_stage_listing *list, dt_error *err)
{
    http_source *s = mine(source);
    const size_t name = strcspn(s->address, "?#");
    size_t folder = name;
    while (folder > 0 && s->address[folder - 1] != '/')
        folder--;
    if (folder == name || folder < sizeof "http://x")
        return dt_fail(err, DT_ERR_USAGE,
                       "%s: the address of a file is needed: a server of HTTP does not list folders; "
                       ".../shard-{000..146}.tar names many",
                       s->address);
    list->prefix_bytes = (int64_t)folder;
    list->has_addresses = true;
    head *heads = dt_calloc(HEADS_AT_ONCE, sizeof *heads);
    if (!heads)
        return dt_fail_memory(err, HEADS_AT_ONCE * sizeof *heads, "asking for sizes");
    const dt_status status = list_all(s, heads, list, err);
    dt_free(heads);
    return status;
}

/* -- reading --------------------------------------------------------------------------------------------- */

/* A file that is replaced meanwhile must not become a mixture. Weak ETags do not allow that. */
static dt_status prepare(dt_transfer *transfer, dt_transfer_request *request, dt_error *err)
{
    dt_stage_read *r = transfer->context;
    http_source *s = mine(r->source);
    const char *etag = dt_stage_text(s->base.list, s->base.list->objects[r->object].etag);
    (void)err;
    request->url = transfer->url;
    if (etag[0] == '"') {
        snprintf(s->if_match, sizeof s->if_match, "If-Match: %s", etag);
        request->headers[request->n_headers++] = s->if_match;
    }
    s->n_gets++;
    return DT_OK;
}

static dt_transfer_verdict judge(dt_transfer *transfer, const dt_transfer_answer *answer, dt_error *err)
{
    if (answer->status == 412) {
        dt_fail(err, DT_ERR_DATA, "%s has changed since its size was asked for; start again", transfer->name);
        return DT_TRANSFER_FAIL;
    }
    return dt_transfer_judge_http(transfer, answer, err);
}

static dt_status read_done(dt_transfer *transfer, dt_status status, dt_error *err)
{
    dt_stage_read *r = transfer->context;
    return r->done(r, status, err);
}

static void start(dt_stage_source *source, dt_stage_read *r)
{
    const dt_stage_object *o = &source->list->objects[r->object];
    const char *url = dt_stage_text(source->list, o->key);
    r->source = source;
    r->has_sum = false;
    r->get.transfer = (dt_transfer){.name = dt_stage_text(source->list, o->path),
                                    .url = url,
                                    .kind = r->bytes == o->bytes ? DT_TRANSFER_WHOLE : DT_TRANSFER_RANGE,
                                    .offset = r->offset,
                                    .bytes = r->bytes,
                                    .buffer = r->buffer,
                                    .prepare = prepare,
                                    .judge = judge,
                                    .done = read_done,
                                    .context = r};
    dt_transfers_add(mine(source)->transfers, &r->get.transfer);
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
    dt_transfers_get_stats(mine(source)->transfers, &t);
    *stats = (dt_stage_source_stats){.heads = mine(source)->n_heads,
                                     .gets = mine(source)->n_gets,
                                     .bytes = t.bytes,
                                     .retries = t.retries,
                                     .width = t.width,
                                     .most_width = t.most_width};
}

dt_status dt_stage_http_open(const char *text, const dt_stage_source_options *options,
                             dt_stage_source **source, dt_error *err)
{
    static const dt_stage_source_ops ops = {.destroy = destroy,
                                            .list = list,
                                            .start = start,
                                            .run = run,
                                            .wanted = wanted,
                                            .left = left,
                                            .wake = wake,
                                            .get_stats = get_stats};
    http_source *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "an address");
    s->base.ops = &ops;
    s->address = dt_strdup(text);
    dt_transfers_options transfers = {0};
    if (options->connections > 0)
        transfers.min_connections = transfers.max_connections = transfers.first_connections =
            options->connections;
    dt_status status = s->address ? dt_transfers_create(&transfers, &s->transfers, err)
                                  : dt_fail_memory(err, strlen(text) + 1, "an address");
    if (status == DT_OK)
        *source = &s->base;
    else
        destroy(&s->base);
    return status;
}
