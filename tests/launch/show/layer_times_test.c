/* The tables of --profile, of times and sizes that the test chooses, compared byte for byte. */
#include "launch/show/layer_times.h"

#include "tests/testing.h"

#include <stdlib.h>

/* Returns what is printed; the caller calls free(). */
static char *printed(const dt_profile_summary *s, int64_t batch)
{
    char *text = NULL;
    size_t n;
    dt_error err = {0};
    FILE *f = open_memstream(&text, &n);
    DT_REQUIRE(f != NULL);
    DT_CHECK_MSG(dt_layer_times_print(s, batch, f, &err) == DT_OK, "%s", err.message);
    fclose(f);
    return text;
}

void dt_test_set_up(void)
{
    setenv("LC_ALL", "C", 1); /* ASCII tables */
}

static dt_profile_row rows[] = {
    {"input", "normalize", {.ms = 0.5, .bytes = 2000000, .bytes_per_s = 4e9, .of_roof = 0.4}, {.ms = 0.0}},
    {"conv1",
     "conv",
     {.ms = 2.0, .bytes = 12345678, .bytes_per_s = 6.172839e9, .of_roof = 0.994},
     {.ms = 4.25, .bytes = 30000000, .bytes_per_s = 7.0588e9, .of_roof = 0.996}},
    {"fc", "linear", {.ms = 0.0625, .bytes = 100000, .bytes_per_s = 1.6e9}, {.ms = 0.1254}},
};

static dt_profile_summary summary(void)
{
    return (dt_profile_summary){
        .rows = rows,
        .n_rows = 3,
        .n_warmup = 6,
        .n_passes = 5,
        .forward = {.ms = 2.5625, .bytes = 14445678, .bytes_per_s = 5.6374e9, .of_roof = 0.875},
        .backward = {.ms = 4.375, .bytes = 30000000, .bytes_per_s = 6.857e9, .of_roof = 0.97},
        .pass_ms = 8.0,
        .bandwidth_bytes_per_s = 1.2345e10,
        .bandwidth_is_measured = true};
}

/* The pass takes 8 ms, the layers 2.5625 and 4.375 of it; 32 images in 8 ms are 4,000 a second. */
static void each_column_has_its_own_number(void)
{
    dt_profile_summary s = summary();
    char *text = printed(&s, 32);
    DT_CHECK_STR(text,
                 "layer      | kind      | forward ms |   MB | GB/s | roof\n"
                 "-----------+-----------+------------+------+------+-----\n"
                 "input      | normalize |      0.500 |  2.0 |  4.0 |  40%\n"
                 "conv1      | conv      |      2.000 | 12.3 |  6.2 |  99%\n"
                 "fc         | linear    |      0.062 |  0.1 |  1.6 |     \n"
                 "-----------+-----------+------------+------+------+-----\n"
                 "all layers |           |      2.562 | 14.4 |  5.6 |  88%\n"
                 "\n"
                 "layer      | kind      | backward ms |   MB | GB/s | roof\n"
                 "-----------+-----------+-------------+------+------+-----\n"
                 "input      | normalize |       0.000 |      |      |     \n"
                 "conv1      | conv      |       4.250 | 30.0 |  7.1 | 100%\n"
                 "fc         | linear    |       0.125 |      |      |     \n"
                 "-----------+-----------+-------------+------+------+-----\n"
                 "all layers |           |       4.375 | 30.0 |  6.9 |  97%\n"
                 "\n"
                 "all else  1.062 ms\n"
                 "a pass    8.000 ms\n"
                 "\n"
                 "Mean of 5 passes of 32 images, after 6 to warm up: 4000.0 images/s per rank. MB: the least "
                 "memory traffic; GB/s: "
                 "MB divided by the time. Roof: the least time possible with 12.3 GB/s (measured by a copy), "
                 "divided by the time. All else: sums over ranks, the update, waiting for images.\n");
    free(text);
}

static void the_roof_of_a_data_sheet_has_its_arithmetic_too(void)
{
    dt_profile_summary s = summary();
    s.n_passes = 1;
    s.bandwidth_is_measured = false;
    s.compute_flops = 9.89e14;
    char *text = printed(&s, 1);
    DT_CHECK_CONTAINS(text, "\nMean of 1 pass of 1 image, after 6 to warm up: 125.0 images/s per rank. ");
    DT_CHECK_CONTAINS(text,
                      "Roof: the least time possible with 12.3 GB/s (data sheet) and 989.0 TFLOP/s (data "
                      "sheet), divided by the time.");
    free(text);
}

static void without_a_measured_pass_no_rate_is_reported(void)
{
    dt_profile_summary s = {.rows = rows, .n_rows = 0, .bandwidth_bytes_per_s = 1e9};
    char *text = printed(&s, 32);
    DT_CHECK_CONTAINS(text, "\nall else  0.000 ms\na pass    0.000 ms\n");
    DT_CHECK_CONTAINS(text, "\nMean of 0 passes of 32 images, after 0 to warm up: 0.0 images/s per rank. ");
    free(text);
}

static const dt_test tests[] = {
    DT_TEST(each_column_has_its_own_number),
    DT_TEST(the_roof_of_a_data_sheet_has_its_arithmetic_too),
    DT_TEST(without_a_measured_pass_no_rate_is_reported),
};
DT_TEST_MAIN("launch/show/layer_times", tests)
