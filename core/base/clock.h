/* clock.h: time. */
#ifndef DT_CORE_BASE_CLOCK_H
#define DT_CORE_BASE_CLOCK_H

#include <stddef.h>

/* Seconds on a clock that never goes back; its zero is arbitrary. */
double dt_clock_s(void);

/* Seconds since 1970 (UTC), for stamps in files. */
double dt_clock_unix_s(void);

void dt_clock_sleep_s(double seconds);

/* "1:02:03", "4:05" or "12.3 s" for a duration, into out. */
void dt_clock_format(double seconds, char *out, size_t out_bytes);

#endif
