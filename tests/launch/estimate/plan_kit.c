#include "tests/launch/estimate/plan_kit.h"

#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plan_kit kit;

void plan_kit_open(void)
{
    dt_options_set_defaults(&kit.options, DT_COMMAND_PLAN);
    if (dt_catalog_load(NULL, NULL, NULL, &kit.catalog, &kit.err) != DT_OK ||
        dt_workload_read(&kit.options, &kit.work, &kit.err) != DT_OK ||
        dt_interruptions_set(-1, &kit.interruptions, &kit.err) != DT_OK) {
        fprintf(stderr, "%s\n", kit.err.message);
        exit(1);
    }
}

void plan_kit_close(void)
{
    dt_catalog_free(kit.catalog);
}

void plan_kit_check_within(double got, double expected, double share, const char *what, const char *of)
{
    DT_CHECK_MSG(fabs(got / expected - 1) <= share, "%s of %s: %g instead of %g", what, of, got, expected);
}

dt_plan_settings plan_kit_bare(const dt_workload *of)
{
    static const char *const us_east_1[] = {"us-east-1", NULL};
    dt_plan_settings s = {.catalog = kit.catalog,
                          .work = of,
                          .interruptions = &kit.interruptions,
                          .regions = us_east_1,
                          .max_nodes = 1,
                          .n_runs = 10000,
                          .seed = 1,
                          .today = "2026-11-30"};
    dt_assumptions_default(&s.assumptions);
    s.assumptions.startup_s = 900;
    s.assumptions.requeue_s = 0;
    s.assumptions.notice_s = 1e-3; /* a notice that saves at once */
    s.assumptions.snapshot_mb_s = 1e12;
    s.assumptions.head_usd_h = s.assumptions.ebs_usd_gb_month = s.assumptions.s3_usd_per_file = 0;
    s.assumptions.ebs_mb_s = 250; /* a volume that is not the limit */
    s.assumptions.counts_evaluation = false;
    return s;
}

dt_plan *plan_kit_make(const dt_plan_settings *settings)
{
    dt_plan *plan = NULL;
    DT_REQUIRE_MSG(dt_plan_create(settings, &plan, &kit.err) == DT_OK, "%s", kit.err.message);
    return plan;
}

const dt_plan_row *plan_kit_row(const dt_plan *plan, const char *type, dt_purchase purchase)
{
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (strcmp(plan->rows[i].instance->type, type) == 0 && plan->rows[i].purchase == purchase)
            return &plan->rows[i];
    DT_REQUIRE_MSG(false, "no row of %s", type);
    return NULL;
}
