/* When a file that does not come is logged, and when waiting for it ends: the seconds are the test's. */
#include "io/source/slow_read.h"

#include "core/base/waits.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <stdio.h>

/* In place of sample.c's: threads 0 and 1 have been reading their files for so long. */
static double reading_s[2];

double dt_sample_reading(dt_sample *sample, char *path, size_t path_bytes)
{
    const int thread = sample == (dt_sample *)&reading_s[1];
    snprintf(path, path_bytes, "%s", reading_s[thread] > 0.0 ? thread ? "b.jpg" : "a.jpg" : "");
    return reading_s[thread];
}

static dt_sample *const threads[2] = {(dt_sample *)&reading_s[0], (dt_sample *)&reading_s[1]};
static dt_error error;
static dt_slow_read slow;

/* Check at this time; returns the number of lines that were logged. */
static int lines_at(double a_s, double b_s)
{
    reading_s[0] = a_s;
    reading_s[1] = b_s;
    captured_log_begin(DT_LOG_DEBUG);
    DT_CHECK_INT(dt_slow_read_check(&slow, threads, 2, &error), DT_OK);
    captured_log_end();
    return captured_log_lines();
}

static void a_read_is_logged_after_30_s_and_whenever_its_time_has_doubled(void)
{
    slow = (dt_slow_read){0};
    DT_CHECK_INT(lines_at(29.75, 0.0), 0);
    DT_CHECK_INT(lines_at(30.0, 0.0), 1);
    DT_CHECK_CONTAINS(captured_log_text(), "data: a.jpg has not come for 30 s: its disk or network does not "
                                           "answer; dtrain waits for it\n");
    DT_CHECK_INT(lines_at(30.25, 0.0), 0);
    DT_CHECK_INT(lines_at(59.75, 0.0), 0);
    DT_CHECK_INT(lines_at(61.0, 0.0), 1);
    DT_CHECK_INT(lines_at(121.75, 0.0), 0);
    DT_CHECK_INT(lines_at(122.0, 121.0), 1);
    DT_CHECK_CONTAINS(captured_log_text(), "a.jpg has not come for 122 s");
}

static void a_file_that_comes_ends_the_count(void)
{
    slow = (dt_slow_read){0};
    DT_CHECK_INT(lines_at(0.25, 0.0), 0);
    DT_CHECK_INT(lines_at(40.0, 31.0), 1);
    DT_CHECK_INT(lines_at(0.0, 41.0), 0); /* b has been waited for, too, since a was logged */
    DT_CHECK_INT(lines_at(0.0, 0.0), 0);
    DT_CHECK_INT(lines_at(29.75, 30.0), 1);
    DT_CHECK_CONTAINS(captured_log_text(), "b.jpg has not come for 30 s");
    DT_CHECK_INT(lines_at(0.0, 0.0), 0);
    DT_CHECK_INT(lines_at(0.0, 30.0), 1);
}

static const char *ask(void *context)
{
    return context;
}

static void a_request_to_stop_ends_a_wait_of_more_than_5_s(void)
{
    char reason[] = "SIGTEST";
    slow = (dt_slow_read){0};
    dt_waits_set_stop(ask, reason);
    DT_CHECK_INT(lines_at(5.0, 0.0), 0);
    reading_s[1] = 5.25;
    DT_CHECK_INT(dt_slow_read_check(&slow, threads, 2, &error), DT_ERR_INTERRUPTED);
    DT_CHECK_CONTAINS(error.message, "stopped on SIGTEST while b.jpg had not come for 5 s; ");
    dt_waits_set_stop(NULL, NULL);
    DT_CHECK_INT(lines_at(0.0, 6.0), 0);
}

static void a_thread_hangs_if_its_read_takes_more_than_2_s(void)
{
    reading_s[0] = reading_s[1] = 2.0;
    DT_CHECK(!dt_slow_read_hangs(threads, 2));
    reading_s[1] = 2.25;
    DT_CHECK(dt_slow_read_hangs(threads, 2));
    DT_CHECK(!dt_slow_read_hangs(threads, 1));
    reading_s[0] = reading_s[1] = 0.0;
    DT_CHECK(!dt_slow_read_hangs(threads, 2));
}

static const dt_test tests[] = {
    DT_TEST(a_read_is_logged_after_30_s_and_whenever_its_time_has_doubled),
    DT_TEST(a_file_that_comes_ends_the_count),
    DT_TEST(a_request_to_stop_ends_a_wait_of_more_than_5_s),
    DT_TEST(a_thread_hangs_if_its_read_takes_more_than_2_s),
};
DT_TEST_MAIN("io/source/slow_read", tests)
