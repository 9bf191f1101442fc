/* config.h: the settings of a training run that core reads, as plain values. They are part of dt_options
 * (launch/options/options.h), which launch fills from the command line and the configuration file; launch
 * knows the defaults and checks ranges. Nothing below launch parses text.
 */
#ifndef DT_CORE_BASE_CONFIG_H
#define DT_CORE_BASE_CONFIG_H

#include "core/tensor.h"

#include <stdint.h>

typedef enum dt_schedule_kind {
    DT_SCHEDULE_COSINE,
    DT_SCHEDULE_POLY,
    DT_SCHEDULE_STEP,
    DT_SCHEDULE_CONSTANT
} dt_schedule_kind;
/* Where --optimizer lars applies the learning rate; layers/arithmetic.h has the formulas. */
typedef enum dt_lars_form { DT_LARS_PAPER, DT_LARS_TORCH } dt_lars_form;
/* In which type gradients are sent between GPUs: by the number of ranks; float32; the type of `precision`. */
typedef enum dt_wire_kind { DT_WIRE_AUTO, DT_WIRE_F32, DT_WIRE_SAME } dt_wire_kind;
typedef enum dt_resume_kind { DT_RESUME_AUTO, DT_RESUME_NEVER, DT_RESUME_MUST } dt_resume_kind;

#define DT_PATH_BYTES 1024
#define DT_RESIZE_MAX 16
#define DT_STEP_EPOCHS_MAX 32

/* One entry of --resize-schedule: after `share` of all epochs, images have this size. */
typedef struct dt_resize_point {
    int64_t image_size;
    double share; /* [0, 1); 0 in the first entry, ascending */
} dt_resize_point;

#define DT_CHECKPOINT_AUTO (-1)

typedef struct dt_config {
    /* data */
    char data[DT_PATH_BYTES]; /* "": the built-in demo */
    int64_t image_size;       /* pixels, square */
    int64_t batch;            /* images per rank and micro-batch; 0 until launch/ has found the largest that
                                 fits (--batch auto) */
    int64_t accumulate;       /* micro-batches per optimizer step */
    double max_broken;        /* fraction of the files that may be broken */
    dt_resize_point resize[DT_RESIZE_MAX]; /* progressive resizing; none: image_size throughout */
    int64_t n_resize;

    /* optimization */
    int64_t epochs;
    int64_t steps;      /* stop after this many optimizer steps; 0: no such limit */
    char optimizer[16]; /* "sgd", "lars" */
    double lars_trust;
    dt_lars_form lars_form;
    double ema_decay;       /* of running averages of the weights, used for evaluation and export; 0: none */
    bool ema_warmup;        /* a smaller decay in the first steps: core/training/step.h */
    double loss_scale_init; /* with FP16 */
    double lr, momentum, weight_decay, label_smoothing, warmup_epochs;
    bool nesterov, bn_decay, bias_decay;
    dt_schedule_kind schedule;
    double poly_power; /* of DT_SCHEDULE_POLY */
    double step_gamma; /* factor of each drop of DT_SCHEDULE_STEP */
    /* the drops, ascending; none: at 1/3, 2/3 and 8/9 of all epochs */
    double step_epochs[DT_STEP_EPOCHS_MAX];
    int64_t n_step_epochs;
    uint64_t seed;
    dt_dtype precision;
    dt_wire_kind wire;
    bool no_graph; /* enqueue the work of each step instead of launching a captured graph */

    /* the run */
    dt_resume_kind resume;
    int64_t checkpoint_every;        /* steps; 0: at the end of every epoch; DT_CHECKPOINT_AUTO: from mtti_h
                                        and the time that a checkpoint takes */
    double mtti_h;                   /* mean time to interruption, hours */
    int64_t max_checkpoint_failures; /* in a row, until the training stops; 0: no limit */
    int64_t keep;                    /* the number of newest checkpoints to keep */
    double eval_every;               /* epochs; 0: only at the end */
} dt_config;

#endif
