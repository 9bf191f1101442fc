/* step.h: one optimizer step: micro-batches forward and backward, gradients reduced meanwhile, one update.
 *
 *   dt_step_create(&options, &step, err);
 *   dt_step_run(step, source, lr, votes, err);
 *   dt_step_results(step, false, results, max, &n, err);
 *
 * Everything that ranks tell each other in a step goes through the one flat vector of gradients: the
 * gradients, BatchNorm's statistics, the loss, and the votes.
 *
 * dt_step_run enqueues a step and does not wait for it; its result comes later. On the host it is there when
 * the call returns. On a GPU finished steps leave a record each in a ring on the device; every DT_STEP_LAG
 * steps the ring is copied to the host, and read DT_STEP_LAG steps later: when a result appears depends on
 * the number of steps alone, so all ranks see a vote, or a loss that is not finite, after the same step.
 */
#ifndef DT_CORE_TRAINING_STEP_H
#define DT_CORE_TRAINING_STEP_H

#include "core/comm.h"
#include "core/model/net.h"
#include "core/source.h"

/* steps between copies of the ring to the host, and from a copy to its reading */
#define DT_STEP_LAG 8
#define DT_STEP_MAX_RESULTS 32 /* no more results can be waiting than this */

typedef struct dt_step dt_step;

typedef struct dt_step_options {
    dt_net *net; /* all borrowed */
    dt_kernels *kernels;
    dt_comm *comm;
    int64_t batch, image_size, accumulate;
    dt_optimizer_desc optimizer;
    dt_update_options update;
    double label_smoothing;
    float loss_scale; /* to begin with; 1 if there is no loss scaling */
    dt_dtype wire;    /* of gradients: F32, F16, BF16 */
    bool no_graph;    /* enqueue every step anew, where a captured graph would be launched */
} dt_step_options;

typedef struct dt_step_result {
    int64_t index; /* 0 is the first step of this dt_step */
    double lr;
    double loss;                     /* mean over the global batch */
    double local_loss;               /* mean over this rank's part of it */
    double top1;                     /* fraction of the global batch */
    int64_t votes[DT_N_VOTES];       /* ranks that said 1 */
    bool skipped;                    /* the gradients were not finite: nothing was updated */
    double loss_scale;               /* for the next step */
    int64_t n_skipped;               /* so far, this step included */
    double data_wait_s, comm_wait_s; /* times the host waited in dt_step_run */
} dt_step_result;

dt_status dt_step_create(const dt_step_options *options, dt_step **step, dt_error *err);
void dt_step_destroy(dt_step *step); /* waits for what is under way */

/* Collective. Takes `accumulate` micro-batches from the source and enqueues the step; votes: this rank's, 0
 * or 1 each. The source must stay until the results of its steps have been drained, or the step destroyed:
 * its batches are released when they are on the device. */
dt_status dt_step_run(dt_step *step, dt_source *source, double lr, const float votes[DT_N_VOTES],
                      dt_error *err);

/* The results that are there, in order, at most max (give DT_STEP_MAX_RESULTS); *n may be 0. drain: wait for
 * all of them, and for the device: values, momentum and loss scale are those after the last step. Collective
 * with drain, as waits are. */
dt_status dt_step_results(dt_step *step, bool drain, dt_step_result *results, int64_t max, int64_t *n,
                          dt_error *err);

/* After dt_net_resize, between a drain and the next step. */
dt_status dt_step_resize(dt_step *step, int64_t image_size, dt_error *err);

/* What a checkpoint keeps of the loss scale. It is read on the device, behind a step
 * (core/checkpoint/snapshot.h), and set between a drain and the next step. */
typedef struct dt_loss_scale {
    double scale;
    int64_t n_good, n_skipped;
} dt_loss_scale;
/* Device memory, as the last step that was enqueued leaves it: the loss scale, and the loss over this rank's
 * part of the batch. */
const dt_step_state *dt_step_get_state(const dt_step *step);
const dt_loss_sums *dt_step_get_local_loss(const dt_step *step);
dt_status dt_step_set_loss_scale(dt_step *step, const dt_loss_scale *scale, dt_error *err);

#endif
