/* The rows of a plan: which are possible, what their dollars are for, and which are marked. */
#include "launch/estimate/choices.h"
#include "tests/launch/estimate/plan_kit.h"
#include "tests/testing.h"

#include "core/checkpoint/save_interval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_error err;

void dt_test_set_up(void)
{
    plan_kit_open();
}

void dt_test_tear_down(void)
{
    plan_kit_close();
}

static void reset_work(void)
{
    static dt_options options;
    dt_options_set_defaults(&options, DT_COMMAND_PLAN);
    DT_REQUIRE(dt_workload_read(&options, &kit.work, &err) == DT_OK);
    DT_REQUIRE(dt_interruptions_set(-1, &kit.interruptions, &err) == DT_OK);
}

/* A plan of these types (ended by NULL) in all regions. */
static dt_plan *plan_of(const char *const *types, int max_nodes, double deadline_h)
{
    dt_plan *plan = NULL;
    dt_plan_settings s = {.catalog = kit.catalog,
                          .work = &kit.work,
                          .interruptions = &kit.interruptions,
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
    DT_CHECK_CLOSE(t->startup_s, 360 + t->staging_s, 1e-6);
    DT_CHECK_CLOSE(t->restart_s, 360, 1e-6);
    DT_CHECK_CLOSE(spot->run.startup_s, 360, 1e-6);
    DT_CHECK_CLOSE(spot->run.work_s, t->train_s + t->eval_s + t->staging_s, 1e-6);
    DT_CHECK_CLOSE(two->startup_hours, t->startup_s / 3600, 1e-6);
    dt_plan_destroy(plan);
    plan = PLAN_OF(1, 0, "g5.xlarge"); /* local disks are filled at each start */
    DT_CHECK_CLOSE(plan->rows[0].throughput.startup_s, 360 + 460.8, 1e-6);
    DT_CHECK_CLOSE(plan->rows[0].throughput.restart_s, 360 + 460.8, 1e-6);
    dt_plan_destroy(plan);
}

/* p3.16xlarge's memory holds the images, and its volume is slow: each start reads them from there again. */
static void every_start_waits_for_the_disk_in_its_first_epoch(void)
{
    dt_plan *plan = PLAN_OF(1, 0, "p3.16xlarge");
    const dt_plan_row *demand = find(plan, DT_PURCHASE_ON_DEMAND, 1), *spot = find(plan, DT_PURCHASE_SPOT, 1);
    const dt_throughput *t = &spot->throughput;
    DT_CHECK(t->is_staged_once && t->first_epoch_s > 900);
    DT_CHECK_CLOSE(t->startup_s, t->boot_s + t->staging_s + t->tuning_s + t->first_epoch_s, 1e-6);
    DT_CHECK_CLOSE(t->restart_s, t->boot_s + t->tuning_s + t->first_epoch_s, 1e-6);
    DT_CHECK_CLOSE(spot->run.startup_s, t->restart_s, 1e-6);
    DT_CHECK_CLOSE(demand->startup_hours, t->startup_s / 3600, 1e-6);
    DT_CHECK_CONTAINS(plan->recommendations[0].text, "min from a start to full speed, and ");
    dt_plan_destroy(plan);
}

/* 1,000 images on p4d.24xlarge, which has 8 GPUs: of steps of 8 x 48, two are whole. */
static void only_whole_steps_of_an_epoch_are_trained(void)
{
    const dt_workload all = kit.work;
    kit.work.images_of_run = 90 * (kit.work.n_images = 1000);
    kit.work.batch = 48;
    dt_plan *plan = PLAN_OF(1, 0, "p4d.24xlarge");
    const dt_throughput *t = &find(plan, DT_PURCHASE_ON_DEMAND, 1)->throughput;
    DT_CHECK_CLOSE(t->train_s, 90 * 768 / t->images_s, 1e-9);
    dt_plan_destroy(plan);
    kit.work.batch = 126; /* 1,008 images */
    plan = PLAN_OF(1, 0, "p4d.24xlarge");
    DT_CHECK_INT(plan->n_possible, 0);
    DT_CHECK_STR(plan->rows[0].excluded, "a step has 1008 images, more than an epoch, which has 1000");
    dt_plan_destroy(plan);
    kit.work.batch = 0; /* as --batch auto of a training: 1,000 / 8 */
    plan = PLAN_OF(1, 0, "p4d.24xlarge");
    DT_CHECK_INT(find(plan, DT_PURCHASE_ON_DEMAND, 1)->throughput.batch, 125);
    dt_plan_destroy(plan);
    kit.work.n_images = 7; /* not even one for each GPU */
    plan = PLAN_OF(1, 0, "p4d.24xlarge");
    DT_CHECK_STR(plan->rows[0].excluded, "a step has 8 images, more than an epoch, which has 7");
    dt_plan_destroy(plan);
    kit.work = all;
}

static void steps_that_are_too_large_to_learn_are_left_out(void)
{
    dt_plan *plan = PLAN_OF(64, 0, "p4d.24xlarge");
    for (int64_t i = 0; i < plan->n_rows; i++)
        DT_CHECK((plan->rows[i].nodes > 32) == (plan->rows[i].excluded[0] != '\0'));
    DT_CHECK_CONTAINS(plan->rows[plan->n_rows - 1].excluded,
                      "a step has 131072 images, and more than 65536 are assumed not to learn");
    dt_plan_destroy(plan);
}

/* A GPU with less memory than the libraries take. */
static void a_batch_that_never_fits_is_refused_in_one_sentence(void)
{
    dt_instance small = *dt_catalog_find_instance(kit.catalog, "g5.xlarge");
    small.gpu_memory_gib.value = 1.5;
    dt_throughput t;
    dt_assumptions assumptions;
    dt_assumptions_default(&assumptions);
    const dt_throughput_query query = {
        .catalog = kit.catalog, .instance = &small, .nodes = 1, .assumptions = &assumptions};
    dt_throughput_estimate(&kit.work, &query, &t);
    DT_CHECK_CONTAINS(t.why_not, "a batch of 1 needs ");
    const char *end = strstr(t.why_not, " can be used");
    DT_CHECK_STR(end, " can be used");
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

/* 8 GPUs with 256 images each: 500 steps are 1,024,000 images. */
static void checkpoints_are_as_far_apart_as_the_user_says(void)
{
    const int64_t steps[] = {DT_CHECKPOINT_AUTO, 500, 0};
    for (int i = 0; i < 3; i++) {
        kit.work.checkpoint_every = steps[i];
        dt_plan *plan = PLAN_OF(1, 0, "p4d.24xlarge");
        const dt_plan_row *spot = find(plan, DT_PURCHASE_SPOT, 1);
        const double n_images = spot->outcome.interval_s * spot->throughput.images_s;
        if (steps[i] == DT_CHECKPOINT_AUTO)
            DT_CHECK_CLOSE(spot->outcome.interval_s,
                           dt_save_interval_s(spot->throughput.checkpoint_s, kit.interruptions.mtti_h * 3600),
                           1e-6);
        else
            DT_CHECK_CLOSE(n_images, steps[i] > 0 ? 500.0 * 8 * 256 : DT_IMAGENET_IMAGES, 1);
        dt_plan_destroy(plan);
    }
    reset_work();
}

static const dt_plan_row *recommended(const dt_plan *plan, const char *title, const char **text)
{
    for (int i = 0; i < plan->n_recommendations; i++)
        if (strcmp(plan->recommendations[i].title, title) == 0) {
            *text = plan->recommendations[i].text;
            return plan->recommendations[i].row >= 0 ? &plan->rows[plan->recommendations[i].row] : NULL;
        }
    DT_REQUIRE_MSG(false, "no '%s'", title);
    return NULL;
}

/* The price above which another choice is cheaper: paying it, the choice costs as much as that one. */
static void a_break_even_compares_with_the_next_cheapest_place(void)
{
    const char *text = "";
    dt_plan *plan = PLAN_OF(1, 0, "p4d.24xlarge", "g5.xlarge");
    const dt_plan_row *row = recommended(plan, "Cheapest", &text), *next = NULL;
    for (int64_t i = 0; i < plan->n_possible && !next; i++)
        next = plan->rows[i].price != row->price ? &plan->rows[i] : NULL;
    DT_REQUIRE(next->instance == row->instance); /* in another zone */
    const double paid_h = row->outcome.paid_s_mean / 3600;
    char expected[160];
    snprintf(expected, sizeof expected, "Above $%.4g an hour p4d.24xlarge on spot in %s would be cheaper",
             row->price->usd_h + (next->usd_mean - row->usd_mean) / paid_h, next->zone);
    DT_CHECK_MSG(strstr(text, expected) != NULL, "%s: %s", expected, text);
    dt_plan_destroy(plan);
}

/* For $1 and in 2 minutes nothing is possible; p3.8xlarge would be among the nearest. */
static void the_nearest_choice_is_not_one_that_is_being_retired(void)
{
    const char *text = "";
    static const char *const types[] = {"p3.8xlarge", "p4d.24xlarge", "g5.xlarge", NULL};
    for (int is_budget = 0; is_budget < 2; is_budget++) {
        dt_plan *plan = NULL;
        dt_plan_settings s = {.catalog = kit.catalog,
                              .work = &kit.work,
                              .interruptions = &kit.interruptions,
                              .types = types,
                              .max_nodes = 1,
                              .deadline_s = is_budget ? 0 : 120,
                              .budget_usd = is_budget ? 1 : 0,
                              .n_runs = 1000,
                              .seed = 1,
                              .today = "2026-11-30"};
        dt_assumptions_default(&s.assumptions);
        DT_REQUIRE_MSG(dt_plan_create(&s, &plan, &err) == DT_OK, "%s", err.message);
        DT_CHECK(!recommended(plan, is_budget ? "Fastest for $1.00" : "Cheapest in 2 min", &text));
        DT_CHECK_MSG(strstr(text, "The nearest is p4d.24xlarge") != NULL, "%s", text);
        dt_plan_destroy(plan);
    }
}

static void sentences_say_each_thing_once(void)
{
    const char *text = "";
    dt_plan *plan = PLAN_OF(1, 0, "p3.2xlarge");
    recommended(plan, "Cheapest", &text);
    DT_CHECK_MSG(strstr(text, "This type is being retired: no region lists p3.2xlarge") != NULL, "%s", text);
    for (int i = 0; i < plan->n_recommendations; i++) {
        const dt_plan_row *row = &plan->rows[plan->recommendations[i].row];
        const bool is_explained = strstr(plan->recommendations[i].text, "lift the average above") != NULL;
        DT_CHECK(is_explained == (row->hours_mean > row->hours_p95 || row->usd_mean > row->usd_p95));
    }
    dt_plan_destroy(plan);
}

/* The mean of a short run is above its 95th percentile where few runs are interrupted, and wait for hours. */
static void a_mean_above_the_95th_percentile_is_explained(void)
{
    const char *text = "";
    DT_REQUIRE(dt_interruptions_set(24, &kit.interruptions, &err) == DT_OK);
    kit.work.images_of_run = kit.work.n_images = 1e5;
    kit.work.val_images_of_run = 0;
    dt_plan *plan = PLAN_OF(1, 0, "p4d.24xlarge");
    const dt_plan_row *row = recommended(plan, "Cheapest", &text);
    DT_REQUIRE(row->hours_mean > row->hours_p95);
    DT_CHECK_MSG(strstr(text, "A few runs that are interrupted lift the average above") != NULL, "%s", text);
    dt_plan_destroy(plan);
    reset_work();
}

/* Of the same dollars, but for a rounding, the newer price counts. */
static void of_equal_prices_the_newer_one_comes_first(void)
{
    const dt_data_source source = {"test", "a test", "2026-07-20", DT_CONFIDENCE_PUBLISHED};
    const dt_price prices[] = {
        {"g5.xlarge", "us-east-2", NULL, false, 1.0059999, "2025-06-01", &source, true},
        {"g5.xlarge", "us-east-1", NULL, false, 1.006, "2026-07-20", &source, true},
        {"g5.xlarge", "eu-west-1", NULL, false, 1.005, "2024-07-20", &source, true},
    };
    dt_catalog *all = kit.catalog, two = *kit.catalog;
    two.prices = prices;
    two.n_prices = 3;
    kit.catalog = &two;
    dt_plan *plan = PLAN_OF(1, 0, "g5.xlarge");
    DT_CHECK_INT(plan->n_possible, 3);
    DT_CHECK_STR(plan->rows[0].region, "eu-west-1");
    DT_CHECK_STR(plan->rows[1].region, "us-east-1");
    dt_plan_destroy(plan);
    kit.catalog = all;
}

static void notes_say_what_is_scaled_and_how_often_spot_ends(void)
{
    bool is_found = false, is_simple = false;
    DT_REQUIRE(dt_interruptions_set(5, &kit.interruptions, &err) == DT_OK);
    kit.work.precision = DT_BF16;
    dt_plan *plan = PLAN_OF(1, 0, "p3.16xlarge");
    for (int i = 0; i < plan->n_notes; i++) {
        is_found |= strstr(plan->notes[i], "where no source has any for resnet50 in bf16") != NULL;
        is_simple |= strstr(plan->notes[i], "interruptions: every 5 h on average; ") != NULL;
    }
    DT_CHECK(is_found);
    DT_CHECK(is_simple);
    dt_plan_destroy(plan);
    reset_work();
}

static const dt_test tests[] = {
    DT_TEST(checkpoints_are_as_far_apart_as_the_user_says),
    DT_TEST(a_break_even_compares_with_the_next_cheapest_place),
    DT_TEST(the_nearest_choice_is_not_one_that_is_being_retired),
    DT_TEST(sentences_say_each_thing_once),
    DT_TEST(a_mean_above_the_95th_percentile_is_explained),
    DT_TEST(of_equal_prices_the_newer_one_comes_first),
    DT_TEST(notes_say_what_is_scaled_and_how_often_spot_ends),
    DT_TEST(a_head_node_is_paid_by_clusters_only),
    DT_TEST(a_volume_is_filled_once_and_paid_by_each_node),
    DT_TEST(every_start_waits_for_the_disk_in_its_first_epoch),
    DT_TEST(only_whole_steps_of_an_epoch_are_trained),
    DT_TEST(steps_that_are_too_large_to_learn_are_left_out),
    DT_TEST(a_batch_that_never_fits_is_refused_in_one_sentence),
    DT_TEST(a_deadline_is_compared_with_the_95th_percentile),
    DT_TEST(types_that_are_being_retired_are_recommended_only_alone),
    DT_TEST(a_zone_without_a_discount_is_left_out),
    DT_TEST(old_prices_are_named_with_their_age),
};
DT_TEST_MAIN("launch/estimate/plan_rows", tests)
