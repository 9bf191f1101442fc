/* The rows of a plan: which are possible, what their dollars are for, and which are marked. */
#include "launch/estimate/choices.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_error err;
static dt_catalog *catalog;
static dt_workload work;
static dt_interruptions interruptions;

void dt_test_set_up(void)
{
    static dt_options options;
    dt_options_set_defaults(&options, DT_COMMAND_PLAN);
    if (dt_catalog_load(NULL, NULL, NULL, &catalog, &err) != DT_OK ||
        dt_workload_read(&options, &work, &err) != DT_OK ||
        dt_interruptions_set(-1, &interruptions, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

void dt_test_tear_down(void)
{
    dt_catalog_free(catalog);
}

/* A plan of these types (ended by NULL) in all regions. */
static dt_plan *plan_of(const char *const *types, int max_nodes, double deadline_h)
{
    dt_plan *plan = NULL;
    dt_plan_settings s = {.catalog = catalog,
                          .work = &work,
                          .interruptions = &interruptions,
                          .types = types,
                          .max_nodes = max_nodes,
                          .deadline_s = deadline_h * 3600,
                          .n_runs = 1000,
                          .seed = 1,
                          .today = "2026-11-30"};
    dt_assumptions_default(&s.assumptions);
    DT_REQUIRE_MSG(dt_plan_create(&s, &plan, &err) == DT_OK, "%s", err.message);
    return plan;
}
#define PLAN_OF(max_nodes, deadline_h, ...)                                                                  \
    plan_of((const char *const[]){__VA_ARGS__, NULL}, max_nodes, deadline_h)

static const dt_plan_row *find(const dt_plan *plan, dt_purchase purchase, int nodes)
{
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (plan->rows[i].purchase == purchase && plan->rows[i].nodes == nodes)
            return &plan->rows[i];
    DT_REQUIRE_MSG(false, "no row with %d nodes", nodes);
    return NULL;
}

static void a_head_node_is_paid_by_clusters_only(void)
{
    dt_plan *plan = PLAN_OF(2, 0, "g5.xlarge");
    DT_CHECK(find(plan, DT_PURCHASE_ON_DEMAND, 1)->usd_part[DT_COST_HEAD_NODE] <= 0);
    const dt_plan_row *two = find(plan, DT_PURCHASE_ON_DEMAND, 2), *spot = find(plan, DT_PURCHASE_SPOT, 1);
    DT_CHECK_CLOSE(two->usd_part[DT_COST_HEAD_NODE], 0.096 * two->hours_mean, 1e-6);
    DT_CHECK_CLOSE(spot->usd_part[DT_COST_HEAD_NODE], 0.096 * spot->hours_mean, 1e-6);
    dt_plan_destroy(plan);
}

/* g4dn.xlarge has 125 GB of disk: its images lie on a volume, which is filled once. */
static void a_volume_is_filled_once_and_paid_by_each_node(void)
{
    dt_plan *plan = PLAN_OF(2, 0, "g4dn.xlarge");
    const dt_plan_row *two = find(plan, DT_PURCHASE_ON_DEMAND, 2), *spot = find(plan, DT_PURCHASE_SPOT, 1);
    const dt_throughput *t = &spot->throughput;
    DT_CHECK_CLOSE(two->usd_part[DT_COST_STORAGE], two->hours_mean * 2 * (100 + 144) * 0.08 / 730, 1e-6);
    DT_CHECK(t->is_staged_once && t->staging_s > 1000);
    DT_CHECK_CLOSE(t->startup_s, 360, 1e-6);
    DT_CHECK_CLOSE(spot->run.work_s, t->train_s + t->eval_s + t->staging_s, 1e-6);
    dt_plan_destroy(plan);
    plan = PLAN_OF(1, 0, "g5.xlarge"); /* local disks are filled at each start */
    DT_CHECK_CLOSE(plan->rows[0].throughput.startup_s, 360 + 460.8, 1e-6);
    dt_plan_destroy(plan);
}

static void a_deadline_is_compared_with_the_95th_percentile(void)
{
    dt_plan *plan = PLAN_OF(1, 4, "p4d.24xlarge");
    const dt_plan_row *spot = find(plan, DT_PURCHASE_SPOT, 1), *mixed = find(plan, DT_PURCHASE_MIXED, 1);
    DT_CHECK(spot->hours_mean < 4 && spot->hours_p95 > 4);
    DT_CHECK(!spot->meets_deadline && !spot->is_cheapest_in_time);
    DT_CHECK(mixed->meets_deadline && mixed->is_cheapest_in_time && mixed->outcome.switches > 0);
    dt_plan_destroy(plan);
}

static void types_that_are_being_retired_are_recommended_only_alone(void)
{
    dt_plan *plan = PLAN_OF(1, 0, "p3.8xlarge", "g5.xlarge");
    DT_CHECK_STR(plan->rows[0].instance->type, "p3.8xlarge");
    DT_CHECK(!plan->rows[0].is_cheapest);
    for (int i = 0; i < plan->n_recommendations; i++)
        DT_CHECK_STR(plan->rows[plan->recommendations[i].row].instance->type, "g5.xlarge");
    dt_plan_destroy(plan);
    plan = PLAN_OF(1, 0, "p3.8xlarge");
    DT_CHECK(plan->rows[0].is_cheapest);
    DT_CHECK_CONTAINS(plan->recommendations[0].text, "being retired");
    dt_plan_destroy(plan);
}

static void a_zone_without_a_discount_is_left_out(void)
{
    dt_plan *plan = PLAN_OF(1, 0, "p5.48xlarge");
    int n = 0;
    for (int64_t i = 0; i < plan->n_rows; i++) {
        const dt_plan_row *row = &plan->rows[i];
        const bool is_dear = row->purchase == DT_PURCHASE_SPOT && row->on_demand_price && row->price &&
                             row->price->usd_h >= row->on_demand_price->usd_h;
        DT_CHECK_MSG(is_dear == (row->excluded[0] != '\0'), "%s: %s", row->zone, row->excluded);
        DT_CHECK(!row->excluded[0] || (!row->is_front && i >= plan->n_possible));
        n += is_dear;
    }
    DT_CHECK(n > 0);
    dt_plan_destroy(plan);
}

static void old_prices_are_named_with_their_age(void)
{
    dt_plan *plan = PLAN_OF(1, 0, "g5.xlarge");
    bool is_found = false;
    for (int i = 0; i < plan->n_notes; i++)
        is_found |=
            strstr(plan->notes[i], "WARNING: the oldest price here is of 2025-06-01, 547 days ago") != NULL;
    DT_CHECK(is_found);
    dt_plan_destroy(plan);
}

static const dt_test tests[] = {
    DT_TEST(a_head_node_is_paid_by_clusters_only),
    DT_TEST(a_volume_is_filled_once_and_paid_by_each_node),
    DT_TEST(a_deadline_is_compared_with_the_95th_percentile),
    DT_TEST(types_that_are_being_retired_are_recommended_only_alone),
    DT_TEST(a_zone_without_a_discount_is_left_out),
    DT_TEST(old_prices_are_named_with_their_age),
};
DT_TEST_MAIN("launch/estimate/plan_rows", tests)
