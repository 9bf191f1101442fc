/* cost.h: the dollars of a row of a plan, from its hours and prices. Local. */
#ifndef DT_LAUNCH_ESTIMATE_COST_H
#define DT_LAUNCH_ESTIMATE_COST_H

#include "launch/estimate/choices.h"

/* Without interruptions: instances are paid from the request to the end. row->throughput, nodes and
 * on_demand_price are set; sets hours and dollars. */
void dt_cost_on_demand(const dt_assumptions *assumptions, const dt_workload *work, dt_plan_row *row);

/* USD an hour of all nodes of a row, for the simulation. row->price is that of spot; on_demand_price may be
 * NULL. */
dt_spot_prices dt_cost_spot_prices(const dt_assumptions *assumptions, const dt_workload *work,
                                   const dt_plan_row *row);

/* With interruptions: row->run and row->outcome are set, with prices of dt_cost_spot_prices; sets hours and
 * dollars. */
void dt_cost_spot(const dt_assumptions *assumptions, const dt_workload *work, dt_plan_row *row);

#endif
