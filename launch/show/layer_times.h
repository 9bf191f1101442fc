/* layer_times.h: the table that --profile prints. */
#ifndef DT_LAUNCH_SHOW_LAYER_TIMES_H
#define DT_LAUNCH_SHOW_LAYER_TIMES_H

#include "core/training/profile.h"

#include <stdio.h>

/* Steps before the first that is measured: memory is touched for the first time, threads start, algorithms
 * are tried. */
#define DT_PROFILE_WARMUP 3

/* batch: images in a pass. DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_layer_times_print(const dt_profile_summary *summary, int64_t batch, FILE *stream, dt_error *err);

#endif
