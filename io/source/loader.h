/* loader.h: batches from a folder of JPEG files, decoded and augmented by threads: the door core/source.h,
 * implemented.
 *
 *   dt_loader_options o = {.root = "imagenet", .training = true, .image_size = 224, .batch = 64, ...};
 *   dt_loader_create(&o, &source, err);
 *   source->ops->start(source, epoch, 0, n_batches, err);      then next, release; at the end ops->destroy
 *
 * What sample `id` of epoch `e` looks like depends on the files, the seed, e and id, and on nothing else: the
 * same bits for any number of threads, any world size, and after any restart; pixels come out of integer
 * arithmetic alone.
 *
 * Broken files (unreadable, not a JPEG, truncated, corrupt, absurdly large) are named in the log once, with
 * the reason. In training a deterministic other sample, with its own label, stands in; in evaluation the row
 * gets label -1 and is not counted. A file is checked to its last byte when it is first met, so that what
 * counts as broken does not depend on where the random crop fell. Once more than max_broken of all files were
 * found broken since start, next returns DT_ERR_DATA. Within an epoch each file is asked for by one rank
 * only: stats' n_broken may be summed over the ranks.
 *
 * The caller may hold three batches at a time at least; those held when start is called are taken back.
 */
#ifndef DT_IO_SOURCE_LOADER_H
#define DT_IO_SOURCE_LOADER_H

#include "core/device.h"
#include "core/source.h"

typedef enum dt_augment_kind { DT_AUGMENT_STANDARD, DT_AUGMENT_NONE } dt_augment_kind;

typedef struct dt_loader_options {
    const char *root;   /* the data folder: root/train/<class>/<file>.jpg and root/val/<class>/<file>.jpg */
    bool training;      /* true: root/train, augmented and shuffled as below. false: root/val, centre crop,
                          in order, padded */
    int64_t image_size; /* pixels, square */
    int64_t batch;      /* rows of a micro-batch */
    int64_t accumulate; /* micro-batches per optimizer step; 1 for evaluation */
    int rank, world;
    int64_t workers;         /* decoding threads, 1 to 1024 */
    dt_augment_kind augment; /* of training: random-resized-crop and flip, or (NONE) what evaluation does
                                with eval_crop 1 */
    double crop_scale_min, crop_scale_max; /* 0 < min <= max <= 1: share of the area that a random crop
                                              takes */
    double flip;                           /* 0..1: probability of a horizontal flip */
    double eval_crop;                      /* 0 < eval_crop <= 1: the shorter side becomes image_size /
                                              eval_crop */
    uint64_t seed;
    bool shuffle;      /* of training; false: the files in sorted order */
    double max_broken; /* 0..1: fraction of the files */
    dt_device *device; /* batches come from its host_alloc (pinned memory); borrowed for the source's life;
                          NULL: dt_alloc */
} dt_loader_options;

/* Read the folder, check the options, allocate every buffer; threads begin with start. Local. The options are
 * copied. DT_ERR_USAGE: an option out of range, no such folder, no classes, a class without files, a class
 * that only one of train and val has; DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_loader_create(const dt_loader_options *options, dt_source **source, dt_error *err);

/* Whether root/val exists. Without it there is nothing to evaluate on, and creating such a source fails. */
bool dt_loader_has_validation(const char *root);

#endif
