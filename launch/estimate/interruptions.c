#include "config.h"

#include "launch/estimate/interruptions.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/checkpoint/save_interval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HOUR 3600.0
/* The shortest save that the arithmetic of intervals takes: seconds. */
#define LEAST_SAVE_S 1e-3
/* A run with more interruptions than this is scaled from a shorter one: its times hardly vary. */
#define MOST_INTERRUPTIONS 400.0
/* Interruptions after which a run counts as one that never finishes. */
#define HOPELESS 20000

/* -- one run --------------------------------------------------------------------------------------------- */

typedef struct one_run {
    double paid_s, on_demand_s, wall_s, lost_s, switch_s;
    int64_t n_interruptions;
    bool finishes, switches;
} one_run;

typedef struct recorder {
    dt_spot_segment *segments;
    int64_t n, max;
} recorder;

static void record(recorder *to, dt_spot_segment_kind kind, double from_s, double to_s)
{
    if (!to || to_s <= from_s)
        return;
    if (to->n < to->max)
        to->segments[to->n] = (dt_spot_segment){.kind = kind, .from_s = from_s, .to_s = to_s};
    to->n++;
}

static double draw_s(dt_rng *g, const double *hours)
{
    return hours[dt_rng_u32(g) >> 22] * HOUR; /* the upper 10 bits: 0 to 1023 */
}
_Static_assert(DT_SPOT_QUANTILES == 1024, "draw_s takes 10 bits");

/* What an instance that runs for up_s achieves: work that is saved, work that is lost, and what is paid. A
 * notice that comes early enough to save ends the work there, and the instance is given back when the save is
 * done. */
typedef struct up_time {
    double saved_s, lost_s, paid_s;
} up_time;

static up_time interrupted(const dt_spot_run *run, double interval_s, double up_s)
{
    const bool is_noticed = run->notice_s > 0 && run->notice_s >= run->save_s;
    const double end_s = is_noticed ? up_s - run->notice_s : up_s;
    const double cycle_s = interval_s + run->save_s, in_work_s = end_s - run->startup_s;
    if (in_work_s <= 0)
        return (up_time){.paid_s = end_s > 0 ? end_s : 0};
    const double n_saved = floor(in_work_s / cycle_s), rest_s = in_work_s - n_saved * cycle_s;
    const double begun_s = rest_s < interval_s ? rest_s : interval_s;
    return (up_time){.saved_s = n_saved * interval_s + (is_noticed ? begun_s : 0),
                     .lost_s = is_noticed ? 0 : begun_s,
                     .paid_s = end_s + (is_noticed ? run->save_s : 0)};
}

/* Seconds of an instance for the work that is left, with its saves; nothing is saved after the end. */
static double work_and_saves_s(const dt_spot_run *run, double interval_s, double left_s)
{
    const double n_saves = ceil(left_s / interval_s) - 1;
    return left_s + (n_saves > 0 ? n_saves : 0) * run->save_s;
}

/* How long the run may still wait at wall time `now_s` before it has to go on demand. */
static double slack_s(const dt_spot_run *run, double interval_s, double left_s, double now_s)
{
    const bool is_noticed = run->notice_s > 0 && run->notice_s >= run->save_s;
    const double reserve_s = is_noticed ? run->notice_s + run->save_s : interval_s + run->save_s;
    return run->deadline_s - now_s - run->startup_s - work_and_saves_s(run, interval_s, left_s) - reserve_s;
}

static void go_on_demand(const dt_spot_run *run, double left_s, double now_s, one_run *r, recorder *to)
{
    r->switches = r->finishes = true;
    r->switch_s = now_s;
    r->on_demand_s = run->startup_s + left_s;
    r->wall_s = now_s + r->on_demand_s;
    record(to, DT_SEGMENT_ON_DEMAND, now_s, r->wall_s);
}

static void record_up(const dt_spot_run *run, double from_s, double up_s, double lost_s, recorder *to)
{
    const double start_s = run->startup_s < up_s ? run->startup_s : up_s;
    record(to, DT_SEGMENT_START, from_s, from_s + start_s);
    record(to, DT_SEGMENT_WORK, from_s + start_s, from_s + up_s - lost_s);
    record(to, DT_SEGMENT_LOST, from_s + up_s - lost_s, from_s + up_s);
}

static one_run simulate_one(const dt_spot_run *run, double interval_s, uint64_t seed, int64_t index,
                            recorder *to)
{
    dt_rng g = dt_rng_at(seed, DT_RNG_INTERRUPTION, (uint64_t)index, 0);
    one_run r = {0};
    double left_s = run->work_s, now_s = 0;
    while (r.n_interruptions < HOPELESS) {
        if (run->deadline_s > 0 && slack_s(run, interval_s, left_s, now_s) < run->startup_s) {
            go_on_demand(run, left_s, now_s, &r, to);
            return r;
        }
        const double up_s = draw_s(&g, run->interruptions->up_h);
        const double need_s = run->startup_s + work_and_saves_s(run, interval_s, left_s);
        if (up_s >= need_s) {
            record_up(run, now_s, need_s, 0, to);
            r.paid_s += need_s;
            r.wall_s = now_s + need_s;
            r.finishes = true;
            return r;
        }
        const up_time up = interrupted(run, interval_s, up_s);
        record_up(run, now_s, up.paid_s, up.lost_s, to);
        r.n_interruptions++;
        r.paid_s += up.paid_s;
        r.lost_s += up.lost_s;
        left_s -= up.saved_s < left_s ? up.saved_s : left_s;
        const double wait_from_s = now_s + up.paid_s;
        now_s += up_s + draw_s(&g, run->interruptions->down_h) + run->requeue_s;
        const double slack = run->deadline_s > 0 ? slack_s(run, interval_s, left_s, wait_from_s) : INFINITY;
        if (now_s - wait_from_s > slack)
            now_s = wait_from_s + (slack > 0 ? slack : 0);
        record(to, DT_SEGMENT_WAIT, wait_from_s, now_s);
    }
    return r;
}

int64_t dt_spot_timeline(const dt_spot_run *run, uint64_t seed, int64_t index, dt_spot_segment *segments,
                         int64_t max)
{
    recorder to = {.segments = segments, .max = max};
    (void)simulate_one(run, dt_spot_interval_s(run), seed, index, &to);
    return to.n;
}

/* -- many runs ------------------------------------------------------------------------------------------- */

double dt_spot_interval_s(const dt_spot_run *run)
{
    const double save_s = run->save_s > LEAST_SAVE_S ? run->save_s : LEAST_SAVE_S;
    return run->interval_s > 0 ? run->interval_s
                               : dt_save_interval_s(save_s, run->interruptions->mtti_h * HOUR);
}

double dt_spot_daly_s(const dt_spot_run *run)
{
    const double m = run->interruptions->mtti_h * HOUR, t = dt_spot_interval_s(run);
    return m * exp(run->startup_s / m) * expm1((t + run->save_s) / m) * run->work_s / t;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The mean, and the value that 95% of the runs do not exceed. Sorts `values`. */
static void summarise(double *values, int64_t n, double *mean, double *p95)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i];
    qsort(values, (size_t)n, sizeof *values, compare);
    const int64_t at = (int64_t)ceil(0.95 * (double)n) - 1;
    *mean = sum / (double)n;
    *p95 = values[at < 0 ? 0 : at];
}

/* How many times longer the whole run is than what is simulated; 1 for most. INFINITY: no up time is long
 * enough for any work. */
static double scale_of(const dt_spot_run *run, double interval_s)
{
    double sum = 0;
    for (int i = 0; i < DT_SPOT_QUANTILES; i++)
        sum += interrupted(run, interval_s, run->interruptions->up_h[i] * HOUR).saved_s;
    const double n_expected = run->work_s / (sum / DT_SPOT_QUANTILES);
    return sum <= 0 && run->work_s > 0       ? INFINITY
           : n_expected > MOST_INTERRUPTIONS ? n_expected / MOST_INTERRUPTIONS
                                             : 1;
}

/* A sum of many independent times: its mean grows with their number, its spread with the root of it. */
static void scale_up(double scale, double *mean, double *p95)
{
    const double spread = *p95 - *mean;
    *mean *= scale;
    *p95 = *mean + spread * sqrt(scale);
}

typedef struct samples {
    double *paid_s, *on_demand_s, *wall_s, *usd; /* [n] */
    int64_t n;
} samples;

/* Returns false if a run does not finish. Sets the sums of *outcome. */
static bool simulate_all(const dt_spot_run *run, uint64_t seed, const samples *s, dt_spot_outcome *outcome)
{
    double n_switched = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const one_run r = simulate_one(run, outcome->interval_s, seed, i, NULL);
        if (!r.finishes)
            return false;
        s->paid_s[i] = r.paid_s;
        s->on_demand_s[i] = r.on_demand_s;
        s->wall_s[i] = r.wall_s;
        outcome->n_interruptions_mean += (double)r.n_interruptions / (double)s->n;
        outcome->lost_s_mean += r.lost_s / (double)s->n;
        outcome->switch_s_mean += r.switch_s;
        n_switched += r.switches;
    }
    outcome->switches = n_switched / (double)s->n;
    outcome->switch_s_mean = n_switched > 0 ? outcome->switch_s_mean / n_switched : 0;
    return true;
}

static void price_all(const samples *s, const dt_spot_prices *prices, int n_prices, double scale,
                      dt_spot_outcome *outcomes)
{
    for (int k = 0; k < n_prices; k++) {
        const dt_spot_prices *p = &prices[k];
        for (int64_t i = 0; i < s->n; i++)
            s->usd[i] = (s->paid_s[i] * p->spot_usd_h + s->on_demand_s[i] * p->on_demand_usd_h +
                         s->wall_s[i] * p->waiting_usd_h) /
                        HOUR;
        summarise(s->usd, s->n, &outcomes[k].usd_mean, &outcomes[k].usd_p95);
        scale_up(scale, &outcomes[k].usd_mean, &outcomes[k].usd_p95);
    }
}

static void summarise_all(const samples *s, double scale, dt_spot_outcome *o)
{
    summarise(s->paid_s, s->n, &o->paid_s_mean, &o->paid_s_p95);
    summarise(s->on_demand_s, s->n, &o->on_demand_s_mean, &o->on_demand_s_p95);
    summarise(s->wall_s, s->n, &o->wall_s_mean, &o->wall_s_p95);
    scale_up(scale, &o->paid_s_mean, &o->paid_s_p95);
    scale_up(scale, &o->wall_s_mean, &o->wall_s_p95);
    o->n_interruptions_mean *= scale;
    o->lost_s_mean *= scale;
}

dt_status dt_spot_simulate_usd(const dt_spot_run *run, int64_t n_runs, uint64_t seed,
                               const dt_spot_prices *prices, int n_prices, dt_spot_outcome *outcomes,
                               dt_error *err)
{
    if (n_runs < 1 || run->work_s < 0 || run->startup_s < 0 || run->save_s < 0)
        return dt_fail(err, DT_ERR_USAGE, "a simulation needs a run, and times of 0 and more");
    dt_spot_outcome common = {.interval_s = dt_spot_interval_s(run)};
    dt_spot_run shorter = *run;
    const double scale = run->deadline_s > 0 ? 1 : scale_of(run, common.interval_s);
    for (int k = 0; k < n_prices; k++)
        outcomes[k] = (dt_spot_outcome){.finishes = false};
    if (isinf(scale))
        return DT_OK;
    shorter.work_s /= scale;
    const size_t bytes = 4 * (size_t)n_runs * sizeof(double);
    double *memory = dt_alloc(bytes);
    if (!memory)
        return dt_fail_memory(err, bytes, "a simulation");
    const samples s = {memory, memory + n_runs, memory + 2 * n_runs, memory + 3 * n_runs, n_runs};
    common.finishes = simulate_all(&shorter, seed, &s, &common);
    if (common.finishes) {
        price_all(&s, prices, n_prices, scale, outcomes);
        summarise_all(&s, scale, &common);
        for (int k = 0; k < n_prices; k++) {
            common.usd_mean = outcomes[k].usd_mean;
            common.usd_p95 = outcomes[k].usd_p95;
            outcomes[k] = common;
        }
    }
    dt_free(memory);
    return DT_OK;
}

dt_status dt_spot_simulate(const dt_spot_run *run, int64_t n_runs, uint64_t seed, dt_spot_outcome *outcome,
                           dt_error *err)
{
    const dt_spot_prices none = {0};
    return dt_spot_simulate_usd(run, n_runs, seed, &none, 1, outcome, err);
}
