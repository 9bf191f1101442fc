/* scripted_loss.h: a backend whose losses and hits are numbers that a test knows, and whose gradients
 * overflow when the test says so; the rest is the backend's. For ranks that are threads, on the host. */
#ifndef DTRAIN_TESTS_SCRIPTED_LOSS_H
#define DTRAIN_TESTS_SCRIPTED_LOSS_H

#include "core/kernels.h"

/* Both are called by the rank's thread. index: of this rank's micro-batches that are trained, or evaluated;
 * 0 is the first. Either may be NULL. */
typedef struct loss_script {
    /* What a micro-batch adds to the sums; n: its labels that are not -1. */
    dt_loss_sums (*sums)(int rank, bool training, int64_t index, int64_t n);
    /* Whether a gradient of this training micro-batch is infinite. */
    bool (*overflows)(int64_t index);
} loss_script;

/* Replace the loss of `kernels`, which this thread uses. *ops gets its operations, and must stay. */
void scripted_loss_begin(dt_kernels *kernels, dt_kernels_ops *ops, const loss_script *script, int rank);

#endif
