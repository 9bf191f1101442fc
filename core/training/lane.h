/* lane.h: one of the checkpointer's two lanes: checkpoints in the run's store, or their copies in the mirror.
 * Takes the lane's checkpoint through the phases of its writer (core/checkpoint/writer.h) by the ranks'
 * votes, reports it, and counts and logs failures. A failure never ends the training here.
 *
 *   dt_lane lane = {.training = &training, .report = &report, .started_step = -1, .reported_step = -1};
 *   dt_saver_create(&options, &lane.writer, &memory, err);
 *   dt_lane_start(&lane, &manifest);
 *   each step: dt_lane_vote, dt_lane_note; then
 *     dt_lane_advance(&lane, &finishes, err);
 *     if (finishes) dt_lane_finish(&lane, INFINITY, &progress);
 *   dt_writer_destroy(lane.writer);
 */
#ifndef DT_CORE_TRAINING_LANE_H
#define DT_CORE_TRAINING_LANE_H

#include "core/checkpoint/writer.h"
#include "core/training/report.h"

typedef struct dt_lane {
    const dt_training *training; /* borrowed */
    const dt_report *report;     /* borrowed */
    dt_writer *writer;           /* owned by the checkpointer; NULL: there is no such lane */
    bool is_mirror;
    bool all_ready;        /* all ranks have voted that they are ready for the next phase ... */
    int64_t asked_at_step; /* ... in a step after this one; earlier votes are about an earlier phase */
    int64_t started_step;  /* of the newest checkpoint that was started; -1: none */
    int64_t reported_step; /* rank 0: of the newest checkpoint that the sinks know; -1: none */
    int64_t n_failures;    /* in a row */
    double last_s;         /* that the last one took on this rank; 0: not measured yet */
    dt_error last;         /* of the newest failure */
    bool skip_was_logged;
} dt_lane;

/* Local. 1 if this rank is ready for the next phase of what is pending, else 0. */
float dt_lane_vote(const dt_lane *lane);
/* Local: n_ready ranks voted 1 in this step. */
void dt_lane_note(dt_lane *lane, int64_t step, int64_t n_ready);

/* Collective. Starts a checkpoint; nothing may be pending. All ranks see the same failures. */
void dt_lane_start(dt_lane *lane, const dt_manifest *manifest);
/* Collective. If all ranks are ready, exchanges shards; or, where that is done, sets *finishes and the caller
 * calls finish. An error is one of the communication. */
dt_status dt_lane_advance(dt_lane *lane, bool *finishes, dt_error *err);
/* Collective. Waits for what is pending, if anything, until dt_clock_s() reaches until_s at most; *progress
 * is what it was. A status other than DT_OK has been counted and logged. */
dt_status dt_lane_finish(dt_lane *lane, double until_s, dt_writer_progress *progress);

/* Local: count and log a failure of the checkpoint of `progress`. The same on all ranks. */
void dt_lane_fail(dt_lane *lane, const dt_writer_progress *progress, const dt_error *why);

/* Local: how far the newest checkpoint is; all zero without a writer. */
void dt_lane_poll(const dt_lane *lane, dt_writer_progress *progress);
/* Local. Rank 0: report a checkpoint that its thread has committed, once. Not for the mirror. */
void dt_lane_report_committed(dt_lane *lane, const dt_writer_progress *progress);
/* Local, for the mirror: report that the checkpoint of `step` is not copied, because the copy of step
 * busy_with is still under way. */
void dt_lane_skip(dt_lane *lane, int64_t step, int64_t busy_with);

/* Local: seconds until a checkpoint that is started now would be whole: as measured on this rank, or guessed
 * from the state's size. Twice that if another one is pending, which comes first. */
double dt_lane_reserve_s(const dt_lane *lane);

#endif
