/* interruptions.h: simulates a training on spot instances, which EC2 takes back at random times: what is
 * paid, and when the training is done. The two differ: nothing is paid while no instance is available.
 *
 *   dt_interruptions interruptions;
 *   DT_TRY(dt_interruptions_set(options->config.mtti_h, &interruptions, err));
 *   const dt_spot_run run = {.interruptions = &interruptions, .work_s = 24 * 3600, .startup_s = 600,
 *                            .save_s = 20};
 *   dt_spot_outcome outcome;
 *   DT_TRY(dt_spot_simulate(&run, 10000, 1, &outcome, err));
 *
 * All nodes of a job are in one pool and are lost together, so that the number of nodes does not matter here.
 * The same seed gives the same numbers. Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_INTERRUPTIONS_H
#define DT_LAUNCH_ESTIMATE_INTERRUPTIONS_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DT_SPOT_QUANTILES 1024

/* The distribution of the times that spot instances run, and of those for which none is available. Each time
 * is drawn from a table of equally likely values. */
typedef struct dt_interruptions {
    char name[32]; /* "calm", "normal", "hard", "traces", or "6 h" */
    double mtti_h; /* mean of the up times */
    double down_mean_h;
    double up_h[DT_SPOT_QUANTILES], down_h[DT_SPOT_QUANTILES]; /* ascending */
} dt_interruptions;

/* mtti_h above 0: up times with this mean, down times with the traces' mean, both exponential, as Daly
 * assumes. Below 0 (DT_MTTI_TRACES): heavy-tailed, with mean and median of a published trace. DT_ERR_USAGE:
 * 0, or more than 1,000,000; DT_ERR_MEMORY. */
dt_status dt_interruptions_set(double mtti_h, dt_interruptions *interruptions, dt_error *err);

/* Those of a trace in launch/estimate/data/traces.json by its name; NULL: the one that the file says is used.
 * DT_ERR_USAGE: there is none; DT_ERR_MEMORY. */
dt_status dt_interruptions_of_trace(const char *name, dt_interruptions *interruptions, dt_error *err);

typedef struct dt_spot_run {
    const dt_interruptions *interruptions;
    double work_s; /* of training, without any interruption */
    double
        startup_s; /* paid at each start before work goes on: boot, staging, tuning, loading a checkpoint */
    double requeue_s;  /* unpaid, at each start but the first, after an instance can be had again */
    double save_s;     /* that training waits for one checkpoint; at least the smallest that can be timed */
    double interval_s; /* of work between checkpoints; 0: Daly's, from save_s and the mean up time */
    double notice_s;   /* before an interruption: if it is at least save_s, a checkpoint is written then */
    double deadline_s; /* of wall time: where the work that is left and one start would just fit, on demand
                          from there on; 0: spot all the time */
} dt_spot_run;

typedef struct dt_spot_outcome {
    bool finishes;     /* false: interruptions come faster than starts; the other fields are then 0 */
    double interval_s; /* between checkpoints, that was used */
    double paid_s_mean, paid_s_p95;           /* of spot instances */
    double on_demand_s_mean, on_demand_s_p95; /* with deadline_s */
    double wall_s_mean, wall_s_p95;           /* from the first instance to the end */
    double n_interruptions_mean;
    double lost_s_mean;       /* of work that had to be done again */
    double switches;          /* share of the runs that went on demand */
    double switch_s_mean;     /* when they did; 0: none did */
    double usd_mean, usd_p95; /* of all nodes' hours at the given prices; 0 from dt_spot_simulate */
} dt_spot_outcome;

/* USD an hour: of the instances on spot and on demand, and of what is paid all the wall time (head node,
 * storage). */
typedef struct dt_spot_prices {
    double spot_usd_h, on_demand_usd_h, waiting_usd_h;
} dt_spot_prices;

/* Simulate n_runs runs. DT_ERR_MEMORY; DT_ERR_USAGE: n_runs < 1 or a negative time. */
dt_status dt_spot_simulate(const dt_spot_run *run, int64_t n_runs, uint64_t seed, dt_spot_outcome *outcome,
                           dt_error *err);
/* The same runs for several prices (rows that differ in their zone only); outcomes[i] is for prices[i]. */
dt_status dt_spot_simulate_usd(const dt_spot_run *run, int64_t n_runs, uint64_t seed,
                               const dt_spot_prices *prices, int n_prices, dt_spot_outcome *outcomes,
                               dt_error *err);

/* Seconds of work between checkpoints: run->interval_s, or Daly's. */
double dt_spot_interval_s(const dt_spot_run *run);

/* Daly's expectation of the paid time for exponential interruptions without notice, in seconds: with M = mean
 * time to interruption, R = startup_s, T = interval_s, C = save_s:
 *   M exp(R / M) (exp((T + C) / M) - 1) work_s / T   (Daly 2006, equation 20). */
double dt_spot_daly_s(const dt_spot_run *run);

/* -- one run, to be drawn -------------------------------------------------------------------------------- */

typedef enum dt_spot_segment_kind {
    DT_SEGMENT_START,    /* paid: boot, staging, tuning */
    DT_SEGMENT_WORK,     /* paid; an interruption follows unless it is the last */
    DT_SEGMENT_LOST,     /* paid; work since the last checkpoint that has to be done again */
    DT_SEGMENT_WAIT,     /* unpaid: no instance to be had, and the requeue */
    DT_SEGMENT_ON_DEMAND /* paid at the on-demand price: a start and work to the end */
} dt_spot_segment_kind;

typedef struct dt_spot_segment {
    dt_spot_segment_kind kind;
    double from_s, to_s; /* of wall time */
} dt_spot_segment;

/* The segments of run `index` of the simulation with this seed, at most `max`; returns how many there are,
 * which may be more than max. Consecutive segments touch. */
int64_t dt_spot_timeline(const dt_spot_run *run, uint64_t seed, int64_t index, dt_spot_segment *segments,
                         int64_t max);

#endif
