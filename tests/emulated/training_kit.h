/* training_kit.h: runs the same few steps of training on two backends, and measures how far apart they
 * end. */
#ifndef DTRAIN_TESTS_EMULATED_TRAINING_KIT_H
#define DTRAIN_TESTS_EMULATED_TRAINING_KIT_H

#include "core/kernels.h"
#include "core/training/step.h"

#include <stdbool.h>

typedef struct dt_training {
    const char *arch;
    int64_t batch, image_size, accumulate, n_steps;
    uint64_t seed;
    double lr;
    bool lars, ema, zero_init_gamma, no_graph;
    float loss_scale; /* initial value; 0: no loss scaling */
    int32_t growth_interval;
    const float *from;  /* initial state, in the form of dt_trained.state; NULL: a new one */
    int64_t first_step; /* position in the order of images */
    bool may_fail;      /* an error ends the training, not the test */
    /* Called after the last step, before the net is destroyed; may be NULL. */
    void (*at_end)(void *context, dt_kernels *kernels, dt_net *net);
    void *context;
} dt_training;

/* The state after the last step, in canonical order; free with dt_trained_free. */
typedef struct dt_trained {
    bool failed;
    int64_t n_tensors, n_elems;
    dt_state_tensor *tensors;
    float *start, *end;
    dt_step_result results[64]; /* of each step */
    int64_t n_results;
} dt_trained;

/* Train on one rank, with images of the fake source. If a call fails, the running test ends, unless may_fail
 * is set. */
dt_trained dt_train(dt_kernels *kernels, const dt_training *training);
void dt_trained_free(dt_trained *trained);

/* The loss of a batch with the state training->from, whose tensors are those of `layout`, in a net for
 * evaluation only; NaN if the evaluation finds that the loss is not finite. */
double dt_evaluated_loss(dt_kernels *kernels, const dt_training *training, const dt_trained *layout);

/* For each tensor |A - B| / |B - START| in the 2-norm: the distance in relation to how far B has moved
 * (tests/README.md). */
typedef struct dt_distance {
    double median, largest; /* of all tensors */
    const char *worst;      /* name of the tensor with the largest distance; owned by B */
} dt_distance;
dt_distance dt_trained_distance(const dt_trained *a, const dt_trained *b);
bool dt_trained_same_bits(const dt_trained *a, const dt_trained *b);

#endif
