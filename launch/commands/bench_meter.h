/* bench_meter.h: a sink that turns what a training reports into rates, for `dtrain bench`. Times are those of
 * dt_clock_s at each event.
 *
 *   dt_bench_meter meter;
 *   dt_bench_meter_init(&meter, 3, 1, 50);
 *   parts.sinks = (dt_sink *[]){&meter.base};  parts.n_sinks = 1;       on rank 0
 *   dt_trainer_run(&parts, &result, err);
 *   dt_bench_meter_get(&meter, &figures);
 *
 * A step belongs to a checkpoint if it ends between the start of the checkpoint (after each step whose number
 * is a multiple of checkpoint_every, but the last) and its report. The rate is that of the other steps; what
 * the steps of checkpoints take beyond it is the delay by checkpoints. How far the rate of a second is from
 * the mean shows how much the machine's speed varies.
 */
#ifndef DT_LAUNCH_COMMANDS_BENCH_METER_H
#define DT_LAUNCH_COMMANDS_BENCH_METER_H

#include "core/metrics.h"

typedef struct dt_bench_meter {
    dt_sink base;
    int64_t n_warmup, lag, checkpoint_every, global_batch, total_steps;
    double first_step_s, last_event_s; /* when the first step was reported; the last step or evaluation */
    double sample_s;                   /* when the steps that are not counted yet began */
    int64_t sample_step, last_step;    /* after which; that was reported last */
    bool is_sampling, is_saving, was_saving; /* was_saving: at any time since sample_s */
    int64_t n_steps, n_saving;               /* steps without, and with a checkpoint beside them */
    double steps_s, saving_s;
    int64_t second_steps,
        n_seconds; /* the steps counted since the last whole second of steps; whole seconds */
    double second_s, fastest_step_s, slowest_step_s; /* their time; of whole seconds, the mean of each */
    int64_t n_checkpoints, checkpoint_bytes;         /* n_checkpoints: without the last one */
    double last_checkpoint_s;
    dt_metrics_eval eval; /* the last one; n 0: none */
} dt_bench_meter;

/* Steps are counted after the first n_warmup (at least 1), `lag` at a time: results of a device come in
 * groups. checkpoint_every: as in the trainer's configuration; 0: there are no checkpoints. */
void dt_bench_meter_init(dt_bench_meter *meter, int64_t n_warmup, int64_t lag, int64_t checkpoint_every);

/* Values that were not measured are NAN. */
typedef struct dt_bench_training {
    double images_s;                           /* of all ranks */
    double slowest_images_s, fastest_images_s; /* the same by the second; of at least two */
    double first_step_s;      /* by dt_clock_s, without the time of a usual step: when the first one began */
    double evaluate_images_s; /* of all ranks */
    double checkpoint_s;      /* delay by one checkpoint that is written while steps go on, 0 or more */
    double last_checkpoint_s; /* from the last step or evaluation to the last checkpoint's report */
    double checkpoint_bytes;
} dt_bench_training;
void dt_bench_meter_get(const dt_bench_meter *meter, dt_bench_training *figures);

/* Whether at least n samples of `lag` steps were counted. */
bool dt_bench_meter_has(const dt_bench_meter *meter, int64_t n);

#endif
