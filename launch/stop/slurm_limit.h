/* slurm_limit.h: when Slurm will end this job.
 *
 *   dt_slurm_limit_create(&(dt_slurm_limit_options){0}, &end, err);      end is NULL outside a job
 *   left = dt_slurm_limit_seconds_left(end);
 *
 * SLURM_JOB_END_TIME says it where Slurm sets that. A thread asks `squeue` too, at the start and now and then
 * (more often towards the end), for limits can be changed while a job runs. A squeue that is missing, fails
 * or hangs does no harm: what was known stands.
 */
#ifndef DT_LAUNCH_STOP_SLURM_LIMIT_H
#define DT_LAUNCH_STOP_SLURM_LIMIT_H

#include "core/base/error.h"

typedef struct dt_slurm_limit dt_slurm_limit;

typedef struct dt_slurm_limit_options {
    double least_s, most_s; /* between questions; 0: 5 and 600 */
    double patience_s;      /* with squeue; 0: 20 */
} dt_slurm_limit_options;

/* Local. Reads the environment; starts a thread, in a job. DT_ERR_MEMORY. */
dt_status dt_slurm_limit_create(const dt_slurm_limit_options *options, dt_slurm_limit **end, dt_error *err);
void dt_slurm_limit_destroy(dt_slurm_limit *end); /* NULL is fine; ends a squeue that is under way */

/* INFINITY: not known, or no limit. Never blocks. NULL: INFINITY. */
double dt_slurm_limit_seconds_left(const dt_slurm_limit *end);

#endif
