#include "config.h"

#ifdef HAVE_CURL

#    include "launch/cloud/transfer_slot.h"

#    include "core/base/alloc.h"
#    include "core/base/clock.h"
#    include "launch/cloud/transfer_answer.h"

#    include <inttypes.h>
#    include <stdio.h>
#    include <string.h>

#    define RECEIVE_BYTES 524288L /* of one call of recv, the most that curl takes: fewer calls */
#    define REDIRECTIONS 5L
#    define LEAST_BYTES_PER_S 1024.0

/* For "%s%s". */
#    define NAME(t) (t)->folder ? (t)->folder : "", (t)->name ? (t)->name : (t)->url ? (t)->url : "a request"

/* -- what comes ------------------------------------------------------------------------------------------ */

static bool is_success(const dt_transfer_slot *s)
{
    return s->answer.status == 200 || s->answer.status == 206;
}

/* curl's header function: one line, not ended by a zero byte. */
static size_t on_header(char *data, size_t size, size_t n, void *context)
{
    dt_transfer_slot *s = context;
    dt_transfer_answer_add_header(&s->answer, &s->range_start, data, size * n);
    return size * n;
}

/* Why the body that begins cannot be what was asked for; NULL: it can. */
static const char *check_start(const dt_transfer_slot *s)
{
    const dt_transfer *t = s->transfer;
    if (t->kind == DT_TRANSFER_TEXT || t->kind == DT_TRANSFER_HEAD)
        return s->answer.status == 200 ? NULL : "the answer is a part of what was asked for";
    const int64_t from = t->kind == DT_TRANSFER_RANGE ? t->offset + s->start : s->start;
    if (s->answer.status == 206)
        return s->range_start == from ? NULL : "the answer is another range than the one that was asked for";
    if (from > 0)
        return "the server does not send ranges";
    return t->kind == DT_TRANSFER_WHOLE || s->answer.object_bytes <= t->bytes
               ? NULL
               : "the server does not send ranges";
}

static void keep_error(dt_transfer_answer *a, const char *data, size_t n)
{
    const size_t space = sizeof a->error - 1 - a->error_bytes, kept = n < space ? n : space;
    memcpy(a->error + a->error_bytes, data, kept);
    a->error_bytes += kept;
    a->error[a->error_bytes] = '\0';
}

/* curl's write function. Returning less than it got ends the try. */
static size_t on_body(char *data, size_t size, size_t n, void *context)
{
    dt_transfer_slot *s = context;
    dt_transfer *t = s->transfer;
    const size_t bytes = size * n;
    if (!is_success(s)) {
        keep_error(&s->answer, data, bytes);
        return bytes;
    }
    if (s->n_received == 0 && (s->problem = check_start(s)) != NULL)
        return 0;
    if ((int64_t)bytes > t->bytes - t->received) {
        s->problem = "the answer is longer than what was asked for";
        return 0;
    }
    memcpy(t->buffer + t->received, data, bytes);
    t->received += (int64_t)bytes;
    s->n_received += (int64_t)bytes;
    return bytes;
}

/* -- what is sent ---------------------------------------------------------------------------------------- */

static CURLcode set_fixed(dt_transfer_slot *s, const dt_transfers_options *o, const char *bundle)
{
    CURL *e = s->easy;
    CURLcode r[] = {
        curl_easy_setopt(e, CURLOPT_PRIVATE, s),
        curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L), /* the engine blocks SIGPIPE */
        curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1), /* one request a connection */
        curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L),
        curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L),
        curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L),
        curl_easy_setopt(e, CURLOPT_BUFFERSIZE, RECEIVE_BYTES),
        /* S3's name has many addresses: each connection asks for one. */
        curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L),
        curl_easy_setopt(e, CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L),
        curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L), /* keys have // and .. */
        curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_s * 1000.0)),
        curl_easy_setopt(e, CURLOPT_MAXREDIRS, REDIRECTIONS),
        curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L),
        curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header),
        curl_easy_setopt(e, CURLOPT_HEADERDATA, s),
        curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body),
        curl_easy_setopt(e, CURLOPT_WRITEDATA, s),
        curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->why),
#    if LIBCURL_VERSION_NUM >= 0x075500
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https"),
        curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https"),
#    else
        curl_easy_setopt(e, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)),
        curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)),
#    endif
    };
    for (size_t i = 0; i < sizeof r / sizeof r[0]; i++)
        if (r[i] != CURLE_OK)
            return r[i];
    return bundle ? curl_easy_setopt(e, CURLOPT_CAINFO, bundle) : CURLE_OK;
}

dt_status dt_transfer_slot_create(const dt_transfers_options *options, const char *bundle,
                                  dt_transfer_slot **slot, dt_error *err)
{
    dt_transfer_slot *s = dt_calloc(1, sizeof *s);
    if (s && (s->easy = curl_easy_init()) && set_fixed(s, options, bundle) == CURLE_OK) {
        *slot = s;
        return DT_OK;
    }
    dt_transfer_slot_destroy(s);
    return dt_fail_memory(err, sizeof *s, "a connection");
}

void dt_transfer_slot_destroy(dt_transfer_slot *slot)
{
    if (!slot)
        return;
    curl_easy_cleanup(slot->easy);
    if (slot->header_text)
        explicit_bzero(slot->header_text, slot->header_space); /* it has had session tokens */
    dt_free(slot->header_text);
    dt_free(slot);
}

/* Copies the headers: curl reads them when the connection is there. */
static dt_status set_headers(dt_transfer_slot *s, const dt_transfer_request *q, dt_error *err)
{
    size_t bytes = 0;
    for (int i = 0; i < q->n_headers; i++)
        bytes += strlen(q->headers[i]) + 1;
    if (bytes > s->header_space) {
        char *more = dt_realloc(s->header_text, s->header_space, 2 * bytes);
        if (!more)
            return dt_fail_memory(err, 2 * bytes, "a request's headers");
        s->header_text = more;
        s->header_space = 2 * bytes;
    }
    char *end = s->header_text;
    for (int i = 0; i < q->n_headers; i++) {
        const size_t n = strlen(q->headers[i]) + 1;
        memcpy(end, q->headers[i], n);
        s->headers[i] =
            (struct curl_slist){.data = end, .next = i + 1 < q->n_headers ? &s->headers[i + 1] : NULL};
        end += n;
    }
    return DT_OK;
}

/* The range that is still missing; NULL: all is asked for. */
static const char *range_of(const dt_transfer *t, char text[64])
{
    const int64_t offset = t->kind == DT_TRANSFER_RANGE ? t->offset : 0;
    if (t->kind != DT_TRANSFER_RANGE && (t->kind != DT_TRANSFER_WHOLE || t->received == 0))
        return NULL;
    snprintf(text, 64, "%" PRId64 "-%" PRId64, offset + t->received, offset + t->bytes - 1);
    return text;
}

static CURLcode set_try(dt_transfer_slot *s, const dt_transfer_request *q)
{
    char range[64];
    CURL *e = s->easy;
    const dt_transfer *t = s->transfer;
    CURLcode r[] = {
        curl_easy_setopt(e, CURLOPT_URL, q->url),
        curl_easy_setopt(e, CURLOPT_NOBODY, (long)(t->kind == DT_TRANSFER_HEAD)),
        t->kind == DT_TRANSFER_HEAD ? CURLE_OK : curl_easy_setopt(e, CURLOPT_HTTPGET, 1L),
        curl_easy_setopt(e, CURLOPT_RANGE, range_of(t, range)),
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, q->n_headers > 0 ? s->headers : NULL),
        curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, (long)(t->follows_redirects && !q->sigv4)),
#    if LIBCURL_VERSION_NUM >= 0x074b00
        curl_easy_setopt(e, CURLOPT_AWS_SIGV4, q->sigv4),
#    else
        q->sigv4 ? CURLE_NOT_BUILT_IN : CURLE_OK,
#    endif
        q->sigv4 ? CURLE_OK : curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC),
        curl_easy_setopt(e, CURLOPT_USERNAME, q->sigv4 ? q->key_id : NULL),
        curl_easy_setopt(e, CURLOPT_PASSWORD, q->sigv4 ? q->secret : NULL),
    };
    for (size_t i = 0; i < sizeof r / sizeof r[0]; i++)
        if (r[i] != CURLE_OK)
            return r[i];
    return CURLE_OK;
}

dt_status dt_transfer_slot_load(dt_transfer_slot *slot, dt_transfer *transfer, dt_error *err)
{
    dt_transfer_request q = {0};
    if (transfer->kind == DT_TRANSFER_TEXT)
        transfer->received = 0; /* again from its beginning */
    slot->transfer = transfer;
    slot->start = transfer->received;
    slot->n_received = 0;
    slot->problem = NULL;
    slot->why[0] = '\0';
    dt_transfer_answer_begin(&slot->answer, &slot->range_start);
    slot->marked_s = dt_clock_s();
    slot->marked_bytes = 0;
    q.url = transfer->url;
    if (transfer->prepare)
        DT_TRY(transfer->prepare(transfer, &q, err));
    DT_TRY(set_headers(slot, &q, err));
    const CURLcode result = set_try(slot, &q);
    if (result == CURLE_OUT_OF_MEMORY)
        return dt_fail_memory(err, 0, "a request");
    return result == CURLE_OK
               ? DT_OK
               : dt_fail(err, DT_ERR_INTERNAL, "%s%s: %s", NAME(transfer), curl_easy_strerror(result));
}

bool dt_transfer_slot_is_stalled(dt_transfer_slot *slot, double stall_s, double now_s)
{
    if ((double)(slot->n_received - slot->marked_bytes) >= LEAST_BYTES_PER_S * stall_s) {
        slot->marked_bytes = slot->n_received;
        slot->marked_s = now_s;
    }
    return now_s - slot->marked_s >= stall_s;
}

/* -- how it ended ---------------------------------------------------------------------------------------- */

/* A missing answer that may come at the next try. */
static bool may_come(CURLcode result)
{
    static const CURLcode never[] = {CURLE_UNSUPPORTED_PROTOCOL,
                                     CURLE_URL_MALFORMAT,
                                     CURLE_OUT_OF_MEMORY,
                                     CURLE_WRITE_ERROR,
                                     CURLE_PEER_FAILED_VERIFICATION,
                                     CURLE_SSL_CACERT_BADFILE,
                                     CURLE_TOO_MANY_REDIRECTS,
                                     CURLE_COULDNT_RESOLVE_PROXY};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (result == never[i])
            return false;
    return true;
}

static uint64_t hash_text(const char *text)
{
    uint64_t h = 1469598103934665603U; /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211U;
    return h;
}

/* The object must be the same in all tries. */
static bool is_same_object(dt_transfer_slot *s)
{
    dt_transfer *t = s->transfer;
    const uint64_t h = hash_text(s->answer.etag);
    if (t->kind == DT_TRANSFER_TEXT || t->kind == DT_TRANSFER_HEAD)
        return true;
    if (!t->own.is_answered)
        t->own.etag_hash = h;
    t->own.is_answered = true;
    return t->own.etag_hash == h;
}

/* The answer is a success by its status: has all of it come? */
static bool has_all(dt_transfer_slot *s, dt_transfer_verdict *verdict, dt_error *err)
{
    const dt_transfer *t = s->transfer;
    const int64_t needed = (t->kind == DT_TRANSFER_RANGE ? t->offset : 0) + t->bytes;
    *verdict = DT_TRANSFER_FAIL;
    if (t->kind == DT_TRANSFER_TEXT || t->kind == DT_TRANSFER_HEAD || t->received == t->bytes)
        return true;
    if (s->answer.status == 206 && s->answer.object_bytes >= 0 && s->answer.object_bytes < needed) {
        (void)dt_fail(err, DT_ERR_DATA, "%s%s has %" PRId64 " bytes, and should have at least %" PRId64,
                      NAME(t), s->answer.object_bytes, needed);
        return false;
    }
    *verdict = DT_TRANSFER_RETRY;
    (void)dt_fail(err, DT_ERR_IO, "%s%s: the answer has %" PRId64 " bytes in place of %" PRId64, NAME(t),
                  s->n_received, t->bytes - s->start);
    return false;
}

static dt_transfer_verdict judge_result(const dt_transfer_slot *s, CURLcode result, dt_error *err)
{
    const dt_transfer *t = s->transfer;
    if (s->problem) {
        (void)dt_fail(err, DT_ERR_IO, "%s%s: %s", NAME(t), s->problem);
        return DT_TRANSFER_FAIL;
    }
    if (result == CURLE_OUT_OF_MEMORY)
        (void)dt_fail_memory(err, 0, "a request");
    else if (result == CURLE_OPERATION_TIMEDOUT && s->answer.status > 0)
        (void)dt_fail(err, DT_ERR_TIMEOUT, "%s%s: nothing more comes after %" PRId64 " of %" PRId64 " bytes",
                      NAME(t), s->n_received, t->bytes - s->start);
    else
        (void)dt_fail(err, result == CURLE_OPERATION_TIMEDOUT ? DT_ERR_TIMEOUT : DT_ERR_IO, "%s%s: %s",
                      NAME(t), s->why[0] ? s->why : curl_easy_strerror(result));
    return may_come(result) ? DT_TRANSFER_RETRY : DT_TRANSFER_FAIL;
}

static bool is_unreachable(const dt_transfer_slot *s, CURLcode result)
{
    double connect_s = 0.0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_CONNECT_TIME, &connect_s);
    return result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_CONNECT ||
           (result == CURLE_OPERATION_TIMEDOUT && !(connect_s > 0.0));
}

bool dt_transfer_slot_end(dt_transfer_slot *slot, CURLcode result, dt_transfer_verdict *verdict,
                          dt_error *err)
{
    dt_transfer *t = slot->transfer;
    const bool is_answer = slot->answer.status > 0 && !slot->problem;
    *verdict = DT_TRANSFER_FAIL;
    slot->is_unreachable = is_unreachable(slot, result);
    t->answer = slot->answer.status > 0 ? &slot->answer : NULL;
    if (is_answer && !is_success(slot)) /* even if its body was cut */
        *verdict = t->judge ? t->judge(t, &slot->answer, err) : dt_transfer_judge_http(t, &slot->answer, err);
    else if (is_answer && !is_same_object(slot)) /* also where this try was cut */
        (void)dt_fail(err, DT_ERR_DATA, "%s%s has changed while it was being read", NAME(t));
    else if (result != CURLE_OK)
        *verdict = judge_result(slot, result, err);
    else if (slot->n_received == 0 && t->kind != DT_TRANSFER_HEAD && (slot->problem = check_start(slot)))
        *verdict = judge_result(slot, result, err);
    else
        return has_all(slot, verdict, err);
    return false;
}

#endif
