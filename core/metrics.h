/* metrics.h: interface for what a training reports: progress on a terminal, metrics.jsonl, ...
 *
 * The trainer calls the functions of every sink on rank 0, in the order in which things happen; a NULL
 * pointer means that the sink ignores the event. All calls come from the training's thread, and must not
 * block for long. The trainer logs the first error of a sink and continues. Fractions are 0..1; times are in
 * seconds.
 *
 * Events come in the order of steps: `step` for every step (a sink decides which ones it shows), `checkpoint`
 * some steps after the step that it names. A loss may be infinite or NaN. A start at step first_step follows
 * one that may have gone further: a sink that keeps a file drops what it has of later steps, and everything
 * if first_step is 0.
 */
#ifndef DT_CORE_METRICS_H
#define DT_CORE_METRICS_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dt_sink dt_sink;

typedef struct dt_metrics_start {
    /* first_*: the step and epoch at which this start begins, 0 for a new training; the last epoch if all are
     * done */
    int64_t first_step, total_steps, steps_per_epoch, first_epoch, epochs;
    int64_t world_size, global_batch, n_train, n_val, n_params;
} dt_metrics_start;

typedef struct dt_metrics_step {
    int64_t step;          /* 1 after the first */
    int64_t epoch;         /* 0-based, the one the step belongs to */
    double epoch_progress; /* fraction of that epoch done */
    double loss;           /* mean over the global batch */
    double top1;           /* fraction of the global batch, in training */
    double lr;
    double images_per_s;             /* of all ranks, over the last few steps */
    double elapsed_s, left_s;        /* since this start; an estimate until total_steps */
    double data_wait_s, comm_wait_s; /* of this step on rank 0 */
    bool scaled;                     /* the loss is scaled; without it the fields below are undefined */
    bool skipped;                    /* gradients were not finite, so nothing was updated */
    double loss_scale;               /* of the next step */
    int64_t n_skipped;               /* steps skipped so far, this one included */
} dt_metrics_step;

typedef struct dt_metrics_eval {
    int64_t step, epoch;                 /* as in dt_metrics_step; epoch: the last one that was begun */
    double val_loss, val_top1, val_top5; /* mean; fractions */
    int64_t n;                           /* images evaluated */
    int64_t n_broken;                    /* files left out, of all ranks */
    double images_per_s, elapsed_s;
} dt_metrics_eval;

typedef struct dt_metrics_epoch {
    int64_t epoch, step;
    double mean_loss, mean_top1, elapsed_s, images_per_s;
    int64_t n_images, n_broken; /* n_broken: files found broken in this epoch by all ranks */
} dt_metrics_epoch;

typedef struct dt_metrics_checkpoint {
    int64_t step, bytes;
    double elapsed_s;
    char path[512];
    char error[256]; /* of a copy to the mirror that failed: the reason; else "" */
} dt_metrics_checkpoint;

typedef struct dt_metrics_end {
    int64_t steps, epochs; /* done since the training began */
    double elapsed_s, images_per_s;
    double final_loss, final_top1, final_top5; /* of this start's last evaluation; -1: there was none */
    int64_t final_step;                        /* after which that evaluation was: `steps`, or earlier */
    double best_top1;                          /* of all evaluations; -1: there was none */
    int64_t best_epoch, best_step;             /* as in dt_metrics_eval, of that evaluation; -1: not known */
    bool best_is_kept;                         /* the store has the checkpoint of best_step; all_done only */
    int64_t n_train, n_val;                    /* files; n_val 0: no evaluation */
    int64_t n_broken;     /* training files, of the epoch that found the most; an epoch reads all files except
                             less than a global batch */
    int64_t n_broken_val; /* evaluation files, of the evaluation that found the most */
    bool stopped_on_request;
    bool all_done; /* all steps are done; the last evaluation or checkpoint may have failed */
} dt_metrics_end;

typedef struct dt_sink_ops {
    const char *name;
    void (*destroy)(dt_sink *sink);
    dt_status (*start)(dt_sink *sink, const dt_metrics_start *m, dt_error *err);
    dt_status (*step)(dt_sink *sink, const dt_metrics_step *m, dt_error *err);
    /* Batches of rank 0 that are evaluated, and all of them. */
    dt_status (*eval_progress)(dt_sink *sink, int64_t done, int64_t total, dt_error *err);
    dt_status (*eval)(dt_sink *sink, const dt_metrics_eval *m, dt_error *err);
    dt_status (*epoch)(dt_sink *sink, const dt_metrics_epoch *m, dt_error *err);
    dt_status (*checkpoint)(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err);
    /* A checkpoint's copy in the mirror is whole, or has failed (m->error). */
    dt_status (*mirror)(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err);
    dt_status (*end)(dt_sink *sink, const dt_metrics_end *m, dt_error *err);
} dt_sink_ops;

/* Implementations begin with this. */
struct dt_sink {
    const dt_sink_ops *ops;
    int64_t n_lost; /* events whose function returned an error; the trainer counts them */
};

#endif
