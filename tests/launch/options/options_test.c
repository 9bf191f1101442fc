/* Options: defaults, file and command line, refused values and their messages, and the written file. */
#include "tests/testing.h"

#include "core/base/alloc.h"
#include "launch/options/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const dt_command_usage train = {.name = "dtrain", .doc = "", .bit = DT_COMMAND_TRAIN};
static const dt_command_usage eval = {.name = "dtrain eval", .doc = "", .bit = DT_COMMAND_EVAL};
static const dt_command_usage demo_data = {.name = "dtrain demo-data", .doc = "", .args_doc = "DIR"};

static dt_options options;
static dt_error err;

/* Parses words that end with NULL. */
static dt_status parse(const dt_command_usage *usage, const char *const *words)
{
    char *argv[64] = {(char *)"dtrain"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    err = (dt_error){0};
    return dt_options_parse(usage, argc, argv, &options, &err);
}

#define PARSE(usage, ...) parse(&(usage), (const char *const[]){__VA_ARGS__, NULL})

/* Checks that parsing returns DT_ERR_USAGE with exactly this message, on one line. */
#define CHECK_REFUSED(message_expected, usage, ...)                                                          \
    do {                                                                                                     \
        DT_CHECK_INT(PARSE(usage, __VA_ARGS__), DT_ERR_USAGE);                                               \
        DT_CHECK_STR(err.message, message_expected);                                                         \
    } while (0)

static const char *conf(const char *text)
{
    const char *path = dt_test_path("%s/run.conf", dt_test_temp_dir());
    dt_test_write_file(path, text, strlen(text));
    return path;
}

/* Checks that a file with this text is refused with the message "PATH" + `rest`. */
static void check_file_refused(const char *text, const char *rest)
{
    const char *path = conf(text);
    DT_CHECK_INT(PARSE(train, "--config", path), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, dt_test_path("%s%s", path, rest));
}

static dt_origin origin(const char *name)
{
    return options.origin[dt_options_find(name, DT_COMMAND_TRAIN)];
}

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
    DT_CHECK_INT(origin("arch"), DT_ORIGIN_COMMAND_LINE);
    DT_CHECK_INT(origin("image-size"), DT_ORIGIN_DEMO);
    DT_CHECK_INT(origin("momentum"), DT_ORIGIN_DEFAULT);
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

static void the_command_line_beats_the_file_and_the_file_beats_the_default(void)
{
    const char *path =
        conf("data = \"x\";\nbatch = 7;\nlr = 1e-3;\nnesterov = true\ncrop_scale = (0.35, 1)\n");
    DT_REQUIRE(PARSE(train, "--batch", "9", "--config", path, "--nesterov=no") == DT_OK);
    DT_CHECK_INT(options.config.batch, 9);
    DT_CHECK_CLOSE(options.config.lr, 1e-3, 0);
    DT_CHECK_CLOSE(options.crop_scale_min, 0.35, 0);
    DT_CHECK(!options.config.nesterov);
    DT_CHECK_INT(origin("batch"), DT_ORIGIN_COMMAND_LINE);
    DT_CHECK_INT(origin("lr"), DT_ORIGIN_FILE);
    DT_CHECK_INT(origin("epochs"), DT_ORIGIN_DEFAULT);
    DT_CHECK_STR(options.config_file, path);
}

static void unknown_settings_of_a_training_are_ignored(void)
{
    const char *text = "image-size = 64;\nof-another-version = 3;\nbatch = \"many\";\naccumulate = 4;\n";
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    DT_CHECK_INT(dt_options_read_trained(text, DT_COMMAND_TRAIN, &options, &err), DT_OK);
    DT_CHECK_INT(options.config.image_size, 64);
    DT_CHECK_INT(options.config.accumulate, 4);
    DT_CHECK_INT(options.config.batch, 32);
    DT_CHECK_INT(dt_options_read_trained("= 3", DT_COMMAND_TRAIN, &options, &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_options_read_text("run.conf", "step = 3;\n", DT_COMMAND_TRAIN, &options, &err),
                 DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "run.conf:1: unknown key 'step'; did you mean 'steps'?");
}

static void dtrain_conf_is_read_only_without_arguments(void)
{
    char before[4096];
    DT_REQUIRE(getcwd(before, sizeof before) && chdir(dt_test_temp_dir()) == 0);
    dt_test_write_file("dtrain.conf", "batch = 5;", 10);
    DT_CHECK_INT(parse(&train, (const char *const[]){NULL}), DT_OK);
    DT_CHECK_INT(options.config.batch, 5);
    DT_CHECK_STR(options.config_file, "dtrain.conf");
    DT_CHECK_INT(PARSE(train, "--seed", "3"), DT_OK);
    DT_CHECK_STR(options.config_file, "");
    DT_REQUIRE(chdir(before) == 0);
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
    CHECK_REFUSED("--steps: -1 is out of range: 0 or more", train, "--steps=-1");
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
    DT_REQUIRE(PARSE(train, "--config", conf("data = \"x\"; batch = \"auto\";")) == DT_OK);
    DT_CHECK_INT(options.config.batch, 0);
    check_file_refused("batch = \"all\";", ":1: batch: a whole number was expected, this is a text");
    CHECK_REFUSED("--steps: 'auto' is not a whole number", train, "--steps", "auto");
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
    check_file_refused("data = \"x\";\nresize-schedule = \"160:1\";",
                       ":2: --resize-schedule: 160:1: a share of the epochs is at least 0 and less than 1; "
                       "for example 160:0,192:0.6,224:0.85");
}

static void options_of_a_gpu_are_read(void)
{
    DT_REQUIRE(PARSE(train, "--data", "x", "--precision", "bf16", "--optimizer", "lars", "--lars-trust",
                     "0.002", "--ema", "0.9999", "--loss-scale", "1024", "--input", "synthetic", "--profile",
                     "20", "--autotune", "off", "--no-graph", "--peer-timeout", "30") == DT_OK);
    DT_CHECK_INT(options.config.precision, DT_BF16);
    DT_CHECK_STR(options.config.optimizer, "lars");
    DT_CHECK_CLOSE(options.config.lars_trust, 0.002, 0);
    DT_CHECK_CLOSE(options.config.ema_decay, 0.9999, 0);
    DT_CHECK_CLOSE(options.config.loss_scale_init, 1024, 0);
    DT_CHECK_INT(options.input, DT_INPUT_SYNTHETIC);
    DT_CHECK_INT(options.profile_steps, 20);
    DT_CHECK_INT(options.autotune, DT_AUTOTUNE_OFF);
    DT_CHECK(options.config.no_graph);
    DT_CHECK_CLOSE(options.peer_timeout_s, 30, 0);
    CHECK_REFUSED("--precision: 'fp8' is not one of fp32, fp16, bf16, tf32", train, "--precision", "fp8");
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
    check_file_refused("momentum = 0;\nnesterov = true;", ":2: --nesterov needs a --momentum above 0");
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

static void mistakes_in_a_file_are_reported_with_their_line(void)
{
    check_file_refused("# one\nbacth = 3;", ":2: unknown key 'bacth'; did you mean 'batch'?");
    check_file_refused(
        "xyzzy = 3;",
        ":1: unknown key 'xyzzy'; 'dtrain --help' lists the options, and keys have the same names");
    check_file_refused("lr = 0.1;\nbatch = 0;", ":2: batch: 0 is out of range: 1 to 65536, or auto");
    check_file_refused("batch = \"32\";", ":1: batch: a whole number was expected, this is a text");
    check_file_refused("batch = 32.5;", ":1: batch: a whole number was expected, this is a number");
    check_file_refused("\n\nnesterov = 1;",
                       ":3: nesterov: true or false was expected, this is a whole number");
    check_file_refused("data = 3;", ":1: data: a text in \"\" was expected, this is a whole number");
    check_file_refused("crop-scale = 0.3;",
                       ":1: crop-scale: two numbers, (MIN, MAX) was expected, this is a number");
    check_file_refused("arch : { name = 3; }", ":1: arch: a text in \"\" was expected, this is a group");
    check_file_refused("crop_scale = (0.3, 1);\ncrop-scale = (0.3, 1);",
                       ":2: crop-scale: this key is already in the file");
    check_file_refused("batch = ;", ":1: syntax error");
    check_file_refused("arch = \"resnet5\";", ":1: arch: 'resnet5' is not one of resnet18, resnet34, "
                                              "resnet50, resnet101, resnet152; did you mean 'resnet50'?");
}

static void a_later_error_about_an_option_gets_its_line_in_the_file(void)
{
    const char *path = conf("lr = 0.1;\ndata = \"x\";\nout = \"y\";");
    DT_REQUIRE(PARSE(train, "--config", path, "--out", "z") == DT_OK);
    static const char *const left_alone[] = {
        "--out z: this is a file", "data differs", "--dat: no", "the data: x", "", "--", "--epochs: many"};
    for (size_t i = 0; i < sizeof left_alone / sizeof left_alone[0]; i++) {
        dt_fail(&err, DT_ERR_USAGE, "%s", left_alone[i]);
        DT_CHECK_INT(dt_options_locate(&options, DT_COMMAND_TRAIN, &err), DT_ERR_USAGE);
        DT_CHECK_STR(err.message, left_alone[i]);
    }
    dt_fail(&err, DT_ERR_USAGE, "data: there is no folder x");
    DT_CHECK_INT(dt_options_locate(&options, DT_COMMAND_TRAIN, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, dt_test_path("%s:2: data: there is no folder x", path));
    dt_fail(&err, DT_ERR_USAGE, "--lr differs between ranks");
    dt_options_locate(&options, DT_COMMAND_TRAIN, &err);
    DT_CHECK_STR(err.message, dt_test_path("%s:1: --lr differs between ranks", path));
}

static void a_long_integer_in_a_file_is_not_cut_to_32_bits(void)
{
    check_file_refused("batch = 4294967328;", ":1: batch: 4294967328 is out of range: 1 to 65536, or auto");
}

static void a_missing_file_is_refused(void)
{
    CHECK_REFUSED("--config /nowhere/run.conf: No such file or directory", train, "--config",
                  "/nowhere/run.conf");
    CHECK_REFUSED("--config /: Is a directory", train, "--config", "/");
}

static void a_binary_file_is_refused(void)
{
    const char *path = dt_test_path("%s/binary", dt_test_temp_dir());
    dt_test_write_file(path, "batch\0", 6);
    DT_CHECK_INT(PARSE(train, "--config", path), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "not a configuration file");
}

static void keys_of_another_command_are_ignored(void)
{
    const char *path = conf("lr = 0.3; batch = 6; data = \"x\";");
    DT_REQUIRE(PARSE(eval, "--config", path, "--weights", "w") == DT_OK);
    DT_CHECK_INT(options.config.batch, 6);
}

static void the_written_configuration_reads_back_to_the_same_values(void)
{
    static dt_options before; /* large */
    char was[DT_PATH_BYTES], is[DT_PATH_BYTES];
    char *text = NULL;
    DT_REQUIRE(PARSE(train, "--data", "a \"quoted\" \\ path", "--lr", "0.1234567890123456789", "--crop-scale",
                     "0.1,0.3", "--no-shuffle", "--nesterov", "--seed", "2147483647", "--schedule", "poly",
                     "--arch", "resnet152", "--weight-decay", "1e-5", "--no-bn-decay", "--resume", "must",
                     "--warmup-epochs", "0.5", "--export", "e.safetensors", "--augment", "none", "--batch",
                     "auto", "--resize-schedule", "160:0,192:0.6", "--no-graph") == DT_OK);
    before = options;
    DT_REQUIRE(dt_options_write(&options, DT_COMMAND_TRAIN, "a test", &text, &err) == DT_OK);
    const char *path = conf(text);
    dt_free(text);
    DT_CHECK_INT(PARSE(train, "--config", path), DT_OK);
    DT_CHECK_MSG(err.message[0] == '\0', "%s", err.message);
    DT_CHECK_BYTES(&options.config, &before.config, sizeof before.config);
    for (int row = 0; row < dt_options_count(); row++) {
        if (!(dt_options_at(row)->commands & DT_COMMAND_TRAIN))
            continue;
        dt_option_format(&before, row, was, sizeof was);
        dt_option_format(&options, row, is, sizeof is);
        DT_CHECK_STR(is, was);
        DT_CHECK_INT(options.origin[row], DT_ORIGIN_FILE);
    }
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

static void every_failing_allocation_is_an_error_and_no_leak(void)
{
    char *text = NULL;
    const char *path = conf("batch = 3;");
    for (int64_t n = 1;; n++) {
        int64_t live = dt_alloc_live_blocks();
        dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
        dt_alloc_fail_after(n);
        dt_status status = dt_options_read_file(path, DT_COMMAND_TRAIN, &options, &err);
        if (status == DT_OK)
            status = dt_options_write(&options, DT_COMMAND_TRAIN, "a test", &text, &err);
        dt_alloc_fail_after(0);
        if (status == DT_OK)
            dt_free(text);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            return;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(n < 50);
    }
}

static const dt_test tests[] = {
    DT_TEST(every_default_is_in_range),
    DT_TEST(defaults_suit_imagenet),
    DT_TEST(the_demo_changes_only_options_at_their_defaults),
    DT_TEST(ranks_of_the_demo_share_its_batch),
    DT_TEST(the_command_line_beats_the_file_and_the_file_beats_the_default),
    DT_TEST(unknown_settings_of_a_training_are_ignored),
    DT_TEST(dtrain_conf_is_read_only_without_arguments),
    DT_TEST(an_unknown_option_is_refused_with_a_suggestion),
    DT_TEST(an_abbreviated_option_is_refused),
    DT_TEST(too_many_and_too_few_words_are_refused),
    DT_TEST(a_value_out_of_range_is_refused_with_the_range),
    DT_TEST(a_value_of_the_wrong_type_is_refused),
    DT_TEST(a_bad_choice_is_refused_with_the_choices),
    DT_TEST(a_batch_is_a_number_or_auto),
    DT_TEST(a_resize_schedule_is_parsed),
    DT_TEST(mistakes_in_a_resize_schedule_are_reported),
    DT_TEST(options_of_a_gpu_are_read),
    DT_TEST(options_that_contradict_each_other_are_refused),
    DT_TEST(a_default_warmup_is_at_most_a_fifth_of_the_epochs),
    DT_TEST(eval_reports_missing_options),
    DT_TEST(mistakes_in_a_file_are_reported_with_their_line),
    DT_TEST(a_later_error_about_an_option_gets_its_line_in_the_file),
    DT_TEST(a_long_integer_in_a_file_is_not_cut_to_32_bits),
    DT_TEST(a_missing_file_is_refused),
    DT_TEST(a_binary_file_is_refused),
    DT_TEST(keys_of_another_command_are_ignored),
    DT_TEST(the_written_configuration_reads_back_to_the_same_values),
    DT_TEST(numbers_are_formatted_with_the_fewest_digits),
    DT_TEST(the_runs_name_is_made_of_data_and_network),
    DT_TEST(every_failing_allocation_is_an_error_and_no_leak),
};

DT_TEST_MAIN("launch/options", tests)
