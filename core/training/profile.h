/* profile.h: how long each layer takes, in each direction, and how near that is to what the memory or the
 * arithmetic allows.
 *
 *   dt_profile_create(net, kernels->device, 3, 20, &profile, err);      the net's observer from now on
 *   ... 23 passes of training ...
 *   dt_profile_finish(profile, &summary, err);   for (i = 0; i < summary.n_rows; i++) ... summary.rows[i] ...
 *
 * Times are taken by the device's events (the host's: its clock). At the start of each pass the host waits
 * for the one before, so a step takes a little longer than without. Events cannot be read inside a captured
 * graph: steps must be enqueued anew (--no-graph).
 */
#ifndef DT_CORE_TRAINING_PROFILE_H
#define DT_CORE_TRAINING_PROFILE_H

#include "core/model/net.h"

typedef struct dt_profile dt_profile;

typedef struct dt_profile_part {
    double ms;          /* mean of the passes */
    int64_t bytes;      /* what has to be moved */
    double flops;       /* what has to be computed */
    double bytes_per_s; /* 0: nothing has to be moved */
    double of_roof;     /* share of the roofline: 1 is as fast as memory and arithmetic allow;
                                       0: not known */
} dt_profile_part;

typedef struct dt_profile_row {
    const char *name, *kind; /* the net's */
    dt_profile_part forward, backward;
} dt_profile_row;

typedef struct dt_profile_summary {
    dt_profile_row *rows; /* the input, then the layers; the profile's */
    int64_t n_rows;
    int64_t n_passes;                  /* that were measured; 0: none, and all times are 0 */
    dt_profile_part forward, backward; /* all layers */
    double pass_ms; /* from the start of a pass to the start of the next: with reduction, update,
                               and waiting for data */
    double bandwidth_bytes_per_s, compute_flops; /* the roof; compute 0: not known, and memory alone is the
                                                    roof */
    bool bandwidth_is_measured;                  /* by a copy; else it is the device's on paper */
} dt_profile_summary;

/* Set the net's observer, which measures n_passes passes behind the first n_warmup. Net and device are
 * borrowed. Where the device does not tell its bandwidth, measures it. DT_ERR_MEMORY, DT_ERR_DEVICE. */
dt_status dt_profile_create(dt_net *net, dt_device *device, int64_t n_warmup, int64_t n_passes,
                            dt_profile **profile, dt_error *err);
void dt_profile_destroy(dt_profile *profile); /* takes the observer away */

/* Wait for the last pass and add up. DT_ERR_DEVICE. */
dt_status dt_profile_finish(dt_profile *profile, dt_profile_summary *summary, dt_error *err);

/* Bytes per second, read and written together, of a copy in device memory. DT_ERR_MEMORY, DT_ERR_DEVICE. */
dt_status dt_profile_bandwidth(dt_device *device, double *bytes_per_s, dt_error *err);

#endif
