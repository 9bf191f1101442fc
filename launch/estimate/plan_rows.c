/* The rows of one instance type: its throughput is estimated once, and its spot runs are simulated once for
 * all zones, which differ in their price only. */
#include "config.h"

#include "launch/estimate/choices_internal.h"
#include "launch/estimate/cost.h"

#include "core/base/alloc.h"
#include "core/checkpoint/save_interval.h"

#include <stdio.h>
#include <string.h>

/* Returns a new row, or NULL: out of memory. It is valid until the next one is added. */
static dt_plan_row *append(dt_plan *plan)
{
    enum { STEP = 64 };
    if (plan->n_rows % STEP == 0) {
        const size_t bytes = (size_t)plan->n_rows * sizeof *plan->rows;
        dt_plan_row *rows = dt_realloc(plan->rows, bytes, bytes + STEP * sizeof *plan->rows);
        if (!rows)
            return NULL;
        plan->rows = rows;
    }
    dt_plan_row *row = &plan->rows[plan->n_rows++];
    memset(row, 0, sizeof *row);
    row->meets_deadline = row->meets_budget = true;
    return row;
}

/* Seconds of work between checkpoints. auto: by the time of a write, which goes on beside the training. */
static double interval_of(const dt_plan *plan, const dt_throughput *t, int n_ranks)
{
    const dt_workload *w = &plan->work;
    if (w->checkpoint_every == DT_CHECKPOINT_AUTO)
        return t->checkpoint_s > 0
                   ? dt_save_interval_s(t->checkpoint_s, plan->settings.interruptions->mtti_h * 3600)
                   : 0;
    const double n_images = w->checkpoint_every > 0
                                ? (double)(w->checkpoint_every * w->accumulate * t->batch * n_ranks)
                                : w->n_images;
    return n_images / t->images_s;
}

static dt_spot_run run_of(const dt_plan *plan, const dt_throughput *t, int n_ranks)
{
    const dt_assumptions *a = &plan->settings.assumptions;
    /* A volume is filled once, and that is not done again after an interruption: it counts as work. */
    return (dt_spot_run){.interruptions = plan->settings.interruptions,
                         .work_s = t->train_s + t->eval_s + (t->is_staged_once ? t->staging_s : 0),
                         .startup_s = t->restart_s,
                         .requeue_s = a->requeue_s,
                         .save_s = t->stall_s,
                         .interval_s = interval_of(plan, t, n_ranks),
                         .notice_s = a->notice_s};
}

/* What the rows of a type and a number of nodes have in common. */
typedef struct group {
    dt_plan *plan;
    const dt_instance *instance;
    int nodes;
    dt_throughput throughput;
} group;

static dt_plan_row *add_row(const group *g, dt_purchase purchase, const char *region, dt_error *err)
{
    dt_plan_row *row = append(g->plan);
    if (!row) {
        dt_fail_memory(err, sizeof *row, "the plan");
        return NULL;
    }
    row->instance = g->instance;
    row->nodes = g->nodes;
    row->region = region;
    row->purchase = purchase;
    row->throughput = g->throughput;
    if (!g->throughput.why_not[0])
        row->run = run_of(g->plan, &g->throughput, g->instance->n_gpus * g->nodes);
    return row;
}

/* Adds a row for a region with a price; where there is one on spot only, one that says so. */
static dt_status add_on_demand(const group *g, const char *region, dt_error *err)
{
    const dt_catalog *c = g->plan->settings.catalog;
    const dt_price *price = dt_catalog_find_price(c, g->instance->type, region, NULL, false);
    if (!price && !dt_catalog_find_price(c, g->instance->type, region, NULL, true))
        return DT_OK;
    dt_plan_row *row = add_row(g, DT_PURCHASE_ON_DEMAND, region, err);
    if (!row)
        return DT_ERR_MEMORY;
    row->price = row->on_demand_price = price;
    if (g->throughput.why_not[0])
        snprintf(row->excluded, sizeof row->excluded, "%s", g->throughput.why_not);
    else if (!price)
        snprintf(row->excluded, sizeof row->excluded, "no price on demand is known in this region");
    else
        dt_cost_on_demand(&g->plan->settings.assumptions, &g->plan->work, row);
    return DT_OK;
}

/* Adds the rows of every zone of a region with a spot price; where there is none, one that says so. */
static dt_status add_zones(const group *g, dt_purchase purchase, const char *region, dt_error *err)
{
    const dt_catalog *c = g->plan->settings.catalog;
    const dt_price *on_demand = dt_catalog_find_price(c, g->instance->type, region, NULL, false);
    int n = 0;
    for (int i = 0; i < c->n_prices; i++) {
        const dt_price *p = &c->prices[i];
        if (!p->is_spot || strcmp(p->type, g->instance->type) != 0 || strcmp(p->region, region) != 0)
            continue;
        dt_plan_row *row = add_row(g, purchase, region, err);
        if (!row)
            return DT_ERR_MEMORY;
        n++;
        row->zone = p->zone;
        row->price = p;
        row->on_demand_price = on_demand;
        if (g->throughput.why_not[0])
            snprintf(row->excluded, sizeof row->excluded, "%s", g->throughput.why_not);
        else if (on_demand && p->usd_h >= on_demand->usd_h)
            snprintf(row->excluded, sizeof row->excluded, "spot is as dear as on demand in this zone");
        else if (purchase == DT_PURCHASE_MIXED && !on_demand)
            snprintf(row->excluded, sizeof row->excluded, "no price on demand in this region");
    }
    if (n > 0 || !on_demand || purchase == DT_PURCHASE_MIXED || g->instance->unsupported.text)
        return DT_OK;
    dt_plan_row *row = add_row(g, purchase, region, err);
    if (!row)
        return DT_ERR_MEMORY;
    snprintf(row->excluded, sizeof row->excluded, "no spot price is known in this region");
    return DT_OK;
}

/* -- types without a price ------------------------------------------------------------------------------- */

static bool has_price(const dt_catalog *c, const char *type, const char *region)
{
    return dt_catalog_find_price(c, type, region, NULL, false) ||
           dt_catalog_find_price(c, type, region, NULL, true);
}

/* Says where a type has a price, if it has one somewhere. */
static void say_where_priced(const dt_catalog *c, const dt_instance *instance, char *out, size_t out_bytes)
{
    size_t n = 0;
    const char *last = NULL;
    for (int i = 0; i < c->n_prices && n < out_bytes; i++) {
        const dt_price *p = &c->prices[i];
        bool is_listed = strcmp(p->type, instance->type) != 0;
        for (int k = 0; k < i && !is_listed; k++)
            is_listed =
                strcmp(c->prices[k].type, p->type) == 0 && strcmp(c->prices[k].region, p->region) == 0;
        if (is_listed)
            continue;
        last = p->region;
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%s", n ? ", " : "no price is known here, but in ",
                              last);
    }
    if (last && n < out_bytes)
        snprintf(out + n, out_bytes - n, " (--regions %s); --prices FILE gives others", last);
    else
        snprintf(out, out_bytes, "no price is known in any region; --prices FILE gives one");
}

/* A row that says so for each region that was asked for and in which the type has no price; where none was
 * asked for, for the first, if it has none anywhere. */
static dt_status add_unpriced(const group *g, const char *const *regions, dt_error *err)
{
    const dt_plan_settings *s = &g->plan->settings;
    bool is_anywhere = false;
    for (int i = 0; regions[i]; i++)
        is_anywhere |= has_price(s->catalog, g->instance->type, regions[i]);
    for (int i = 0; regions[i] && (s->regions || (!is_anywhere && i == 0)); i++) {
        if (has_price(s->catalog, g->instance->type, regions[i]))
            continue;
        dt_plan_row *row = add_row(g, DT_PURCHASE_ON_DEMAND, regions[i], err);
        if (!row)
            return DT_ERR_MEMORY;
        if (g->throughput.why_not[0])
            snprintf(row->excluded, sizeof row->excluded, "%s", g->throughput.why_not);
        else
            say_where_priced(s->catalog, g->instance, row->excluded, sizeof row->excluded);
    }
    return DT_OK;
}

/* -- all rows of a type ---------------------------------------------------------------------------------- */

/* Simulates the rows from `first` on, which have the same times, for their prices. */
static dt_status simulate(dt_plan *plan, int64_t first, double deadline_s, dt_error *err)
{
    const int64_t n = plan->n_rows - first;
    const dt_plan_settings *s = &plan->settings;
    dt_spot_prices *prices = dt_calloc((size_t)n + 1, sizeof *prices);
    dt_spot_outcome *outcomes = dt_calloc((size_t)n + 1, sizeof *outcomes);
    dt_status status = prices && outcomes ? DT_OK : dt_fail_memory(err, 0, "the plan");
    int n_priced = 0;
    for (int64_t i = 0; status == DT_OK && i < n; i++) {
        dt_plan_row *row = &plan->rows[first + i];
        row->run.deadline_s = deadline_s;
        if (!row->excluded[0])
            prices[n_priced++] = dt_cost_spot_prices(&s->assumptions, &plan->work, row);
    }
    if (status == DT_OK && n_priced > 0)
        status =
            dt_spot_simulate_usd(&plan->rows[first].run, s->n_runs, s->seed, prices, n_priced, outcomes, err);
    n_priced = 0;
    for (int64_t i = 0; status == DT_OK && i < n; i++) {
        dt_plan_row *row = &plan->rows[first + i];
        if (row->excluded[0])
            continue;
        row->outcome = outcomes[n_priced++];
        if (row->outcome.finishes)
            dt_cost_spot(&s->assumptions, &plan->work, row);
        else
            snprintf(row->excluded, sizeof row->excluded,
                     "interruptions come faster than a start of %.0f min: it would never finish",
                     row->run.startup_s / 60);
    }
    dt_free(prices);
    dt_free(outcomes);
    return status;
}

dt_status dt_plan_add_rows(dt_plan *plan, const dt_instance *instance, int nodes, const char *const *regions,
                           dt_error *err)
{
    const dt_plan_settings *s = &plan->settings;
    const dt_throughput_query query = {
        .catalog = s->catalog, .instance = instance, .nodes = nodes, .assumptions = &s->assumptions};
    group g = {.plan = plan, .instance = instance, .nodes = nodes};
    dt_throughput_estimate(&plan->work, &query, &g.throughput);
    const dt_throughput *t = &g.throughput;
    for (int i = 0; regions[i]; i++)
        DT_TRY(add_on_demand(&g, regions[i], err));
    DT_TRY(add_unpriced(&g, regions, err));
    int64_t first = plan->n_rows;
    for (int i = 0; regions[i]; i++)
        DT_TRY(add_zones(&g, DT_PURCHASE_SPOT, regions[i], err));
    DT_TRY(simulate(plan, first, 0, err));
    /* Without room for one restart there is nothing to gain from beginning on spot. */
    const double least_s = t->train_s + t->eval_s + t->startup_s + t->restart_s;
    if (s->deadline_s <= 0 || t->why_not[0] || s->deadline_s < least_s)
        return DT_OK;
    first = plan->n_rows;
    for (int i = 0; regions[i]; i++)
        DT_TRY(add_zones(&g, DT_PURCHASE_MIXED, regions[i], err));
    return simulate(plan, first, s->deadline_s, err);
}
