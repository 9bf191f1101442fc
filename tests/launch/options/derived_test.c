/* Options that dtrain derives from others where the user sets none, exactly. */
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <string.h>

static dt_options options;
static dt_error err;

static void synthetic_input_and_data_are_no_demo(void)
{
    DT_REQUIRE(PARSE(train, "--input", "synthetic") == DT_OK);
    DT_CHECK_STR(options.arch, "resnet50");
    DT_REQUIRE(PARSE(train, "--data", "x") == DT_OK);
    DT_CHECK_STR(options.arch, "resnet50");
    DT_REQUIRE(PARSE(train, "--seed", "2") == DT_OK);
    DT_CHECK_STR(options.arch, "resnet18");
}

static void a_warmup_is_shortened_to_exactly_a_fifth(void)
{
    static const struct {
        const char *epochs;
        double warmup;
    } cases[] = {{"1", 0.2}, {"2", 0.4}, {"24", 4.8}, {"25", 5}, {"26", 5}, {"90", 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        DT_REQUIRE(PARSE(train, "--data", "x", "--epochs", cases[i].epochs) == DT_OK);
        DT_CHECK_CLOSE(options.config.warmup_epochs, cases[i].warmup, 0);
        DT_CHECK_INT(options_kit_origin(&options, "warmup-epochs"), DT_ORIGIN_DEFAULT);
    }
    /* the demo's is its own, and is shortened no further */
    DT_REQUIRE(PARSE(train, "--epochs", "2") == DT_OK);
    DT_CHECK_CLOSE(options.config.warmup_epochs, 0.6, 0);
    /* as many epochs as there are may be a warm-up, and no more */
    DT_CHECK_INT(PARSE(train, "--data", "x", "--epochs", "3", "--warmup-epochs", "3"), DT_OK);
    DT_CHECK_INT(PARSE(train, "--data", "x", "--epochs", "3", "--warmup-epochs", "3.0000000000000004"),
                 DT_ERR_USAGE);
}

static void lars_leaves_out_batchnorm_and_biases_unless_the_user_decides(void)
{
    DT_REQUIRE(PARSE(train, "--data", "x") == DT_OK);
    DT_CHECK(options.config.bn_decay && options.config.bias_decay);
    DT_REQUIRE(PARSE(train, "--data", "x", "--optimizer", "lars") == DT_OK);
    DT_CHECK(!options.config.bn_decay && !options.config.bias_decay);
    DT_CHECK_INT(options_kit_origin(&options, "no-bn-decay"), DT_ORIGIN_OPTIMIZER);
    DT_CHECK_INT(options_kit_origin(&options, "no-bias-decay"), DT_ORIGIN_OPTIMIZER);
    DT_REQUIRE(PARSE(train, "--data", "x", "--optimizer", "lars", "--no-bn-decay=no") == DT_OK);
    DT_CHECK(options.config.bn_decay && !options.config.bias_decay);
    DT_REQUIRE(PARSE(train, "--config",
                     options_kit_write_file("data = \"x\"; optimizer = \"lars\"; no-bias-decay = false;")) ==
               DT_OK);
    DT_CHECK(!options.config.bn_decay && options.config.bias_decay);
    DT_CHECK_INT(options_kit_origin(&options, "no-bias-decay"), DT_ORIGIN_FILE);
}

static void the_runs_folder_is_named_after_data_and_network(void)
{
    static const char *const cases[][2] = {
        {"x", "runs/x-resnet50"},      {"x/", "runs/x-resnet50"},   {"a/b", "runs/b-resnet50"},
        {"/a/b//", "runs/b-resnet50"}, {"/", "runs/resnet50"},      {"//", "runs/resnet50"},
        {".", "runs/resnet50"},        {"./", "runs/resnet50"},     {"..", "runs/resnet50"},
        {"../", "runs/resnet50"},      {"a/..", "runs/resnet50"},   {"a/.b", "runs/.b-resnet50"},
        {"...", "runs/...-resnet50"},  {"a.b", "runs/a.b-resnet50"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        DT_REQUIRE(PARSE(train, "--data", cases[i][0]) == DT_OK);
        DT_CHECK_STR(options.out, cases[i][1]);
        DT_CHECK_STR(options.config.data, cases[i][0]);
    }
    DT_REQUIRE(PARSE(train, "--data", "x", "--arch", "resnet18") == DT_OK);
    DT_CHECK_STR(options.out, "runs/x-resnet18");
    DT_REQUIRE(PARSE(train, "--seed", "2") == DT_OK);
    DT_CHECK_STR(options.out, "runs/demo");
    DT_REQUIRE(PARSE(train, "--input", "synthetic", "--data", "x") == DT_OK);
    DT_CHECK_STR(options.out, "runs/synthetic-resnet50");
    char name[302];
    memset(name, 'n', 301);
    name[301] = '\0';
    DT_REQUIRE(PARSE(train, "--data", name) == DT_OK);
    DT_CHECK_STR(options.out, dt_test_path("runs/%.200s-resnet50", name));
}

static const dt_test tests[] = {
    DT_TEST(synthetic_input_and_data_are_no_demo),
    DT_TEST(a_warmup_is_shortened_to_exactly_a_fifth),
    DT_TEST(lars_leaves_out_batchnorm_and_biases_unless_the_user_decides),
    DT_TEST(the_runs_folder_is_named_after_data_and_network),
};
DT_TEST_MAIN("launch/options/derived", tests)
