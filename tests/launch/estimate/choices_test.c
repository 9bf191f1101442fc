/* Plans against known figures: the table of costs that was worked out by hand, and formulas. */
#include "launch/estimate/cost.h"
#include "launch/estimate/recommend.h"
#include "launch/estimate/seed_table.h"
#include "tests/launch/estimate/plan_kit.h"
#include "tests/testing.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dt_test_set_up(void)
{
    plan_kit_open();
}

void dt_test_tear_down(void)
{
    plan_kit_close();
}

/* -- the table by hand ----------------------------------------------------------------------------------- */

/* 90 epochs of ImageNet-1K at 224 pixels, us-east-1. Spot dollars are at spot_usd_h; the 95th percentiles
 * come from the trace itself. */
static const struct known {
    const char *type;
    double images_s, hours, usd, spot_usd_h, spot_usd, spot_usd_p95, spot_hours_p95;
} table[] = {
    {"g4dn.xlarge", 390, 82.1, 43, 0.21, 18.7, 19.3, 132},
    {"g5.xlarge", 638, 50.2, 51, 0.4591, 25.0, 26.3, 85},
    {"g6.xlarge", 365, 87.8, 71, 0.40, 38.0, 39.4, 141},
    {"g6e.xlarge", 1428, 22.4, 42, 0.75, 18.4, 19.9, 43},
    {"g6e.2xlarge", 1853, 17.3, 39, 0.8327, 15.9, 17.4, 36},
    {"g6e.48xlarge", 14828, 2.16, 73, 8.71, 24.2, 29.5, 8.8},
    {"p3.2xlarge", 1376, 23.3, 72, 0.4803, 12.3, 13.2, 44},
    {"p4d.24xlarge", 24736, 1.295, 34, 6.289, 11.3, 14.5, 6.7},
    {"p4de.24xlarge", 26674, 1.20, 40, 9.7262, 16.3, 21.1, 6.6},
    {"p5.48xlarge", 57100, 0.561, 45, 14.246, 13.6, 18.8, 4.6},
    {"p5en.48xlarge", 63601, 0.504, 48, 19.1652, 17.0, 23.9, 4.4},
    {"p6-b200.48xlarge", 68544, 0.467, 82, 19.0919, 16.0, 22.6, 4.2},
};

static void the_table_by_hand_is_reproduced(void)
{
    dt_plan_settings settings = plan_kit_bare(&kit.work);
    settings.n_runs = 50000; /* so that chance is a tenth of the 2% */
    dt_plan *plan = plan_kit_make(&settings);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct known *k = &table[i];
        const dt_plan_row *demand = plan_kit_row(plan, k->type, DT_PURCHASE_ON_DEMAND);
        const dt_plan_row *spot = plan_kit_row(plan, k->type, DT_PURCHASE_SPOT);
        const dt_spot_outcome *o = &spot->outcome;
        plan_kit_check_within(demand->throughput.images_s, k->images_s, 0.02, "images/s", k->type);
        plan_kit_check_within(demand->train_hours, k->hours, 0.02, "hours", k->type);
        plan_kit_check_within(demand->usd_mean, k->usd, 0.02, "dollars on demand", k->type);
        plan_kit_check_within(o->paid_s_mean / 3600 * k->spot_usd_h, k->spot_usd, 0.02, "dollars on spot",
                              k->type);
        plan_kit_check_within(o->paid_s_p95 / 3600 * k->spot_usd_h, k->spot_usd_p95, 0.05, "dollars, p95",
                              k->type);
        plan_kit_check_within(o->wall_s_p95 / 3600, k->spot_hours_p95, 0.1, "hours, p95", k->type);
    }
    dt_plan_destroy(plan);
}

static void the_first_table_has_its_four_figures(void)
{
    double usd[4] = {0};
    for (int i = 0; i < dt_seed_n_rows; i++) {
        const dt_seed_row *row = &dt_seed_rows[i];
        usd[0] += strcmp(row->type, "g5.xlarge") == 0 ? dt_seed_usd(row) : 0;
        usd[1] += strcmp(row->type, "g5.xlarge") == 0 ? dt_seed_spot_usd(row) : 0;
        usd[2] += strcmp(row->type, "p3.2xlarge") == 0 ? dt_seed_usd(row) : 0;
        usd[3] += strcmp(row->type, "p4d.24xlarge") == 0 ? dt_seed_usd(row) : 0;
    }
    DT_CHECK_CLOSE(usd[0], 200, 1e-9);
    DT_CHECK_CLOSE(usd[1], 80, 1e-9);
    DT_CHECK_CLOSE(usd[2], 306, 1e-9);
    DT_CHECK_CLOSE(usd[3], 786.48, 1e-9);
    DT_CHECK_INT(dt_seed_n_rows, 5);
}

/* -- limits ---------------------------------------------------------------------------------------------- */

static dt_throughput throughput_of(const char *type, int nodes, const dt_workload *of)
{
    dt_assumptions assumptions;
    dt_throughput t;
    dt_assumptions_default(&assumptions);
    const dt_throughput_query query = {.catalog = kit.catalog,
                                       .instance = dt_catalog_find_instance(kit.catalog, type),
                                       .nodes = nodes,
                                       .assumptions = &assumptions};
    dt_throughput_estimate(of, &query, &t);
    return t;
}

static void the_tightest_stage_is_found(void)
{
    const dt_throughput decode = throughput_of("g6e.xlarge", 1, &kit.work),
                        gpu = throughput_of("g5.xlarge", 1, &kit.work);
    DT_CHECK_INT(decode.limit, DT_STAGE_DECODE);
    DT_CHECK_CLOSE(decode.without_limit_images_s, 1853.5, 1);
    DT_CHECK_INT(decode.next_limit, DT_STAGE_GPU);
    DT_CHECK_INT(gpu.limit, DT_STAGE_GPU);
    const dt_throughput disk = throughput_of("p3.2xlarge", 1, &kit.work); /* has no disk of its own */
    DT_CHECK_INT(disk.limit, DT_STAGE_DISK);
    DT_CHECK_INT(disk.location, DT_DATA_EBS);
    DT_CHECK_CLOSE(disk.images_s, 125e6 / (144e9 / (1281167 + 50000)), 1);
    /* 250 GB hold ImageNet, 125 do not. */
    DT_CHECK_INT(gpu.location, DT_DATA_NVME);
    DT_CHECK_INT(throughput_of("g4dn.xlarge", 1, &kit.work).location, DT_DATA_EBS);
    DT_CHECK_INT(throughput_of("p4d.24xlarge", 1, &kit.work).location, DT_DATA_RAM);
    DT_CHECK_CLOSE(gpu.staging_s, 144e9 / (2.5e9 / 8), 1);
}

static void more_nodes_pay_for_their_all_reduce(void)
{
    dt_workload small = kit.work;
    small.batch = 32;
    const dt_throughput one = throughput_of("g5.xlarge", 1, &small),
                        two = throughput_of("g5.xlarge", 2, &small);
    /* 51 MB through 2.5 Gbit/s take longer than a step of 32 images: two nodes are slower than one. */
    DT_CHECK_INT(two.limit, DT_STAGE_ALL_REDUCE);
    DT_CHECK(two.images_s < one.images_s);
    small.accumulate = 8; /* an eighth of the sums */
    DT_CHECK(throughput_of("g5.xlarge", 2, &small).images_s > 3 * two.images_s);
    DT_CHECK(throughput_of("g5.xlarge", 2, &kit.work).images_s > 1.7 * one.images_s);
    DT_CHECK(throughput_of("g5.xlarge", 2, &kit.work).images_s < 1.999 * one.images_s);
    /* 32 ranks wait for the slowest of them, 8 did so in the rate */
    const double waits = 0.01 * (sqrt(2 * log(32)) - sqrt(2 * log(8)));
    DT_CHECK_CLOSE(throughput_of("p4d.24xlarge", 4, &kit.work).images_s, 4 * 24736 / (1 + waits), 1);
    /* a ring has n - 1 steps of latency, a tree the logarithm of it */
    DT_CHECK_CLOSE(dt_all_reduce_s(1e9, 2, 1e9, 1e-6), 1 + 2e-6, 1e-9);
    DT_CHECK_CLOSE(dt_all_reduce_s(1e3, 512, 1e9, 1e-3), 2e-6 + 18e-3, 1e-9);
    DT_CHECK_CLOSE(dt_all_reduce_s(1e9, 1, 1e9, 1), 0, 1e-9);
}

/* The sums are as large at every image size; at a small one backward hides less of them. */
static void sums_are_hidden_at_each_image_size(void)
{
    const char *const types[] = {"g4dn.xlarge", "p5.48xlarge"};
    dt_options resized = kit.options;
    dt_workload both, alone;
    snprintf(resized.resize_schedule, sizeof resized.resize_schedule, "128:0,224:0.5");
    DT_REQUIRE(dt_options_parse_resize(&resized, &kit.err) == DT_OK);
    DT_REQUIRE(dt_workload_read(&resized, &both, &kit.err) == DT_OK);
    for (int i = 0; i < 2; i++) {
        double seconds = 0, exposed_s = 0;
        const dt_throughput t = throughput_of(types[i], 4, &both);
        for (int k = 0; k < both.n_sizes; k++) {
            dt_options fixed = kit.options;
            fixed.config.image_size = both.sizes[k].image_size;
            DT_REQUIRE(dt_workload_read(&fixed, &alone, &kit.err) == DT_OK);
            const dt_throughput one = throughput_of(types[i], 4, &alone);
            DT_CHECK_INT(one.batch, t.batch);
            seconds += both.sizes[k].share / one.images_s;
            exposed_s += both.sizes[k].share * one.exposed_s;
        }
        plan_kit_check_within(t.images_s, 1 / seconds, 1e-6, "images/s", types[i]);
        DT_CHECK_CLOSE(t.exposed_s, exposed_s, 1e-9);
    }
}

static void the_net_counts_what_the_roofline_scales_by(void)
{
    DT_CHECK_CLOSE(kit.work.rated.flops / 1e9, 24.3, 0.2);
    DT_CHECK(kit.work.rated.bytes_moved / 1e6 > 280 && kit.work.rated.bytes_moved / 1e6 < 360);
    DT_CHECK_INT(kit.work.n_params, 25557032);
    DT_CHECK_CLOSE(kit.work.checkpoint_bytes / 1e6, 205, 2);
    dt_options other = kit.options;
    dt_workload small;
    other.config.image_size = 112;
    DT_REQUIRE(dt_workload_read(&other, &small, &kit.err) == DT_OK);
    plan_kit_check_within(small.sizes[0].bytes_moved / kit.work.sizes[0].bytes_moved, 0.25, 0.1, "bytes",
                          "112 pixels");
    const double faster = throughput_of("g5.xlarge", 1, &small).stage_images_s[DT_STAGE_GPU] / 638;
    DT_CHECK_MSG(faster > 3.5 && faster < 4.1, "%g", faster);
    DT_CHECK(throughput_of("g5.xlarge", 1, &small).is_scaled);
}

static void a_batch_must_fit(void)
{
    dt_workload large = kit.work;
    large.batch = 4096;
    DT_CHECK_CONTAINS(throughput_of("g5.xlarge", 1, &large).why_not, "a batch of 4096 needs ");
    DT_CHECK_INT(throughput_of("p4d.24xlarge", 1, &kit.work).batch, 256);
    DT_CHECK_CONTAINS(throughput_of("trn1.2xlarge", 1, &kit.work).why_not, "not supported");
}

/* -- marks and dollars ----------------------------------------------------------------------------------- */

static void nothing_is_cheaper_and_faster_than_the_front(void)
{
    dt_plan_settings settings = plan_kit_bare(&kit.work);
    settings.regions = NULL;
    settings.deadline_s = 12 * 3600;
    settings.budget_usd = 50;
    dt_plan *plan = plan_kit_make(&settings);
    int n_cheapest = 0, n_fastest = 0, n_value = 0, n_in_time = 0, n_in_budget = 0;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_plan_row *a = &plan->rows[i];
        bool is_beaten = false;
        for (int64_t k = 0; k < plan->n_possible; k++) {
            const dt_plan_row *b = &plan->rows[k];
            is_beaten |= b->usd_mean < a->usd_mean && b->hours_mean < a->hours_mean;
        }
        DT_CHECK_MSG(!(a->is_front && is_beaten), "%s is on the front", a->instance->type);
        n_cheapest += a->is_cheapest;
        n_fastest += a->is_fastest;
        n_value += a->is_best_value;
        n_in_time += a->is_cheapest_in_time;
        n_in_budget += a->is_fastest_in_budget;
        DT_CHECK(!a->is_cheapest_in_time || a->hours_p95 <= 12);
        DT_CHECK(!a->is_fastest_in_budget || a->usd_p95 <= 50);
        DT_CHECK(a->hours_p95 >= a->hours_mean && a->usd_p95 >= a->usd_mean);
    }
    DT_CHECK(n_cheapest == 1 && n_fastest == 1 && n_value == 1 && n_in_time == 1 && n_in_budget == 1);
    DT_CHECK_INT(plan->n_recommendations, 5);
    dt_plan_destroy(plan);
}

static void parts_add_up_to_the_dollars(void)
{
    dt_plan_settings settings = plan_kit_bare(&kit.work);
    dt_assumptions_default(&settings.assumptions);
    settings.deadline_s = 24 * 3600;
    dt_plan *plan = plan_kit_make(&settings);
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_plan_row *row = &plan->rows[i];
        double sum = 0;
        for (int part = 0; part < DT_N_COST_PARTS; part++) {
            DT_CHECK(row->usd_part[part] >= 0);
            sum += row->usd_part[part];
        }
        DT_CHECK_CLOSE(row->usd_mean, sum, 1e-9);
        if (row->purchase != DT_PURCHASE_ON_DEMAND) /* the simulation's own sum */
            plan_kit_check_within(row->outcome.usd_mean + row->usd_part[DT_COST_REQUESTS], sum, 1e-6,
                                  "dollars", row->instance->type);
        DT_CHECK_CLOSE(row->train_hours + row->startup_hours + row->wait_hours, row->hours_mean,
                       1e-6 * row->hours_mean);
    }
    dt_plan_destroy(plan);
}

static void the_whole_table_takes_less_than_two_seconds(void)
{
    dt_plan_settings settings = plan_kit_bare(&kit.work);
    settings.regions = NULL;
    const double start_s = dt_clock_cpu_s();
    dt_plan_destroy(plan_kit_make(&settings));
    const double seconds = dt_clock_cpu_s() - start_s;
    DT_CHECK_MSG(seconds < 2 || getenv("DTRAIN_TEST_SLOWER"), "%g s", seconds);
}

static void wrong_names_are_refused(void)
{
    const char *const types[] = {"g5.xlage", NULL}, *const regions[] = {"mars", NULL};
    dt_plan_settings settings = plan_kit_bare(&kit.work);
    dt_plan *plan = NULL;
    settings.types = types;
    DT_CHECK_INT(dt_plan_create(&settings, &plan, &kit.err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(kit.err.message, "did you mean 'g5.xlarge'?");
    settings.types = NULL;
    settings.regions = regions;
    DT_CHECK_INT(dt_plan_create(&settings, &plan, &kit.err), DT_ERR_USAGE);
    DT_CHECK(plan == NULL);
}

static void sizes_are_read_with_their_units(void)
{
    static const struct {
        const char *text;
        double bytes;
    } good[] = {
        {"1000", 1000}, {"144G", 144e9}, {"1.5 TB", 1.5e12}, {"500MiB", 500 * 1048576.0}, {"2k", 2000}};
    static const char *const bad[] = {"", "G", "-1G", "1X", "1e3", "0x10", "1G2", "0", "2000000T", "1 G B"};
    double bytes = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        DT_CHECK_MSG(!dt_workload_parse_bytes(bad[i], &bytes) && bytes == 7, "%s: %g", bad[i], bytes);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        DT_CHECK_MSG(dt_workload_parse_bytes(good[i].text, &bytes) && bytes == good[i].bytes, "%s: %g",
                     good[i].text, bytes);
}

static void every_failing_allocation_is_an_error_and_no_leak(void)
{
    static const char *const types[] = {"g5.xlarge", NULL};
    dt_plan_settings settings = plan_kit_bare(&kit.work);
    settings.types = types;
    settings.n_runs = 10;
    for (int n = 1; n < 200; n++) {
        dt_plan *plan = NULL;
        const int64_t before = dt_alloc_live_blocks();
        dt_alloc_fail_after(n);
        const dt_status status = dt_plan_create(&settings, &plan, &kit.err);
        dt_alloc_fail_after(0);
        DT_CHECK(status == DT_OK || (status == DT_ERR_MEMORY && plan == NULL));
        dt_plan_destroy(plan);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_table_by_hand_is_reproduced),
    DT_TEST(the_first_table_has_its_four_figures),
    DT_TEST(the_tightest_stage_is_found),
    DT_TEST(more_nodes_pay_for_their_all_reduce),
    DT_TEST(sums_are_hidden_at_each_image_size),
    DT_TEST(the_net_counts_what_the_roofline_scales_by),
    DT_TEST(a_batch_must_fit),
    DT_TEST(nothing_is_cheaper_and_faster_than_the_front),
    DT_TEST(parts_add_up_to_the_dollars),
    DT_TEST(the_whole_table_takes_less_than_two_seconds),
    DT_TEST(wrong_names_are_refused),
    DT_TEST(sizes_are_read_with_their_units),
    DT_TEST(every_failing_allocation_is_an_error_and_no_leak),
};
DT_TEST_MAIN("launch/estimate/choices", tests)
