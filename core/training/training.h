/* training.h: what is trained in this start, and how far it is. start.c fills it and trainer.c advances it;
 * report.c, stop.c and checkpointer.c only read it. Equal on all ranks, but for the pointers in parts. */
#ifndef DT_CORE_TRAINING_TRAINING_H
#define DT_CORE_TRAINING_TRAINING_H

#include "core/training/step.h"
#include "core/training/trainer.h"

typedef struct dt_training {
    const dt_trainer_parts *parts; /* borrowed */

    /* fixed once it has started */
    dt_source_info train;
    dt_class_names class_names; /* of the training data, by label; owned by the trainer */
    dt_computed_by computed_by; /* the values of all ranks, joined */
    bool scaling;               /* the loss is scaled */
    int64_t global_batch, steps_per_epoch;
    int64_t total_steps;  /* the number of the last step */
    int64_t first_step;   /* steps that were done when this start began */
    bool new_momentum;    /* the checkpoint's is of no use: parts->accepts */
    int64_t resumed_step; /* of the checkpoint that this start goes on from; -1: none */

    /* the cursor, which a checkpoint holds: what has been enqueued so far */
    int64_t step, epoch;
    int64_t position;              /* samples of this epoch, of all ranks */
    double best_top1;              /* fraction; -1: not evaluated yet */
    int64_t best_epoch, best_step; /* of the evaluation that gave it; -1: not known */
} dt_training;

/* The number of the step that a result belongs to; 1 is the first step of the training. */
static inline int64_t dt_training_step_of(const dt_training *t, const dt_step_result *r)
{
    return t->first_step + r->index + 1;
}

static inline double dt_training_epochs_done(const dt_training *t)
{
    return (double)t->epoch + (double)t->position / (double)(t->steps_per_epoch * t->global_batch);
}

/* The epoch that the cursor is in, from 0; the last one where all are done. */
static inline int64_t dt_training_current_epoch(const dt_training *t)
{
    const int64_t last = t->parts->config->epochs - 1;
    return t->epoch < last ? t->epoch : last;
}

#endif
