/* All requests to stop: which takes precedence, how early a limit requests the stop, how squeue is run, and
 * what happens if it fails. */
#include "launch/stop/events.h"

#include "core/base/clock.h"
#include "core/base/waits.h"
#include "launch/cloud/http.h"
#include "launch/stop/signals.h"
#include "launch/stop/slurm_limit.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_events *open_events(const dt_events_options *options)
{
    dt_events *events = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_events_create(options, &events, &err) == DT_OK, "%s", err.message);
    return events;
}

static void without_any_limit_no_stop_is_requested(void)
{
    dt_events *e = open_events(&(dt_events_options){.spot = DT_SPOT_OFF});
    e->ops->reserve(e, INFINITY);
    DT_CHECK_STR(e->ops->stop_requested(e), NULL);
    DT_CHECK_STR(e->ops->save_requested(e), NULL);
    DT_CHECK(isinf(e->ops->seconds_left(e)));
    e->ops->destroy(e);
}

static void a_time_limit_counts_from_the_start_and_leaves_the_reserve(void)
{
    dt_events *e = open_events(
        &(dt_events_options){.spot = DT_SPOT_OFF, .start_s = dt_clock_s() - 1000.0, .time_limit_s = 5400.0});
    const double left_s = e->ops->seconds_left(e);
    DT_CHECK(left_s > 4300.0 && left_s <= 4400.0);
    e->ops->reserve(e, 3600.0);
    DT_CHECK_STR(e->ops->stop_requested(e), NULL);
    e->ops->reserve(e, 4500.0);
    DT_CHECK_STR(e->ops->stop_requested(e), "the time limit of 1h30m");
    DT_CHECK(e->ops->is_limit(e));
    DT_CHECK_STR(dt_waits_stop_requested(), "the time limit of 1h30m");
    DT_CHECK_STR(e->ops->start_stop_requested(e), NULL); /* it has not passed */
    DT_CHECK(!e->ops->is_limit(e));
    e->ops->destroy(e);
    DT_CHECK_STR(dt_waits_stop_requested(), NULL);
}

static void a_limit_that_has_passed_stops_a_start(void)
{
    dt_events *e = open_events(
        &(dt_events_options){.spot = DT_SPOT_OFF, .start_s = dt_clock_s() - 61.0, .time_limit_s = 60.0});
    DT_CHECK_STR(e->ops->start_stop_requested(e), "the time limit of 1m");
    DT_CHECK(e->ops->is_limit(e));
    e->ops->destroy(e);
}

static void a_signal_takes_precedence_over_a_limit(void)
{
    dt_events *e = open_events(
        &(dt_events_options){.spot = DT_SPOT_OFF, .start_s = dt_clock_s() - 61.0, .time_limit_s = 60.0});
    DT_CHECK_STR(e->ops->stop_requested(e), "the time limit of 1m");
    DT_CHECK(e->ops->is_limit(e));
    dt_signals_install(false);
    raise(SIGTERM);
    DT_CHECK_STR(e->ops->stop_requested(e), "SIGTERM");
    DT_CHECK(!e->ops->is_limit(e));
    e->ops->destroy(e);
}

static dt_status refuse(void *context, dt_error *err)
{
    return *(bool *)context ? dt_fail(err, DT_ERR_IO, "another process owns it") : DT_OK;
}

static void a_lost_lock_takes_precedence_over_a_limit(void)
{
    bool is_lost = false;
    const dt_guard guard = {refuse, &is_lost};
    const double start_s = dt_clock_s() - 61.0;
    dt_events *e = open_events(
        &(dt_events_options){.spot = DT_SPOT_OFF, .start_s = start_s, .time_limit_s = 60.0, .guard = &guard});
    DT_CHECK_STR(e->ops->stop_requested(e), "the time limit of 1m");
    is_lost = true;
    DT_CHECK_STR(e->ops->stop_requested(e), "the loss of the run's lock");
    e->ops->destroy(e);
}

/* -- Slurm ----------------------------------------------------------------------------------------------- */

/* Puts a squeue with this text first on the PATH, and pretends to be in a job. Another process writes the
 * file: the thread that polls may be between fork and exec, and a descriptor that its child inherits would
 * make the next exec fail ("Text file busy"). */
static void pretend_squeue(const char *body)
{
    const char *folder = dt_test_temp_dir(), *path = dt_test_path("%s/squeue", folder);
    static char search[8192], command[8192];
    if (!strstr(search, folder))
        snprintf(search, sizeof search, "%s:/usr/bin:/bin", folder);
    dt_test_write_file(dt_test_path("%s/squeue.text", folder), body, strlen(body));
    snprintf(command, sizeof command, "install -m 755 '%s/squeue.text' '%s/squeue.new'", folder, folder);
    DT_REQUIRE(setenv("PATH", search, 1) == 0 && setenv("SLURM_JOB_ID", "4711", 1) == 0);
    DT_REQUIRE(system(command) == 0 && rename(dt_test_path("%s/squeue.new", folder), path) == 0);
    unsetenv("SLURM_JOB_END_TIME");
}

static dt_slurm_limit *watch_slurm(double timeout_s)
{
    dt_slurm_limit *end = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_slurm_limit_create(
                   &(dt_slurm_limit_options){.least_s = 0.05, .most_s = 0.05, .timeout_s = timeout_s}, &end,
                   &err) == DT_OK);
    return end;
}

/* The program's time limit ends a wait for a condition that never holds. */
#define WAIT_UNTIL(condition)                                                                                \
    while (!(condition))                                                                                     \
    dt_clock_sleep_s(0.01)

static bool about(double actual, double expected)
{
    return actual > expected - 60.0 && actual <= expected;
}

static void squeue_is_polled_repeatedly(void)
{
    pretend_squeue("#!/bin/sh\n[ \"$*\" = '-h -j 4711 -o %L' ] && echo 1-00:10:00\n");
    dt_slurm_limit *end = watch_slurm(60.0);
    WAIT_UNTIL(about(dt_slurm_limit_seconds_left(end), 87000.0));
    pretend_squeue("#!/bin/sh\necho '2:00:00   '\n"); /* the limit was changed */
    WAIT_UNTIL(about(dt_slurm_limit_seconds_left(end), 7200.0));
    /* a failure keeps the last known value */
    pretend_squeue("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller'; exit 1\n");
    dt_clock_sleep_s(0.2);
    DT_CHECK(about(dt_slurm_limit_seconds_left(end), 7200.0));
    pretend_squeue("#!/bin/sh\necho UNLIMITED\n");
    WAIT_UNTIL(isinf(dt_slurm_limit_seconds_left(end)));
    dt_slurm_limit_destroy(end);
}

static void slurms_limit_requests_a_stop(void)
{
    pretend_squeue("#!/bin/sh\necho 10:00\n");
    dt_events *e = open_events(&(dt_events_options){
        .spot = DT_SPOT_OFF, .start_s = dt_clock_s(), .time_limit_s = 5400.0, .polls_slurm = true});
    e->ops->reserve(e, 700.0);
    WAIT_UNTIL(e->ops->stop_requested(e));
    DT_CHECK_STR(e->ops->stop_requested(e), "Slurm's time limit");
    DT_CHECK(about(e->ops->seconds_left(e), 600.0));
    e->ops->destroy(e);
}

/* -- EC2's metadata service, whose notice names no time, so that two minutes are left ------------------- */

static dt_status request(dt_http *http, const char *method, const char *path, const char *header, char *body,
                         size_t body_bytes, int *code, dt_error *err)
{
    (void)http, (void)path, (void)header, (void)err;
    *code = 200;
    snprintf(body, body_bytes, "%s", strcmp(method, "PUT") == 0 ? "token" : "{\"action\": \"stop\"}");
    return DT_OK;
}

static void ignore(dt_http *http)
{
    (void)http;
}

bool dt_http_is_built_in(void)
{
    return true;
}

dt_status dt_http_create(const char *endpoint, double timeout_s, dt_http **http, dt_error *err)
{
    static const dt_http_ops ops = {.destroy = ignore, .request = request, .cancel = ignore};
    static dt_http service = {&ops};
    (void)endpoint, (void)timeout_s, (void)err;
    *http = &service;
    return DT_OK;
}

static void a_spot_notice_requests_a_stop_and_is_an_end_that_a_limit_may_precede(void)
{
    for (int before = 0; before < 2; before++) {
        captured_log_begin(DT_LOG_INFO);
        dt_events *e = open_events(&(dt_events_options){.spot = DT_SPOT_IMDS,
                                                        .polls_spot = true,
                                                        .start_s = dt_clock_s(),
                                                        .time_limit_s = before ? 90.0 : 5400.0});
        WAIT_UNTIL(e->ops->stop_requested(e));
        DT_CHECK_STR(e->ops->stop_requested(e), "an EC2 spot notice: stop at an unknown time");
        DT_CHECK(!e->ops->is_limit(e));
        DT_CHECK(about(e->ops->seconds_left(e), before ? 90.0 : 120.0));
        e->ops->destroy(e);
        captured_log_end();
    }
}

static void the_limit_in_the_environment_is_known_at_once(void)
{
    char text[32];
    pretend_squeue("#!/bin/sh\nexec sleep 1000\n");
    snprintf(text, sizeof text, "%.0f", dt_clock_unix_s() + 900.0);
    DT_REQUIRE(setenv("SLURM_JOB_END_TIME", text, 1) == 0);
    dt_slurm_limit *end = watch_slurm(1000.0);
    DT_CHECK(about(dt_slurm_limit_seconds_left(end), 901.0));
    dt_slurm_limit_destroy(end); /* does not wait for the hanging squeue */
}

static void a_missing_hanging_or_failing_squeue_does_no_harm(void)
{
    static const char *const bodies[] = {"#!/bin/sh\nexec sleep 1000\n",
                                         "#!/bin/sh\necho NOT_SET\n",
                                         "#!/bin/sh\necho INVALID\n",
                                         "#!/bin/sh\nexit 1\n",
                                         "#!/bin/sh\necho 17\n",
                                         "#!/no/such/interpreter\n",
                                         "#!/bin/sh\nkill -9 $$\n",
                                         "#!/bin/sh\nexec yes\n",
                                         "#!/bin/sh\nsleep 1000 & echo 1:00:0x\n"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        pretend_squeue(bodies[i]);
        dt_slurm_limit *end = watch_slurm(0.1);
        dt_clock_sleep_s(0.25);
        DT_CHECK_MSG(isinf(dt_slurm_limit_seconds_left(end)), "%s", bodies[i]);
        dt_slurm_limit_destroy(end);
    }
    DT_REQUIRE(setenv("PATH", dt_test_path("%s/none", dt_test_temp_dir()), 1) == 0);
    dt_slurm_limit *end = watch_slurm(0.1);
    dt_clock_sleep_s(0.1);
    DT_CHECK(isinf(dt_slurm_limit_seconds_left(end)));
    dt_slurm_limit_destroy(end);
    DT_REQUIRE(setenv("SLURM_JOB_ID", "1; touch x", 1) == 0); /* not a job */
    end = watch_slurm(0.1);
    DT_CHECK(end == NULL && isinf(dt_slurm_limit_seconds_left(end)));
    dt_slurm_limit_destroy(end);
    unsetenv("SLURM_JOB_ID");
}

/* Puts a squeue on the PATH that also appends a line to a file at each call, and waits for three calls: the
 * result of the first is known then. */
static void poll_with(const char *answer)
{
    char body[8400], *text;
    const char *calls = dt_test_path("%s/calls", dt_test_temp_dir());
    unlink(calls);
    snprintf(body, sizeof body, "#!/bin/sh\necho x >>%s\n%s\n", calls, answer);
    pretend_squeue(body);
    for (size_t n = 0; n < 6; dt_clock_sleep_s(0.01))
        if ((text = dt_test_read_file(calls, &n)) != NULL)
            free(text);
        else
            n = 0;
}

static void limits_and_failures_are_logged_once_each(void)
{
    captured_log_begin(DT_LOG_INFO);
    pretend_squeue("#!/bin/sh\nexit 3\n");
    dt_slurm_limit *end = watch_slurm(60.0);
    poll_with("exit 3");
    poll_with("echo 1-00:00:00"); /* now it is known */
    DT_CHECK(about(dt_slurm_limit_seconds_left(end), 86400.0));
    poll_with("exit 3");          /* and stays known */
    poll_with("echo 1-00:00:30"); /* half a minute is no change */
    poll_with("echo 2-00:00:00");
    poll_with("echo UNLIMITED");
    poll_with("exit 3");
    poll_with("echo 2-00:00:00"); /* fail, succeed, fail, succeed */
    DT_CHECK(about(dt_slurm_limit_seconds_left(end), 2 * 86400.0));
    poll_with("echo 1-12:00:00"); /* shortened */
    dt_slurm_limit_destroy(end);
    captured_log_end();
    DT_CHECK_STR(
        captured_log_text(),
        "Slurm's time limit of this job 4711 is not known (squeue failed with status 3); --time-limit can "
        "set one\n"
        "Slurm will end this job 4711 in 1d; training stops before that, with a "
        "checkpoint\n"
        "Slurm will end this job 4711 in 2d (the limit was changed); training stops before that, with a "
        "checkpoint\n"
        "Slurm's time limit of this job 4711 was removed\n"
        "Slurm will end this job 4711 in 2d (the limit was changed); training stops before that, with a "
        "checkpoint\n"
        "Slurm will end this job 4711 in 1d12h (the limit was changed); training stops before that, with a "
        "checkpoint\n");
    unsetenv("SLURM_JOB_ID");
}

/* With a quarter of an hour left, it is polled again after minutes, not as soon as possible. */
static void a_poll_that_fails_is_repeated_after_a_quarter_of_the_time_left(void)
{
    dt_slurm_limit *end = NULL;
    dt_error err = {0};
    char text[8400];
    struct stat st;
    size_t n = 0;
    const char *calls = dt_test_path("%s/calls", dt_test_temp_dir());
    unlink(calls);
    snprintf(text, sizeof text, "#!/bin/sh\necho x >>%s\nexit 1\n", calls);
    pretend_squeue(text);
    snprintf(text, sizeof text, "%.0f", dt_clock_unix_s() + 900.0);
    DT_REQUIRE(setenv("SLURM_JOB_END_TIME", text, 1) == 0);
    const dt_slurm_limit_options options = {.least_s = 0.01, .most_s = 600.0, .timeout_s = 60.0};
    DT_REQUIRE(dt_slurm_limit_create(&options, &end, &err) == DT_OK);
    WAIT_UNTIL(stat(calls, &st) == 0 && st.st_size > 0);
    dt_clock_sleep_s(0.5);
    dt_slurm_limit_destroy(end);
    free(dt_test_read_file(calls, &n));
    DT_CHECK_INT(n, 2); /* one line */
    unsetenv("SLURM_JOB_END_TIME");
    unsetenv("SLURM_JOB_ID");
}

/* With a second left, the limit is polled four times a second. */
static void the_limit_is_polled_after_a_quarter_of_the_time_left(void)
{
    dt_slurm_limit *end = NULL;
    dt_error err = {0};
    pretend_squeue("#!/bin/sh\necho 0:01\n");
    const double start_s = dt_clock_s();
    const dt_slurm_limit_options options = {.least_s = 0.01, .most_s = 600.0, .timeout_s = 60.0};
    DT_REQUIRE(dt_slurm_limit_create(&options, &end, &err) == DT_OK);
    WAIT_UNTIL(isfinite(dt_slurm_limit_seconds_left(end))); /* squeue is not replaced while it starts */
    poll_with("echo 0:01");
    const double took_s = dt_clock_s() - start_s;
    DT_CHECK_MSG(took_s >= 0.5 && took_s < 7.9, "%g s", took_s); /* else 8 s and more, or at once */
    dt_slurm_limit_destroy(end);
    unsetenv("SLURM_JOB_ID");
}

/* A zombie counts as gone: nothing may reap orphans here. */
static bool is_gone(const char *pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", atol(pid));
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    (void)!fread(text, 1, sizeof text - 1, f);
    fclose(f);
    return strstr(text, ") Z ") != NULL;
}

static void a_squeue_that_closes_its_output_and_stays_is_killed_with_its_children(void)
{
    char pid[64], command[512];
    const char *pids = dt_test_path("%s/pids", dt_test_temp_dir());
    snprintf(command, sizeof command,
             "#!/bin/sh\nexec 1>&- 2>&-\nsleep 1000 &\necho $$ >%s.new\necho $! >>%s.new\n"
             "mv %s.new %s\nwait\n",
             pids, pids, pids, pids);
    for (int i = 0; i < 2; i++) {
        pretend_squeue(command);
        unlink(pids);
        /* its own deadline kills it, or the end of the program */
        dt_slurm_limit *end = watch_slurm(i == 0 ? 0.5 : 1000.0);
        WAIT_UNTIL(access(pids, R_OK) == 0);
        FILE *f = fopen(pids, "r");
        DT_REQUIRE(f != NULL);
        if (i == 1)
            dt_slurm_limit_destroy(end);
        while (fgets(pid, sizeof pid, f))
            WAIT_UNTIL(is_gone(pid));
        fclose(f);
        if (i == 0)
            dt_slurm_limit_destroy(end);
    }
    unsetenv("SLURM_JOB_ID");
}

static const dt_test tests[] = {
    DT_TEST(without_any_limit_no_stop_is_requested),
    DT_TEST(a_time_limit_counts_from_the_start_and_leaves_the_reserve),
    DT_TEST(a_limit_that_has_passed_stops_a_start),
    DT_TEST(a_lost_lock_takes_precedence_over_a_limit),
    DT_TEST(squeue_is_polled_repeatedly),
    DT_TEST(slurms_limit_requests_a_stop),
    DT_TEST(a_spot_notice_requests_a_stop_and_is_an_end_that_a_limit_may_precede),
    DT_TEST(the_limit_in_the_environment_is_known_at_once),
    DT_TEST(a_missing_hanging_or_failing_squeue_does_no_harm),
    DT_TEST(limits_and_failures_are_logged_once_each),
    DT_TEST(a_poll_that_fails_is_repeated_after_a_quarter_of_the_time_left),
    DT_TEST(the_limit_is_polled_after_a_quarter_of_the_time_left),
    DT_TEST(a_squeue_that_closes_its_output_and_stays_is_killed_with_its_children),
    DT_TEST(a_signal_takes_precedence_over_a_limit), /* last: the signal stays */
};
DT_TEST_MAIN("launch/events", tests)
