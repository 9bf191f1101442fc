/* Texts of options and of configuration files at the limits of what is read. */
#include "core/base/alloc.h"
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static dt_options options;
static dt_error err;

static void a_number_has_nothing_around_it(void)
{
    CHECK_REFUSED("--batch: ' 5' is not a whole number, nor auto", train, "--batch", " 5");
    CHECK_REFUSED("--batch: '5 ' is not a whole number, nor auto", train, "--batch", "5 ");
    CHECK_REFUSED("--lr: ' 0.5' is not a number", train, "--lr", " 0.5");
    CHECK_REFUSED("--lr: '0.5 ' is not a number", train, "--lr", "0.5 ");
    CHECK_REFUSED("--crop-scale: ',1' is not MIN,MAX, two numbers with a comma", train, "--crop-scale", ",1");
    CHECK_REFUSED("--crop-scale: '' is not a number", train, "--crop-scale", "0.5,");
}

/* Where one option limits another, the limit itself is accepted. */
static void an_option_may_be_as_large_as_the_one_that_limits_it(void)
{
    DT_CHECK_INT(PARSE(train, "--data", "x", "--crop-scale", "0.5,0.5"), DT_OK);
    CHECK_REFUSED("--crop-scale: the first of 0.5,0.4999 is larger than the second", train, "--data", "x",
                  "--crop-scale", "0.5,0.4999");
    DT_CHECK_INT(PARSE(train, "--data", "x", "--image-size", "64", "--eval-resize", "64"), DT_OK);
    CHECK_REFUSED("--eval-resize: 63 pixels are less than --image-size 64", train, "--data", "x",
                  "--image-size", "64", "--eval-resize", "63");
    DT_CHECK_INT(PARSE(train, "--data", "x", "--schedule", "step", "--epochs", "9", "--warmup-epochs", "2",
                       "--step-epochs", "2,5"),
                 DT_OK);
    CHECK_REFUSED("--step-epochs: 1.9 is inside the warm-up: it counts from the start of the training, and "
                  "--warmup-epochs is 2",
                  train, "--data", "x", "--schedule", "step", "--epochs", "9", "--warmup-epochs", "2",
                  "--step-epochs", "1.9,5");
    DT_CHECK_INT(PARSE(train, "--data", "x", "--profile", "1", "--resize-schedule", "64:0"), DT_OK);
    CHECK_REFUSED("--profile measures one size: leave --resize-schedule out", train, "--data", "x",
                  "--profile", "1", "--resize-schedule", "64:0,96:0.5");
}

static void a_text_has_no_line_break(void)
{
    CHECK_REFUSED("--data: 'a\nb' has a line break; use a name without one", train, "--data", "a\nb");
    CHECK_REFUSED("--data: 'a\rb' has a line break; use a name without one", train, "--data", "a\rb");
}

static void a_resize_schedule_has_up_to_16_sizes_of_16_to_2048_pixels(void)
{
    DT_REQUIRE(
        PARSE(train, "--data", "x", "--resize-schedule",
              "16:0,17:.1,18:.15,19:.2,20:.25,21:.3,22:.35,23:.4,24:.45,25:.5,26:.55,27:.6,28:.65,29:.7,"
              "30:.75,2048:.8") == DT_OK);
    DT_CHECK_INT(options.config.n_resize, 16);
    DT_CHECK_INT(options.config.resize[15].image_size, 2048);
    CHECK_REFUSED("--resize-schedule: 15:0: a size is 16 to 2048 pixels; for example 160:0,192:0.6,224:0.85",
                  train, "--data", "x", "--resize-schedule", "15:0");
    CHECK_REFUSED(
        "--resize-schedule: 2049:0: a size is 16 to 2048 pixels; for example 160:0,192:0.6,224:0.85", train,
        "--data", "x", "--resize-schedule", "2049:0");
}

static void plans_need_a_device_and_a_number(void)
{
    static const char together[] = "--plans and --device belong together: --plans --device h200";
    CHECK_REFUSED(together, info, "--plans");
    CHECK_REFUSED(together, info, "--device", "h200");
    CHECK_REFUSED("--batch: --plans needs a number", info, "--plans", "--device", "h200", "--batch", "auto");
    DT_CHECK_INT(PARSE(info, "--plans", "--device", "h200", "--batch", "1"), DT_OK);
    DT_CHECK_INT(PARSE(info, "--batch", "auto"), DT_OK);
}

static void an_endpoint_has_a_host(void)
{
    CHECK_REFUSED("--imds-endpoint: 'http://' does not begin with http:// and a host", train, "--data", "x",
                  "--imds-endpoint", "http://");
    CHECK_REFUSED("--imds-endpoint: 'https://x' does not begin with http:// and a host", train, "--data", "x",
                  "--imds-endpoint", "https://x");
    DT_CHECK_INT(PARSE(train, "--data", "x", "--imds-endpoint", "http://x"), DT_OK);
}

/* -- the configuration file ------------------------------------------------------------------------------ */

/* Reads a file of n bytes: a setting, and a comment. */
static dt_status read_bytes(size_t n)
{
    static char text[(128 << 10) + 2];
    memset(text, 'x', n);
    memcpy(text, "keep = 7;\n#", 11);
    text[n - 1] = '\n';
    text[n] = '\0';
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    return dt_options_read_file(options_kit_write_file(text), DT_COMMAND_TRAIN, &options, &err);
}

static void a_file_is_smaller_than_128_kib(void)
{
    DT_CHECK_INT(read_bytes((128 << 10) - 1), DT_OK);
    DT_CHECK_INT(options.config.keep, 7);
    for (size_t n = 128 << 10; n <= (128 << 10) + 1; n++) {
        DT_CHECK_INT(read_bytes(n), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, "run.conf: not a configuration file: larger than 128 KiB");
    }
}

static void a_text_of_a_manifest_is_smaller_too(void)
{
    const size_t n = 128 << 10;
    char *text = malloc(n + 1);
    DT_REQUIRE(text != NULL);
    memset(text, '#', n);
    text[n - 2] = '\n';
    text[n] = '\0';
    DT_CHECK_INT(dt_options_read_text("m", text, DT_COMMAND_TRAIN, &options, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, "m: larger than 128 KiB: not a configuration");
    text[n - 1] = '\0';
    DT_CHECK_INT(dt_options_read_text("m", text, DT_COMMAND_TRAIN, &options, &err), DT_OK);
    free(text);
}

static void only_a_whole_byte_order_mark_is_passed_over(void)
{
    DT_CHECK_INT(PARSE(train, "--config",
                       options_kit_write_file("\xef\xbb\xbf"
                                              "keep = 7;")),
                 DT_OK);
    DT_CHECK_INT(options.config.keep, 7);
    DT_CHECK_INT(PARSE(train, "--config",
                       options_kit_write_file("\xef\xbb\xbe"
                                              "keep = 7;")),
                 DT_ERR_USAGE);
}

static void numbers_of_a_file_are_read_with_all_digits(void)
{
    options_kit_check_file_refused("steps = -12345678901;",
                                   ":1: steps: -12345678901 is out of range: 0 to 2147483647");
    options_kit_check_file_refused("steps = 12345678901;",
                                   ":1: steps: 12345678901 is out of range: 0 to 2147483647");
    DT_REQUIRE(PARSE(train, "--config",
                     options_kit_write_file("steps = 2147483647; lr = 0.1234567890123456;")) == DT_OK);
    DT_CHECK_INT(options.config.steps, 2147483647);
    DT_CHECK_CLOSE(options.config.lr, 0.1234567890123456, 0);
}

static void a_range_of_a_file_has_two_numbers(void)
{
    DT_REQUIRE(PARSE(train, "--config", options_kit_write_file("crop-scale = (0.25, 0.5);")) == DT_OK);
    DT_CHECK(options.crop_scale_min == 0.25 && options.crop_scale_max == 0.5);
    options_kit_check_file_refused("crop-scale = (0.1, 0.5, 0.9);",
                                   ":1: crop-scale: two numbers, (MIN, MAX) was expected, this is a list");
    options_kit_check_file_refused("crop-scale = (0.1);",
                                   ":1: crop-scale: two numbers, (MIN, MAX) was expected, this is a list");
}

static void quotes_and_backslashes_are_written_so_that_they_read_back(void)
{
    char *text = NULL;
    DT_REQUIRE(PARSE(train, "--data", "a\\b\"c\\\\", "--out", "\"\\\"") == DT_OK);
    DT_REQUIRE(dt_options_write(&options, DT_COMMAND_TRAIN, "x", &text, &err) == DT_OK);
    DT_REQUIRE(PARSE(train, "--config", options_kit_write_file(text)) == DT_OK);
    DT_CHECK_STR(options.config.data, "a\\b\"c\\\\");
    DT_CHECK_STR(options.out, "\"\\\"");
    static const char *const groups[] = {
        "\n# Data\ndata = ", "\n# Model\narch = ", "\n# Optimization\nepochs = ", "\n# Run\nout = ",
        "\n# Machine\nbackend = "};
    for (int i = 0; i < 5; i++)
        DT_CHECK_CONTAINS(text, groups[i]);
    dt_free(text);
}

static const dt_test tests[] = {
    DT_TEST(a_number_has_nothing_around_it),
    DT_TEST(an_option_may_be_as_large_as_the_one_that_limits_it),
    DT_TEST(a_text_has_no_line_break),
    DT_TEST(a_resize_schedule_has_up_to_16_sizes_of_16_to_2048_pixels),
    DT_TEST(plans_need_a_device_and_a_number),
    DT_TEST(an_endpoint_has_a_host),
    DT_TEST(a_file_is_smaller_than_128_kib),
    DT_TEST(a_text_of_a_manifest_is_smaller_too),
    DT_TEST(only_a_whole_byte_order_mark_is_passed_over),
    DT_TEST(numbers_of_a_file_are_read_with_all_digits),
    DT_TEST(a_range_of_a_file_has_two_numbers),
    DT_TEST(quotes_and_backslashes_are_written_so_that_they_read_back),
};
DT_TEST_MAIN("launch/options/options_limits", tests)
