#include "config.h"

#include "launch/cloud/http.h"

#ifdef HAVE_CURL

#    include "core/base/alloc.h"

#    include <curl/curl.h>
#    include <stdatomic.h>
#    include <stdio.h>
#    include <string.h>

typedef struct http_curl {
    dt_http head;
    CURL *easy;
    CURLM *multi; /* another thread can wake it */
    char endpoint[256];
    char why[CURL_ERROR_SIZE];
    atomic_bool cancelled;
    char *body; /* of the request that is under way */
    size_t body_bytes, used;
} http_curl;

/* curl's write function: appends to the body what fits, and drops the rest. */
static size_t append_to_body(char *data, size_t size, size_t n, void *context)
{
    http_curl *h = context;
    const size_t bytes = size * n, space = h->body_bytes - 1 - h->used, kept = bytes < space ? bytes : space;
    memcpy(h->body + h->used, data, kept);
    h->used += kept;
    return bytes;
}

static CURLcode perform(http_curl *h)
{
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    int running = 1, left;
    if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (running && !atomic_load(&h->cancelled)) {
        if (curl_multi_perform(h->multi, &running) != CURLM_OK)
            break;
        if (running)
            (void)curl_multi_poll(h->multi, NULL, 0, 1000, NULL);
    }
    for (const CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;)
        if (m->msg == CURLMSG_DONE)
            result = m->data.result;
    (void)curl_multi_remove_handle(h->multi, h->easy);
    return result;
}

static dt_status request(dt_http *http, const char *method, const char *path, const char *header, char *body,
                         size_t body_bytes, int *code, dt_error *err)
{
    http_curl *h = (http_curl *)http;
    char url[512];
    long answered = 0;
    struct curl_slist *headers = header ? curl_slist_append(NULL, header) : NULL;
    if (header && !headers)
        return dt_fail_memory(err, strlen(header), "a request's header");
    snprintf(url, sizeof url, "%s%s", h->endpoint, path);
    h->body = body;
    h->body_bytes = body_bytes;
    h->used = 0;
    h->why[0] = '\0';
    CURLcode result = curl_easy_setopt(h->easy, CURLOPT_URL, url);
    if (result == CURLE_OK)
        result = curl_easy_setopt(h->easy, CURLOPT_CUSTOMREQUEST, method);
    if (result == CURLE_OK)
        result = curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, headers);
    if (result == CURLE_OK)
        result = perform(h);
    body[h->used] = '\0';
    (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &answered);
    curl_slist_free_all(headers);
    if (atomic_load(&h->cancelled))
        return dt_fail(err, DT_ERR_INTERRUPTED, "%s %s: cancelled", method, url);
    if (result != CURLE_OK)
        return dt_fail(err, DT_ERR_IO, "%s %s: %s", method, url,
                       h->why[0] ? h->why : curl_easy_strerror(result));
    *code = (int)answered;
    return DT_OK;
}

static void cancel(dt_http *http)
{
    http_curl *h = (http_curl *)http;
    atomic_store(&h->cancelled, true);
    (void)curl_multi_wakeup(h->multi);
}

static void destroy(dt_http *http)
{
    http_curl *h = (http_curl *)http;
    if (!h)
        return;
    curl_easy_cleanup(h->easy);
    if (h->multi)
        (void)curl_multi_cleanup(h->multi);
    dt_free(h);
    curl_global_cleanup();
}

static CURLcode set_up(http_curl *h, double timeout_s)
{
    CURL *c = h->easy;
    CURLcode r[] = {
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L), /* time limits without SIGALRM */
        curl_easy_setopt(c, CURLOPT_PROXY, ""),    /* none, even if the environment sets one */
        curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(timeout_s * 1000.0)),
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L),
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, append_to_body),
        curl_easy_setopt(c, CURLOPT_WRITEDATA, h),
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->why),
        curl_easy_setopt(c, CURLOPT_HTTP09_ALLOWED, 0L),
#    if LIBCURL_VERSION_NUM >= 0x075700
        curl_easy_setopt(c, CURLOPT_QUICK_EXIT,
                         1L), /* does not wait for a name server that does not answer */
#    endif
    };
    for (size_t i = 0; i < sizeof r / sizeof r[0]; i++)
        if (r[i] != CURLE_OK)
            return r[i];
    return CURLE_OK;
}

bool dt_http_is_built_in(void)
{
    return true;
}

dt_status dt_http_create(const char *endpoint, double timeout_s, dt_http **http, dt_error *err)
{
    static const dt_http_ops ops = {.destroy = destroy, .request = request, .cancel = cancel};
    size_t length = strlen(endpoint);
    http_curl *h = dt_calloc(1, sizeof *h);
    if (!h || curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) { /* no TLS here */
        dt_free(h);
        return dt_fail_memory(err, sizeof *h, "an HTTP client");
    }
    h->head.ops = &ops;
    while (length > 0 && endpoint[length - 1] == '/')
        length--;
    snprintf(h->endpoint, sizeof h->endpoint, "%.*s", (int)length, endpoint);
    h->easy = curl_easy_init();
    h->multi = curl_multi_init();
    if (h->easy && h->multi && set_up(h, timeout_s) == CURLE_OK) {
        *http = &h->head;
        return DT_OK;
    }
    destroy(&h->head);
    return dt_fail_memory(err, sizeof *h, "an HTTP client");
}

#else

bool dt_http_is_built_in(void)
{
    return false;
}

dt_status dt_http_create(const char *endpoint, double timeout_s, dt_http **http, dt_error *err)
{
    (void)timeout_s;
    (void)http;
    return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: this build has no libcurl", endpoint);
}

#endif
