/* fake_source.h: a dt_source (core/source.h) of made-up images: each class is a colour with noise, easy to
 * learn. Pixels are a function of (seed, epoch, sample id); order and micro-batches follow core/source.h. It
 * has no threads. At most FAKE_SOURCE_BATCHES batches can be held. They must be released in order, and are
 * overwritten when they are released. */
#ifndef DTRAIN_TESTS_FAKE_SOURCE_H
#define DTRAIN_TESTS_FAKE_SOURCE_H

#include "core/device.h"
#include "core/source.h"

typedef struct fake_source_options {
    dt_device *device; /* allocates the pixels with its host_alloc; NULL: malloc does */
    int64_t n_samples, n_classes, image_size, batch, accumulate;
    int rank, size;
    uint64_t seed;
    bool evaluation;        /* pads at the end, no shuffling */
    int64_t broken_samples; /* reported by stats in epoch 0, or in the first evaluation; one less later */
    int64_t label_shift;    /* the class of colour c has the name "class c" and, before set_labels, the label
                               (c + label_shift) % n_classes */
    double next_s;          /* a call of next takes so long */
    int64_t fail_at;        /* the n-th call of next fails (1 is the first); 0: none */
    int64_t
        interrupt_at; /* the same with DT_ERR_INTERRUPTED: a stop was requested, and a sample does not come */
    int64_t *starts,
        *n_starts;   /* each start stores its image size in starts[(*n_starts)++]; NULL: does not */
    int *times_seen; /* [n_samples] how often each sample was handed out, to any rank; may be NULL */
} fake_source_options;

#define FAKE_SOURCE_BATCHES 3

/* Aborts the test program when out of memory. */
dt_source *fake_source_create(const fake_source_options *options);

/* The most batches that were held at one time. */
int64_t fake_source_max_held(dt_source *source);

#endif
