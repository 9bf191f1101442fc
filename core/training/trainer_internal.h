/* trainer_internal.h: what trainer.c (the loop) and the other trainer_*.c share. */
#ifndef DT_CORE_TRAINING_TRAINER_INTERNAL_H
#define DT_CORE_TRAINING_TRAINER_INTERNAL_H

#include "core/checkpoint/mirror.h"
#include "core/checkpoint/saver.h"
#include "core/collective/votes.h"
#include "core/training/step.h"
#include "core/training/trainer.h"

#define RATE_WINDOW 20 /* steps over which images/s is taken */
#define LEAVING_S 5.0  /* memory is given back, MPI ends, the launcher notices */
/* --checkpoint-every auto: the first one after so many steps, and the second after as many more, tell what
 * one costs */
#define FIRST_AUTO_SAVE 20

typedef struct dt_trainer {
    const dt_trainer_parts *parts;
    const dt_config *config;
    dt_comm *comm;
    dt_step *step_runner;
    dt_source_info train;
    dt_computed_by computed_by; /* the values of all ranks joined: the same on every rank */
    int64_t global_batch, steps_per_epoch, total_steps;
    bool scaling;                 /* the loss is scaled */
    int64_t net_size, train_size; /* pixels: what the net is built for, what this epoch's images have */

    /* where the training is: what a checkpoint holds */
    int64_t step, epoch, position;
    double best_top1;

    /* this start */
    int64_t first_step, last_saved_step, last_evaluated_step;
    double start_s, training_s; /* training_s: time in steps */
    double window[RATE_WINDOW]; /* seconds of the last steps */
    int64_t n_told;             /* steps of this start whose results have come; the others are under way on
                                   the device */
    double mark_s;              /* since when the device works on those */
    int64_t n_skipped_in_a_row;
    bool stop_seen, save_seen; /* some rank wants to stop, or a checkpoint now */
    bool written_seen;         /* all ranks are ready for what comes next of the checkpoint that is being
                                   written ... */
    int64_t written_from;      /* ... by their votes in steps after this one; those before are about
                                   something else */
    int64_t images;
    dt_metrics_eval last_eval;
    double epoch_loss, epoch_top1, epoch_start_s;
    int64_t epoch_steps, n_broken;
    dt_writer *saver;
    int64_t committed_step; /* of the newest checkpoint; -1: none */
    int64_t told_step;      /* rank 0: of the newest checkpoint that the sinks know */
    int64_t next_auto_step;
    int64_t n_save_failures; /* in a row */
    double write_s;          /* measured on this rank; 0: not yet */
    dt_status save_status;   /* of the newest attempt */
    dt_error save_error;
    dt_writer *mirror;                  /* NULL: none */
    bool mirrored_seen;                 /* as written_seen and written_from */
    int64_t mirrored_from, mirror_step; /* mirror_step: of the newest checkpoint that was begun there; -1:
                                           none */
    int64_t n_mirror_failures;          /* in a row */
    double mirror_s;                    /* that the last copy took on this rank; 0: not measured yet */
    dt_error mirror_error;
    bool mirror_busy_told;
} dt_trainer;

/* Call `event` of every sink that has it; what a sink says goes to the log and does not stop the training. */
#define TELL(t, event, ...)                                                                                  \
    do {                                                                                                     \
        for (int64_t tell_i = 0; tell_i < (t)->parts->n_sinks; tell_i++) {                                   \
            dt_sink *tell_sink = (t)->parts->sinks[tell_i];                                                  \
            dt_error tell_error = {0};                                                                       \
            if (tell_sink->ops->event &&                                                                     \
                tell_sink->ops->event(tell_sink, __VA_ARGS__, &tell_error) != DT_OK)                         \
                dt_trainer_sink_failed(tell_sink, &tell_error);                                              \
        }                                                                                                    \
    } while (0)

/* trainer_tell.c */
void dt_trainer_sink_failed(dt_sink *sink, const dt_error *err);
void dt_trainer_tell_losses(const dt_trainer_parts *parts); /* of sinks */
void dt_trainer_tell_start(dt_trainer *t);
/* All results of an epoch have come before the next one begins. */
void dt_trainer_tell_step(dt_trainer *t, const dt_step_result *r);
/* The number of the step that a result is of; 1 is the first of the training. */
double dt_trainer_images_per_s(const dt_trainer *t); /* over the last steps */
int64_t dt_trainer_step_of(const dt_trainer *t, const dt_step_result *r);

/* trainer_start.c: before the first step. Collective but for plan and plan_steps; ranks agree on errors. */
dt_status dt_trainer_plan(dt_trainer *t, dt_error *err);
dt_status dt_trainer_check_ranks(dt_trainer *t, dt_error *err);
/* a warning names the ranks that differ */
dt_status dt_trainer_join_computed_by(dt_trainer *t, dt_error *err);
dt_status dt_trainer_create_step(dt_trainer *t, dt_error *err);
dt_status dt_trainer_broadcast(dt_trainer *t, dt_error *err);
void dt_trainer_plan_steps(dt_trainer *t); /* from where it goes on */

/* trainer_state.c. Collective; behind a drain. */
dt_status dt_trainer_resume(dt_trainer *t, dt_error *err);

/* trainer_save.c. All but look_at_save are collective, between two steps, of which the device may have some
 * to do yet; nothing happens without a store. */
/* behind resume: what earlier starts left unfinished is removed */
dt_status dt_trainer_create_saver(dt_trainer *t, dt_error *err);
/* decides the same on all ranks; local unless --checkpoint-every auto */
bool dt_trainer_save_is_due(dt_trainer *t, bool epoch_ends);
/* Begin to write this step, unless that was done; wait: until it is on the disk, or has failed; save_status
 * tells. A failed write is told and leaves older checkpoints standing. */
void dt_trainer_save(dt_trainer *t, bool wait);
dt_status dt_trainer_check_failures(dt_trainer *t, dt_error *err); /* too many in a row? */
/* After a request to stop. DT_ERR_INTERRUPTED, or what kept the checkpoint from being written. */
dt_status dt_trainer_stopped(dt_trainer *t, const char *why, dt_error *err);
void dt_trainer_look_at_save(dt_trainer *t); /* tells the sinks of a new checkpoint */
void dt_trainer_take_save_votes(dt_trainer *t, const dt_step_result *r); /* local */
/* What comes next of the checkpoint that is being written, if all ranks have voted that they are ready:
 * nobody waits. Not behind a drain. */
dt_status dt_trainer_proceed_with_save(dt_trainer *t, dt_error *err);

/* two messages: the step in a path, the bytes that are free */
bool dt_trainer_same_but_for_numbers(const char *a, const char *b);

/* trainer_mirror.c. Like the four of trainer_save.c; nothing happens without a mirror. */
dt_status dt_trainer_create_mirror(dt_trainer *t, dt_error *err);
void dt_trainer_mirror_committed(dt_trainer *t); /* a checkpoint is whole: begin to copy it, unless the one
                                                    before is still under way */
void dt_trainer_take_mirror_votes(dt_trainer *t, const dt_step_result *r); /* local */
dt_status dt_trainer_proceed_with_mirror(dt_trainer *t, dt_error *err);
void dt_trainer_finish_mirror(dt_trainer *t); /* the training ends: waits for the newest checkpoint's copy,
                                                 as long as there is time */

/* trainer_events.c */
void dt_trainer_vote(dt_trainer *t, float votes[DT_N_VOTES]); /* local: of the step that comes */
/* Collective; there is something to evaluate. Does an evaluation fit before the end that somebody knows of,
 * with what comes after it? If not, that is told. */
dt_status dt_trainer_time_to_evaluate(dt_trainer *t, bool *enough, dt_error *err);
/* collective: the lowest rank's reason that has one */
dt_status dt_trainer_why_stopped(dt_trainer *t, char *why, size_t why_bytes, dt_error *err);

#endif
