#include "config.h"

#include "launch/estimate/cost.h"

#include <math.h>

#define HOUR 3600.0
#define HOURS_A_MONTH 730.0

const char *dt_cost_part_name(dt_cost_part part)
{
    static const char *const names[DT_N_COST_PARTS] = {"training", "start-up", "storage", "head node",
                                                       "requests"};
    return names[part];
}

/* EBS of all nodes: root volumes exist as long as their instances; data volumes outlive them. */
static double root_usd_h(const dt_assumptions *a, const dt_plan_row *row)
{
    return a->root_gb * a->ebs_usd_gb_month / HOURS_A_MONTH * row->nodes;
}

static double data_usd_h(const dt_assumptions *a, const dt_workload *work, const dt_plan_row *row)
{
    return row->throughput.is_staged_once
               ? work->data_bytes / 1e9 * a->ebs_usd_gb_month / HOURS_A_MONTH * row->nodes
               : 0;
}

/* A cluster has a head node. One node on demand needs no cluster: nothing has to start it again. */
static double head_usd_h(const dt_assumptions *a, const dt_plan_row *row)
{
    return row->nodes > 1 || row->purchase != DT_PURCHASE_ON_DEMAND ? a->head_usd_h : 0;
}

/* S3's requests of one staging of all nodes. */
static double staging_usd(const dt_assumptions *a, const dt_workload *work, const dt_plan_row *row)
{
    return ceil(work->data_bytes / a->s3_file_bytes) * a->s3_usd_per_file * row->nodes;
}

static void add_parts(dt_plan_row *row)
{
    row->usd_mean = 0;
    for (int part = 0; part < DT_N_COST_PARTS; part++)
        row->usd_mean += row->usd_part[part];
}

void dt_cost_on_demand(const dt_assumptions *assumptions, const dt_workload *work, dt_plan_row *row)
{
    const dt_throughput *t = &row->throughput;
    const double usd_h = row->on_demand_price->usd_h * row->nodes;
    row->train_hours = (t->train_s + t->eval_s) / HOUR;
    row->startup_hours = t->startup_s / HOUR;
    row->wait_hours = 0;
    row->hours_mean = row->hours_p95 = row->train_hours + row->startup_hours;
    row->usd_part[DT_COST_TRAINING] = row->train_hours * usd_h;
    row->usd_part[DT_COST_STARTUP] = row->startup_hours * usd_h;
    row->usd_part[DT_COST_STORAGE] =
        row->hours_mean * (root_usd_h(assumptions, row) + data_usd_h(assumptions, work, row));
    row->usd_part[DT_COST_HEAD_NODE] = row->hours_mean * head_usd_h(assumptions, row);
    row->usd_part[DT_COST_REQUESTS] = staging_usd(assumptions, work, row);
    add_parts(row);
    row->usd_p95 = row->usd_mean;
}

dt_spot_prices dt_cost_spot_prices(const dt_assumptions *assumptions, const dt_workload *work,
                                   const dt_plan_row *row)
{
    const double root = root_usd_h(assumptions, row);
    return (dt_spot_prices){
        .spot_usd_h = row->price->usd_h * row->nodes + root,
        .on_demand_usd_h = (row->on_demand_price ? row->on_demand_price->usd_h : 0) * row->nodes + root,
        .waiting_usd_h = head_usd_h(assumptions, row) + data_usd_h(assumptions, work, row)};
}

void dt_cost_spot(const dt_assumptions *assumptions, const dt_workload *work, dt_plan_row *row)
{
    const dt_spot_outcome *o = &row->outcome;
    const dt_throughput *t = &row->throughput;
    const double paid_h = (o->paid_s_mean + o->on_demand_s_mean) / HOUR;
    const double saves_s = row->run.work_s / o->interval_s * row->run.save_s;
    const double n_starts = 1 + o->n_interruptions_mean + o->switches;
    row->hours_mean = o->wall_s_mean / HOUR;
    row->hours_p95 = o->wall_s_p95 / HOUR;
    row->train_hours = fmin(paid_h, (t->train_s + t->eval_s + saves_s + o->lost_s_mean) / HOUR);
    row->startup_hours = paid_h - row->train_hours;
    row->wait_hours = fmax(0, row->hours_mean - paid_h);
    /* What of the instances' dollars is for starting: the same share as of their hours. */
    const double on_spot = row->price->usd_h * row->nodes * o->paid_s_mean / HOUR;
    const double on_demand =
        (row->on_demand_price ? row->on_demand_price->usd_h : 0) * row->nodes * o->on_demand_s_mean / HOUR;
    const double share = paid_h > 0 ? row->train_hours / paid_h : 0;
    row->usd_part[DT_COST_TRAINING] = (on_spot + on_demand) * share;
    row->usd_part[DT_COST_STARTUP] = (on_spot + on_demand) * (1 - share);
    row->usd_part[DT_COST_STORAGE] =
        paid_h * root_usd_h(assumptions, row) + row->hours_mean * data_usd_h(assumptions, work, row);
    row->usd_part[DT_COST_HEAD_NODE] = row->hours_mean * head_usd_h(assumptions, row);
    row->usd_part[DT_COST_REQUESTS] =
        staging_usd(assumptions, work, row) * (t->is_staged_once ? 1 : n_starts);
    add_parts(row);
    row->usd_p95 = o->usd_p95 + row->usd_part[DT_COST_REQUESTS];
}
