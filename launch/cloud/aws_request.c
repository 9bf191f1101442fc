#include "config.h"

#include "launch/cloud/aws_request.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/base/waits.h"
#include "launch/cloud/aws_environment.h"
#include "launch/cloud/aws_error.h"
#include "launch/cloud/aws_service.h"

#ifdef HAVE_CURL
#    include <curl/curl.h>
#endif
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

const char *dt_aws_why_not(void)
{
#ifndef HAVE_CURL
    return "this build has no libcurl: " DT_WHY_NO_CURL;
#elif LIBCURL_VERSION_NUM < 0x075800
    return "this build has libcurl " DT_CURL_VERSION ", which signs requests to AWS since 7.88";
#elif !defined HAVE_EXPAT
    return "this build has no expat: " DT_WHY_NO_EXPAT;
#else
    return NULL;
#endif
}

dt_status dt_aws_form_add(char **form, const char *name, const char *value, dt_error *err)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const size_t old = *form ? strlen(*form) : 0, bytes = old + strlen(name) + 3 * strlen(value) + 3;
    char *longer = dt_realloc(*form, *form ? old + 1 : 0, bytes);
    if (!longer)
        return dt_fail_memory(err, bytes, "a request");
    char *end = longer + old;
    end += sprintf(end, "&%s=", name);
    for (const char *c = value; *c; c++)
        end += sprintf(end, strchr(plain, *c) ? "%c" : "%%%02X", (unsigned char)*c);
    *form = longer;
    return DT_OK;
}

void dt_aws_answer_free(dt_aws_answer *answer)
{
    dt_free(answer->text);
    *answer = (dt_aws_answer){0};
}

#if defined HAVE_CURL && LIBCURL_VERSION_NUM >= 0x075800

enum { MAX_ANSWER_BYTES = 32 << 20, MAX_WAIT_S = 20 };
#    define CONNECT_S 10L
#    define CLOCK_DIFFERENCE_S 240.0 /* AWS accepts signatures within 5 minutes; some of it is the way */

struct dt_aws_client {
    const dt_aws_credentials *credentials;
    dt_aws_options options;
    CURL *easy;
    char why[CURL_ERROR_SIZE];
};

/* -- one try --------------------------------------------------------------------------------------------- */

typedef struct call {
    const dt_aws_request *request;
    char url[DT_AWS_URL_BYTES], signature[128];
    char *body;
    struct curl_slist *headers;
} call;

typedef struct try_result {
    CURLcode result;
    long status;
    char *text;
    size_t bytes, space;
    double server_s; /* the server's clock; NAN: it named none */
} try_result;

static size_t append(char *data, size_t size, size_t n, void *context)
{
    try_result *t = context;
    const size_t bytes = size * n;
    if (bytes >= MAX_ANSWER_BYTES - t->bytes)
        return 0;
    if (t->bytes + bytes + 1 > t->space) {
        const size_t space = 2 * (t->bytes + bytes) + 4096;
        char *more = dt_realloc(t->text, t->space, space);
        if (!more)
            return 0;
        t->text = more;
        t->space = space;
    }
    memcpy(t->text + t->bytes, data, bytes);
    t->bytes += bytes;
    t->text[t->bytes] = '\0';
    return bytes;
}

static size_t read_header(char *data, size_t size, size_t n, void *context)
{
    char date[64];
    const size_t bytes = size * n, name = strlen("date:");
    if (bytes > name && bytes < sizeof date && strncasecmp(data, "date:", name) == 0) {
        snprintf(date, sizeof date, "%.*s", (int)(bytes - name), data + name);
        const time_t t = curl_getdate(date, NULL);
        if (t > 0)
            ((try_result *)context)->server_s = (double)t;
    }
    return bytes;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)context;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return dt_waits_stop_requested() != NULL; /* not 0: curl ends the request */
}

static CURLcode set_up(dt_aws_client *client, const call *c, try_result *t)
{
    CURL *e = client->easy;
    const dt_aws_credentials *k = client->credentials;
    const char *bundle = dt_aws_environment("AWS_CA_BUNDLE");
    curl_easy_reset(e); /* keeps the connections */
    /* Without CURLOPT_NOSIGNAL, so that curl ignores SIGPIPE while OpenSSL writes. */
    CURLcode r[] = {
        curl_easy_setopt(e, CURLOPT_URL, c->url),
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https"),
        curl_easy_setopt(e, CURLOPT_AWS_SIGV4, c->signature),
        curl_easy_setopt(e, CURLOPT_USERNAME, k->key_id),
        curl_easy_setopt(e, CURLOPT_PASSWORD, k->secret),
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers),
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->body),
        curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L),
        curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, CONNECT_S),
        curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(client->options.timeout_s * 1000.0)),
        curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, append),
        curl_easy_setopt(e, CURLOPT_WRITEDATA, t),
        curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, read_header),
        curl_easy_setopt(e, CURLOPT_HEADERDATA, t),
        curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L),
        curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress),
        curl_easy_setopt(e, CURLOPT_ERRORBUFFER, client->why),
        curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L),
    };
    for (size_t i = 0; i < sizeof r / sizeof r[0]; i++)
        if (r[i] != CURLE_OK)
            return r[i];
    return bundle ? curl_easy_setopt(e, CURLOPT_CAINFO, bundle) : CURLE_OK;
}

static void try_once(dt_aws_client *client, const call *c, try_result *t)
{
    t->bytes = 0;
    t->status = 0;
    t->server_s = NAN;
    client->why[0] = '\0';
    if (t->text)
        t->text[0] = '\0';
    t->result = set_up(client, c, t);
    if (t->result == CURLE_OK)
        t->result = curl_easy_perform(client->easy);
    (void)curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &t->status);
}

/* -- a call ---------------------------------------------------------------------------------------------- */

/* "us-east-1", "us-gov-west-1": it becomes a part of the host's name. */
static bool is_region(const char *region)
{
    const size_t n = strlen(region);
    return n > 0 && n <= 32 && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
           strchr(region, '-') && region[n - 1] >= '0' && region[n - 1] <= '9';
}

static bool add_header(call *c, const char *name, const char *first, const char *second)
{
    char *text = dt_strprintf("%s: %s%s%s", name, first, second ? "." : "", second ? second : "");
    struct curl_slist *longer = text ? curl_slist_append(c->headers, text) : NULL;
    if (text)
        explicit_bzero(text, strlen(text));
    dt_free(text);
    if (longer)
        c->headers = longer;
    return longer != NULL;
}

static dt_status prepare(const dt_aws_client *client, const dt_aws_request *q, call *c, dt_error *err)
{
    const dt_aws_service_info *service = dt_aws_service_get(q->service);
    const char *version = service->version, *token = client->credentials->token;
    *c = (call){.request = q};
    if (!is_region(q->region))
        return dt_fail(err, DT_ERR_USAGE, "'%s' is not the name of an AWS region, such as us-east-1",
                       q->region);
    dt_aws_service_url(q->service, q->region, c->url);
    snprintf(c->signature, sizeof c->signature, "aws:amz:%s:%s", dt_aws_service_region(q->service, q->region),
             service->name);
    c->body = version ? dt_strprintf("Action=%s&Version=%s%s", q->action, version,
                                     q->parameters ? q->parameters : "")
                      : dt_strdup(q->parameters ? q->parameters : "{}");
    if (c->body &&
        add_header(c, "Content-Type",
                   version ? "application/x-www-form-urlencoded; charset=utf-8"
                           : "application/x-amz-json-1.1",
                   NULL) &&
        (version || add_header(c, "X-Amz-Target", service->target, q->action)) &&
        (!token || add_header(c, "X-Amz-Security-Token", token, NULL)))
        return DT_OK;
    return dt_fail_memory(err, DT_AWS_URL_BYTES, "a request");
}

/* AWS has answered with an error. *kind says of which kind it is. */
static dt_status refused(const dt_aws_client *client, const call *c, const try_result *t,
                         dt_aws_refusal_kind *kind, dt_aws_answer *answer, dt_error *err)
{
    dt_aws_refusal r;
    const dt_aws_request *q = c->request;
    const char *source = client->credentials->source, *service = dt_aws_service_get(q->service)->name;
    const double late_s = t->server_s - dt_clock_unix_s();
    *kind = dt_aws_refusal_parse((int)t->status, t->text ? t->text : "", t->bytes, &r);
    for (const char *const *code = q->error_codes; code && *code && *kind != DT_AWS_REFUSES_NOW; code++)
        if (strcmp(*code, r.code) == 0) {
            snprintf(answer->error_code, sizeof answer->error_code, "%s", r.code);
            snprintf(answer->message, sizeof answer->message, "%s", r.message);
            return DT_OK;
        }
    if (*kind == DT_AWS_REFUSES_CREDENTIALS && fabs(late_s) > CLOCK_DIFFERENCE_S) /* false for NAN */
        return dt_fail(
            err, DT_ERR_USAGE,
            "AWS does not accept the signature (%s), because this machine's clock is %.0f minutes %s: "
            "set it",
            r.code, fabs(late_s) / 60.0, late_s > 0.0 ? "slow" : "fast");
    if (*kind == DT_AWS_REFUSES_CREDENTIALS)
        return dt_fail(err, DT_ERR_USAGE, "AWS does not accept the credentials from %s (%s: %s)", source,
                       r.code, r.message);
    if (*kind == DT_AWS_REFUSES_ACTION)
        return dt_fail(
            err, DT_ERR_USAGE,
            "the credentials from %s may not do %s:%s (%s): the policy in launch/README.md allows it", source,
            service, q->action, r.code);
    return dt_fail(err, DT_ERR_IO, "%s:%s in %s: AWS answered %ld %s: %s", service, q->action, q->region,
                   t->status, r.code[0] ? r.code : "without a code", r.message);
}

/* A missing answer that may come at the next try. */
static bool may_come(CURLcode result)
{
    static const CURLcode never[] = {
        CURLE_COULDNT_RESOLVE_HOST, CURLE_UNSUPPORTED_PROTOCOL,     CURLE_URL_MALFORMAT,
        CURLE_OUT_OF_MEMORY,        CURLE_PEER_FAILED_VERIFICATION, CURLE_WRITE_ERROR,
        CURLE_SSL_CACERT_BADFILE,   CURLE_ABORTED_BY_CALLBACK};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (result == never[i])
            return false;
    return true;
}

/* *again: the next try may bring another result. */
static dt_status judge(const dt_aws_client *client, const call *c, const try_result *t, bool *again,
                       dt_aws_answer *answer, dt_error *err)
{
    const dt_aws_request *q = c->request;
    dt_aws_refusal_kind kind = DT_AWS_REFUSES;
    *again = false;
    if (t->result != CURLE_OK) {
        DT_TRY(dt_waits_check("asking AWS", err));
        *again = may_come(t->result);
        if (t->result == CURLE_COULDNT_RESOLVE_HOST)
            return dt_fail(err, DT_ERR_IO, "%s: %s (is %s a region, and this machine on the internet?)",
                           c->url, client->why, q->region);
        return dt_fail(err, DT_ERR_IO, "%s:%s, %s: %s", dt_aws_service_get(q->service)->name, q->action,
                       c->url, client->why[0] ? client->why : curl_easy_strerror(t->result));
    }
    if (t->status == 200)
        return DT_OK;
    const dt_status status = refused(client, c, t, &kind, answer, err);
    *again = kind == DT_AWS_REFUSES_NOW;
    return status;
}

/* Waits a random time of at most twice as long each time, so that many clients do not come back together. */
static dt_status wait_before(const dt_aws_client *client, int n_tries, const char *why, dt_error *err)
{
    uint32_t random = UINT32_MAX;
    const double most_s = fmin(ldexp(client->options.wait_s, n_tries - 1), MAX_WAIT_S);
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    const double wait_s = most_s * random / UINT32_MAX, until_s = dt_clock_s() + wait_s;
    const int left = client->options.max_tries - n_tries;
    dt_log_warn("%s; trying again in %.1f s (%d more time%s)", why, wait_s, left, DT_PLURAL(left));
    for (double left_s; (left_s = until_s - dt_clock_s()) > 0.0;) {
        DT_TRY(dt_waits_check("asking AWS", err));
        dt_clock_sleep_s(fmin(left_s, 0.1));
    }
    return dt_waits_check("asking AWS", err);
}

dt_status dt_aws_call(dt_aws_client *client, const dt_aws_request *request, dt_aws_answer *answer,
                      dt_error *err)
{
    call c;
    try_result t = {0};
    dt_aws_answer a = {0};
    dt_error why = {0};
    bool again = true;
    dt_status status = prepare(client, request, &c, err);
    for (int n = 1; status == DT_OK; n++) {
        try_once(client, &c, &t);
        status = judge(client, &c, &t, &again, &a, &why);
        if (!again || n == client->options.max_tries) {
            if (status != DT_OK && err)
                *err = why;
            break;
        }
        status = wait_before(client, n, why.message, err);
    }
    curl_slist_free_all(c.headers);
    dt_free(c.body);
    if (status == DT_OK && !t.text && !(t.text = dt_strdup("")))
        status = dt_fail_memory(err, 1, "an answer");
    if (status != DT_OK) {
        dt_free(t.text);
        return status;
    }
    a.text = t.text;
    a.bytes = t.bytes;
    *answer = a;
    return DT_OK;
}

dt_status dt_aws_client_create(const dt_aws_credentials *credentials, const dt_aws_options *options,
                               dt_aws_client **client, dt_error *err)
{
    if (dt_aws_why_not())
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s", dt_aws_why_not());
    dt_aws_client *c = dt_calloc(1, sizeof *c);
    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        dt_free(c);
        return dt_fail_memory(err, sizeof *c, "a client of AWS");
    }
    c->credentials = credentials;
    c->options.timeout_s = options->timeout_s > 0.0 ? options->timeout_s : 30.0;
    c->options.wait_s = options->wait_s > 0.0 ? options->wait_s : 0.5;
    c->options.max_tries = options->max_tries > 0 ? options->max_tries : 5;
    c->easy = curl_easy_init();
    if (c->easy) {
        *client = c;
        return DT_OK;
    }
    dt_aws_client_destroy(c);
    return dt_fail_memory(err, sizeof *c, "a client of AWS");
}

void dt_aws_client_destroy(dt_aws_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->easy);
    dt_free(client);
    curl_global_cleanup();
}

#else

dt_status dt_aws_client_create(const dt_aws_credentials *credentials, const dt_aws_options *options,
                               dt_aws_client **client, dt_error *err)
{
    (void)credentials;
    (void)options;
    (void)client;
    return dt_fail(err, DT_ERR_UNSUPPORTED, "%s", dt_aws_why_not());
}

void dt_aws_client_destroy(dt_aws_client *client)
{
    (void)client;
}

dt_status dt_aws_call(dt_aws_client *client, const dt_aws_request *request, dt_aws_answer *answer,
                      dt_error *err)
{
    (void)client;
    (void)request;
    (void)answer;
    return dt_fail(err, DT_ERR_UNSUPPORTED, "%s", dt_aws_why_not());
}

#endif
