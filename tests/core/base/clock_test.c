/* Clocks, sleeps, deadlines, and the text of durations. */
#include "core/base/clock.h"
#include "tests/testing.h"

#include <math.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const struct timespec *stands_at; /* not NULL: the monotonic clock is there */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!stands_at || clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = *stands_at;
    return 0;
}

static const char *formatted(double seconds)
{
    static char text[32];
    dt_clock_format(seconds, text, sizeof text);
    return text;
}

static void durations_are_formatted_for_people(void)
{
    DT_CHECK_STR(formatted(0), "0.0 s");
    DT_CHECK_STR(formatted(12.34), "12.3 s");
    DT_CHECK_STR(formatted(59.94), "59.9 s");
    DT_CHECK_STR(formatted(59.96), "1:00");
    DT_CHECK_STR(formatted(245), "4:05");
    DT_CHECK_STR(formatted(3599.4), "59:59");
    DT_CHECK_STR(formatted(3599.6), "1:00:00");
    DT_CHECK_STR(formatted(3723), "1:02:03");
    DT_CHECK_STR(formatted(360000), "100:00:00");
}

static void invalid_durations_are_shown_as_unknown(void)
{
    DT_CHECK_STR(formatted(-1), "--:--");
    DT_CHECK_STR(formatted(NAN), "--:--");
    DT_CHECK_STR(formatted(INFINITY), "--:--");
    DT_CHECK_STR(formatted(1e15), "277777777777:46:40");
    DT_CHECK_STR(formatted(1.1e15), "--:--");
}

static void a_formatted_duration_never_overruns_its_buffer(void)
{
    char text[5] = {'a', 'b', 'c', 'd', 'e'};
    dt_clock_format(3723, text, 4);
    DT_CHECK_STR(text, "1:0");
    DT_CHECK_INT(text[4], 'e');
}

static void the_clock_never_goes_back(void)
{
    double last = dt_clock_s();
    for (int i = 0; i < 10000; i++) {
        const double now = dt_clock_s();
        DT_REQUIRE(now >= last);
        last = now;
    }
}

static void stamps_are_seconds_since_1970(void)
{
    DT_CHECK_CLOSE(dt_clock_unix_s(), (double)time(NULL), 2);
}

static volatile sig_atomic_t n_signals;

static void count_signal(int signal_number)
{
    (void)signal_number;
    n_signals++;
}

static void signals_do_not_shorten_a_sleep(void)
{
    /* Not SIGALRM, which the harness uses. */
    struct sigaction action = {.sa_handler = count_signal}, before;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    const struct itimerspec every_5_ms = {.it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000};
    timer_t timer;
    sigaction(SIGUSR2, &action, &before);
    DT_REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    timer_settime(timer, 0, &every_5_ms, NULL);
    const double start = dt_clock_s();
    dt_clock_sleep_s(0.06);
    const double slept = dt_clock_s() - start;
    timer_delete(timer);
    sigaction(SIGUSR2, &before, NULL);
    DT_CHECK(n_signals > 0);
    DT_CHECK_MSG(slept >= 0.0599, "slept %g s, not 0.06", slept);
    DT_CHECK_MSG(slept < 5, "slept %g s, not 0.06", slept);
}

static void a_sleep_of_no_time_returns_at_once(void)
{
    const double start = dt_clock_s();
    dt_clock_sleep_s(0);
    dt_clock_sleep_s(-5);
    dt_clock_sleep_s(NAN);
    DT_CHECK(dt_clock_s() - start < 2);
}

static void a_deadline_is_the_given_time_from_now(void)
{
    for (double wait = 0; wait < 2.5; wait += 0.3) {
        const double now = dt_clock_s();
        const struct timespec until = dt_clock_deadline(wait);
        DT_CHECK(until.tv_nsec >= 0 && until.tv_nsec < 1000000000L);
        DT_CHECK_CLOSE((double)until.tv_sec + 1e-9 * (double)until.tv_nsec - now, wait, 0.2);
    }
    DT_CHECK(dt_clock_deadline(INFINITY).tv_sec > 900000000);
    DT_CHECK((double)dt_clock_deadline(-100).tv_sec >= dt_clock_s() - 2);
}

static void a_deadline_carries_a_whole_second(void)
{
    static const struct {
        struct timespec now;
        double wait;
        struct timespec until;
    } cases[] = {{{7, 0}, 0.0, {7, 0}},
                 {{7, 500000000}, 0.25, {7, 750000000}},
                 {{7, 500000000}, 0.5, {8, 0}},
                 {{7, 999999999}, 0.0, {7, 999999999}},
                 {{7, 750000000}, 2.75, {10, 500000000}},
                 {{7, 0}, -1.0, {7, 0}},
                 {{7, 0}, 1e9, {1000000007, 0}},
                 {{7, 0}, 2e9, {1000000007, 0}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stands_at = &cases[i].now;
        const struct timespec until = dt_clock_deadline(cases[i].wait);
        const double now = dt_clock_s();
        stands_at = NULL;
        DT_CHECK_INT(until.tv_sec, cases[i].until.tv_sec);
        DT_CHECK_INT(until.tv_nsec, cases[i].until.tv_nsec);
        DT_CHECK_CLOSE(now, 7.0 + 1e-9 * (double)cases[i].now.tv_nsec, 0);
    }
}

static const dt_test tests[] = {
    DT_TEST(durations_are_formatted_for_people),
    DT_TEST(invalid_durations_are_shown_as_unknown),
    DT_TEST(a_formatted_duration_never_overruns_its_buffer),
    DT_TEST(the_clock_never_goes_back),
    DT_TEST(stamps_are_seconds_since_1970),
    DT_TEST(signals_do_not_shorten_a_sleep),
    DT_TEST(a_sleep_of_no_time_returns_at_once),
    DT_TEST(a_deadline_is_the_given_time_from_now),
    DT_TEST(a_deadline_carries_a_whole_second),
};

DT_TEST_MAIN("core/base/clock", tests)
