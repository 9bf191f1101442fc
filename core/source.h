/* source.h: interface to samples: batches of decoded and augmented images, which threads prepare in advance.
 *
 *   s->ops->start(s, epoch, position, n_batches, err);
 *   while (n_batches--) { s->ops->next(s, &batch, err); ... s->ops->release(s, batch); }
 *
 * A sample is (epoch, position). The order of an epoch is a permutation keyed by (seed, epoch), and the
 * augmentation of a sample is drawn for (seed, epoch, sample id). So pixels are the same bits for any number
 * of threads and ranks, and after any restart.
 *
 * A global batch is the next world * accumulate * batch positions. It consists of world * accumulate
 * micro-batches of `batch` consecutive positions; rank r reads micro-batches r * accumulate to (r + 1) *
 * accumulate - 1. So 2 ranks, and 1 rank that accumulates twice, compute the same sums over the same
 * micro-batches.
 *
 * All functions are local. One thread at a time calls them.
 */
#ifndef DT_CORE_SOURCE_H
#define DT_CORE_SOURCE_H

#include "core/base/error.h"

#include <stdint.h>

typedef struct dt_source dt_source;

/* One micro-batch in host memory, which is pinned if the device needs that for fast copies. The slots after
 * the last sample of an evaluation have label -1, id -1 and black pixels. */
typedef struct dt_batch {
    uint8_t *pixels; /* [n][size][size][3], RGB */
    int32_t *labels; /* [n] */
    int64_t *ids;    /* [n] sample ids, also of broken files that another sample stands in for */
    int64_t n, size; /* images; their height and width in pixels */
} dt_batch;

typedef struct dt_source_info {
    int64_t n_samples, n_classes;
    int64_t image_size;   /* of the batches, pixels */
    uint64_t fingerprint; /* of class names, file names and sizes: equal on all ranks and in checkpoints */
} dt_source_info;

typedef struct dt_source_stats {
    /* all since start */
    int64_t n_decoded; /* images */
    int64_t n_broken;  /* distinct broken files in the batches that next returned */
    double wait_s;     /* time that next blocked */
} dt_source_stats;

typedef struct dt_source_ops {
    const char *name;
    void (*destroy)(dt_source *source);
    void (*info)(dt_source *source, dt_source_info *info);
    /* The name of the class with this label, owned by the source; NULL if there is no such class, or if
     * the source does not name its classes. */
    const char *(*class_name)(dt_source *source, int64_t label);
    /* The path of a sample, for messages, owned by the source. */
    const char *(*sample_name)(dt_source *source, int64_t id);

    /* Begin to produce this rank's next n_batches micro-batches, starting at `position`: the number of
     * samples of this epoch that all ranks together have consumed. Cancels batches of an earlier start. A
     * training source does not wrap: the caller asks for no position at or above n_samples. An evaluation
     * source gets epoch 0 and pads its last batch. */
    dt_status (*start)(dt_source *source, int64_t epoch, int64_t position, int64_t n_batches, dt_error *err);
    /* The next batch, in order. Blocks. The source owns *batch; it is valid until release. DT_ERR_DATA: more
     * than the allowed fraction of the files is broken. DT_ERR_INTERRUPTED: a sample does not come, and a
     * stop is requested (core/base/waits.h). */
    dt_status (*next)(dt_source *source, dt_batch **batch, dt_error *err);
    void (*release)(dt_source *source, dt_batch *batch);
    void (*stats)(dt_source *source, dt_source_stats *stats);
    /* Give class i the label labels[i], for 0 <= i < n_classes and a permutation: before start.
     * class_name and the labels of batches follow it; the fingerprint stays. May be NULL if class_name
     * returns NULL. */
    dt_status (*set_labels)(dt_source *source, const int32_t *labels, dt_error *err);
    /* Change the image size, in pixels, for progressive resizing: between epochs, before start. */
    dt_status (*set_image_size)(dt_source *source, int64_t size, dt_error *err);
} dt_source_ops;

/* Implementations begin with this. */
struct dt_source {
    const dt_source_ops *ops;
};

#endif
