/* events.h: every request to stop a training, or to write a checkpoint, as one dt_events (core/events.h):
 * signals, --time-limit, Slurm's time limit, and EC2's spot notices.
 *
 *   const dt_events_options o = {.start_s = start, .time_limit_s = 5400.0, ...};
 *   dt_events_create(&o, &events, err);
 *
 * A lost lock takes precedence, then signals, then a spot notice, then the nearer of the two limits. A limit
 * requests the stop early, by the time that dt_events_ops.reserve sets. seconds_left is the time until the
 * earliest end.
 */
#ifndef DT_LAUNCH_STOP_EVENTS_H
#define DT_LAUNCH_STOP_EVENTS_H

#include "core/base/error.h"
#include "core/events.h"
#include "core/guard.h"
#include "launch/options/options.h"
#include "launch/stop/start_watch.h"

typedef struct dt_events_options {
    double start_s;      /* of this program, by dt_clock_s: --time-limit counts from there */
    double time_limit_s; /* 0: none */
    bool polls_slurm;    /* set on one rank of the job */
    bool polls_spot;     /* set on one rank of each node */
    dt_spot_kind spot;
    const char *imds_endpoint;
    dt_start_watch *watch; /* ended when the first step begins; borrowed; may be NULL */
    const dt_guard *guard; /* borrowed; once it refuses, that is the first reason to stop; NULL: none */
} dt_events_options;

/* Local; one object per process: until it is destroyed, dt_waits_stop_requested (core/base/waits.h) asks it.
 * Signals count from dt_signals_install on. Starts a thread each for Slurm and for spot notices, if this rank
 * polls them. DT_ERR_MEMORY, DT_ERR_UNSUPPORTED (no libcurl). */
dt_status dt_events_create(const dt_events_options *options, dt_events **events, dt_error *err);

#endif
