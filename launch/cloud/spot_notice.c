#include "config.h"

#include "launch/cloud/spot_notice.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/ticker.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TOKEN_PATH "/latest/api/token"
#define NOTICE_PATH "/latest/meta-data/spot/instance-action"
#define REBALANCE_PATH "/latest/meta-data/events/recommendations/rebalance"

#define PROMISED_S 120.0
enum { BODY_BYTES = 2048, TOKEN_BYTES = 1024, WHEN_BYTES = 40, LONGEST_TTL_S = 21600 };

struct dt_spot_notice {
    dt_http *http;
    dt_ticker *ticker;

    /* used by the thread only */
    dt_spot_notice_options options;
    char token[TOKEN_BYTES];
    double renew_at_s;
    bool warned_of_failure;
    char rebalance[WHEN_BYTES]; /* the time of the recommendation that was reported last */

    /* written once, before `noticed` */
    char why[160];
    double end_s; /* by dt_clock_s */
    atomic_bool noticed;
    atomic_bool save; /* a recommendation that save_requested has not returned yet */
};

/* -- parsing --------------------------------------------------------------------------------------------- */

/* YYYY-MM-DDThh:mm:ss[.fff]Z */
static bool parse_utc(const char *text, double *unix_s)
{
    struct tm t = {0};
    int end = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
               &t.tm_sec, &end) != 6)
        return false;
    const char *rest = text + end;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (strcmp(rest, "Z") != 0 || t.tm_mon < 1 || t.tm_mon > 12)
        return false;
    t.tm_year -= 1900;
    t.tm_mon--;
    *unix_s = (double)timegm(&t);
    return true;
}

/* Copies a JSON string of letters, digits and "-:.+". Refuses others: they could forge log lines. */
static bool copy_word(const json_t *value, char *out, size_t out_bytes)
{
    const char *text = json_string_value(value);
    if (!text || !text[0] || strlen(text) >= out_bytes)
        return false;
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-:.+", *p))
            return false;
    snprintf(out, out_bytes, "%s", text);
    return true;
}

bool dt_spot_notice_parse(const char *text, double now_unix_s, char *action, size_t action_bytes, char *when,
                          size_t when_bytes, double *left_s)
{
    double at;
    json_t *root = json_loads(text, 0, NULL);
    const bool there =
        copy_word(json_object_get(root, "action"), action, action_bytes) &&
        (strcmp(action, "terminate") == 0 || strcmp(action, "stop") == 0 || strcmp(action, "hibernate") == 0);
    if (there) {
        *left_s = PROMISED_S;
        if (!copy_word(json_object_get(root, "time"), when, when_bytes))
            snprintf(when, when_bytes, "an unknown time");
        else if (parse_utc(when, &at) && at - now_unix_s > -60.0 && at - now_unix_s < 900.0)
            *left_s = at > now_unix_s ? at - now_unix_s : 0.0;
    }
    json_decref(root);
    return there;
}

bool dt_spot_notice_parse_rebalance(const char *text, char *when, size_t when_bytes)
{
    json_t *root = json_loads(text, 0, NULL);
    const bool there = copy_word(json_object_get(root, "noticeTime"), when, when_bytes);
    json_decref(root);
    return there;
}

/* -- requests -------------------------------------------------------------------------------------------- */

static dt_status renew_token(dt_spot_notice *s, dt_error *err)
{
    char header[80];
    int code = 0;
    const double requested_s = dt_clock_s();
    s->token[0] = '\0';
    snprintf(header, sizeof header, "X-aws-ec2-metadata-token-ttl-seconds: %d", s->options.token_ttl_s);
    DT_TRY(s->http->ops->request(s->http, "PUT", TOKEN_PATH, header, s->token, sizeof s->token, &code, err));
    bool good = code == 200 && s->token[0] && strlen(s->token) < sizeof s->token - 1;
    for (const char *p = s->token; *p; p++)
        good = good && isgraph((unsigned char)*p);
    if (good) {
        s->renew_at_s = requested_s + 0.9 * s->options.token_ttl_s;
        return DT_OK;
    }
    s->token[0] = '\0';
    if (code == 200)
        return dt_fail(err, DT_ERR_FORMAT, "PUT " TOKEN_PATH " did not return a token");
    return dt_fail(err, DT_ERR_IO, "PUT " TOKEN_PATH " was answered with %d", code);
}

static dt_status get_once(dt_spot_notice *s, const char *path, char *body, int *code, dt_error *err)
{
    char header[TOKEN_BYTES + 32];
    if (!s->token[0] || dt_clock_s() >= s->renew_at_s)
        DT_TRY(renew_token(s, err));
    snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", s->token);
    return s->http->ops->request(s->http, "GET", path, header, body, BODY_BYTES, code, err);
}

/* *there: the status was 200, and `body` is the answer. DT_OK also for 404. */
static dt_status get(dt_spot_notice *s, const char *path, char *body, bool *there, dt_error *err)
{
    int code = 0;
    DT_TRY(get_once(s, path, body, &code, err));
    if (code == 401) { /* the instance was hibernated, or the service was restarted */
        s->token[0] = '\0';
        DT_TRY(get_once(s, path, body, &code, err));
    }
    *there = code == 200;
    return *there || code == 404 ? DT_OK : dt_fail(err, DT_ERR_IO, "GET %s was answered with %d", path, code);
}

static dt_status poll_notice(dt_spot_notice *s, dt_error *err)
{
    char body[BODY_BYTES], action[16], when[WHEN_BYTES];
    bool there = false;
    double left_s;
    DT_TRY(get(s, NOTICE_PATH, body, &there, err));
    if (!there)
        return DT_OK;
    if (!dt_spot_notice_parse(body, dt_clock_unix_s(), action, sizeof action, when, sizeof when, &left_s))
        return dt_fail(err, DT_ERR_FORMAT, "GET " NOTICE_PATH " did not return a notice");
    s->end_s = dt_clock_s() + left_s;
    snprintf(s->why, sizeof s->why, "an EC2 spot notice: %s at %s", action, when);
    atomic_store(&s->noticed, true);
    dt_log_warn("EC2 will take this instance back: %s at %s, in %.0f s; stopping with a checkpoint", action,
                when, left_s);
    return DT_OK;
}

static dt_status poll_rebalance(dt_spot_notice *s, dt_error *err)
{
    char body[BODY_BYTES], when[WHEN_BYTES];
    bool there = false;
    DT_TRY(get(s, REBALANCE_PATH, body, &there, err));
    if (!there)
        return DT_OK;
    if (!dt_spot_notice_parse_rebalance(body, when, sizeof when))
        return dt_fail(err, DT_ERR_FORMAT, "GET " REBALANCE_PATH " did not return a recommendation");
    if (strcmp(when, s->rebalance) == 0)
        return DT_OK;
    snprintf(s->rebalance, sizeof s->rebalance, "%s", when);
    atomic_store(&s->save, true);
    dt_log_warn("EC2 may soon take this instance back (rebalance recommendation of %s): writing a checkpoint "
                "now; training goes on",
                when);
    return DT_OK;
}

static double tick(void *context)
{
    dt_spot_notice *s = context;
    dt_error why = {0};
    dt_status status = poll_notice(s, &why);
    if (atomic_load(&s->noticed))
        return INFINITY;
    if (status == DT_OK)
        status = poll_rebalance(s, &why);
    if (status != DT_OK && status != DT_ERR_INTERRUPTED && !s->warned_of_failure) {
        s->warned_of_failure = true;
        dt_log_warn("--spot: the metadata service cannot be polled for interruptions: %s; retrying every %g "
                    "s (--spot off: never)",
                    why.message, s->options.poll_s);
    }
    return s->options.poll_s;
}

/* -- called by the training's thread --------------------------------------------------------------------- */

const char *dt_spot_notice_stop_requested(dt_spot_notice *s)
{
    return atomic_load(&s->noticed) ? s->why : NULL;
}

double dt_spot_notice_seconds_left(dt_spot_notice *s)
{
    return atomic_load(&s->noticed) ? s->end_s - dt_clock_s() : INFINITY;
}

const char *dt_spot_notice_save_requested(dt_spot_notice *s)
{
    return atomic_exchange(&s->save, false) ? "EC2's rebalance recommendation" : NULL;
}

dt_status dt_spot_notice_create(dt_http *http, const dt_spot_notice_options *options, dt_spot_notice **spot,
                                dt_error *err)
{
    dt_spot_notice *s = dt_calloc(1, sizeof *s);
    if (!s) {
        http->ops->destroy(http);
        return dt_fail_memory(err, sizeof *s, "the thread that polls for spot notices");
    }
    s->http = http;
    s->options = *options;
    if (s->options.poll_s <= 0.0)
        s->options.poll_s = 5.0;
    if (s->options.token_ttl_s <= 0)
        s->options.token_ttl_s = LONGEST_TTL_S;
    const dt_status status =
        dt_ticker_create(tick, s, "the thread that polls for spot notices", &s->ticker, err);
    if (status == DT_OK)
        *spot = s;
    else
        dt_spot_notice_destroy(s);
    return status;
}

void dt_spot_notice_destroy(dt_spot_notice *s)
{
    if (!s)
        return;
    s->http->ops->cancel(s->http);
    dt_ticker_destroy(s->ticker);
    s->http->ops->destroy(s->http);
    dt_free(s);
}
