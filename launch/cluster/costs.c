#include "config.h"

#include "launch/cluster/costs.h"

#include "core/base/units.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* List prices of us-east-1, not verified against AWS's price list; us-east-2 and us-west-2 have the same. */
#define HOURS_A_MONTH 730.0
#define EBS_USD_GB_MONTH 0.08 /* gp3 */
#define FSX_USD_GB_MONTH 0.14 /* SCRATCH_2 */
#define NAT_USD_H 0.045       /* and as much a GB, which images do not pay: they pass the S3 endpoint */
#define ADDRESS_USD_H 0.005   /* a public IPv4 address */

static const struct {
    const char *type;
    double usd_h;
} head_prices[] = {
    {"c6i.large", 0.085}, {"c6i.xlarge", 0.17},  {"c6i.2xlarge", 0.34},  {"c6i.4xlarge", 0.68},
    {"m6i.large", 0.096}, {"m6i.xlarge", 0.192}, {"m6i.2xlarge", 0.384}, {"t3.medium", 0.0416},
};

static double head_usd_h(const char *type)
{
    for (size_t i = 0; i < sizeof head_prices / sizeof head_prices[0]; i++)
        if (strcmp(head_prices[i].type, type) == 0)
            return head_prices[i].usd_h;
    return NAN;
}

static bool has_prices_of_us_east_1(const char *region)
{
    return strcmp(region, "us-east-1") == 0 || strcmp(region, "us-east-2") == 0 ||
           strcmp(region, "us-west-2") == 0;
}

static double gb_usd_h(double gb, double usd_gb_month)
{
    return gb * usd_gb_month / HOURS_A_MONTH;
}

/* What is paid all the time. */
static dt_cluster_cost *add_standing(dt_cluster_costs *costs, double usd_h)
{
    dt_cluster_cost *cost = &costs->items[costs->n++];
    *cost = (dt_cluster_cost){.idle = usd_h, .on_spot = usd_h, .on_demand = usd_h};
    return cost;
}

/* A spot price of the cluster's zone; where the catalog has none, the region's cheapest. */
static const dt_price *find_price(const dt_cluster *c, const dt_catalog *catalog, int type, bool is_spot)
{
    const char *name = c->types[type]->type;
    const dt_price *price = NULL;
    if (is_spot && c->zone[0])
        price = dt_catalog_find_price(catalog, name, c->region, c->zone, true);
    return price ? price : dt_catalog_find_price(catalog, name, c->region, NULL, is_spot);
}

static double nodes_usd_h(const dt_cluster *c, const dt_price *price)
{
    const double root = gb_usd_h(DT_CLUSTER_NODE_ROOT_GB, EBS_USD_GB_MONTH);
    return price ? c->n_nodes * (price->usd_h + root) : NAN;
}

static void add_nodes(dt_cluster_costs *costs, const dt_cluster *c, const dt_catalog *catalog, int type)
{
    dt_cluster_cost *cost = &costs->items[costs->n++];
    *cost = (dt_cluster_cost){.spot_price = find_price(c, catalog, type, true),
                              .on_demand_price = find_price(c, catalog, type, false)};
    snprintf(cost->what, sizeof cost->what, "%s%d x %s, with their disks", type > 0 ? "or " : "", c->n_nodes,
             c->types[type]->type);
    cost->on_spot = nodes_usd_h(c, cost->spot_price);
    cost->on_demand = nodes_usd_h(c, cost->on_demand_price);
}

/* The larger; NAN if one is not known. */
static double larger(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : fmax(a, b);
}

void dt_cluster_costs_add_up(const dt_cluster *cluster, const dt_catalog *catalog, dt_cluster_costs *costs)
{
    const dt_cluster *c = cluster;
    *costs = (dt_cluster_costs){.is_elsewhere = !has_prices_of_us_east_1(c->region)};
    dt_cluster_cost *cost = add_standing(costs, head_usd_h(c->head_type));
    snprintf(cost->what, sizeof cost->what, "head node, %s", c->head_type);
    cost = add_standing(costs, gb_usd_h((double)c->shared_gb + DT_CLUSTER_HEAD_ROOT_GB, EBS_USD_GB_MONTH));
    snprintf(cost->what, sizeof cost->what, "/shared, %lld GiB, and the head node's disk",
             (long long)c->shared_gb);
    cost = add_standing(costs, NAT_USD_H + 2 * ADDRESS_USD_H);
    snprintf(cost->what, sizeof cost->what, "NAT gateway, two public addresses");
    if (c->fsx_gb > 0) {
        cost = add_standing(costs, gb_usd_h((double)c->fsx_gb, FSX_USD_GB_MONTH));
        snprintf(cost->what, sizeof cost->what, "/fsx, %lld GiB", (long long)c->fsx_gb);
    }
    for (int i = 0; i < costs->n; i++)
        if (!isnan(costs->items[i].idle))
            costs->idle_usd_h += costs->items[i].idle;
    double on_spot = 0, on_demand = 0;
    for (int i = 0; i < c->n_types; i++) {
        add_nodes(costs, c, catalog, i);
        on_spot = larger(on_spot, costs->items[costs->n - 1].on_spot);
        on_demand = larger(on_demand, costs->items[costs->n - 1].on_demand);
    }
    costs->spot_usd_h = costs->idle_usd_h + on_spot;
    costs->on_demand_usd_h = costs->idle_usd_h + on_demand;
}

/* -- the table ------------------------------------------------------------------------------------------- */

enum { CELL = 32 };

static void format_usd_h(double usd_h, char out[CELL])
{
    if (isnan(usd_h))
        snprintf(out, CELL, "not known");
    else if (usd_h == 0)
        out[0] = '\0';
    else
        snprintf(out, CELL, "%.3f", usd_h);
}

/* Columns: what, idle, and one for each queue. */
static dt_status add_row(dt_table *table, const dt_cluster *c, const char *what, double idle, double on_spot,
                         double on_demand, dt_error *err)
{
    char text[3][CELL];
    const char *cells[4] = {what, text[0]};
    int n = 2;
    format_usd_h(idle, text[0]);
    format_usd_h(on_spot, text[1]);
    format_usd_h(on_demand, text[2]);
    if (c->has_spot)
        cells[n++] = text[1];
    if (c->has_on_demand)
        cells[n++] = text[2];
    return dt_table_add(table, cells, err);
}

static dt_status fill_table(dt_table *table, const dt_cluster *c, const dt_cluster_costs *costs,
                            dt_error *err)
{
    for (int i = 0; i < costs->n; i++) {
        const dt_cluster_cost *cost = &costs->items[i];
        DT_TRY(add_row(table, c, cost->what, cost->idle, cost->on_spot, cost->on_demand, err));
    }
    DT_TRY(dt_table_add_rule(table, err));
    return add_row(table, c, c->n_types > 1 ? "an hour, at most" : "an hour", costs->idle_usd_h,
                   costs->spot_usd_h, costs->on_demand_usd_h, err);
}

static dt_status print_table(const dt_cluster *c, const dt_cluster_costs *costs, FILE *stream, dt_error *err)
{
    const char *headings[4] = {"USD an hour", "idle"};
    int n = 2;
    dt_table *table = NULL;
    if (c->has_spot)
        headings[n++] = "on spot";
    if (c->has_on_demand)
        headings[n++] = "on demand";
    DT_TRY(dt_table_create(headings, n, &table, err));
    for (int i = 1; i < n; i++)
        dt_table_align_right(table, i);
    dt_status status = fill_table(table, c, costs, err);
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(table);
    return status;
}

/* -- what it assumes ------------------------------------------------------------------------------------- */

typedef struct text {
    char out[2048];
} text;

static void add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(text *t, const char *format, ...)
{
    const size_t used = strlen(t->out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->out + used, sizeof t->out - used, format, arguments);
    va_end(arguments);
}

static void add_price(text *t, const dt_price *price, const char *type, const char *today)
{
    const int days = price ? dt_price_age_days(price, today) : 0;
    if (!price)
        return;
    add(t, " %s %s of %s%s%s (%d day%s old);", type, price->is_spot ? "on spot" : "on demand", price->date,
        price->zone ? " in " : "", price->zone ? price->zone : "", days, DT_PLURAL(days));
}

/* A price of the cluster's zone, or one of which that cannot be said: prices have the ids of zones. */
static bool is_in_zone(const dt_cluster *c, const dt_price *price)
{
    return !c->zone[0] || strncmp(c->zone, c->region, strlen(c->region)) == 0 ||
           (price && price->zone && strcmp(price->zone, c->zone) == 0);
}

static void add_prices(text *t, const dt_cluster *c, const dt_cluster_costs *costs, const char *today)
{
    add(t, "Prices:");
    for (int i = 0; i < c->n_types; i++) {
        const dt_cluster_cost *cost = &costs->items[costs->n - c->n_types + i];
        if (c->has_spot)
            add_price(t, cost->spot_price, c->types[i]->type, today);
        if (c->has_on_demand)
            add_price(t, cost->on_demand_price, c->types[i]->type, today);
    }
    add(t, " the rest at list prices%s. dtrain plan --refresh-prices asks for today's.",
        costs->is_elsewhere ? " of us-east-1, since none of this region are known here" : "");
    for (int i = 0; i < c->n_types; i++) {
        const dt_cluster_cost *cost = &costs->items[costs->n - c->n_types + i];
        const bool has_none = !cost->spot_price && !cost->on_demand_price;
        const bool is_of_zone = !c->has_spot || is_in_zone(c, cost->spot_price);
        if (has_none || !is_of_zone)
            add(t, " No %sprice of %s in %s is known: it may not be offered there.", has_none ? "" : "spot ",
                c->types[i]->type, has_none ? c->region : c->zone);
    }
}

dt_status dt_cluster_print_costs(const dt_cluster *cluster, const dt_cluster_costs *costs, const char *today,
                                 FILE *stream, dt_error *err)
{
    const dt_cluster *c = cluster;
    const int columns = dt_table_columns(stream);
    text t = {""};
    DT_TRY(print_table(c, costs, stream, err));
    add(&t, "Idle is $%.0f a month, whether it trains or not: delete the cluster when you are done. ",
        costs->idle_usd_h * HOURS_A_MONTH);
    if (!c->creates_network)
        add(&t, "A network that is there already may share its NAT gateway. ");
    add_prices(&t, c, costs, today);
    dt_output_paragraph(stream, t.out, columns, 0);
    if (!c->plan)
        return DT_OK;
    text plan = {""};
    add(&plan,
        "The plan's '%s': $%.2f on average and at most $%.2f in 95 of 100 runs, done after %.1f h (%.1f h).",
        c->plan->title, c->plan->usd_mean, c->plan->usd_p95, c->plan->hours_mean, c->plan->hours_p95);
    dt_output_paragraph(stream, plan.out, columns, 0);
    return DT_OK;
}
