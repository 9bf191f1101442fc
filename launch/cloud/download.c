#include "config.h"

#include "launch/cloud/download.h"

#include <string.h>
#include <strings.h>

/* A scheme in any case, and something after it. */
static bool begins_with(const char *url, const char *scheme)
{
    return strncasecmp(url, scheme, strlen(scheme)) == 0 && url[strlen(scheme)] != '\0';
}

static dt_status check_scheme(const char *url, dt_error *err)
{
    if (begins_with(url, "http://") || begins_with(url, "https://"))
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE, "'%s' does not begin with http:// or https:// and a host", url);
}

#ifdef HAVE_CURL

#    include "core/base/alloc.h"
#    include "core/base/clock.h"
#    include "core/base/waits.h"

#    include <curl/curl.h>

#    define ANSWER_WITHIN_S 30L /* a server that has not accepted the connection by then */
#    define REDIRECTIONS 5L

typedef struct receiver {
    int64_t bytes;
    double start_s, last_s, until_s;
    const char *stop; /* the reason to stop; NULL: none */
    bool is_late;     /* the limit has passed */
} receiver;

/* curl's write function. Returning less than it got ends the transfer. */
static size_t drop(char *data, size_t size, size_t n, void *context)
{
    receiver *r = context;
    (void)data;
    r->bytes += (int64_t)(size * n);
    r->last_s = dt_clock_s();
    r->is_late = r->last_s >= r->until_s;
    return r->is_late ? 0 : size * n;
}

/* curl's progress function, called at least once a second. Anything but 0 ends the transfer. */
static int ask(void *context, curl_off_t all, curl_off_t now, curl_off_t up_all, curl_off_t up_now)
{
    receiver *r = context;
    (void)all, (void)now, (void)up_all, (void)up_now;
    r->stop = dt_waits_stop_requested();
    r->is_late = r->is_late || (r->bytes > 0 && dt_clock_s() >= r->until_s);
    return r->stop || r->is_late;
}

static CURLcode set_up(CURL *c, const char *url, receiver *r, char why[CURL_ERROR_SIZE])
{
    CURLcode results[] = {
        curl_easy_setopt(c, CURLOPT_URL, url),
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L), /* time limits without SIGALRM */
        curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L),
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, ANSWER_WITHIN_S),
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L),
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, ANSWER_WITHIN_S),
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L),
        curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTIONS),
#    if LIBCURL_VERSION_NUM >= 0x075500
        curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https"),
        curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https"),
#    else
        curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)),
        curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)),
#    endif
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop),
        curl_easy_setopt(c, CURLOPT_WRITEDATA, r),
        curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L),
        curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, ask),
        curl_easy_setopt(c, CURLOPT_XFERINFODATA, r),
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why),
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (results[i] != CURLE_OK)
            return results[i];
    return CURLE_OK;
}

static dt_status describe(const char *url, CURLcode result, const receiver *r, const char *why, dt_error *err)
{
    if (r->stop)
        return dt_fail(err, DT_ERR_INTERRUPTED, "%s: stopped on %s", url, r->stop);
    if (result == CURLE_OUT_OF_MEMORY)
        return dt_fail_memory(err, sizeof *r, "a download");
    if (result != CURLE_OK && !r->is_late)
        return dt_fail(err, DT_ERR_IO, "%s: %s", url, why[0] ? why : curl_easy_strerror(result));
    if (r->bytes == 0)
        return dt_fail(err, DT_ERR_IO, "%s: the answer is empty: name a file of some megabytes", url);
    return DT_OK;
}

dt_status dt_download_measure(const char *url, double limit_s, dt_download *download, dt_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    DT_TRY(check_scheme(url, err));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return dt_fail_memory(err, sizeof(receiver), "a download");
    const double now = dt_clock_s();
    receiver r = {.start_s = now, .last_s = now, .until_s = now + limit_s};
    CURL *easy = curl_easy_init();
    CURLcode result = easy ? set_up(easy, url, &r, why) : CURLE_OUT_OF_MEMORY;
    if (result == CURLE_OK)
        result = curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    curl_global_cleanup();
    DT_TRY(describe(url, result, &r, why, err));
    *download = (dt_download){.bytes = r.bytes, .seconds = r.last_s - r.start_s};
    return DT_OK;
}

#else

dt_status dt_download_measure(const char *url, double limit_s, dt_download *download, dt_error *err)
{
    (void)limit_s;
    (void)download;
    DT_TRY(check_scheme(url, err));
    return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: this build has no libcurl", url);
}

#endif
