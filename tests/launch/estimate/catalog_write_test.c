/* Files of prices and of rates that the program writes. */
#include "launch/estimate/catalog.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_error err;

static dt_catalog *load_file(const char *prices, const char *rates)
{
    dt_catalog *catalog = NULL;
    DT_REQUIRE_MSG(dt_catalog_load(NULL, prices, rates, &catalog, &err) == DT_OK, "%s", err.message);
    return catalog;
}

static void what_is_written_is_read_back(void)
{
    const dt_data_source live = {"aws", "Spot price history, \"us-east-1\"\n", "2026-11-30",
                                 DT_CONFIDENCE_PUBLISHED};
    const dt_data_source other = {"aws", "another of the same name", "2026-11", DT_CONFIDENCE_THIRD_PARTY};
    const dt_price prices[] = {
        {"g5.xlarge", "us-east-1", "use1-az1", true, 0.4591, "2026-11-30", &live, true},
        {"g5.xlarge", "us-east-1", NULL, false, 1.006, "2026-11-29", &other, true},
        {"p4d.24xlarge", "eu-west-1", "euw1-az2", true, 12.3456789, "2026-11-30", &live, true},
    };
    const char *path = dt_test_path("%s/out.json", dt_test_temp_dir());
    dt_test_write_file(path, "old", 3);
    DT_REQUIRE_MSG(dt_catalog_write_prices(path, prices, 3, &err) == DT_OK, "%s", err.message);
    DT_CHECK(access(dt_test_path("%s.tmp", path), F_OK) != 0);
    dt_catalog *catalog = NULL;
    catalog = load_file(path, NULL);
    int n = 0;
    for (int i = 0; i < catalog->n_prices; i++) {
        const dt_price *price = &catalog->prices[i];
        if (!price->is_users)
            continue;
        DT_CHECK_STR(price->type, prices[n].type);
        DT_CHECK_STR(price->region, prices[n].region);
        DT_CHECK_STR(price->zone, prices[n].zone);
        DT_CHECK(price->is_spot == prices[n].is_spot && price->usd_h == prices[n].usd_h);
        DT_CHECK_STR(price->date, prices[n].date);
        DT_CHECK_STR(price->source->text, prices[n].source->text);
        DT_CHECK_STR(price->source->date, prices[n].source->date);
        DT_CHECK_INT(price->source->confidence, prices[n].source->confidence);
        DT_CHECK_STR(price->source->id, n == 1 ? "aws-2" : "aws");
        n++;
    }
    DT_CHECK_INT(n, 3);
    /* Written again from what was read, it is the same file. */
    char *first = dt_test_read_file(path, NULL);
    const char *again = dt_test_path("%s/again.json", dt_test_temp_dir());
    DT_REQUIRE(dt_catalog_write_prices(again, catalog->prices + catalog->n_prices - 3, 3, &err) == DT_OK);
    char *second = dt_test_read_file(again, NULL);
    DT_CHECK_STR(second, first);
    free(first);
    free(second);
    dt_catalog_free(catalog);
}

static void all_built_in_prices_can_be_written_and_read(void)
{
    dt_catalog *catalog = NULL, *back = NULL;
    const char *path = dt_test_path("%s/all.json", dt_test_temp_dir());
    catalog = load_file(NULL, NULL);
    DT_REQUIRE(dt_catalog_write_prices(path, catalog->prices, catalog->n_prices, &err) == DT_OK);
    back = load_file(path, NULL);
    DT_REQUIRE(back->n_prices == catalog->n_prices);
    for (int i = 0; i < back->n_prices; i++)
        DT_CHECK(back->prices[i].usd_h == catalog->prices[i].usd_h && back->prices[i].is_users);
    dt_catalog_free(catalog);
    dt_catalog_free(back);
}

static void a_measured_machine_is_written_and_read_back(void)
{
    const dt_data_source bench = {"bench", "dtrain bench on host", "2026-11-30", DT_CONFIDENCE_MEASURED};
    const dt_rate rate = {"RTX 9090", "resnet18", "fp32", 32, 2, 123.25, "dtrain 1", &bench, true};
    dt_measured_machine machine = {
        .name = "host", .gpu = "RTX 9090", .n_gpus = 2, .versions = "dtrain 1, CUDA 13"};
    machine.cores = (dt_figure){2, &bench};
    machine.ram_gib = (dt_figure){8, &bench};
    machine.decode_images_s = (dt_figure){1234.5, &bench};
    machine.arch = "resnet18";
    machine.precision = "fp32";
    machine.image_size = 32;
    machine.batch = 64;
    machine.n_ranks = 2;
    machine.train_images_s = (dt_figure){99.5, &bench};
    machine.checkpoint_s = (dt_figure){0, &bench};
    const char *path = dt_test_path("%s/rates.json", dt_test_temp_dir());
    DT_REQUIRE_MSG(dt_catalog_write_rates(path, &rate, 1, &machine, &err) == DT_OK, "%s", err.message);
    dt_catalog *catalog = NULL;
    catalog = load_file(NULL, path);
    DT_REQUIRE(catalog->machine != NULL);
    DT_CHECK_STR(catalog->machine->name, "host");
    DT_CHECK_STR(catalog->machine->versions, "dtrain 1, CUDA 13");
    DT_CHECK(catalog->machine->n_gpus == 2 && catalog->machine->cores.value == 2);
    DT_CHECK(catalog->machine->decode_images_s.value == 1234.5 &&
             !dt_figure_is_known(catalog->machine->usd_h));
    DT_CHECK_STR(catalog->machine->ram_gib.source->text, "dtrain bench on host");
    DT_CHECK_STR(catalog->machine->arch, "resnet18");
    DT_CHECK_STR(catalog->machine->precision, "fp32");
    DT_CHECK(catalog->machine->image_size == 32 && catalog->machine->batch == 64 &&
             catalog->machine->n_ranks == 2);
    DT_CHECK(catalog->machine->train_images_s.value == 99.5 && catalog->machine->checkpoint_s.value == 0);
    DT_CHECK(dt_figure_is_known(catalog->machine->checkpoint_s) &&
             !dt_figure_is_known(catalog->machine->evaluate_images_s));
    const dt_rate *found = dt_catalog_find_rate(catalog, "RTX 9090", "resnet18", "fp32", 32, 2);
    DT_REQUIRE(found != NULL);
    DT_CHECK(found->images_s == 123.25 && found->is_users);
    dt_catalog_free(catalog);
    DT_REQUIRE(dt_catalog_write_rates(path, NULL, 0, NULL, &err) == DT_OK);
    catalog = load_file(NULL, path);
    DT_CHECK(!catalog->machine);
    dt_catalog_free(catalog);
}

static void a_file_that_cannot_be_written_is_named_and_the_old_one_stays(void)
{
    const char *path = dt_test_path("%s/none/out.json", dt_test_temp_dir());
    DT_CHECK_INT(dt_catalog_write_prices(path, NULL, 0, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "none/out.json");
    path = dt_test_path("%s/out.json", dt_test_temp_dir());
    dt_test_write_file(path, "old", 3);
    DT_REQUIRE(mkdir(dt_test_path("%s.tmp", path), 0777) == 0);
    DT_CHECK_INT(dt_catalog_write_prices(path, NULL, 0, &err), DT_ERR_IO);
    char *kept = dt_test_read_file(path, NULL);
    DT_CHECK_STR(kept, "old");
    free(kept);
}

static void no_allocation_that_fails_is_overlooked(void)
{
    dt_catalog *catalog = load_file(NULL, NULL);
    const char *path = dt_test_path("%s/out.json", dt_test_temp_dir());
    const int64_t live = dt_alloc_live_blocks();
    for (int64_t n = 1; n <= 6; n++) {
        const dt_measured_machine machine = {.name = "n", .gpu = "CPU", .versions = "v"};
        dt_alloc_fail_after(n);
        dt_status status = dt_catalog_write_prices(path, catalog->prices, catalog->n_prices, &err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(status, n <= 2 ? DT_ERR_MEMORY : DT_OK);
        dt_alloc_fail_after(n);
        status = dt_catalog_write_rates(path, catalog->rates, catalog->n_rates, &machine, &err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(status, n <= 2 ? DT_ERR_MEMORY : DT_OK);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
    }
    dt_catalog_free(catalog);
}

static const dt_test tests[] = {
    DT_TEST(what_is_written_is_read_back),
    DT_TEST(all_built_in_prices_can_be_written_and_read),
    DT_TEST(a_measured_machine_is_written_and_read_back),
    DT_TEST(a_file_that_cannot_be_written_is_named_and_the_old_one_stays),
    DT_TEST(no_allocation_that_fails_is_overlooked),
};
DT_TEST_MAIN("launch/estimate/catalog_write", tests)
