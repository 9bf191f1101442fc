/* report.h: sends the events of a training to its sinks (core/metrics.h), one function for each event, and
 * measures images/s for them.
 *
 *   dt_report report = {.training = &training};
 *   dt_report_start(&report);
 *   dt_report_begin_epoch(&report);
 *   dt_report_step(&report, &result, seconds);
 *   dt_report_epoch(&report, n_broken);
 *   dt_report_end(&report, false, n_broken, n_broken_val, &end);
 *   dt_report_lost_events(&parts);
 *
 * All of it is local. Every rank measures; only rank 0 has sinks. An error of a sink is logged once and does
 * not stop the training.
 */
#ifndef DT_CORE_TRAINING_REPORT_H
#define DT_CORE_TRAINING_REPORT_H

#include "core/training/training.h"

#define DT_REPORT_WINDOW 20 /* steps over which images/s is measured */

typedef struct dt_report {
    const dt_training *training; /* borrowed */
    double start_s, epoch_start_s;
    double window[DT_REPORT_WINDOW]; /* seconds of the last steps */
    int64_t n_steps;                 /* of this start, whose results have come */
    double steps_s;                  /* seconds spent in them */
    double epoch_loss, epoch_top1;   /* sums over this epoch's steps in this start */
    int64_t epoch_steps;
    dt_metrics_eval last_eval; /* its n is 0 if there was none */
} dt_report;

/* The first step is about to begin. */
void dt_report_start(dt_report *report);

/* Sends nothing: starts the sums that dt_report_epoch sends. */
void dt_report_begin_epoch(dt_report *report);

/* A step's result has come, `seconds` after the result before. All results of an epoch come before the next
 * epoch begins. */
void dt_report_step(dt_report *report, const dt_step_result *result, double seconds);

/* The epoch of the cursor has ended. n_broken: broken files met in it, over all ranks. */
void dt_report_epoch(dt_report *report, int64_t n_broken);

void dt_report_eval(dt_report *report, const dt_metrics_eval *eval);

/* A checkpoint is committed. Fills *m's path from the store. */
void dt_report_checkpoint(const dt_report *report, dt_metrics_checkpoint *m);
/* Its copy in the mirror is committed, or has failed because of m->error. */
void dt_report_mirror(const dt_report *report, dt_metrics_checkpoint *m);

/* The training ends; fills *end. n_broken, n_broken_val: as in dt_metrics_end. */
void dt_report_end(const dt_report *report, bool stopped_on_request, int64_t n_broken, int64_t n_broken_val,
                   dt_metrics_end *end);

/* Log how many events each sink could not write, if any. After the last event. */
void dt_report_lost_events(const dt_trainer_parts *parts);

/* Of the whole job, over the last DT_REPORT_WINDOW steps; 0: no step's result has come yet. */
double dt_report_images_per_s(const dt_report *report);
double dt_report_step_s(const dt_report *report); /* seconds a step, likewise */

#endif
