/* stop.h: requests from outside (core/events.h): how this rank votes, and how a training stops: the reason,
 * the last checkpoint, and the time to reserve for both before an end that is known.
 *
 *   dt_stop stop = {.training = &training, .report = &report, .checkpointer = checkpointer};
 *   dt_stop_before_first_step(&stop, err);
 *   dt_stop_vote(&stop, votes);                   before each step
 *   dt_stop_note(&stop, &result);                 for each result that has come
 *   if (stop.stop_requested)
 *       return dt_stop_now(&stop, err);
 */
#ifndef DT_CORE_TRAINING_STOP_H
#define DT_CORE_TRAINING_STOP_H

#include "core/training/checkpointer.h"

typedef struct dt_stop {
    const dt_training *training; /* all borrowed */
    const dt_report *report;
    dt_checkpointer *checkpointer;
    bool stop_requested; /* by some rank: all ranks know */
    bool save_requested; /* likewise, a checkpoint now; the trainer clears it */
} dt_stop;

/* Local: does this rank ask to stop, or for a checkpoint, with the next step? Reserves the time that stopping
 * takes. */
void dt_stop_vote(const dt_stop *stop, float votes[DT_N_VOTES]);
/* Local: note the ranks' votes of a step. */
void dt_stop_note(dt_stop *stop, const dt_step_result *result);

/* Collective, when the next thing is the first step: DT_OK, and from now on a stop writes a checkpoint.
 * Shared errors: DT_ERR_INTERRUPTED if some rank wants to stop; DT_ERR_USAGE if a limit has passed already,
 * because a restart would come no further. */
dt_status dt_stop_before_first_step(const dt_stop *stop, dt_error *err);

/* Collective; there is something to evaluate. *enough: an evaluation fits, with what comes after it, before
 * the end that some rank knows of. If not, that is logged. */
dt_status dt_stop_has_time_to_evaluate(const dt_stop *stop, bool *enough, dt_error *err);

/* Local: until when, by dt_clock_s, the end of the training may wait for the mirror. INFINITY: no end is
 * known. */
double dt_stop_deadline_s(const dt_stop *stop);

/* Collective, after a request: writes a last checkpoint if there is time for it, and returns a shared error
 * that names the request of the lowest rank that has one: DT_ERR_INTERRUPTED; DT_ERR_IO if the checkpoint
 * could not be written; DT_ERR_USAGE if the request is a limit and this start has written no checkpoint: a
 * restart would end in the same way, for ever. If the guard of some rank refuses, nothing is written, and
 * that is the error. */
dt_status dt_stop_now(dt_stop *stop, dt_error *err);

#endif
