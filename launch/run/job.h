/* job.h: the batch job that this process is a part of, and how often the batch system has restarted it.
 * Slurm's and AWS Batch's jobs keep their number when they are requeued or retried, and dtrain-run's when it
 * starts a training again.
 *
 *   dt_job job;
 *   dt_job_read(&job);                                       "Slurm job 123", restart 0
 *   DT_TRY(dt_job_write(&job, "runs/demo/job", err));        a run begins
 *   if (dt_job_is_restart(&job, "runs/demo/job")) ...        in a later start of the same job: true
 *
 * Local; for rank 0.
 */
#ifndef DT_LAUNCH_RUN_JOB_H
#define DT_LAUNCH_RUN_JOB_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dt_job {
    char name[96]; /* "Slurm job 123"; "": none that restarts */
    int64_t n_restarts;
} dt_job;

/* Read the environment: DTRAIN_RUN_ID and DTRAIN_RUN_START, SLURM_JOB_ID and SLURM_RESTART_COUNT,
 * AWS_BATCH_JOB_ID and AWS_BATCH_JOB_ATTEMPT; the first of these pairs counts. */
void dt_job_read(dt_job *job);

/* Write the job to a file, durably. DT_ERR_IO. */
dt_status dt_job_write(const dt_job *job, const char *path, dt_error *err);

/* Whether the same job, before it was restarted, wrote this file. False if it cannot be read. */
bool dt_job_is_restart(const dt_job *job, const char *path);

#endif
