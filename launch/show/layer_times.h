/* layer_times.h: the tables that --profile prints. */
#ifndef DT_LAUNCH_SHOW_LAYER_TIMES_H
#define DT_LAUNCH_SHOW_LAYER_TIMES_H

#include "core/training/profile.h"

#include <stdio.h>

/* Print a table for each direction, and a legend below them. batch: images per pass and rank.
 * DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_layer_times_print(const dt_profile_summary *summary, int64_t batch, FILE *stream, dt_error *err);

#endif
