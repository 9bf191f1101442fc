/* Options of the learning rate's schedule, and options that count only with the value of another one. */
#include "core/base/alloc.h"
#include "core/training/schedule.h"
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

static dt_options options;
static dt_error err;

#define STEP "--data", "x", "--schedule", "step"

static void the_defaults_drop_to_a_tenth_at_30_60_and_80_of_90_epochs(void)
{
    DT_REQUIRE(PARSE(train, STEP) == DT_OK);
    DT_CHECK_INT(options.config.n_step_epochs, 0);
    DT_CHECK_CLOSE(options.config.step_gamma, 0.1, 0);
    DT_CHECK_CLOSE(options.config.poly_power, 2, 0);
    DT_CHECK_CLOSE(dt_schedule_lr(&options.config, 29.999, 0.001, 90), 0.1, 0);
    DT_CHECK_CLOSE(dt_schedule_lr(&options.config, 30, 0.001, 90), 0.01, 1e-15);
    DT_CHECK_CLOSE(dt_schedule_lr(&options.config, 60, 0.001, 90), 0.001, 1e-15);
    DT_CHECK_CLOSE(dt_schedule_lr(&options.config, 80, 0.001, 90), 0.0001, 1e-15);
}

static void the_drops_are_parsed(void)
{
    DT_REQUIRE(PARSE(train, STEP, "--step-epochs", "30,60.5,8e1", "--step-gamma", "0.2") == DT_OK);
    DT_CHECK_INT(options.config.n_step_epochs, 3);
    DT_CHECK_CLOSE(options.config.step_epochs[0], 30, 0);
    DT_CHECK_CLOSE(options.config.step_epochs[1], 60.5, 0);
    DT_CHECK_CLOSE(options.config.step_epochs[2], 80, 0);
    DT_CHECK_CLOSE(options.config.step_epochs[3], 0, 0);
    DT_CHECK_CLOSE(options.config.step_gamma, 0.2, 0);
    DT_REQUIRE(PARSE(train, STEP, "--step-epochs", "89.9") == DT_OK);
    DT_CHECK_INT(options.config.n_step_epochs, 1);
    DT_REQUIRE(PARSE(train, STEP, "--step-epochs",
                     "10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,"
                     "39,40,41") == DT_OK);
    DT_CHECK_INT(options.config.n_step_epochs, 32);
    DT_CHECK_CLOSE(options.config.step_epochs[31], 41, 0);
    DT_REQUIRE(
        PARSE(train, "--config",
              options_kit_write_file("data = \"x\"; schedule = \"step\"; step-epochs = \"7,8\"; step_gamma "
                                     "= 0.5;")) == DT_OK);
    DT_CHECK_INT(options.config.n_step_epochs, 2);
    DT_CHECK_CLOSE(options.config.step_epochs[1], 8, 0);
    DT_CHECK_CLOSE(options.config.step_gamma, 0.5, 0);
}

static void mistakes_in_the_drops_are_reported(void)
{
    static const char *const cases[][2] = {
        {",", "expected is a list of epochs with commas"},
        {"30,,60", "expected is a list of epochs with commas"},
        {"30,60,", "expected is a list of epochs with commas"},
        {",30", "expected is a list of epochs with commas"},
        {"30;60", "expected is a list of epochs with commas"},
        {"30, 60", "expected is a list of epochs with commas"},
        {" 30", "expected is a list of epochs with commas"},
        {"30 ", "expected is a list of epochs with commas"},
        {"thirty", "expected is a list of epochs with commas"},
        {"nan", "expected is a list of epochs with commas"},
        {"30,inf", "expected is a list of epochs with commas"},
        {"0x1e", "expected is a list of epochs with commas"},
        {"30:60", "expected is a list of epochs with commas"},
        {"30,30", "epochs must ascend"},
        {"60,30", "epochs must ascend"},
        {"10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42",
         "there are more than 32 epochs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_REFUSED(dt_test_path("--step-epochs: %s: %s; for example 30,60,80", cases[i][0], cases[i][1]),
                      train, STEP, "--step-epochs", cases[i][0]);
    static const char *const outside[] = {"1e400", "0,30", "-1,30", "30,90", "1e-400"};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        CHECK_REFUSED(
            dt_test_path("--step-epochs: %s: an epoch is more than 0 and less than --epochs, 90", outside[i]),
            train, STEP, "--step-epochs", outside[i]);
    options_kit_check_file_refused(
        "schedule = \"step\";\nepochs = 20;\nstep-epochs = \"10,20\";",
        ":3: --step-epochs: 10,20: an epoch is more than 0 and less than --epochs, 20");
}

static void a_given_drop_inside_the_warmup_is_refused(void)
{
    CHECK_REFUSED("--step-epochs: 4.5 is inside the warm-up: it counts from the start of the training, and "
                  "--warmup-epochs is 5",
                  train, STEP, "--step-epochs", "4.5,60");
    DT_CHECK_INT(PARSE(train, STEP, "--step-epochs", "5,60"), DT_OK);
    DT_CHECK_INT(PARSE(train, STEP, "--step-epochs", "3,60", "--warmup-epochs", "3"), DT_OK);
    DT_CHECK_INT(PARSE(train, STEP, "--warmup-epochs", "90"), DT_OK); /* a default drop comes at its end */
}

static void an_option_of_another_schedule_is_refused(void)
{
    CHECK_REFUSED("--poly-power: 1 is for --schedule poly, and the schedule is cosine", train, "--data", "x",
                  "--poly-power", "1");
    CHECK_REFUSED("--step-epochs: 30,60 is for --schedule step, and the schedule is poly", train, "--data",
                  "x", "--schedule", "poly", "--step-epochs", "30,60");
    CHECK_REFUSED("--step-gamma: 0.2 is for --schedule step, and the schedule is constant", train, "--data",
                  "x", "--schedule", "constant", "--step-gamma", "0.2");
    options_kit_check_file_refused(
        "lr = 1;\npoly-power = 1.5;",
        ":2: --poly-power: 1.5 is for --schedule poly, and the schedule is cosine");
    /* a default changes nothing, as in the config.conf of a run */
    DT_CHECK_INT(PARSE(train, "--data", "x", "--poly-power", "2", "--step-gamma", "0.1"), DT_OK);
    DT_CHECK_INT(PARSE(train, "--data", "x", "--schedule", "poly", "--poly-power", "0.9"), DT_OK);
}

/* The command line goes before the file: it may choose another schedule than that of the file's options. */
static void the_command_line_may_choose_another_schedule_than_the_files(void)
{
    const char *path =
        options_kit_write_file("data = \"x\"; schedule = \"step\"; step-epochs = \"3\"; warmup-epochs = 1;");
    DT_REQUIRE(PARSE(train, "--config", path) == DT_OK);
    DT_CHECK_INT(options.config.n_step_epochs, 1);
    DT_CHECK_INT(PARSE(train, "--config", path, "--schedule", "cosine"), DT_OK);
    DT_CHECK_INT(PARSE(train, "--config", path, "--schedule", "cosine", "--warmup-epochs", "5"), DT_OK);
    DT_CHECK_INT(PARSE(train, "--config", path, "--warmup-epochs", "5"), DT_ERR_USAGE);
    DT_CHECK_INT(PARSE(train, "--config", path, "--poly-power", "3"), DT_ERR_USAGE);
    /* fewer epochs than the file's drops, which do not count */
    DT_CHECK_INT(PARSE(train, "--config", path, "--schedule", "cosine", "--epochs", "2"), DT_OK);
}

static void options_of_another_schedule_are_not_in_the_configuration_of_the_run(void)
{
    const char *path = options_kit_write_file("data = \"x\"; schedule = \"step\"; step-epochs = \"30,60\"; "
                                              "step-gamma = 0.5; poly-power = 1;");
    char *text = NULL;
    DT_REQUIRE(PARSE(train, "--config", path, "--schedule", "cosine") == DT_OK);
    DT_CHECK_STR(options.step_epochs, "");
    DT_CHECK_INT(options.config.n_step_epochs, 0);
    DT_CHECK_CLOSE(options.config.step_gamma, 0.1, 0);
    DT_CHECK_CLOSE(options.config.poly_power, 2, 0);
    DT_CHECK_INT(options_kit_origin(&options, "step-epochs"), DT_ORIGIN_DEFAULT);
    DT_REQUIRE(dt_options_write(&options, DT_COMMAND_TRAIN, "a test", &text, &err) == DT_OK);
    DT_CHECK_INT(PARSE(train, "--config", options_kit_write_file(text)), DT_OK);
    dt_free(text);

    path = options_kit_write_file("data = \"x\"; schedule = \"cosine\"; step-epochs = \"30,60\"; "
                                  "step-gamma = 0.5; poly-power = 1;");
    DT_REQUIRE(PARSE(train, "--config", path, "--schedule", "step") == DT_OK);
    DT_CHECK_STR(options.step_epochs, "30,60");
    DT_CHECK_CLOSE(options.config.step_gamma, 0.5, 0);
    DT_CHECK_CLOSE(options.config.poly_power, 2, 0);
    DT_REQUIRE(PARSE(train, "--config", path, "--schedule", "poly") == DT_OK);
    DT_CHECK_STR(options.step_epochs, "");
    DT_CHECK_CLOSE(options.config.poly_power, 1, 0);
}

static void options_of_another_optimizer_and_of_averages_are_refused(void)
{
    CHECK_REFUSED("--lars-trust: 0.02 is for --optimizer lars, and the optimizer is sgd", train, "--data",
                  "x", "--lars-trust", "0.02");
    CHECK_REFUSED("--lars-form: torch is for --optimizer lars, and the optimizer is sgd", train, "--data",
                  "x", "--lars-form", "torch");
    CHECK_REFUSED("--no-ema-warmup is for --ema, which is 0", train, "--data", "x", "--no-ema-warmup");
    DT_CHECK_INT(PARSE(train, "--data", "x", "--lars-form", "paper", "--no-ema-warmup=no"), DT_OK);
    DT_CHECK_INT(PARSE(train, "--data", "x", "--ema", "0.5", "--no-ema-warmup"), DT_OK);

    const char *path = options_kit_write_file("data = \"x\"; optimizer = \"lars\"; lars-form = \"torch\"; "
                                              "ema = 0.9; no-ema-warmup = true;");
    DT_REQUIRE(PARSE(train, "--config", path) == DT_OK);
    DT_CHECK_INT(options.config.lars_form, DT_LARS_TORCH);
    DT_CHECK(!options.config.ema_warmup);
    DT_REQUIRE(PARSE(train, "--config", path, "--optimizer", "sgd", "--ema", "0") == DT_OK);
    DT_CHECK_INT(options.config.lars_form, DT_LARS_PAPER);
    DT_CHECK(options.config.ema_warmup);
}

static void powers_and_factors_have_limits(void)
{
    CHECK_REFUSED("--poly-power: 0 is out of range: more than 0, up to 100", train, "--poly-power", "0");
    CHECK_REFUSED("--poly-power: 1e400 is out of range: more than 0, up to 100", train, "--poly-power",
                  "1e400");
    CHECK_REFUSED("--poly-power: 'nan' is not a number", train, "--poly-power", "nan");
    CHECK_REFUSED("--step-gamma: 0 is out of range: more than 0, up to 1", train, "--step-gamma", "0");
    CHECK_REFUSED("--step-gamma: 1.5 is out of range: more than 0, up to 1", train, "--step-gamma", "1.5");
}

static const dt_test tests[] = {
    DT_TEST(the_defaults_drop_to_a_tenth_at_30_60_and_80_of_90_epochs),
    DT_TEST(the_drops_are_parsed),
    DT_TEST(mistakes_in_the_drops_are_reported),
    DT_TEST(a_given_drop_inside_the_warmup_is_refused),
    DT_TEST(an_option_of_another_schedule_is_refused),
    DT_TEST(the_command_line_may_choose_another_schedule_than_the_files),
    DT_TEST(options_of_another_schedule_are_not_in_the_configuration_of_the_run),
    DT_TEST(options_of_another_optimizer_and_of_averages_are_refused),
    DT_TEST(powers_and_factors_have_limits),
};

DT_TEST_MAIN("launch/options/options_schedule", tests)
