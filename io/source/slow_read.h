/* slow_read.h: what a wait for the loader's threads does when a disk or a network does not answer: it logs
 * the file, and it ends if a stop is requested.
 *
 *   dt_slow_read slow = {0};
 *   while (!is_done())
 *       DT_TRY(dt_slow_read_check(&slow, samples, n, err));      some times a second
 */
#ifndef DT_IO_SOURCE_SLOW_READ_H
#define DT_IO_SOURCE_SLOW_READ_H

#include "io/source/sample.h"

/* One wait. */
typedef struct dt_slow_read {
    double report_s; /* how long a read lasts when it is logged next; 0: half a minute */
} dt_slow_read;

/* Check the file that one of n samples has been reading for longest. Logs it after half a minute, and again
 * each time that the time has doubled. DT_ERR_INTERRUPTED: it has not come for some seconds, and a stop is
 * requested (core/base/waits.h). */
dt_status dt_slow_read_check(dt_slow_read *slow, dt_sample *const *samples, int64_t n, dt_error *err);

/* Whether some sample's thread has been reading a file for so long that the end does not wait for it. */
bool dt_slow_read_hangs(dt_sample *const *samples, int64_t n);

#endif
