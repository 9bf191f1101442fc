/* Polling for spot notices, against a service whose answers a test sets: what is parsed, requested and
 * logged, and that a slow service does not block the caller. */
#include "launch/cloud/spot_notice.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* -- a service ------------------------------------------------------------------------------------------- */

typedef struct service {
    dt_http head;
    pthread_mutex_t mutex;
    pthread_cond_t was_cancelled;
    bool cancelled;

    /* set by a test, under the mutex */
    const char *notice, *rebalance; /* NULL: 404 */
    const char *token;              /* the one that it returns; NULL: "t1", "t2", ... */
    int fail;                       /* the status of every answer; 0: usual answers */
    bool hangs, refuses;            /* no answer; 401 to the next GET, once */

    int n_tokens, n_gets, n_refused;
    char last_header[2048];
} service;

static service s;

static dt_status request(dt_http *http, const char *method, const char *path, const char *header, char *body,
                         size_t body_bytes, int *code, dt_error *err)
{
    (void)http;
    char expected[64];
    const char *text = NULL;
    pthread_mutex_lock(&s.mutex);
    while (s.hangs && !s.cancelled)
        pthread_cond_wait(&s.was_cancelled, &s.mutex);
    snprintf(s.last_header, sizeof s.last_header, "%s", header);
    body[0] = '\0';
    *code = 404;
    if (s.fail) {
        *code = s.fail;
    } else if (strcmp(method, "PUT") == 0) {
        DT_CHECK_STR(path, "/latest/api/token");
        *code = 200;
        s.n_tokens++;
        if (s.token)
            snprintf(body, body_bytes, "%s", s.token);
        else
            snprintf(body, body_bytes, "t%d", s.n_tokens);
    } else {
        s.n_gets++;
        snprintf(expected, sizeof expected, "X-aws-ec2-metadata-token: t%d", s.n_tokens);
        DT_CHECK_STR(header, expected);
        text = strstr(path, "instance-action") ? s.notice : s.rebalance;
        if (s.refuses)
            *code = 401, s.n_refused++;
        else if (text)
            *code = 200;
        s.refuses = false;
    }
    if (*code == 200 && text)
        snprintf(body, body_bytes, "%s", text);
    const bool cancelled = s.cancelled;
    pthread_mutex_unlock(&s.mutex);
    return cancelled ? dt_fail(err, DT_ERR_INTERRUPTED, "cancelled") : DT_OK;
}

static void cancel(dt_http *http)
{
    (void)http;
    pthread_mutex_lock(&s.mutex);
    s.cancelled = true;
    pthread_cond_broadcast(&s.was_cancelled);
    pthread_mutex_unlock(&s.mutex);
}

static void destroy(dt_http *http)
{
    (void)http;
}

static const dt_http_ops service_ops = {.destroy = destroy, .request = request, .cancel = cancel};

static char log_text[4096];
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;

static void keep_line(void *context, dt_log_level level, const char *text)
{
    (void)context;
    (void)level;
    pthread_mutex_lock(&log_mutex);
    const size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", text);
    pthread_mutex_unlock(&log_mutex);
}

static int lines_with(const char *part)
{
    int n = 0;
    pthread_mutex_lock(&log_mutex);
    for (const char *p = log_text; (p = strstr(p, part)) != NULL; p++)
        n++;
    pthread_mutex_unlock(&log_mutex);
    return n;
}

static dt_spot_notice *watch(int token_ttl_s)
{
    dt_spot_notice *spot = NULL;
    dt_error err = {0};
    log_text[0] = '\0';
    dt_log_set_sink(keep_line, NULL, DT_LOG_INFO);
    s = (service){.head = {&service_ops},
                  .mutex = PTHREAD_MUTEX_INITIALIZER,
                  .was_cancelled = PTHREAD_COND_INITIALIZER};
    DT_REQUIRE(dt_spot_notice_create(&s.head,
                                     &(dt_spot_notice_options){.poll_s = 0.01, .token_ttl_s = token_ttl_s},
                                     &spot, &err) == DT_OK);
    return spot;
}

static void leave(dt_spot_notice *spot)
{
    dt_spot_notice_destroy(spot);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
}

#define SET(what)                                                                                            \
    do {                                                                                                     \
        pthread_mutex_lock(&s.mutex);                                                                        \
        what;                                                                                                \
        pthread_mutex_unlock(&s.mutex);                                                                      \
    } while (0)

static int count(const int *n)
{
    pthread_mutex_lock(&s.mutex);
    const int now = *n;
    pthread_mutex_unlock(&s.mutex);
    return now;
}

/* The program's time limit ends a wait for a condition that never holds. */
#define WAIT_UNTIL(condition)                                                                                \
    while (!(condition))                                                                                     \
    dt_clock_sleep_s(0.002)

static void wait_for_polls(int n)
{
    const int until = count(&s.n_gets) + 2 * n;
    WAIT_UNTIL(count(&s.n_gets) >= until);
}

/* -- parsing --------------------------------------------------------------------------------------------- */

#define NOW 1788393600.0 /* 2026-09-03T00:00:00Z */

static void notices_are_parsed(void)
{
    static const struct {
        const char *text, *action, *when;
        double left_s;
    } cases[] = {
        {"{\"action\": \"terminate\", \"time\": \"2026-09-03T00:02:00Z\"}", "terminate",
         "2026-09-03T00:02:00Z", 120},
        {"{\"action\":\"stop\",\"time\":\"2026-09-03T00:00:30Z\"}\n", "stop", "2026-09-03T00:00:30Z", 30},
        {"{\"time\":\"2026-09-03T00:00:05.250Z\",\"action\":\"hibernate\",\"more\":[1]}", "hibernate",
         "2026-09-03T00:00:05.250Z", 5},
        {"{\"action\": \"terminate\", \"time\": \"2026-09-02T23:59:50Z\"}", "terminate",
         "2026-09-02T23:59:50Z", 0},
        /* clocks differ */
        {"{\"action\": \"terminate\", \"time\": \"2026-09-02T20:00:00Z\"}", "terminate",
         "2026-09-02T20:00:00Z", 120},
        {"{\"action\": \"terminate\", \"time\": \"2027-09-03T00:00:00Z\"}", "terminate",
         "2027-09-03T00:00:00Z", 120},
        /* the limits: up to a minute ago the time counts, and before 15 minutes */
        {"{\"action\": \"terminate\", \"time\": \"2026-09-02T23:59:01Z\"}", "terminate",
         "2026-09-02T23:59:01Z", 0},
        {"{\"action\": \"terminate\", \"time\": \"2026-09-02T23:59:00Z\"}", "terminate",
         "2026-09-02T23:59:00Z", 120},
        {"{\"action\": \"terminate\", \"time\": \"2026-09-03T00:00:00Z\"}", "terminate",
         "2026-09-03T00:00:00Z", 0},
        {"{\"action\": \"terminate\", \"time\": \"2026-09-03T00:14:59Z\"}", "terminate",
         "2026-09-03T00:14:59Z", 899},
        {"{\"action\": \"terminate\", \"time\": \"2026-09-03T00:15:00Z\"}", "terminate",
         "2026-09-03T00:15:00Z", 120},
        {"{\"action\": \"terminate\", \"time\": \"soon\"}", "terminate", "soon", 120},
        {"{\"action\": \"terminate\", \"time\": 7}", "terminate", "an unknown time", 120},
        {"{\"action\": \"terminate\"}", "terminate", "an unknown time", 120},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char action[16] = "", when[40] = "";
        double left_s = -1.0;
        DT_CHECK_MSG(
            dt_spot_notice_parse(cases[i].text, NOW, action, sizeof action, when, sizeof when, &left_s), "%s",
            cases[i].text);
        DT_CHECK_STR(action, cases[i].action);
        DT_CHECK_STR(when, cases[i].when);
        DT_CHECK_CLOSE(left_s, cases[i].left_s, 0);
    }
}

static void other_texts_are_not_parsed_as_notices(void)
{
    static const char *const cases[] = {"",
                                        "null",
                                        "[]",
                                        "7",
                                        "\"terminate\"",
                                        "{}",
                                        "{\"action\": 7}",
                                        "{\"action\": \"none\", \"time\": \"2026-09-03T00:02:00Z\"}",
                                        "{\"action\": \"terminate\"",
                                        "{\"action\": \"terminate\\n\"}",
                                        "<html>{\"action\": \"terminate\"}</html>",
                                        "{\"action\": \"terminateterminateterminate\"}"};
    char action[16], when[40];
    double left_s;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        DT_CHECK_MSG(!dt_spot_notice_parse(cases[i], NOW, action, sizeof action, when, sizeof when, &left_s),
                     "%s", cases[i]);
        DT_CHECK_MSG(!dt_spot_notice_parse_rebalance(cases[i], when, sizeof when), "%s", cases[i]);
    }
    DT_CHECK(
        !dt_spot_notice_parse_rebalance("{\"noticeTime\": \"a line\\nand another\"}", when, sizeof when));
    DT_CHECK(dt_spot_notice_parse_rebalance("{\"noticeTime\": \"2026-09-03T00:02:00Z\"}", when, sizeof when));
    DT_CHECK_STR(when, "2026-09-03T00:02:00Z");
}

/* -- polling --------------------------------------------------------------------------------------------- */

static void a_notice_requests_a_stop_with_a_deadline(void)
{
    dt_spot_notice *spot = watch(0);
    wait_for_polls(2);
    DT_CHECK_STR(dt_spot_notice_stop_requested(spot), NULL);
    DT_CHECK(isinf(dt_spot_notice_seconds_left(spot)));
    SET(s.notice = "{\"action\": \"terminate\", \"time\": \"2001-01-01T00:00:00Z\"}");
    WAIT_UNTIL(dt_spot_notice_stop_requested(spot));
    DT_CHECK_STR(dt_spot_notice_stop_requested(spot),
                 "an EC2 spot notice: terminate at 2001-01-01T00:00:00Z");
    const double left_s = dt_spot_notice_seconds_left(spot);
    DT_CHECK(left_s > 0.0 && left_s <= 120.0);
    SET(s.notice = NULL); /* a notice stands once it was received */
    dt_clock_sleep_s(0.05);
    DT_CHECK(dt_spot_notice_stop_requested(spot) && dt_spot_notice_seconds_left(spot) < left_s);
    DT_CHECK_INT(count(&s.n_tokens), 1);
    DT_CHECK_INT(lines_with("EC2 will take this instance back"), 1);
    leave(spot);
}

static void each_recommendation_requests_one_checkpoint(void)
{
    dt_spot_notice *spot = watch(0);
    const char *why;
    DT_CHECK_STR(dt_spot_notice_save_requested(spot), NULL);
    SET(s.rebalance = "{\"noticeTime\": \"2026-09-03T00:02:00Z\"}");
    WAIT_UNTIL((why = dt_spot_notice_save_requested(spot)) != NULL);
    DT_CHECK_CONTAINS(why, "rebalance");
    wait_for_polls(3);
    DT_CHECK_STR(dt_spot_notice_save_requested(spot), NULL);
    SET(s.rebalance = "{\"noticeTime\": \"2026-09-03T00:09:00Z\"}"); /* another one */
    WAIT_UNTIL(dt_spot_notice_save_requested(spot));
    DT_CHECK_INT(lines_with("rebalance recommendation of "), 2);
    DT_CHECK_STR(dt_spot_notice_stop_requested(spot), NULL);
    leave(spot);
}

static void tokens_are_renewed_before_they_expire_and_when_refused(void)
{
    dt_spot_notice *spot = watch(1);
    WAIT_UNTIL(count(&s.n_tokens) >= 2);
    DT_CHECK_INT(count(&s.n_refused), 0);
    leave(spot);
    spot = watch(0);
    wait_for_polls(2);
    SET(s.refuses = true);
    WAIT_UNTIL(count(&s.n_tokens) == 2);
    wait_for_polls(2);
    DT_CHECK_INT(count(&s.n_tokens), 2);
    DT_CHECK_INT(lines_with("cannot be polled"), 0);
    leave(spot);
}

static void failures_are_logged_once_and_polling_goes_on(void)
{
    dt_spot_notice *spot = watch(0);
    SET(s.fail = 500);
    WAIT_UNTIL(lines_with("was answered with 500") == 1);
    dt_clock_sleep_s(0.05);
    SET((s.fail = 0, s.notice = "<html>", s.rebalance = "garbage"));
    wait_for_polls(1);
    SET((s.notice = NULL, s.token = "not a token"));
    wait_for_polls(1);
    DT_CHECK_INT(lines_with("cannot be polled for interruptions"), 1);
    DT_CHECK_STR(dt_spot_notice_stop_requested(spot), NULL);
    DT_CHECK_STR(dt_spot_notice_save_requested(spot), NULL);
    SET(s.notice = "{\"action\": \"stop\"}");
    WAIT_UNTIL(dt_spot_notice_stop_requested(spot));
    leave(spot);
}

/* Each recommendation between failures requests one checkpoint; one that a failure hid is not lost, and a
 * token that was refused or never came is requested again. */
static void polling_recovers_after_each_failure(void)
{
    static const char *const recommendations[] = {"{\"noticeTime\": \"1\"}", "{\"noticeTime\": \"2\"}",
                                                  "{\"noticeTime\": \"3\"}"};
    static const int failures[] = {500, 404, 401}; /* a 404 of the token is a failure, too */
    dt_spot_notice *spot = watch(1);
    for (int i = 0; i < 3; i++) {
        SET(s.fail = failures[i]);
        dt_clock_sleep_s(0.05);
        SET(s.rebalance = recommendations[i]);
        dt_clock_sleep_s(0.05);
        DT_CHECK_STR(dt_spot_notice_save_requested(spot), NULL);
        SET(s.fail = 0);
        WAIT_UNTIL(dt_spot_notice_save_requested(spot));
        wait_for_polls(3);
        DT_CHECK_STR(dt_spot_notice_save_requested(spot), NULL);
    }
    DT_CHECK_INT(lines_with("rebalance recommendation of "), 3);
    DT_CHECK_INT(lines_with("cannot be polled"), 1); /* logged once, whatever fails */
    SET(s.notice = "{\"action\": \"stop\"}");
    WAIT_UNTIL(dt_spot_notice_stop_requested(spot));
    DT_CHECK_INT(lines_with("EC2 will take this instance back: stop at an unknown time, in 120 s; "), 1);
    leave(spot);
}

static void a_token_with_control_characters_is_not_sent(void)
{
    dt_spot_notice *spot = watch(0);
    SET((s.fail = 0, s.token = "t1\r\nHost: elsewhere"));
    WAIT_UNTIL(count(&s.n_tokens) >= 2 || count(&s.n_gets) > 0);
    /* the service may have returned the first token before the test set the odd one */
    WAIT_UNTIL(count(&s.n_tokens) >= 4 || count(&s.n_gets) > 8);
    DT_CHECK_STR(strstr(s.last_header, "elsewhere"), NULL);
    leave(spot);
}

/* Without cancel this would block until the program's time limit. */
static void a_hanging_service_does_not_block_the_caller(void)
{
    dt_spot_notice *spot = watch(0);
    wait_for_polls(1);
    SET(s.hangs = true);
    dt_clock_sleep_s(0.05);
    DT_CHECK_STR(dt_spot_notice_stop_requested(spot), NULL);
    DT_CHECK_STR(dt_spot_notice_save_requested(spot), NULL);
    leave(spot);
}

static void out_of_memory_is_an_error_without_leak(void)
{
    dt_error err = {0};
    for (int n = 1; n <= 2; n++) {
        dt_spot_notice *spot = NULL;
        s = (service){.head = {&service_ops},
                      .mutex = PTHREAD_MUTEX_INITIALIZER,
                      .was_cancelled = PTHREAD_COND_INITIALIZER};
        const int64_t before = dt_alloc_live_blocks();
        dt_alloc_fail_after(n);
        DT_CHECK_INT(dt_spot_notice_create(&s.head, &(dt_spot_notice_options){0}, &spot, &err),
                     DT_ERR_MEMORY);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
    dt_spot_notice_destroy(NULL);
}

static const dt_test tests[] = {
    DT_TEST(notices_are_parsed),
    DT_TEST(other_texts_are_not_parsed_as_notices),
    DT_TEST(a_notice_requests_a_stop_with_a_deadline),
    DT_TEST(each_recommendation_requests_one_checkpoint),
    DT_TEST(tokens_are_renewed_before_they_expire_and_when_refused),
    DT_TEST(failures_are_logged_once_and_polling_goes_on),
    DT_TEST(polling_recovers_after_each_failure),
    DT_TEST(a_token_with_control_characters_is_not_sent),
    DT_TEST(a_hanging_service_does_not_block_the_caller),
    DT_TEST(out_of_memory_is_an_error_without_leak),
};
DT_TEST_MAIN("launch/spot_notice", tests)
