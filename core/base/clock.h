/* clock.h: clocks, deadlines and durations. Thread-safe. */
#ifndef DT_CORE_BASE_CLOCK_H
#define DT_CORE_BASE_CLOCK_H

#include <pthread.h>
#include <stddef.h>
#include <time.h>

/* Seconds on a clock that never goes back; its zero is arbitrary. */
double dt_clock_s(void);

/* Seconds since 1970 (UTC), for stamps in files. */
double dt_clock_unix_s(void);

/* Processor time of all threads of this process, in seconds. Other processes hardly change it. */
double dt_clock_cpu_s(void);

/* Block the thread for `seconds`; signals do not shorten it. Returns at once for 0 and less. */
void dt_clock_sleep_s(double seconds);

/* The time `seconds` from now on CLOCK_MONOTONIC, for pthread_cond_timedwait and others. Less than 0 counts
 * as 0, more than 30 years (infinity, too) as 30 years. */
struct timespec dt_clock_deadline(double seconds);

/* Initialise a condition variable whose pthread_cond_timedwait takes a dt_clock_deadline. On Linux this does
 * not fail. */
void dt_clock_init_cond(pthread_cond_t *cond);

/* Format a duration into `out`: "1:02:03", "4:05" or "12.3 s"; "--:--" if it is negative or not finite. */
void dt_clock_format(double seconds, char *out, size_t out_bytes);

#endif
