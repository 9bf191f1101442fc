/* step.h: one optimizer step: micro-batches forward and backward, gradients summed over the ranks while
 * backward goes on, one update.
 *
 *   dt_step_create(&options, &step, err);
 *   dt_step_run(step, source, lr, votes, err);
 *   dt_step_results(step, false, results, DT_STEP_MAX_RESULTS, &n, err);
 *
 * Everything that ranks exchange in a step is in one flat vector, which is summed over the ranks: the
 * gradients, BatchNorm's statistics, the loss, and the votes.
 *
 * dt_step_run enqueues a step and does not wait for it; the step's result comes later. On the host it is
 * there when the call returns. On a GPU each finished step leaves a record in a ring in device memory. Every
 * DT_STEP_LAG steps the new records are copied to the host, and read DT_STEP_LAG steps after that. So the
 * number of steps alone decides when a result appears, and all ranks see a vote, or a loss that is not
 * finite, after the same step.
 */
#ifndef DT_CORE_TRAINING_STEP_H
#define DT_CORE_TRAINING_STEP_H

#include "core/collective/grad_exchange.h"
#include "core/comm.h"
#include "core/model/net.h"
#include "core/source.h"

/* steps between two copies of the ring to the host, and between a copy and its reading */
#define DT_STEP_LAG 8
#define DT_STEP_MAX_RESULTS 32 /* at most so many results can be waiting to be read */

typedef struct dt_step dt_step;

typedef struct dt_step_options {
    dt_net *net; /* all borrowed */
    dt_kernels *kernels;
    dt_comm *comm;
    int64_t batch, image_size, accumulate;
    dt_optimizer_desc optimizer;
    dt_update_options update;
    double ema_decay; /* 0: no running averages */
    bool ema_warmup;  /* in step t of the training, from 1, the decay is min(ema_decay, (1 + t) / (10 + t)),
                         so that averages forget the initial weights early; steps that are skipped count */
    double label_smoothing;
    float loss_scale;          /* to begin with; 1 if there is no loss scaling */
    dt_grad_exchange exchange; /* of gradients between ranks */
    bool no_graph;             /* enqueue every operation of every step, and launch no captured graphs */
} dt_step_options;

typedef struct dt_step_result {
    int64_t index; /* 0 is the first step of this dt_step */
    double lr;
    double loss;                     /* mean over the global batch */
    double local_loss;               /* mean over this rank's part of it */
    double top1;                     /* fraction of the global batch */
    int64_t votes[DT_N_VOTES];       /* how many ranks voted 1 */
    bool skipped;                    /* the gradients were not finite: nothing was updated */
    double loss_scale;               /* for the next step */
    int64_t n_skipped;               /* so far, this step included */
    double data_wait_s, comm_wait_s; /* time that the host waited in dt_step_run: for the source, and for
                                        sums over ranks */
} dt_step_result;

/* DT_ERR_MEMORY, DT_ERR_DEVICE; DT_ERR_USAGE where the communicator cannot reach the device's memory. */
dt_status dt_step_create(const dt_step_options *options, dt_step **step, dt_error *err);
void dt_step_destroy(dt_step *step); /* waits for what is under way; NULL is fine */

/* Collective. Enqueues a step with the source's next `accumulate` micro-batches. lr: the learning rate.
 * votes: this rank's, each 0 or 1. The source must stay until the results of its steps have been drained or
 * the step is destroyed: batches are released once they are on the device. */
dt_status dt_step_run(dt_step *step, dt_source *source, double lr, const float votes[DT_N_VOTES],
                      dt_error *err);

/* Pop the *n oldest results that have come, at most max (DT_STEP_MAX_RESULTS is always enough); *n may be 0.
 * drain: waits until all of them have come and the device is done; the values, momentum and loss scale are
 * then those after the last step. Collective with drain: what the device still has
 * to do may include collectives. */
dt_status dt_step_results(dt_step *step, bool drain, dt_step_result *results, int64_t max, int64_t *n,
                          dt_error *err);

/* The number of steps that the training did before the next one, for a warm-up of the averages; 0 after
 * dt_step_create. Between a drain and the next step. */
void dt_step_set_n_before(dt_step *step, int64_t n_steps);

/* Collective, between a drain and the next step: resize the net, on all ranks with the same engines
 * (core/collective/engines_build.h), and what else depends on the size. Returns what that and dt_net_resize
 * return. */
dt_status dt_step_resize(dt_step *step, int64_t image_size, dt_error *err);

/* What a checkpoint holds of the loss scale. A snapshot copies it on the device, after a step
 * (core/checkpoint/snapshot.h). Set it between a drain and the next step. */
typedef struct dt_loss_scale {
    double scale;
    int64_t n_good, n_skipped;
} dt_loss_scale;
/* In device memory: the loss scale and its counts, and the loss over this rank's part of the batch. Each step
 * on the main stream updates them. */
const dt_step_state *dt_step_get_state(const dt_step *step);
const dt_loss_sums *dt_step_get_local_loss(const dt_step *step);
dt_status dt_step_set_loss_scale(dt_step *step, const dt_loss_scale *scale, dt_error *err);

#endif
