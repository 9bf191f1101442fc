/* profile.h: how long each layer takes, forward and backward, and how near that is to what memory bandwidth
 * and arithmetic allow (the roofline).
 *
 *   dt_profile_create(net, kernels->device, 3, 20, &profile, err);      observes the net from now on
 *   ... 23 passes of training ...
 *   dt_profile_finish(profile, &summary, err);   for (i = 0; i < summary.n_rows; i++) ... summary.rows[i] ...
 *
 * The device's events measure the times; on the host, its clock. At the start of each pass the host waits for
 * the pass before, so a step takes a little longer than without a profile. Events in a captured graph cannot
 * be read, so steps must not be captured (--no-graph).
 */
#ifndef DT_CORE_TRAINING_PROFILE_H
#define DT_CORE_TRAINING_PROFILE_H

#include "core/model/net.h"

typedef struct dt_profile dt_profile;

typedef struct dt_profile_part {
    double ms;          /* mean of the passes */
    int64_t bytes;      /* what has to be moved */
    double flops;       /* what has to be computed */
    double bytes_per_s; /* 0: no time was measured, or nothing has to be moved */
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
    int64_t n_warmup;                  /* passes before those that were measured */
    int64_t n_passes;                  /* that were measured; 0: none, and all times are 0 */
    dt_profile_part forward, backward; /* all layers */
    double pass_ms; /* from the start of a pass to the start of the next: with reduction, update,
                               and waiting for data */
    double bandwidth_bytes_per_s, compute_flops; /* the roof; compute 0: not known, the memory alone is the
                                                    roof */
    bool bandwidth_is_measured;                  /* by a copy; else the device reports it */
} dt_profile_summary;

/* Set the net's observer, which measures n_passes passes after the first n_warmup. Borrows net and device.
 * Measures the device's bandwidth if the device does not report it. DT_ERR_MEMORY, DT_ERR_DEVICE. */
dt_status dt_profile_create(dt_net *net, dt_device *device, int64_t n_warmup, int64_t n_passes,
                            dt_profile **profile, dt_error *err);
void dt_profile_destroy(dt_profile *profile); /* also removes the observer; NULL is fine */

/* Wait for the last pass and sum up. *summary points into the profile. DT_ERR_DEVICE. */
dt_status dt_profile_finish(dt_profile *profile, dt_profile_summary *summary, dt_error *err);

/* Measure a copy in device memory: bytes read and written, per second. Allocates 256 MiB. DT_ERR_MEMORY,
 * DT_ERR_DEVICE. */
dt_status dt_profile_bandwidth(dt_device *device, double *bytes_per_s, dt_error *err);

#endif
