/* Plans of runs that others have published, with their rates: nothing in the planner was tuned to them. */
#include "tests/launch/estimate/plan_kit.h"
#include "tests/testing.h"

#include <stdio.h>

void dt_test_set_up(void)
{
    plan_kit_open();
}

void dt_test_tear_down(void)
{
    plan_kit_close();
}

/* Training alone: published minutes are without the start of machines. */
static double usd_of_run(const dt_catalog *with, const dt_workload *of, const char *type)
{
    const char *const types[] = {type, NULL};
    dt_plan_settings settings = plan_kit_bare(of);
    settings.catalog = with;
    settings.types = types;
    settings.assumptions.startup_s = 1e-3;
    dt_plan *plan = plan_kit_make(&settings);
    const double usd = plan_kit_row(plan, type, DT_PURCHASE_ON_DEMAND)->usd_mean;
    dt_plan_destroy(plan);
    return usd;
}

static dt_workload of_epochs(double epochs)
{
    dt_workload w = kit.work;
    w.epochs = epochs;
    w.images_of_run = w.n_images * epochs;
    return w;
}

static dt_catalog *with_rate(const char *gpu, double images_s)
{
    char text[512];
    dt_catalog *with = NULL;
    const char *path = dt_test_path("%s/rates.json", dt_test_temp_dir());
    const int n =
        snprintf(text, sizeof text,
                 "{\"sources\": {\"run\": {\"text\": \"a published run\", \"date\": \"2022\", "
                 "\"confidence\": \"published\"}}, \"rates\": [{\"gpu\": \"%s\", \"arch\": \"resnet50\", "
                 "\"precision\": \"fp16\", \"image_size\": 224, \"gpus\": 8, \"images_s\": %.6f, "
                 "\"software\": \"run\", \"source\": \"run\"}]}",
                 gpu, images_s);
    dt_test_write_file(path, text, (size_t)n);
    DT_REQUIRE_MSG(dt_catalog_load(NULL, NULL, path, &with, &kit.err) == DT_OK, "%s", kit.err.message);
    return with;
}

/* NVIDIA's own runs of 90 epochs, with the rates that it published beside them. */
static void nvidias_90_epochs_cost_what_they_took(void)
{
    static const struct {
        const char *type;
        double hours, usd_h;
    } runs[] = {{"p3.2xlarge", 24.2, 3.06}, {"p3.16xlarge", 3.0, 24.48}, {"p4de.24xlarge", 1.14, 27.44705}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        plan_kit_check_within(usd_of_run(kit.catalog, &kit.work, runs[i].type), runs[i].hours * runs[i].usd_h,
                              0.1, "dollars", runs[i].type);
}

/* MLPerf 4.0: 8 H200 in 12.02 min at 63,601 images/s: as long as 35.8 epochs. The same number with another
 * GPU's rate, measured by others, is MLPerf 2.0's run: 28.7 min, $13.1. */
static void mlperfs_runs_agree_with_each_other(void)
{
    const dt_workload run = of_epochs(12.02 * 60 * 63601 / DT_IMAGENET_IMAGES);
    plan_kit_check_within(usd_of_run(kit.catalog, &run, "p4de.24xlarge"), 13.1, 0.1, "dollars of MLPerf 2.0",
                          "p4de");
    plan_kit_check_within(usd_of_run(kit.catalog, &run, "p5en.48xlarge"), 12.02 / 60 * 63.296, 0.02,
                          "dollars", "p5en");
}

/* MosaicML's baseline: 90 epochs in PyTorch, whose rate NVIDIA published: 110.5 min, $50.6. */
static void mosaicmls_baseline_costs_what_it_took(void)
{
    dt_catalog *with = with_rate("A100-80GB", 16621.0 / 8);
    plan_kit_check_within(usd_of_run(with, &kit.work, "p4de.24xlarge"), 50.6, 0.1, "dollars", "the baseline");
    dt_catalog_free(with);
}

/* FFCV: 88 epochs in 77.2 min give the rate; it predicts the other runs. 160 pixels, then 192: 0.57 of the
 * pixels of 224. */
static void ffcvs_runs_follow_from_its_longest(void)
{
    static const struct {
        double epochs, usd;
    } runs[] = {{16, 5.5}, {24, 7.9}, {32, 10.5}, {40, 13.0}};
    const double mixed_images_s = 88.0 * DT_IMAGENET_IMAGES / (77.2 * 60), pixels = 0.57;
    dt_catalog *with = with_rate("A100-40GB", mixed_images_s * pixels / 8);
    dt_options resized = kit.options;
    snprintf(resized.resize_schedule, sizeof resized.resize_schedule, "160:0,192:0.75");
    DT_REQUIRE(dt_options_parse_resize(&resized, &kit.err) == DT_OK);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        dt_workload run;
        DT_REQUIRE(dt_workload_read(&resized, &run, &kit.err) == DT_OK);
        run.images_of_run = run.n_images * runs[i].epochs;
        plan_kit_check_within(usd_of_run(with, &run, "p4d.24xlarge"), runs[i].usd, 0.1, "dollars", "FFCV");
    }
    dt_catalog_free(with);
}

/* MosaicML's fast recipe, result 0: 27 of 28.8 epochs in 23.6 min. Images have 88 pixels for 40% of these,
 * then grow to 176 at 80%; there it trains 20,200 images/s. At 88 pixels it trained 32,500: the GPUs alone
 * would be faster. */
static void mosaicmls_fast_recipe_follows_from_its_rate_at_full_size(void)
{
    const double pixels = 176.0 * 176.0 / (DT_RATED_SIZE * DT_RATED_SIZE);
    dt_catalog *with = with_rate("A100-80GB", 20200 * pixels / 8);
    dt_options resized = kit.options;
    dt_workload run;
    snprintf(resized.resize_schedule, sizeof resized.resize_schedule,
             "88:0,96:0.427,112:0.504,128:0.582,144:0.659,160:0.737,172:0.815,176:0.853");
    DT_REQUIRE(dt_options_parse_resize(&resized, &kit.err) == DT_OK);
    DT_REQUIRE(dt_workload_read(&resized, &run, &kit.err) == DT_OK);
    run.images_of_run = run.n_images * 27;
    plan_kit_check_within(usd_of_run(with, &run, "p4de.24xlarge"), 10.9, 0.1, "dollars", "the fast recipe");
    dt_catalog_free(with);
}

static const dt_test tests[] = {
    DT_TEST(nvidias_90_epochs_cost_what_they_took),
    DT_TEST(mlperfs_runs_agree_with_each_other),
    DT_TEST(mosaicmls_baseline_costs_what_it_took),
    DT_TEST(ffcvs_runs_follow_from_its_longest),
    DT_TEST(mosaicmls_fast_recipe_follows_from_its_rate_at_full_size),
};
DT_TEST_MAIN("launch/estimate/published", tests)
