#include "core/base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static double seconds_on(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double dt_clock_s(void)
{
    return seconds_on(CLOCK_MONOTONIC);
}

double dt_clock_unix_s(void)
{
    return seconds_on(CLOCK_REALTIME);
}

double dt_clock_cpu_s(void)
{
    return seconds_on(CLOCK_PROCESS_CPUTIME_ID);
}

struct timespec dt_clock_deadline(double seconds)
{
    const double longest_s = 1e9; /* 30 years: keeps infinity and the sum within time_t */
    double wait_s = seconds > 0 ? fmin(seconds, longest_s) : 0;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)wait_s;
    until.tv_nsec += (long)((wait_s - floor(wait_s)) * 1e9);
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    return until;
}

void dt_clock_init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

void dt_clock_sleep_s(double seconds)
{
    /* Until an absolute time, so that signals do not lengthen the sleep. */
    const struct timespec until = dt_clock_deadline(seconds);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

void dt_clock_format(double seconds, char *out, size_t out_bytes)
{
    if (!(seconds >= 0) || seconds > 1e15) {
        snprintf(out, out_bytes, "--:--");
        return;
    }
    if (seconds < 59.95) { /* what rounds to 60.0 is written "1:00" */
        snprintf(out, out_bytes, "%.1f s", seconds);
        return;
    }
    const int64_t s = llround(seconds);
    const int64_t hours = s / 3600;
    const int minutes = (int)(s / 60 % 60), rest = (int)(s % 60);
    if (hours > 0)
        snprintf(out, out_bytes, "%lld:%02d:%02d", (long long)hours, minutes, rest);
    else
        snprintf(out, out_bytes, "%d:%02d", minutes, rest);
}
