/* config.h: every setting of a training run, as plain values. launch/options/options.c fills it from the
 * command line and the configuration file, checks ranges and knows the defaults; nothing below launch/ parses
 * text. */
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
typedef enum dt_augment_kind { DT_AUGMENT_STANDARD, DT_AUGMENT_NONE } dt_augment_kind;
typedef enum dt_resume_kind { DT_RESUME_AUTO, DT_RESUME_NEVER, DT_RESUME_MUST } dt_resume_kind;

typedef enum dt_input_kind { DT_INPUT_LOADER, DT_INPUT_SYNTHETIC } dt_input_kind;
typedef enum dt_autotune_kind { DT_AUTOTUNE_FULL, DT_AUTOTUNE_HEURISTIC, DT_AUTOTUNE_OFF } dt_autotune_kind;

#define DT_PATH_BYTES 1024
#define DT_RESIZE_MAX 16

/* One row of --resize-schedule: from `share` of all epochs on, images have this size. */
typedef struct dt_resize_point {
    int64_t image_size;
    double share; /* [0, 1); the first is 0, ascending */
} dt_resize_point;

#define DT_CHECKPOINT_AUTO (-1)

typedef struct dt_config {
    /* data */
    char data[DT_PATH_BYTES]; /* "": the built-in demo */
    int64_t image_size;       /* pixels, square */
    int64_t batch;            /* per rank and micro-batch; 0 until launch/ has found the largest that fits
                                 (--batch auto) */
    int64_t accumulate;       /* micro-batches per optimizer step */
    int64_t workers;          /* decoding threads per rank */
    dt_augment_kind augment;
    bool shuffle;
    double crop_scale_min, crop_scale_max; /* random-resized-crop's share of the area */
    double flip;                           /* probability of a horizontal flip */
    double eval_crop;                      /* evaluation resizes the shorter side to image_size / eval_crop */
    double max_broken;                     /* fraction of files that may be broken */
    dt_input_kind input;                   /* synthetic: the same random pixels in every step, to measure
                                              the net alone */
    char resize_schedule[256];             /* as given: "160:0,192:0.6"; "": image_size throughout */
    dt_resize_point resize[DT_RESIZE_MAX]; /* the same, parsed */
    int64_t n_resize;

    /* model */
    char arch[32];
    bool zero_init_gamma; /* of each residual branch's last BatchNorm */
    char init[DT_PATH_BYTES], export_to[DT_PATH_BYTES];

    /* optimization */
    int64_t epochs;
    int64_t steps;      /* stop after so many optimizer steps; 0: no such limit */
    char optimizer[16]; /* "sgd", "lars" */
    double lars_trust;
    double ema_decay;       /* of running averages of the weights, used for evaluation and export; 0: none */
    double loss_scale_init; /* with FP16 */
    double lr, momentum, weight_decay, label_smoothing, warmup_epochs;
    bool nesterov, bn_decay;
    dt_schedule_kind schedule;
    uint64_t seed;

    /* where it runs */
    char backend[8], comm[8];
    dt_dtype precision;
    int64_t threads; /* compute threads per rank; 0: as many as the rank may use */
    dt_autotune_kind autotune;
    bool no_graph;         /* enqueue every step anew instead of launching a captured graph */
    double peer_timeout_s; /* after which a collective that does not end is an error */
    int64_t profile_steps; /* measure each layer over so many steps, print a table, stop; 0: no */

    /* the run */
    char out[DT_PATH_BYTES];
    dt_resume_kind resume;
    int64_t checkpoint_every;        /* steps; 0: at the end of every epoch; DT_CHECKPOINT_AUTO: from the time
                                 that one takes and mtti_h */
    double mtti_h;                   /* mean time to interruption, hours */
    int64_t max_checkpoint_failures; /* in a row, until training stops; 0: never */
    int64_t keep;                    /* checkpoints kept */
    char checkpoint_dir[DT_PATH_BYTES], checkpoint_mirror[DT_PATH_BYTES]; /* "": inside out; none */
    double eval_every;                                                    /* epochs; 0: only at the end */
    double log_every_s; /* plain progress lines where there is no terminal */
} dt_config;

#endif
