/* events.h: all that may ask a training to stop, or to write a checkpoint, as one dt_events (core/events.h):
 * signals, --time-limit, the end that Slurm sets, and EC2's spot notices.
 *
 *   const dt_events_options o = {.announce = rank == 0, .start_s = start, .time_limit_s = 5400.0, ...};
 *   dt_events_create(&o, &events, err);
 *
 * Signals count first, then a spot notice, then the nearer of the two limits. A limit asks as early as
 * dt_events_ops.reserve says. seconds_left is of whatever comes first.
 */
#ifndef DT_LAUNCH_STOP_EVENTS_H
#define DT_LAUNCH_STOP_EVENTS_H

#include "core/base/error.h"
#include "core/events.h"
#include "launch/options/options.h"

typedef struct dt_events_options {
    bool announce;       /* an interrupt is answered on stderr */
    double start_s;      /* of this program, by dt_clock_s: --time-limit counts from there */
    double time_limit_s; /* 0: none */
    bool asks_slurm;     /* on one rank of the job */
    bool watches_spot;   /* on one rank of each node */
    dt_spot_kind spot;
    const char *imds_endpoint;
} dt_events_options;

/* Local; one per process. Starts threads where somebody must be asked. DT_ERR_MEMORY, DT_ERR_UNSUPPORTED (no
 * libcurl), DT_ERR_INTERNAL (there is one already). */
dt_status dt_events_create(const dt_events_options *options, dt_events **events, dt_error *err);

#endif
