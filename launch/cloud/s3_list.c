#include "config.h"

#include "core/base/alloc.h"
#include "launch/cloud/s3_internal.h"
#include "launch/cloud/s3_page.h"

#include <stdio.h>
#include <string.h>

enum {
    PAGE_BYTES = 8 << 20, /* 1,000 keys of 1,024 bytes, each as %XX, and what belongs to them */
    QUERY_BYTES = DT_S3_URL_BYTES - DT_S3_BASE_BYTES
};

typedef struct listing {
    dt_s3 *s3;
    const char *prefix;
    char *page;
    char query[QUERY_BYTES];
    char token[DT_S3_TOKEN_BYTES]; /* of the next page */
    dt_transfer transfer;
    int64_t signed_with;
    bool is_done;
    dt_status status;
    dt_error why;
} listing;

static dt_status prepare(dt_transfer *transfer, dt_transfer_request *request, dt_error *err)
{
    listing *l = transfer->context;
    return dt_s3_prepare(l->s3, &(dt_s3_wanted){.method = "GET", .query = l->query}, request, &l->signed_with,
                         err);
}

static dt_transfer_verdict judge(dt_transfer *transfer, const dt_transfer_answer *answer, dt_error *err)
{
    const listing *l = transfer->context;
    return dt_s3_judge(l->s3, transfer, answer, "s3:ListBucket", l->signed_with, err);
}

/* Another transfer's error ends dt_transfers_run; this one waits for the listing itself. */
static dt_status end(dt_transfer *transfer, dt_status status, dt_error *err)
{
    listing *l = transfer->context;
    l->is_done = true;
    l->status = status;
    l->why = *err;
    return DT_OK;
}

/* Sorted by name, each with '='. */
static dt_status make_query(listing *l, dt_error *err)
{
    char *at = l->query;
    const char *limit = l->query + sizeof l->query;
    bool fits = true;
    if (l->token[0]) {
        at += sprintf(at, "continuation-token=");
        fits = dt_s3_encode(&at, limit, l->token, false);
    }
    if (fits && limit - at > 64) {
        at += sprintf(at, "%sencoding-type=url&list-type=2&prefix=", l->token[0] ? "&" : "");
        fits = dt_s3_encode(&at, limit, l->prefix, false);
    }
    return fits && limit - at > 64
               ? DT_OK
               : dt_fail(err, DT_ERR_FORMAT, "%s: the listing's token is too long", l->s3->folder);
}

static dt_status fetch_page(listing *l, dt_transfers *transfers, dt_error *err)
{
    DT_TRY(make_query(l, err));
    l->is_done = false;
    l->transfer = (dt_transfer){.folder = l->s3->folder,
                                .name = l->prefix,
                                .kind = DT_TRANSFER_TEXT,
                                .bytes = PAGE_BYTES,
                                .buffer = l->page,
                                .prepare = prepare,
                                .judge = judge,
                                .done = end,
                                .context = l};
    dt_transfers_add_first(transfers, &l->transfer);
    while (!l->is_done)
        DT_TRY(dt_transfers_run(transfers, 1.0, err));
    if (l->status != DT_OK && err)
        *err = l->why;
    return l->status;
}

static dt_status list(listing *l, dt_transfers *transfers, dt_s3_visit *visit, void *context, dt_error *err)
{
    char before[DT_S3_TOKEN_BYTES];
    do {
        snprintf(before, sizeof before, "%s", l->token);
        DT_TRY(fetch_page(l, transfers, err));
        dt_status status =
            dt_s3_page_walk(l->page, (size_t)l->transfer.received, l->prefix, visit, context, l->token, err);
        if (status == DT_OK && l->token[0] && strcmp(before, l->token) == 0)
            status = dt_fail(err, DT_ERR_FORMAT, "the listing begins again and again");
        if (status == DT_ERR_FORMAT)
            (void)dt_error_prefix(err, "%s%s", l->s3->folder, l->prefix);
        DT_TRY(status);
    } while (l->token[0]);
    return DT_OK;
}

dt_status dt_s3_list(dt_s3 *s3, dt_transfers *transfers, const char *prefix, dt_s3_visit *visit,
                     void *context, dt_error *err)
{
    listing *l = dt_calloc(1, sizeof *l);
    char *page = dt_alloc(PAGE_BYTES);
    dt_status status = DT_OK;
    if (l && page) {
        l->s3 = s3;
        l->prefix = prefix;
        l->page = page;
        status = list(l, transfers, visit, context, err);
    } else {
        status = dt_fail_memory(err, PAGE_BYTES, "a listing");
    }
    dt_free(page);
    dt_free(l);
    return status;
}
