/* duration.h: lengths of time as people and Slurm write them. Local. */
#ifndef DT_LAUNCH_OPTIONS_DURATION_H
#define DT_LAUNCH_OPTIONS_DURATION_H

#include <stdbool.h>
#include <stddef.h>

#define DT_DURATION_FORMS                                                                                    \
    "90 (seconds), 30m, 1h30m, 2d, or Slurm's MINUTES:SECONDS, HOURS:MINUTES:SECONDS, "                      \
    "DAYS-HOURS[:MINUTES[:SECONDS]]"

/* Seconds of "90", "1.5h", "1h30m", "30:00", "1:30:00", "1-12", "1-12:30:00" (a plain number is seconds);
 * false, and *seconds is left alone, for anything else, and for more than 100 years. */
bool dt_duration_parse(const char *text, double *seconds);

/* "1h30m", "45s", "0": dt_duration_parse reads it back to the same value, to a thousandth. */
void dt_duration_format(double seconds, char *out, size_t out_bytes);

#endif
