/* checkpointer.h: when a training writes checkpoints, and what it does when one fails. It owns two lanes that
 * work alike: checkpoints in the run's store, and copies of them in the mirror, each with a writer of its own
 * (core/checkpoint/writer.h).
 *
 *   dt_checkpointer_create(&training, &report, step, &checkpointer, err);
 *   each step:
 *     dt_checkpointer_vote(checkpointer, votes);            before it is enqueued
 *     dt_checkpointer_note(checkpointer, &result);          for each result that has come
 *     dt_checkpointer_advance(checkpointer, err);
 *     if (dt_checkpointer_is_due(checkpointer, epoch_ends))
 *         dt_checkpointer_save(checkpointer, false, err);
 *   at the end:
 *     dt_checkpointer_save(checkpointer, true, err);
 *     dt_checkpointer_finish(checkpointer, until_s);
 *
 * Without a store nothing happens in any of them. A checkpoint that cannot be written, and a copy that fails,
 * is logged; older checkpoints stay and training goes on. The device may be some steps behind.
 */
#ifndef DT_CORE_TRAINING_CHECKPOINTER_H
#define DT_CORE_TRAINING_CHECKPOINTER_H

#include "core/collective/votes.h"
#include "core/training/report.h"

typedef struct dt_checkpointer dt_checkpointer;

/* Collective; ranks agree on errors. After the resume: removes what earlier starts left unfinished, and
 * allocates the copy of the state. Borrows all three. */
dt_status dt_checkpointer_create(const dt_training *training, const dt_report *report, const dt_step *step,
                                 dt_checkpointer **checkpointer, dt_error *err);
void dt_checkpointer_destroy(dt_checkpointer *checkpointer); /* local, before the step; NULL is fine */

/* Local: is this rank ready for the next phase of each lane? */
void dt_checkpointer_vote(const dt_checkpointer *checkpointer, float votes[DT_N_VOTES]);
/* Local: note the ranks' votes of a step. */
void dt_checkpointer_note(dt_checkpointer *checkpointer, const dt_step_result *result);
/* Collective. Brings each lane to its next phase if all ranks have voted that they are ready, so no rank
 * waits. Shared error: DT_ERR_IO after too many failures in a row (--max-checkpoint-failures), unless all
 * steps are done; DT_ERR_NUMERIC if the state was not finite, so that there is no checkpoint of it. */
dt_status dt_checkpointer_advance(dt_checkpointer *checkpointer, dt_error *err);

/* Is a checkpoint of the cursor's step due? The same on all ranks. Collective with --checkpoint-every auto,
 * which may wait for the last checkpoint to measure it; otherwise local. */
bool dt_checkpointer_is_due(dt_checkpointer *checkpointer, bool epoch_ends);

/* Collective. Starts a checkpoint of the cursor, unless one of this step was started before. One is written
 * at a time: waits for the last one. wait false: returns as dt_checkpointer_advance does. wait true: waits
 * until the checkpoint is committed, and returns the shared error of one that failed. */
dt_status dt_checkpointer_save(dt_checkpointer *checkpointer, bool wait, dt_error *err);

/* Collective. Waits for the checkpoint that is being written, if any; does not start its copy. */
void dt_checkpointer_wait(dt_checkpointer *checkpointer);

/* Collective, at the end: waits until the newest checkpoint is in the mirror, but not longer than until
 * dt_clock_s() reaches until_s (of any rank). */
void dt_checkpointer_finish(dt_checkpointer *checkpointer, double until_s);

/* Local, rank 0: report a checkpoint that its thread has committed meanwhile. */
void dt_checkpointer_poll(dt_checkpointer *checkpointer);

/* Local. */
typedef struct dt_checkpointer_state {
    int64_t committed_step; /* of the newest checkpoint; -1: none */
    int64_t started_step;   /* of the newest that was started and has not failed; -1: none */
    double write_s;         /* that the last one took on this rank; 0: not measured yet */
} dt_checkpointer_state;
dt_checkpointer_state dt_checkpointer_get_state(const dt_checkpointer *checkpointer);

/* Local: seconds that a checkpoint and its copy would take, with what is being written before them. By
 * measurement on this rank, or else by a guess from the state's size. */
double dt_checkpointer_reserve_s(const dt_checkpointer *checkpointer);

#endif
