/* costs.h: what a cluster costs while it waits and while it trains. Local.
 *
 *   dt_cluster_costs costs;
 *   dt_cluster_costs_add_up(&cluster, catalog, &costs);
 *   costs.idle_usd_h, costs.spot_usd_h ...
 */
#ifndef DT_LAUNCH_CLUSTER_COSTS_H
#define DT_LAUNCH_CLUSTER_COSTS_H

#include "launch/cluster/cluster.h"

#include <stdio.h>

enum { DT_CLUSTER_MAX_COSTS = 8 + DT_CLUSTER_MAX_TYPES };

/* USD an hour. NAN: no price is known; 0: nothing. */
typedef struct dt_cluster_cost {
    char what[96];
    double idle, on_spot, on_demand;              /* while no node runs; while all run */
    const dt_price *spot_price, *on_demand_price; /* of nodes; NULL */
} dt_cluster_cost;

typedef struct dt_cluster_costs {
    dt_cluster_cost items[DT_CLUSTER_MAX_COSTS];
    int n;
    double idle_usd_h;                  /* of what has a price */
    double spot_usd_h, on_demand_usd_h; /* with all nodes of the dearest type; NAN: a type has no price */
    bool is_elsewhere; /* all but the nodes has the prices of us-east-1, which is another region */
} dt_cluster_costs;

void dt_cluster_costs_add_up(const dt_cluster *cluster, const dt_catalog *catalog, dt_cluster_costs *costs);

/* Print a table, and what it assumes. `today`: "2026-11-30". DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_cluster_print_costs(const dt_cluster *cluster, const dt_cluster_costs *costs, const char *today,
                                 FILE *stream, dt_error *err);

#endif
