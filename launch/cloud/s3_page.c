#include "launch/cloud/s3_page.h"

#include "core/base/alloc.h"
#include "launch/cloud/s3_address.h"
#include "launch/cloud/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "ListBucketResult"

typedef struct page {
    bool is_listing, is_encoded, is_cut;
    char token[DT_S3_TOKEN_BYTES];

    const char *prefix;
    dt_s3_visit *visit;
    void *context;
    dt_status status; /* after an error nothing more is visited */
    dt_error *err;
    char key[4 * DT_S3_KEY_BYTES], etag[DT_S3_ETAG_BYTES];
    bool has_key;
    int64_t bytes; /* -1: not given */
} page;

/* The parts of a page that count for all of it, wherever they stand. */
static void visit_head(void *context, const char *path, const char *text)
{
    page *p = context;
    if (strcmp(path, ROOT) == 0)
        p->is_listing = true;
    else if (strcmp(path, ROOT "/EncodingType") == 0)
        p->is_encoded = strcmp(text, "url") == 0;
    else if (strcmp(path, ROOT "/IsTruncated") == 0)
        p->is_cut = strcmp(text, "true") == 0;
    else if (strcmp(path, ROOT "/NextContinuationToken") == 0)
        snprintf(p->token, sizeof p->token, "%s", text);
}

static void read_size(page *p, const char *text)
{
    char *end;
    const long long n = strtoll(text, &end, 10);
    p->bytes = end != text && *end == '\0' && n >= 0 ? n : -1;
}

static void end_object(page *p)
{
    const size_t n = strlen(p->prefix);
    if (!p->has_key || !p->key[0] || p->bytes < 0 || (p->is_encoded && !dt_s3_decode(p->key)) ||
        strlen(p->key) >= DT_S3_KEY_BYTES)
        p->status = dt_fail(p->err, DT_ERR_FORMAT, "the listing has an object without a name or a size");
    else if (strncmp(p->key, p->prefix, n) != 0)
        p->status = dt_fail(p->err, DT_ERR_FORMAT, "the listing has '%s', which does not begin with '%s'",
                            p->key, p->prefix);
    else
        p->status =
            p->visit(p->context, &(dt_s3_object){.key = p->key, .bytes = p->bytes, .etag = p->etag}, p->err);
}

static void visit_object(void *context, const char *path, const char *text)
{
    static const char object[] = ROOT "/Contents";
    page *p = context;
    const size_t n = strlen(object);
    if (p->status != DT_OK || strncmp(path, object, n) != 0)
        return;
    if (strcmp(path + n, "/Key") == 0) {
        p->has_key = strlen(text) < sizeof p->key;
        snprintf(p->key, sizeof p->key, "%s", text);
    } else if (strcmp(path + n, "/Size") == 0) {
        read_size(p, text);
    } else if (strcmp(path + n, "/ETag") == 0) {
        snprintf(p->etag, sizeof p->etag, "%s",
                 strlen(text) < sizeof p->etag ? text : ""); /* a part is none */
    } else if (path[n] == '\0') {
        end_object(p);
        p->has_key = false;
        p->etag[0] = '\0';
        p->bytes = -1;
    }
}

static dt_status walk(page *p, const char *text, size_t bytes, dt_error *err)
{
    dt_status status = dt_xml_walk(text, bytes, visit_head, p, err);
    if (status != DT_OK || !p->is_listing)
        return status == DT_OK || status == DT_ERR_FORMAT
                   ? dt_fail(err, DT_ERR_FORMAT, "the store answers with something else than a listing")
                   : status;
    if (p->is_cut && !p->token[0])
        return dt_fail(err, DT_ERR_FORMAT, "the listing goes on, and does not say where");
    status = dt_xml_walk(text, bytes, visit_object, p, err);
    return status == DT_OK ? p->status : status;
}

dt_status dt_s3_page_walk(const char *text, size_t bytes, const char *prefix, dt_s3_visit *visit,
                          void *context, char token[DT_S3_TOKEN_BYTES], dt_error *err)
{
    page *p = dt_calloc(1, sizeof *p);
    if (!p)
        return dt_fail_memory(err, sizeof *p, "a listing");
    p->prefix = prefix;
    p->visit = visit;
    p->context = context;
    p->err = err;
    p->bytes = -1;
    const dt_status status = walk(p, text, bytes, err);
    snprintf(token, DT_S3_TOKEN_BYTES, "%s", p->is_cut ? p->token : "");
    dt_free(p);
    return status;
}
