/* loader_options.h: the options of loader.h, which slot.h and loader_ring.h read too. */
#ifndef DT_IO_SOURCE_LOADER_OPTIONS_H
#define DT_IO_SOURCE_LOADER_OPTIONS_H

#include "core/base/cpus.h"
#include "core/device.h"
#include "io/source/augment.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum dt_augment_kind { DT_AUGMENT_STANDARD, DT_AUGMENT_NONE } dt_augment_kind;

typedef struct dt_loader_options {
    const char *root;   /* the data folder: root/train/<class>/<file>.jpg and root/val/<class>/<file>.jpg */
    bool training;      /* true: root/train, augmented and shuffled. false: root/val, the centre crop, in
                           order, padded */
    int64_t image_size; /* pixels, square */
    int64_t batch;      /* sample slots of a micro-batch */
    int64_t accumulate; /* micro-batches per optimizer step; 1 for evaluation */
    int rank, world;
    int64_t workers;         /* decoding threads, 1 to 1024 */
    dt_augment_kind augment; /* in training: random-resized-crop and flip, or (NONE) as evaluation with
                                eval_crop 1 and DT_EVAL_RESIZE_AUTO */
    double crop_scale_min, crop_scale_max; /* 0 < min <= max <= 1: a random crop's share of the area */
    double flip;                           /* 0..1: probability of a horizontal flip */
    double eval_crop;                      /* in evaluation: share and resize of dt_crop_centre */
    int64_t eval_resize;                   /* DT_EVAL_RESIZE_..., or pixels: image_size or more */
    uint64_t seed;
    bool shuffle;        /* in training; false: the files in sorted order */
    double max_broken;   /* 0..1: fraction of the files that may be broken */
    dt_device *device;   /* its host_alloc gives the pixels' memory (pinned); borrowed while the source lives;
                          NULL: dt_alloc */
    const dt_cpus *cpus; /* where the decoding threads run; borrowed while the source lives. NULL: where the
                            thread runs that calls start */
} dt_loader_options;

#endif
