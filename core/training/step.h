/* step.h: one optimizer step: micro-batches forward and backward, gradients reduced meanwhile, one update.
 *
 *   dt_step_create(&options, &step, err);
 *   dt_step_run(step, source, lr, stop_wanted, &result, err);
 *
 * Everything that ranks tell each other in a step goes through the one flat vector of gradients: the gradients, BatchNorm's
 * statistics, the loss, and the request to stop.
 */
#ifndef DT_CORE_TRAINING_STEP_H
#define DT_CORE_TRAINING_STEP_H

#include "core/comm.h"
#include "core/model/net.h"
#include "core/source.h"

typedef struct dt_step dt_step;

typedef struct dt_step_options {
    dt_net *net; /* all borrowed */
    dt_kernels *kernels;
    dt_comm *comm;
    int64_t batch, image_size, accumulate;
    dt_optimizer_desc optimizer;
    double weight_decay, label_smoothing;
    bool bn_decay;
} dt_step_options;

typedef struct dt_step_result {
    double loss;       /* mean over the global batch */
    double local_loss; /* mean over this rank's part of it */
    double top1;       /* fraction of the global batch */
    bool stop;         /* some rank wants to stop */
    double data_wait_s, comm_wait_s;
} dt_step_result;

dt_status dt_step_create(const dt_step_options *options, dt_step **step, dt_error *err);
void dt_step_destroy(dt_step *step);

/* Collective. Takes `accumulate` micro-batches from the source. Results are filled on success. */
dt_status dt_step_run(dt_step *step, dt_source *source, double lr, bool stop_wanted, dt_step_result *result, dt_error *err);

#endif
