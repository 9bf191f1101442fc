/* duration.h: parses and formats durations, also in Slurm's notation. Local. */
#ifndef DT_LAUNCH_OPTIONS_DURATION_H
#define DT_LAUNCH_OPTIONS_DURATION_H

#include <stdbool.h>
#include <stddef.h>

#define DT_DURATION_FORMS                                                                                    \
    "90 (seconds), 30m, 1h30m, 2d, or Slurm's MINUTES:SECONDS, HOURS:MINUTES:SECONDS, "                      \
    "DAYS-HOURS[:MINUTES[:SECONDS]]"

/* Parse "90" (seconds), "1.5h", "1h30m", "30:00", "1:30:00", "1-12" or "1-12:30:00". Any other text, or more
 * than 100 years: returns false and leaves *seconds as it was. */
bool dt_duration_parse(const char *text, double *seconds);

/* Format as "1h30m", "45s" or "0"; dt_duration_parse reads the same value, rounded to milliseconds. */
void dt_duration_format(double seconds, char *out, size_t out_bytes);

#endif
