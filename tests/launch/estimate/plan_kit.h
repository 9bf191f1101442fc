/* plan_kit.h: for tests of the planner: the shipped catalog, the default training (ResNet-50 on ImageNet, 90
 * epochs), and plans of it.
 *
 *   void dt_test_set_up(void) { plan_kit_open(); }
 *   void dt_test_tear_down(void) { plan_kit_close(); }
 *   dt_plan_settings settings = plan_kit_bare(&kit.work);
 *   dt_plan *plan = plan_kit_make(&settings);
 *   plan_kit_row(plan, "g5.xlarge", DT_PURCHASE_SPOT)->usd_mean
 */
#ifndef DTRAIN_TESTS_PLAN_KIT_H
#define DTRAIN_TESTS_PLAN_KIT_H

#include "launch/estimate/choices.h"

extern struct plan_kit {
    dt_options options; /* of a plan, with their defaults */
    dt_catalog *catalog;
    dt_workload work;
    dt_interruptions interruptions; /* those of traces */
    dt_error err;
} kit;

/* Ends the program if the shipped data cannot be read. */
void plan_kit_open(void);
void plan_kit_close(void);

/* Instances alone, in us-east-1: no head node, no volumes, no evaluation, a start of 15 minutes. */
dt_plan_settings plan_kit_bare(const dt_workload *of);
dt_plan *plan_kit_make(const dt_plan_settings *settings);
/* The cheapest row of a type; fails the test if there is none. */
const dt_plan_row *plan_kit_row(const dt_plan *plan, const char *type, dt_purchase purchase);

/* Checks that `got` is as much as expected, but for this share. */
void plan_kit_check_within(double got, double expected, double share, const char *what, const char *of);

#endif
