/* Options: defaults, the command line, refused values and their messages. */
#include "core/base/alloc.h"
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

static dt_options options;
static dt_error err;

static void every_default_is_in_range(void)
{
    static const char *const commands[] = {"train", "eval"};
    for (unsigned command = 1; command <= 2; command++)
        for (int row = 0; row < dt_options_count(); row++) {
            const dt_option *o = dt_options_at(row);
            if (o->commands & command)
                DT_CHECK_MSG(dt_option_set(&options, row, o->by_default, DT_ORIGIN_DEFAULT, o->name, &err) ==
                                 DT_OK,
                             "%s: %s", commands[command - 1], err.message);
        }
}

static void defaults_suit_imagenet(void)
{
    DT_REQUIRE(PARSE(train, "--data", "x") == DT_OK);
    DT_CHECK_STR(options.arch, "resnet50");
    DT_CHECK_INT(options.config.image_size, 224);
    DT_CHECK_INT(options.config.epochs, 90);
    DT_CHECK_CLOSE(options.config.lr, 0.1, 0);
    DT_CHECK_CLOSE(options.crop_scale_min, 0.08, 0);
    DT_CHECK_CLOSE(options.crop_scale_max, 1, 0);
    DT_CHECK(options.shuffle && options.config.bn_decay && !options.config.nesterov);
    DT_CHECK_INT(options.config.resume, DT_RESUME_AUTO);
    DT_CHECK_STR(options.out, "runs/x-resnet50");
}

static void the_demo_changes_only_options_at_their_defaults(void)
{
    DT_REQUIRE(PARSE(train, "--arch", "resnet34") == DT_OK);
    DT_CHECK_STR(options.arch, "resnet34");
    DT_CHECK_INT(options.config.image_size, 32);
    DT_CHECK_CLOSE(options.flip, 0, 0);
    DT_CHECK_INT(options_kit_origin(&options, "arch"), DT_ORIGIN_COMMAND_LINE);
    DT_CHECK_INT(options_kit_origin(&options, "image-size"), DT_ORIGIN_DEMO);
    DT_CHECK_INT(options_kit_origin(&options, "momentum"), DT_ORIGIN_DEFAULT);
    DT_CHECK_STR(options.out, "runs/demo");
}

static void ranks_of_the_demo_share_its_batch(void)
{
    static const int cases[][3] = {{1, 32, 6}, {2, 32, 6}, {3, 21, 6}, {4, 16, 6},
                                   {8, 8, 6},  {16, 8, 6}, {17, 8, 7}, {64, 8, 24}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
        dt_options_apply_demo(&options, cases[i][0]);
        DT_CHECK_INT(options.config.batch, cases[i][1]);
        DT_CHECK_INT(options.config.epochs, cases[i][2]);
    }
    DT_REQUIRE(setenv("OMPI_COMM_WORLD_SIZE", "16", 1) == 0 && setenv("OMPI_COMM_WORLD_RANK", "0", 1) == 0);
    DT_CHECK_INT(PARSE(train, "--epochs", "3"), DT_OK);
    DT_CHECK_INT(options.config.batch, 8);
    DT_CHECK_INT(options.config.epochs, 3);
    DT_CHECK_INT(PARSE(train, "--data", "x"), DT_OK);
    DT_CHECK_INT(options.config.batch, 32);
    unsetenv("OMPI_COMM_WORLD_SIZE");
    unsetenv("OMPI_COMM_WORLD_RANK");
}

static void an_unknown_option_is_refused_with_a_suggestion(void)
{
    CHECK_REFUSED("unknown option --bacth; did you mean --batch?", train, "--bacth", "3");
    CHECK_REFUSED("unknown option --image_size; did you mean --image-size?", train, "--image_size=3");
    CHECK_REFUSED("unknown option --shuffle; did you mean --no-shuffle?", train, "--shuffle");
    CHECK_REFUSED("unknown option --xyzzy; 'dtrain --help' lists them all", train, "--xyzzy");
    CHECK_REFUSED("unknown option -b; 'dtrain --help' lists them all", train, "-b", "3");
    CHECK_REFUSED("unknown option --lr; 'dtrain eval --help' lists them all", eval, "--lr", "3");
}

static void an_abbreviated_option_is_refused(void)
{
    CHECK_REFUSED("unknown option --warm; did you mean --warmup-epochs?", train, "--warm", "3");
}

static void too_many_and_too_few_words_are_refused(void)
{
    CHECK_REFUSED("unexpected argument 'oops'; 'dtrain --help' shows the usage", train, "--batch", "3",
                  "oops");
    CHECK_REFUSED("--batch needs a value: --batch N", train, "--batch");
    CHECK_REFUSED("DIR is missing: dtrain demo-data DIR", demo_data, "--", NULL);
    CHECK_REFUSED("unexpected argument 'b'; 'dtrain demo-data --help' shows the usage", demo_data, "a", "b");
    DT_REQUIRE(PARSE(demo_data, "a") == DT_OK);
    DT_CHECK_STR(options.arguments[0], "a");
}

static void a_value_out_of_range_is_refused_with_the_range(void)
{
    CHECK_REFUSED("--batch: 0 is out of range: 1 to 65536, or auto", train, "--batch", "0");
    CHECK_REFUSED("--batch: 99999999999999999999 is out of range: 1 to 65536, or auto", train, "--batch",
                  "99999999999999999999");
    CHECK_REFUSED("--steps: -1 is out of range: 0 to 2147483647", train, "--steps=-1");
    CHECK_REFUSED("--seed: 4294967296 is out of range: 0 to 2147483647", train, "--seed", "4294967296");
    CHECK_REFUSED("--crop-scale: 0 is out of range: more than 0, up to 1", train, "--crop-scale", "0,1");
    CHECK_REFUSED("--crop-scale: the first of 0.9,0.5 is larger than the second", train, "--crop-scale",
                  "0.9,0.5");
    CHECK_REFUSED("--flip: 1.5 is out of range: 0 to 1", train, "--flip", "1.5");
    CHECK_REFUSED("--lr: inf is out of range: 0 to 1000", train, "--lr", "inf");
}

static void a_value_of_the_wrong_type_is_refused(void)
{
    CHECK_REFUSED("--batch: 'many' is not a whole number, nor auto", train, "--batch", "many");
    CHECK_REFUSED("--batch: '3.5' is not a whole number, nor auto", train, "--batch", "3.5");
    CHECK_REFUSED("--batch: '' is not a whole number, nor auto", train, "--batch=");
    CHECK_REFUSED("--lr: '0.1x' is not a number", train, "--lr", "0.1x");
    CHECK_REFUSED("--lr: 'nan' is not a number", train, "--lr", "nan");
    CHECK_REFUSED("--crop-scale: '0.5' is not MIN,MAX, two numbers with a comma", train, "--crop-scale",
                  "0.5");
    CHECK_REFUSED("--nesterov: 'maybe' is neither yes nor no", train, "--nesterov=maybe");
}

static void an_empty_value_is_refused(void)
{
#define EMPTY ": the value is empty: is a variable of the shell not set? Without a value, leave it out"
    for (unsigned command = 1; command <= 2; command++)
        for (int row = 0; row < dt_options_count(); row++) {
            const dt_option *o = dt_options_at(row);
            char word[80];
            if (!(o->commands & command))
                continue;
            snprintf(word, sizeof word, "--%s=", o->name);
            DT_CHECK_MSG((command == DT_COMMAND_TRAIN ? PARSE(train, word) : PARSE(eval, word)) ==
                             DT_ERR_USAGE,
                         "%s", word);
            if (o->type == DT_OPTION_PATH)
                DT_CHECK_STR(err.message, dt_test_path("--%s%s", o->name, EMPTY));
        }
    CHECK_REFUSED("--data" EMPTY, train, "--data", "", "--epochs", "2");
    CHECK_REFUSED("--config" EMPTY, train, "--config", "");
    CHECK_REFUSED("DIR" EMPTY, demo_data, "");
    CHECK_REFUSED("--data needs a value: --data DIR, but '--epochs' follows; a value that begins like an "
                  "option is written --data='--epochs'",
                  train, "--data", "--epochs", "2");
    CHECK_REFUSED("--config is given twice, a.conf and b.conf; one file is read", train, "--config", "a.conf",
                  "--config", "b.conf");
    DT_CHECK_INT(PARSE(train, "--data", "--x"), DT_ERR_USAGE);
    DT_REQUIRE(PARSE(train, "--data=--x", "--seed", "1", "--seed", "2") == DT_OK);
    DT_CHECK_STR(options.config.data, "--x");
    DT_CHECK_INT(options.config.seed, 2);
}

static void a_bad_choice_is_refused_with_the_choices(void)
{
    CHECK_REFUSED("--schedule: 'cosin' is not one of cosine, poly, step, constant; did you mean 'cosine'?",
                  train, "--schedule", "cosin");
    CHECK_REFUSED("--arch: 'vgg' is not one of resnet18, resnet34, resnet50, resnet101, resnet152", train,
                  "--arch", "vgg");
    CHECK_REFUSED("--optimizer: 'adam' is not one of sgd, lars", train, "--optimizer", "adam");
    CHECK_REFUSED("--arch: 'alexnet' is not one of auto, resnet18, resnet34, resnet50, resnet101, resnet152",
                  eval, "--arch", "alexnet");
}

static void a_batch_is_a_number_or_auto(void)
{
    DT_REQUIRE(PARSE(train, "--data", "x", "--batch", "auto") == DT_OK);
    DT_CHECK_INT(options.config.batch, 0);
    DT_REQUIRE(PARSE(train, "--config", options_kit_write_file("data = \"x\"; batch = \"auto\";")) == DT_OK);
    DT_CHECK_INT(options.config.batch, 0);
    options_kit_check_file_refused(
        "batch = \"all\";", ":1: batch: a whole number was expected, this is a text; leave the quotes out");
    CHECK_REFUSED("--steps: 'auto' is not a whole number", train, "--steps", "auto");
}

static void an_eval_resize_is_a_number_or_a_word(void)
{
    static const struct {
        const char *text, *line;
        int64_t value;
    } cases[] = {{"auto", "\neval-resize = \"auto\";\n", 0},
                 {"none", "\neval-resize = \"none\";\n", -1},
                 {"224", "\neval-resize = 224;\n", 224},
                 {"8192", "\neval-resize = 8192;\n", 8192}};
    DT_REQUIRE(PARSE(train, "--data", "x") == DT_OK);
    DT_CHECK_INT(options.eval_resize, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = NULL;
        DT_REQUIRE(PARSE(train, "--data", "x", "--eval-resize", cases[i].text) == DT_OK);
        DT_CHECK_INT(options.eval_resize, cases[i].value);
        DT_REQUIRE(dt_options_write(&options, DT_COMMAND_TRAIN, "", &text, &err) == DT_OK);
        DT_CHECK_CONTAINS(text, cases[i].line);
        DT_REQUIRE(PARSE(train, "--config", options_kit_write_file(text)) == DT_OK);
        DT_CHECK_INT(options.eval_resize, cases[i].value);
        dt_free(text);
    }
    CHECK_REFUSED("--eval-resize: 'some' is not a whole number, nor auto, nor none", train, "--eval-resize",
                  "some");
    CHECK_REFUSED("--eval-resize: 8 is out of range: 16 to 8192, or auto, or none", train, "--eval-resize",
                  "8");
    CHECK_REFUSED("--eval-resize: 223 pixels are less than --image-size 224", train, "--data", "x",
                  "--eval-resize", "223");
    DT_CHECK_INT(PARSE(train, "--eval-resize", "32"), DT_OK); /* the demo's images have 32 pixels */
    DT_CHECK_INT(PARSE(eval, "--data", "x", "--weights", "w", "--eval-resize", "16"),
                 DT_OK); /* the weights may know another image-size */
}

static void a_resize_schedule_is_parsed(void)
{
    DT_REQUIRE(PARSE(train, "--data", "x", "--resize-schedule", "160:0,192:0.6,224:0.85") == DT_OK);
    DT_CHECK_INT(options.config.n_resize, 3);
    DT_CHECK_INT(options.config.resize[1].image_size, 192);
    DT_CHECK_CLOSE(options.config.resize[2].share, 0.85, 0);
    DT_REQUIRE(PARSE(train, "--data", "x") == DT_OK);
    DT_CHECK_INT(options.config.n_resize, 0);
}

static void mistakes_in_a_resize_schedule_are_reported(void)
{
    static const char *const cases[][2] = {
        {"160", "expected is a list of SIZE:SHARE with commas"},
        {"160:", "expected is a list of SIZE:SHARE with commas"},
        {"160:0,", "expected is a list of SIZE:SHARE with commas"},
        {"160:0;192:0.5", "expected is a list of SIZE:SHARE with commas"},
        {"big:0", "expected is a list of SIZE:SHARE with commas"},
        {"8:0", "a size is 16 to 2048 pixels"},
        {"160:0,192:1", "a share of the epochs is at least 0 and less than 1"},
        {"160:0,192:nan", "a share of the epochs is at least 0 and less than 1"},
        {"160:0.1", "the first share must be 0, where the training begins"},
        {"160:0,192:0.5,224:0.5", "shares must ascend"},
        {"16:0,17:.1,18:.15,19:.2,20:.25,21:.3,22:.35,23:.4,24:.45,25:.5,26:.55,27:.6,28:.65,29:.7,30:.75,31:"
         ".8,32:.85",
         "there are more than 16 sizes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_REFUSED(dt_test_path("--resize-schedule: %s: %s; for example 160:0,192:0.6,224:0.85",
                                   cases[i][0], cases[i][1]),
                      train, "--data", "x", "--resize-schedule", cases[i][0]);
    options_kit_check_file_refused(
        "data = \"x\";\nresize-schedule = \"160:1\";",
        ":2: --resize-schedule: 160:1: a share of the epochs is at least 0 and less than 1; "
        "for example 160:0,192:0.6,224:0.85");
}

static void options_of_a_gpu_are_read(void)
{
    DT_REQUIRE(PARSE(train, "--data", "x", "--precision", "bf16", "--optimizer", "lars", "--lars-trust",
                     "0.002", "--ema", "0.9999", "--loss-scale", "1024", "--input", "synthetic", "--profile",
                     "20", "--autotune", "off", "--no-graph", "--peer-timeout", "30") == DT_OK);
    DT_CHECK_INT(options.precision, DT_PRECISION_BF16);
    DT_CHECK_INT(dt_options_dtype(&options), DT_BF16);
    DT_CHECK_STR(options.config.optimizer, "lars");
    DT_CHECK_CLOSE(options.config.lars_trust, 0.002, 0);
    DT_CHECK_CLOSE(options.config.ema_decay, 0.9999, 0);
    DT_CHECK_CLOSE(options.config.loss_scale_init, 1024, 0);
    DT_CHECK_INT(options.input, DT_INPUT_SYNTHETIC);
    DT_CHECK_INT(options.profile_steps, 20);
    DT_CHECK_INT(options.autotune, DT_AUTOTUNE_OFF);
    DT_CHECK(options.config.no_graph);
    DT_CHECK_CLOSE(options.peer_timeout_s, 30, 0);
    CHECK_REFUSED("--precision: 'fp8' is not one of auto, fp32, fp16, bf16, tf32", train, "--precision",
                  "fp8");
    CHECK_REFUSED("--ema: 1 is out of range: 0 to 0.999999", train, "--ema", "1");
    CHECK_REFUSED("--loss-scale: 0.5 is out of range: 1 to 16777216", train, "--loss-scale", "0.5");
    CHECK_REFUSED("--input: 'random' is not one of loader, synthetic", train, "--input", "random");
}

static void options_that_contradict_each_other_are_refused(void)
{
    CHECK_REFUSED("--warmup-epochs: 5 is more than --epochs 2", train, "--data", "x", "--epochs", "2",
                  "--warmup-epochs", "5");
    CHECK_REFUSED("--nesterov needs a --momentum above 0", train, "--data", "x", "--nesterov", "--momentum",
                  "0");
    options_kit_check_file_refused("momentum = 0;\nnesterov = true;",
                                   ":2: --nesterov needs a --momentum above 0");
    CHECK_REFUSED("--profile measures one size: leave --resize-schedule out", train, "--data", "x",
                  "--profile", "5", "--resize-schedule", "16:0,32:0.5");
}

static void a_default_warmup_is_at_most_a_fifth_of_the_epochs(void)
{
    DT_REQUIRE(PARSE(train, "--data", "x", "--epochs", "15") == DT_OK);
    DT_CHECK_CLOSE(options.config.warmup_epochs, 3, 1e-12);
    DT_REQUIRE(PARSE(train, "--data", "x", "--epochs", "15", "--warmup-epochs", "5") == DT_OK);
    DT_CHECK_CLOSE(options.config.warmup_epochs, 5, 0);
    DT_REQUIRE(PARSE(train, "--data", "x") == DT_OK);
    DT_CHECK_CLOSE(options.config.warmup_epochs, 5, 0);
}

static void eval_reports_missing_options(void)
{
    CHECK_REFUSED("--weights is missing: what to evaluate, a .safetensors file or a run's folder", eval,
                  "--data", "x");
    CHECK_REFUSED("--data is missing: the folder with val/CLASS/*.jpg to evaluate on", eval, "--weights",
                  "x");
}

static void numbers_are_formatted_with_the_fewest_digits(void)
{
    static const char *const same[] = {"600", "0.1", "1000000", "0.0005", "1e-05", "0.1234567890123456",
                                       "12.5"};
    char text[64];
    int row = dt_options_find("warmup-epochs", DT_COMMAND_TRAIN);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        DT_REQUIRE(dt_option_set(&options, row, same[i], DT_ORIGIN_FILE, "x", &err) == DT_OK);
        dt_option_format(&options, row, text, sizeof text);
        DT_CHECK_STR(text, same[i]);
    }
}

static void the_runs_name_is_made_of_data_and_network(void)
{
    DT_REQUIRE(PARSE(train, "--data", "/data/imagenet//") == DT_OK);
    DT_CHECK_STR(options.out, "runs/imagenet-resnet50");
    DT_REQUIRE(PARSE(train, "--data", ".") == DT_OK);
    DT_CHECK_STR(options.out, "runs/resnet50");
    DT_REQUIRE(PARSE(train, "--data", "x", "--out", "here") == DT_OK);
    DT_CHECK_STR(options.out, "here");
}

static const dt_test tests[] = {
    DT_TEST(every_default_is_in_range),
    DT_TEST(defaults_suit_imagenet),
    DT_TEST(the_demo_changes_only_options_at_their_defaults),
    DT_TEST(ranks_of_the_demo_share_its_batch),
    DT_TEST(an_unknown_option_is_refused_with_a_suggestion),
    DT_TEST(an_abbreviated_option_is_refused),
    DT_TEST(too_many_and_too_few_words_are_refused),
    DT_TEST(a_value_out_of_range_is_refused_with_the_range),
    DT_TEST(a_value_of_the_wrong_type_is_refused),
    DT_TEST(an_empty_value_is_refused),
    DT_TEST(a_bad_choice_is_refused_with_the_choices),
    DT_TEST(a_batch_is_a_number_or_auto),
    DT_TEST(an_eval_resize_is_a_number_or_a_word),
    DT_TEST(a_resize_schedule_is_parsed),
    DT_TEST(mistakes_in_a_resize_schedule_are_reported),
    DT_TEST(options_of_a_gpu_are_read),
    DT_TEST(options_that_contradict_each_other_are_refused),
    DT_TEST(a_default_warmup_is_at_most_a_fifth_of_the_epochs),
    DT_TEST(eval_reports_missing_options),
    DT_TEST(numbers_are_formatted_with_the_fewest_digits),
    DT_TEST(the_runs_name_is_made_of_data_and_network),
};

DT_TEST_MAIN("launch/options", tests)
