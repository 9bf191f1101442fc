/* here.h: how long a training takes on the machine that `dtrain bench` has measured: `dtrain plan --here`.
 *
 *   dt_here here;
 *   DT_TRY(dt_here_estimate(&query, &here, err));
 *   here.total_s
 *
 * With n steps, c checkpoints before the last one, and e evaluations of v images:
 *   total = start + n x global batch / training rate + e v / evaluation's rate + c x delay + last checkpoint
 * The rates are those of all parts at once, as they were measured: on a CPU the loader, the net and the
 * writer of checkpoints share the cores. Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_HERE_H
#define DT_LAUNCH_ESTIMATE_HERE_H

#include "launch/estimate/catalog.h"
#include "launch/estimate/workload.h"

/* All borrowed. */
typedef struct dt_here_query {
    const dt_measured_machine *machine;
    const dt_workload *work;
    const dt_config *config; /* checkpoint_every, mtti_h, steps */
    double measured_flops;   /* of a trained image of what was measured; dt_workload_size.flops */
    double evaluated_flops;  /* the same, of work at its image_size */
} dt_here_query;

typedef struct dt_here {
    int64_t n_steps, n_checkpoints; /* n_checkpoints: with the last one */
    int64_t batch, n_ranks;
    double images_s; /* of the training */
    double start_s, train_s, evaluate_s, checkpoints_s, total_s;
    double stop_s;           /* by how much a stop with a notice, and the start after it, delay the end */
    double kill_s;           /* the same of a kill, with half of the steps between two checkpoints */
    double usd;              /* 0: no price is known */
    bool is_scaled;          /* by operations, from another network or image size */
    bool evaluates_by_guess; /* an evaluation was not measured: three times the training's rate, since it has
                                no backward pass */
} dt_here;

/* DT_ERR_USAGE: the machine's figures have no training, or one of another precision; fewer images than one
 * global batch. */
dt_status dt_here_estimate(const dt_here_query *query, dt_here *here, dt_error *err);

#endif
