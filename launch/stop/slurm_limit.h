/* slurm_limit.h: when Slurm will end this job.
 *
 *   dt_slurm_limit_create(&(dt_slurm_limit_options){0}, &limit, err);      NULL outside a job
 *   left = dt_slurm_limit_seconds_left(limit);
 *
 * The first value is the environment's SLURM_JOB_END_TIME, where Slurm sets it. A thread also runs `squeue`,
 * at the start and then repeatedly (more often towards the end), because limits can change while a job runs.
 * Where squeue is missing, fails or hangs, the last known value stays.
 */
#ifndef DT_LAUNCH_STOP_SLURM_LIMIT_H
#define DT_LAUNCH_STOP_SLURM_LIMIT_H

#include "core/base/error.h"

typedef struct dt_slurm_limit dt_slurm_limit;

typedef struct dt_slurm_limit_options {
    double least_s, most_s; /* bounds of the time between polls; 0: 5 and 600 */
    double timeout_s;       /* of one squeue; 0: 20 */
} dt_slurm_limit_options;

/* Local. Reads the environment; inside a job it starts the thread. DT_ERR_MEMORY. */
dt_status dt_slurm_limit_create(const dt_slurm_limit_options *options, dt_slurm_limit **limit, dt_error *err);
void dt_slurm_limit_destroy(dt_slurm_limit *limit); /* NULL is fine; kills a squeue that is running */

/* Seconds until the end; INFINITY: not known, no limit, or `limit` is NULL. Never blocks. */
double dt_slurm_limit_seconds_left(const dt_slurm_limit *limit);

#endif
