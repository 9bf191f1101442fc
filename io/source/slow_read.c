/* slow_read.c: see slow_read.h. */
#include "io/source/slow_read.h"

#include "core/base/log.h"
#include "core/base/waits.h"

#include <stdio.h>

#define REPORT_S 30.0 /* of reading one file, until it is logged */
#define GIVE_UP_S 5.0 /* until a request to stop waits no longer */
#define LEAVE_S 2.0   /* the end waits so long for its thread */

enum { PATH_BYTES = 4096 };

/* Returns for how many seconds the slowest thread has been reading a file, and which. */
static double slowest(dt_sample *const *samples, int64_t n, char path[PATH_BYTES])
{
    double most = 0.0;
    char its_path[PATH_BYTES];
    path[0] = '\0';
    for (int64_t i = 0; i < n; i++) {
        const double seconds = dt_sample_reading(samples[i], its_path, sizeof its_path);
        if (seconds <= most)
            continue;
        most = seconds;
        snprintf(path, PATH_BYTES, "%s", its_path);
    }
    return most;
}

dt_status dt_slow_read_check(dt_slow_read *slow, dt_sample *const *samples, int64_t n, dt_error *err)
{
    char path[PATH_BYTES];
    const double seconds = slowest(samples, n, path);
    if (seconds < REPORT_S)
        slow->report_s = REPORT_S;
    else if (seconds >= slow->report_s) {
        slow->report_s = 2.0 * seconds;
        dt_log_warn("data: %s has not come for %.0f s: its disk or network does not answer; dtrain waits for "
                    "it",
                    path, seconds);
    }
    const char *why = seconds > GIVE_UP_S ? dt_waits_stop_requested() : NULL;
    return why ? dt_fail(err, DT_ERR_INTERRUPTED,
                         "stopped on %s while %s had not come for %.0f s; the same command goes on from the "
                         "newest checkpoint",
                         why, path, seconds)
               : DT_OK;
}

bool dt_slow_read_hangs(dt_sample *const *samples, int64_t n)
{
    char path[PATH_BYTES];
    return slowest(samples, n, path) > LEAVE_S;
}
