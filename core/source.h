/* source.h: the door to samples: decoded, augmented batches, made by threads ahead of time.
 *
 *   s->ops->start(s, epoch, position, n_batches, err);
 *   while (n_batches--) { s->ops->next(s, &batch, err); ... s->ops->release(s, batch); }
 *
 * A sample is (epoch, position): the order of an epoch is a permutation keyed by (seed, epoch), and its
 * augmentation is drawn for (seed, epoch, sample id). So pixels are the same bits for any number of threads
 * and ranks, and after any restart. A global batch is the next world * accumulate * batch positions; it falls
 * into world * accumulate micro-batches of `batch` consecutive positions: rank r takes micro-batches r *
 * accumulate to (r + 1) * accumulate - 1. So 2 ranks, and 1 rank that accumulates twice, compute the same
 * sums over the same micro-batches.
 */
#ifndef DT_CORE_SOURCE_H
#define DT_CORE_SOURCE_H

#include "core/base/error.h"

#include <stdint.h>

typedef struct dt_source dt_source;

/* One micro-batch in host memory (pinned where that helps). Rows beyond the data (the end of an evaluation)
 * have label -1 and id -1 and black pixels. */
typedef struct dt_batch {
    uint8_t *pixels; /* [n][size][size][3], RGB */
    int32_t *labels; /* [n] */
    int64_t *ids;    /* [n] the sample that was asked for */
    int64_t n, size;
} dt_batch;

typedef struct dt_source_info {
    int64_t n_samples, n_classes;
    int64_t image_size;   /* of the batches, pixels */
    uint64_t fingerprint; /* of class names, file names and sizes: ranks and checkpoints must agree on it */
} dt_source_info;

typedef struct dt_source_stats {
    int64_t n_decoded; /* since start */
    int64_t n_broken;  /* distinct broken files among what next has given since start */
    double wait_s;     /* time that next blocked, since start */
} dt_source_stats;

typedef struct dt_source_ops {
    const char *name;
    void (*destroy)(dt_source *source);
    void (*info)(dt_source *source, dt_source_info *info);
    /* owned by the source; NULL beyond the last */
    const char *(*class_name)(dt_source *source, int64_t class_index);
    const char *(*sample_name)(dt_source *source, int64_t id); /* a path, for messages */

    /* Begin to produce n_batches micro-batches of this rank, from `position` (a number of samples of this
     * epoch that the whole job has consumed) on. Ends what was under way. Training sources wrap nothing:
     * position plus what is asked for stays below n_samples. Evaluation sources take epoch 0 and pad. */
    dt_status (*start)(dt_source *source, int64_t epoch, int64_t position, int64_t n_batches, dt_error *err);
    /* The next batch, in order; blocks; *batch stays the source's and is valid until release. DT_ERR_DATA
     * when more than the allowed fraction of files is broken. */
    dt_status (*next)(dt_source *source, dt_batch **batch, dt_error *err);
    void (*release)(dt_source *source, dt_batch *batch);
    void (*stats)(dt_source *source, dt_source_stats *stats);
    /* Progressive resizing, between epochs, before start. */
    dt_status (*set_image_size)(dt_source *source, int64_t size, dt_error *err);
} dt_source_ops;

/* Implementations begin with this. */
struct dt_source {
    const dt_source_ops *ops;
};

#endif
