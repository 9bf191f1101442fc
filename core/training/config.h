/* config.h: every setting of a training run, as plain values. launch/options.c fills it from the command line and the
 * configuration file, checks ranges and knows the defaults; nothing below launch/ parses text. */
#ifndef DT_CORE_TRAINING_CONFIG_H
#define DT_CORE_TRAINING_CONFIG_H

#include "core/model/tensor.h"

#include <stdint.h>

typedef enum dt_schedule_kind { DT_SCHEDULE_COSINE, DT_SCHEDULE_POLY, DT_SCHEDULE_STEP, DT_SCHEDULE_CONSTANT } dt_schedule_kind;
typedef enum dt_augment_kind { DT_AUGMENT_STANDARD, DT_AUGMENT_NONE } dt_augment_kind;
typedef enum dt_resume_kind { DT_RESUME_AUTO, DT_RESUME_NEVER, DT_RESUME_MUST } dt_resume_kind;

#define DT_PATH_BYTES 1024

typedef struct dt_config {
    /* data */
    char data[DT_PATH_BYTES]; /* "": the built-in demo */
    int64_t image_size;       /* pixels, square */
    int64_t batch;            /* per rank and micro-batch */
    int64_t accumulate;       /* micro-batches per optimizer step */
    int64_t workers;          /* decoding threads per rank */
    dt_augment_kind augment;
    bool shuffle;
    double crop_scale_min, crop_scale_max; /* random-resized-crop's share of the area */
    double flip;                           /* probability of a horizontal flip */
    double eval_crop;                      /* evaluation resizes the shorter side to image_size / eval_crop */
    double max_broken;                     /* fraction of files that may be broken */

    /* model */
    char arch[32];
    bool zero_init_gamma; /* of each residual branch's last BatchNorm */
    char init[DT_PATH_BYTES], export_to[DT_PATH_BYTES];

    /* optimization */
    int64_t epochs;
    int64_t steps; /* stop after so many optimizer steps; 0: no such limit */
    char optimizer[16];
    double lr, momentum, weight_decay, label_smoothing, warmup_epochs;
    bool nesterov, bn_decay;
    dt_schedule_kind schedule;
    uint64_t seed;

    /* where it runs */
    char backend[8], comm[8];
    dt_dtype precision;
    int64_t threads; /* compute threads per rank; 0: as many as the rank may use */

    /* the run */
    char out[DT_PATH_BYTES];
    dt_resume_kind resume;
    int64_t checkpoint_every; /* steps; 0: at the end of every epoch */
    int64_t keep;             /* generations kept */
    double eval_every;        /* epochs; 0: only at the end */
    double log_every_s;       /* plain progress lines where there is no terminal */
} dt_config;

#endif
