/* The planner's data, as they are shipped. */
#include "launch/estimate/catalog.h"

#include "launch/estimate/catalog_date.h"
#include "tests/launch/estimate/plan_kit.h"
#include "tests/testing.h"

#include <jansson.h>
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

static void has_source(dt_figure figure, const char *type)
{
    if (!isnan(figure.value))
        DT_CHECK_MSG(figure.source && figure.source->text[0] && figure.source->date[0], "%s", type);
    DT_CHECK(isnan(figure.value) == !dt_figure_is_known(figure));
}

static void every_figure_has_a_source_with_a_date(void)
{
    DT_CHECK_INT(kit.catalog->n_instances, 27);
    for (int i = 0; i < kit.catalog->n_instances; i++) {
        const dt_instance *in = &kit.catalog->instances[i];
        const dt_figure all[] = {in->gpu_memory_gib, in->vcpus,
                                 in->cores,          in->ram_gib,
                                 in->nvme_gb,        in->network_baseline_gbit,
                                 in->efa_interfaces, in->ebs_mb_s,
                                 in->fp16_tflops,    in->gpu_bandwidth_gb_s,
                                 in->decode_images_s};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            has_source(all[k], in->type);
        for (int k = 0; k < 5; k++)
            DT_CHECK_MSG(dt_figure_is_known(all[k]), "%s: figure %d", in->type, k);
        DT_CHECK_MSG(dt_figure_is_known(in->fp16_tflops) && dt_figure_is_known(in->gpu_bandwidth_gb_s) &&
                         dt_figure_is_known(in->decode_images_s),
                     "%s", in->type);
        DT_CHECK(!in->is_users);
    }
    for (int i = 0; i < kit.catalog->n_prices; i++) {
        int day;
        DT_CHECK(kit.catalog->prices[i].source && dt_catalog_day(kit.catalog->prices[i].date, &day));
        DT_CHECK(!kit.catalog->prices[i].is_users);
    }
    for (int i = 0; i < kit.catalog->n_rates; i++)
        DT_CHECK(kit.catalog->rates[i].source && !kit.catalog->rates[i].is_users);
}

static void spot_costs_no_more_than_on_demand(void)
{
    for (int i = 0; i < kit.catalog->n_prices; i++) {
        const dt_price *spot = &kit.catalog->prices[i];
        const dt_price *price = dt_catalog_find_price(kit.catalog, spot->type, spot->region, NULL, false);
        if (spot->is_spot && price)
            DT_CHECK_MSG(spot->usd_h <= price->usd_h, "%s %s", spot->type, spot->zone ? spot->zone : "");
        if (spot->is_spot && spot->zone)
            DT_CHECK_MSG(strncmp(spot->zone, "use1-", 5) == 0 || strncmp(spot->zone, "use2-", 5) == 0 ||
                             strncmp(spot->zone, "usw2-", 5) == 0,
                         "%s", spot->zone);
    }
}

/* Else a type would be missing in each plan. p5e has no price on demand. */
static void every_type_has_a_price_and_a_rate(void)
{
    for (int i = 0; i < kit.catalog->n_instances; i++) {
        const dt_instance *in = &kit.catalog->instances[i];
        bool has_price = false;
        for (int k = 0; k < kit.catalog->n_prices; k++)
            has_price |= strcmp(kit.catalog->prices[k].type, in->type) == 0;
        DT_CHECK_MSG(has_price, "%s", in->type);
        const dt_rate *rate = dt_catalog_find_rate(kit.catalog, in->gpu, "resnet50", "fp16", 224, in->n_gpus);
        DT_CHECK_MSG((rate != NULL) == (in->unsupported.text == NULL), "%s", in->type);
        DT_CHECK_MSG((in->unsupported.text != NULL) == (strncmp(in->type, "trn1", 4) == 0), "%s", in->type);
        DT_CHECK_MSG((in->retiring.text != NULL) == (strncmp(in->type, "p3.", 3) == 0), "%s", in->type);
    }
}

static void every_rate_is_of_a_gpu_that_a_type_has(void)
{
    for (int i = 0; i < kit.catalog->n_rates; i++) {
        bool is_there = false;
        for (int k = 0; k < kit.catalog->n_instances; k++)
            is_there |= strcmp(kit.catalog->instances[k].gpu, kit.catalog->rates[i].gpu) == 0;
        DT_CHECK_MSG(is_there, "%s", kit.catalog->rates[i].gpu);
    }
}

static double on_demand(const char *type, const char *region)
{
    const dt_price *price = dt_catalog_find_price(kit.catalog, type, region, NULL, false);
    return price ? price->usd_h : 0;
}

static double spot(const char *type, const char *region, const char *zone)
{
    const dt_price *price = dt_catalog_find_price(kit.catalog, type, region, zone, true);
    return price ? price->usd_h : 0;
}

static void prices_are_found_by_region_and_zone(void)
{
    DT_CHECK_CLOSE(on_demand("g5.xlarge", "us-east-1"), 1.006, 0);
    DT_CHECK_CLOSE(on_demand("p4d.24xlarge", "us-east-1"), 21.957642, 0);
    DT_CHECK_CLOSE(on_demand("p5e.48xlarge", "us-east-1"), 0, 0);
    DT_CHECK_CLOSE(on_demand("g5.xlarge", "mars"), 0, 0);
    DT_CHECK_CLOSE(spot("p4d.24xlarge", "us-east-1", "use1-az2"), 14.1051, 0);
    DT_CHECK_CLOSE(spot("p4d.24xlarge", "us-east-1", NULL), 6.289, 0); /* the cheapest of three zones */
    DT_CHECK_CLOSE(spot("p4d.24xlarge", "us-east-2", NULL), 6.6618, 0);
    DT_CHECK_CLOSE(spot("p4d.24xlarge", "us-east-1", "use1-az3"), 0, 0); /* no offer */
    DT_CHECK_CLOSE(spot("p5e.48xlarge", "us-east-1", NULL), 0, 0);
    DT_CHECK_CLOSE(spot("g5.12xlarge", "us-east-1", NULL), 2.382, 0); /* of no zone: an estimate */
    DT_CHECK_STR(dt_catalog_find_price(kit.catalog, "g5.12xlarge", "us-east-1", NULL, true)->zone, NULL);
}

static void rates_are_found_by_the_number_of_gpus(void)
{
    const dt_rate *one = dt_catalog_find_rate(kit.catalog, "V100", "resnet50", "fp16", 224, 1);
    const dt_rate *eight = dt_catalog_find_rate(kit.catalog, "V100", "resnet50", "fp16", 224, 8);
    const dt_rate *four = dt_catalog_find_rate(kit.catalog, "V100", "resnet50", "fp16", 224, 4);
    DT_CHECK_CLOSE(one->images_s, 1376, 0);
    DT_CHECK_CLOSE(eight->images_s, 1340.4, 0);
    DT_CHECK_CLOSE(four->images_s, 1376, 0); /* none was measured with 4: the first in the file */
    DT_CHECK_INT(one->source->confidence, DT_CONFIDENCE_PUBLISHED);
    DT_CHECK_INT(dt_catalog_find_rate(kit.catalog, "B200", "resnet50", "fp16", 224, 8)->source->confidence,
                 DT_CONFIDENCE_ESTIMATED);
    DT_CHECK(!dt_catalog_find_rate(kit.catalog, "V100", "resnet50", "fp16", 192, 1));
    DT_CHECK(!dt_catalog_find_rate(kit.catalog, "V100", "resnet50", "bf16", 224, 1));
    DT_CHECK(!dt_catalog_find_rate(kit.catalog, "V100", "resnet18", "fp16", 224, 1));
    DT_CHECK(!dt_catalog_find_rate(kit.catalog, "Trainium", "resnet50", "fp16", 224, 1));
}

static void the_age_of_prices_is_counted_in_days(void)
{
    const dt_price *price = dt_catalog_find_price(kit.catalog, "g5.xlarge", "us-east-1", NULL, false);
    DT_CHECK_STR(price->date, "2026-07-20");
    DT_CHECK_INT(dt_price_age_days(price, "2026-07-20"), 0);
    DT_CHECK_INT(dt_price_age_days(price, "2026-07-21"), 1);
    DT_CHECK_INT(dt_price_age_days(price, "2026-10-18"), 90);
    DT_CHECK_INT(dt_price_age_days(price, "2028-07-20"), 731); /* over a leap day */
    DT_CHECK_INT(dt_price_age_days(price, "2026-07-19"), 0);
    DT_CHECK_INT(dt_catalog_price_age_days(kit.catalog, "2026-07-20"), 414); /* the oldest: 2025-06-01 */
    char today[11];
    dt_catalog_today(today);
    DT_CHECK_INT(strlen(today), 10);
    DT_CHECK(dt_price_age_days(price, today) > 90);
}

static void names_that_are_not_there_are_refused_with_the_one_meant(void)
{
    const dt_instance *in = NULL;
    DT_CHECK_INT(dt_catalog_get_instance(kit.catalog, "g5.2xlarge", "--types", &in, &err), DT_OK);
    DT_CHECK_STR(in->type, "g5.2xlarge");
    DT_CHECK_INT(dt_catalog_get_instance(kit.catalog, "g5.2xlrge", "--types", &in, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, "--types: there is no instance type 'g5.2xlrge'; did you mean 'g5.2xlarge'?");
    DT_CHECK_INT(dt_catalog_get_instance(kit.catalog, "toaster", "--types", &in, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, "--types: there is no instance type 'toaster'");
    DT_CHECK_INT(dt_catalog_check_region(kit.catalog, "us-west-2", "--regions", &err), DT_OK);
    DT_CHECK_INT(dt_catalog_check_region(kit.catalog, "mars", "--regions", &err), DT_ERR_USAGE);
    DT_CHECK_STR(
        err.message,
        "--regions: no price is known in 'mars'; there are prices in us-east-1, us-east-2, us-west-2");
    DT_CHECK_INT(dt_catalog_check_region(kit.catalog, "us-east1", "--regions", &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "did you mean 'us-east-1'?");
}

/* ---- The documentation of the files. ---- */

/* The first block of JSON in a text, without its indentation of four; the caller frees it. */
static char *first_example(const char *text)
{
    const char *at = strstr(text, "\n    {\n");
    char *example = calloc(1, strlen(text) + 1);
    DT_REQUIRE(at != NULL && example != NULL);
    for (at++; strncmp(at, "    ", 4) == 0; at = strchr(at, '\n') + 1)
        strncat(example, at + 4, (size_t)(strchr(at, '\n') + 1 - at - 4));
    return example;
}

static void the_example_of_the_readme_is_valid(void)
{
    char *readme = dt_test_read_file(dt_test_source_path("launch/estimate/README.md"), NULL);
    DT_REQUIRE(readme != NULL);
    char *example = first_example(readme);
    const char *path = dt_test_path("%s/prices.json", dt_test_temp_dir());
    dt_test_write_file(path, example, strlen(example));
    dt_catalog *read = NULL;
    DT_REQUIRE_MSG(dt_catalog_load(NULL, path, NULL, &read, &err) == DT_OK, "%s", err.message);
    DT_CHECK_CLOSE(dt_catalog_find_price(read, "p5.48xlarge", "us-east-1", NULL, true)->usd_h, 15.1, 0);
    dt_catalog_free(read);
    free(example);
    free(readme);
}

static void are_documented(const json_t *value, const char *readme)
{
    const char *key;
    const json_t *member;
    size_t i;
    json_array_foreach(value, i, member) are_documented(member, readme);
    json_object_foreach((json_t *)value, key, member)
    {
        DT_CHECK_MSG(strstr(readme, dt_test_path("`%s`", key)) || strstr(readme, dt_test_path("\"%s\"", key)),
                     "%s", key);
        if (strcmp(key, "sources") != 0) /* whose keys are ids */
            are_documented(member, readme);
    }
}

static void every_key_is_documented(void)
{
    static const char *const files[] = {"instances", "prices", "rates"};
    char *readme = dt_test_read_file(dt_test_source_path("launch/estimate/README.md"), NULL);
    DT_REQUIRE(readme != NULL);
    for (int i = 0; i < 3; i++) {
        const char *name = dt_test_path("launch/estimate/data/%s.json", files[i]);
        json_t *root = json_load_file(dt_test_source_path(name), 0, NULL);
        DT_REQUIRE(root != NULL);
        are_documented(root, readme);
        json_decref(root);
    }
    free(readme);
}

/* ---- Against the collected facts, where they are at hand. ---- */

static double fact(const json_t *instance, const char *key, const char *member)
{
    const json_t *number = json_object_get(json_object_get(instance, key), member);
    return json_is_number(number) ? json_number_value(number) : NAN;
}

static void is_fact(dt_figure figure, const json_t *instance, const char *key)
{
    const double expected = fact(instance, key, "value");
    const char *type = json_string_value(json_object_get(instance, "type"));
    DT_CHECK_MSG(dt_figure_is_known(figure) == !isnan(expected), "%s %s", type, key);
    if (!isnan(expected))
        DT_CHECK_MSG(figure.value == expected, "%s %s: %g, not %g", type, key, figure.value, expected);
    const char *source = json_string_value(json_object_get(json_object_get(instance, key), "confidence"));
    if (!isnan(expected) && strcmp(source, "published") == 0)
        DT_CHECK_MSG(
            figure.source->confidence == DT_CONFIDENCE_PUBLISHED ||
                (figure.source->confidence == DT_CONFIDENCE_ESTIMATED && strncmp(type, "p3.", 3) == 0),
            "%s %s", type, key);
    else if (!isnan(expected)) /* "published, not re-read" is no verified figure */
        DT_CHECK_MSG(figure.source->confidence == DT_CONFIDENCE_ESTIMATED, "%s %s", type, key);
}

static void are_zone_prices(const dt_instance *in, const json_t *spot_usd_h)
{
    size_t i;
    const json_t *zone;
    const char *source = json_string_value(json_object_get(spot_usd_h, "source"));
    if (!strstr(source, "skypilot"))
        return;
    const char *region = strstr(source, "us-east-2") ? "us-east-2" : "us-east-1";
    json_array_foreach(json_object_get(spot_usd_h, "zones"), i, zone)
    {
        bool is_there = false;
        for (int k = 0; k < kit.catalog->n_prices; k++) {
            const dt_price *price = &kit.catalog->prices[k];
            is_there |= price->is_spot && strcmp(price->type, in->type) == 0 &&
                        strcmp(price->region, region) == 0 && price->usd_h == json_number_value(zone);
        }
        DT_CHECK_MSG(is_there, "%s: no spot price %g", in->type, json_number_value(zone));
    }
}

static void the_figures_are_those_of_the_collected_facts(void)
{
    const char *path = dt_test_shared_data("instances.json");
    if (!path)
        DT_SKIP("no shared data");
    json_t *root = json_load_file(path, 0, NULL);
    const json_t *all = json_object_get(root, "instances"), *at;
    DT_REQUIRE(json_array_size(all) == (size_t)kit.catalog->n_instances);
    size_t i;
    json_array_foreach(all, i, at)
    {
        const dt_instance *in = &kit.catalog->instances[i];
        DT_CHECK_STR(in->type, json_string_value(json_object_get(at, "type")));
        DT_CHECK_INT(in->n_gpus, json_integer_value(json_object_get(at, "gpus")));
        is_fact(in->gpu_memory_gib, at, "gpu_mem_gib");
        is_fact(in->vcpus, at, "vcpus");
        is_fact(in->cores, at, "cores");
        is_fact(in->ram_gib, at, "ram_gib");
        is_fact(in->nvme_gb, at, "nvme_gb");
        is_fact(in->network_baseline_gbit, at, "network_baseline_gbit");
        is_fact(in->efa_interfaces, at, "efa_interfaces");
        is_fact(in->ebs_mb_s, at, "ebs_baseline_mb_s");
        is_fact(in->fp16_tflops, at, "fp16_dense_tflops");
        is_fact(in->gpu_bandwidth_gb_s, at, "mem_gb_s");
        is_fact(in->decode_images_s, at, "decode_limit_img_s");
        const double usd_h = fact(at, "on_demand_usd_h", "value");
        DT_CHECK_CLOSE(on_demand(in->type, "us-east-1"), isnan(usd_h) ? 0 : usd_h, 0);
        are_zone_prices(in, json_object_get(at, "spot_usd_h"));
        const double node = fact(at, "resnet50_img_s", "node");
        const dt_rate *rate = dt_catalog_find_rate(kit.catalog, in->gpu, "resnet50", "fp16", 224, in->n_gpus);
        if (rate) /* of a node that was not measured, the facts take 3% for the all-reduce */
            DT_CHECK_CLOSE(rate->images_s * in->n_gpus / node, 1, 0.05);
    }
    json_decref(root);
}

static const dt_test tests[] = {
    DT_TEST(every_figure_has_a_source_with_a_date),
    DT_TEST(spot_costs_no_more_than_on_demand),
    DT_TEST(every_type_has_a_price_and_a_rate),
    DT_TEST(every_rate_is_of_a_gpu_that_a_type_has),
    DT_TEST(prices_are_found_by_region_and_zone),
    DT_TEST(rates_are_found_by_the_number_of_gpus),
    DT_TEST(the_age_of_prices_is_counted_in_days),
    DT_TEST(names_that_are_not_there_are_refused_with_the_one_meant),
    DT_TEST(the_example_of_the_readme_is_valid),
    DT_TEST(every_key_is_documented),
    DT_TEST(the_figures_are_those_of_the_collected_facts),
};
DT_TEST_MAIN("launch/estimate/catalog_data", tests)
