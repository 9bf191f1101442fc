/* Options in configuration files: which value counts, mistakes and their messages, and the written file. */
#include "core/base/alloc.h"
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_options options;
static dt_error err;

static void the_command_line_beats_the_file_and_the_file_beats_the_default(void)
{
    const char *path = options_kit_write_file(
        "data = \"x\";\nbatch = 7;\nlr = 1e-3;\nnesterov = true\ncrop_scale = (0.35, 1)\n");
    DT_REQUIRE(PARSE(train, "--batch", "9", "--config", path, "--nesterov=no") == DT_OK);
    DT_CHECK_INT(options.config.batch, 9);
    DT_CHECK_CLOSE(options.config.lr, 1e-3, 0);
    DT_CHECK_CLOSE(options.crop_scale_min, 0.35, 0);
    DT_CHECK(!options.config.nesterov);
    DT_CHECK_INT(options_kit_origin(&options, "batch"), DT_ORIGIN_COMMAND_LINE);
    DT_CHECK_INT(options_kit_origin(&options, "lr"), DT_ORIGIN_FILE);
    DT_CHECK_INT(options_kit_origin(&options, "epochs"), DT_ORIGIN_DEFAULT);
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

static void dtrain_conf_is_read_by_train_unless_config_names_a_file(void)
{
    char before[4096];
    DT_REQUIRE(getcwd(before, sizeof before) && chdir(dt_test_temp_dir()) == 0);
    dt_test_write_file("dtrain.conf", "batch = 5;", 10);
    DT_CHECK_INT(options_kit_parse(&options_kit_train, (const char *const[]){NULL}, &options, &err), DT_OK);
    DT_CHECK_INT(options.config.batch, 5);
    DT_CHECK_STR(options.config_file, "dtrain.conf");
    DT_CHECK_INT(PARSE(train, "--seed", "3", "--epochs", "2"), DT_OK);
    DT_CHECK_STR(options.config_file, "dtrain.conf");
    DT_CHECK_INT(options.config.batch, 5);
    DT_CHECK_INT(options.config.epochs, 2);
    DT_CHECK_INT(PARSE(train, "--config", options_kit_write_file("batch = 6;")), DT_OK);
    DT_CHECK_INT(options.config.batch, 6);
    DT_CHECK_INT(PARSE(eval, "--data", "x", "--weights", "w"), DT_OK);
    DT_CHECK_STR(options.config_file, "");
    DT_REQUIRE(unlink("dtrain.conf") == 0 && mkdir("dtrain.conf", 0777) == 0);
    CHECK_REFUSED("dtrain.conf is a folder; dtrain opens regular files only", train, "--epochs", "2");
    DT_REQUIRE(rmdir("dtrain.conf") == 0 && mkfifo("dtrain.conf", 0666) == 0);
    CHECK_REFUSED("dtrain.conf is a FIFO; dtrain opens regular files only", train, "--epochs", "2");
    DT_REQUIRE(unlink("dtrain.conf") == 0 && symlink("nowhere", "dtrain.conf") == 0);
    CHECK_REFUSED("dtrain.conf: No such file or directory", train, "--epochs", "2");
    DT_REQUIRE(unlink("dtrain.conf") == 0);
    DT_REQUIRE(chdir(before) == 0);
}

static void an_empty_text_in_a_file_is_an_option_that_is_not_given(void)
{
    const char *path = options_kit_write_file("data = \"x\";\nout = \"\";\ninit = \"\";");
    DT_REQUIRE(PARSE(train, "--config", path) == DT_OK);
    DT_CHECK_STR(options.out, "runs/x-resnet50");
    options_kit_check_file_refused("batch = 3;\ndata = \"\";",
                                   ":2: data: the value is empty; name a folder, or leave the line out");
}

static void mistakes_in_a_file_are_reported_with_their_line(void)
{
    options_kit_check_file_refused("# one\nbacth = 3;", ":2: unknown key 'bacth'; did you mean 'batch'?");
    options_kit_check_file_refused(
        "xyzzy = 3;",
        ":1: unknown key 'xyzzy'; 'dtrain --help' lists the options, and keys have the same names");
    options_kit_check_file_refused("lr = 0.1;\nbatch = 0;",
                                   ":2: batch: 0 is out of range: 1 to 65536, or auto");
    options_kit_check_file_refused(
        "batch = \"32\";", ":1: batch: a whole number was expected, this is a text; leave the quotes out");
    options_kit_check_file_refused("batch = 32.5;",
                                   ":1: batch: a whole number was expected, this is a number");
    options_kit_check_file_refused("\n\nnesterov = 1;",
                                   ":3: nesterov: true or false was expected, this is a whole number");
    options_kit_check_file_refused("data = 3;",
                                   ":1: data: a text in \"\" was expected, this is a whole number");
    options_kit_check_file_refused("crop-scale = 0.3;",
                                   ":1: crop-scale: two numbers, (MIN, MAX) was expected, this is a number");
    options_kit_check_file_refused("arch : { name = 3; }",
                                   ":1: arch: a text in \"\" was expected, this is a group");
    options_kit_check_file_refused("crop_scale = (0.3, 1);\ncrop-scale = (0.3, 1);",
                                   ":2: crop-scale: this key is already in the file");
    options_kit_check_file_refused("batch = ;", ":1: batch has no value");
    options_kit_check_file_refused("arch = \"resnet5\";",
                                   ":1: arch: 'resnet5' is not one of resnet18, resnet34, "
                                   "resnet50, resnet101, resnet152; did you mean 'resnet50'?");
}

static void common_slips_are_explained(void)
{
    static const char *const cases[][2] = {
        {"data = d/good;", ":1: texts need quotes: data = \"d/good\";"},
        {"lr = 0.1;\ndata = ~/x; # mine", ":2: texts need quotes: data = \"~/x\";"},
        {"data = d ; epochs = 2;", ":1: texts need quotes: data = \"d\";"},
        {"nesterov = on; data = \"d\";", ":1: a switch is true or false, without quotes"},
        {"data = 'x';", ":1: texts need double quotes, \"...\""},
        {"data = \u201cx\u201d;", ":1: texts need double quotes, \"...\""},
        {"lr = 0.1;\ndata = \"x;\nout = y;", ":2: the text that begins here has no \" at its end"},
        {"/* note\nlr = 0.1;", ":1: the comment that begins here has no */ at its end"},
        {"nesterov = yes;", ":1: a switch is true or false, without quotes"},
        {"batch 3;", ":1: '=' is missing after 'batch': name = value;"},
        {"batch == 3;", ":1: one '=' is enough"},
        {"--batch = 3;", ":1: names have no -- in a file: name = value;"},
        {"[train]\nbatch = 3;", ":1: there are no sections: each line is name = value;"},
        {"{\"batch\": 3}", ":1: this looks like JSON: each line is name = value;"},
        {"batch = 64k;", ":1: '64k' is not a number; a text needs quotes: batch = \"64k\";"},
        {"batch =\u00a03;", ":1: there is a no-break space in this line; use a plain one"},
        {"; note\nbatch = 3;", ":1: a comment begins with #"},
        {"batch = 3; batch = 4;", ":1: a key in this line is already in the file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        options_kit_check_file_refused(cases[i][0], cases[i][1]);
}

static void byte_order_marks_tabs_and_other_line_ends_are_read(void)
{
    static const char *const texts[] = {"\357\273\277batch\t=\t7;\r\nlr = 0.5;\r\n",
                                        "# a comment\rbatch = 7;\rlr = 0.5;\r", "batch: 7\nlr: 0.5\n",
                                        "batch = 7, lr = 0.5,"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        DT_CHECK_INT(PARSE(train, "--config", options_kit_write_file(texts[i])), DT_OK);
        DT_CHECK_INT(options.config.batch, 7);
        DT_CHECK_CLOSE(options.config.lr, 0.5, 0);
    }
}

static void a_later_error_about_an_option_gets_its_line_in_the_file(void)
{
    const char *path = options_kit_write_file("lr = 0.1;\ndata = \"x\";\nout = \"y\";");
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
    options_kit_check_file_refused("batch = 4294967328;",
                                   ":1: batch: 4294967328 is out of range: 1 to 65536, or auto");
    options_kit_check_file_refused("batch = 3; seed = 4294967296;",
                                   ":1: seed: 4294967296 is out of range: 0 to 2147483647");
    DT_CHECK_INT(PARSE(train, "--config", options_kit_write_file("seed = 2147483647; batch = 3;")), DT_OK);
    DT_CHECK_INT(options.config.batch, 3);
}

static void a_missing_file_is_refused(void)
{
    CHECK_REFUSED("--config /nowhere/run.conf: No such file or directory", train, "--config",
                  "/nowhere/run.conf");
    CHECK_REFUSED("--config / is a folder; dtrain opens regular files only", train, "--config", "/");
}

static void a_binary_file_is_refused(void)
{
    const char *path = dt_test_path("%s/binary", dt_test_temp_dir());
    dt_test_write_file(path, "batch\0", 6);
    DT_CHECK_INT(PARSE(train, "--config", path), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "not a configuration file");
}

static void no_other_file_is_included(void)
{
    const char *path = options_kit_write_file("lr = 0.3;\n"),
               *fifo = dt_test_path("%s/fifo", dt_test_temp_dir());
    DT_REQUIRE(mkfifo(fifo, 0600) == 0);
    options_kit_check_file_refused(dt_test_path("@include \"%s\"\n", path),
                                   ":1: @include is not allowed; write all options into one file");
    options_kit_check_file_refused(dt_test_path("lr = 1;\n\t @include \"%s\"\n", fifo),
                                   ":2: @include is not allowed; write all options into one file");
    const char *stored = dt_test_path("epochs = 7;\n@include \"%s\"\n", fifo);
    DT_CHECK_INT(dt_options_read_trained(stored, DT_COMMAND_TRAIN, &options, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "@include is not allowed");
    DT_CHECK_INT(dt_options_read_trained("# @include \"x\"\nepochs = 7; # @include \"x\"\n", DT_COMMAND_TRAIN,
                                         &options, &err),
                 DT_OK);
    CHECK_REFUSED(dt_test_path("--config %s is a FIFO; dtrain opens regular files only", fifo), train,
                  "--config", fifo);
}

/* The largest texts that are parsed, and larger ones. */
static void hostile_texts_end_soon(void)
{
    enum { BYTES = 4 << 20 };
    static const char *const units[] = {"(", "a:{", "a=(", "{", "x = 1;\n", "\"", "/*", "((),"};
    char *text = malloc(BYTES);
    DT_REQUIRE(text != NULL);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        for (size_t bytes = 120 << 10; bytes <= BYTES; bytes += BYTES - (120 << 10)) {
            for (size_t k = 0; k + 1 < bytes; k++)
                text[k] = units[i][k % strlen(units[i])];
            text[bytes - 1] = '\0';
            DT_CHECK_INT(dt_options_read_trained(text, DT_COMMAND_TRAIN, &options, &err), DT_ERR_USAGE);
        }
    size_t n = 0;
    for (int k = 0; n < (120 << 10); k++) /* as many settings as fit, each with a name of its own */
        n += (size_t)sprintf(text + n, "k%x=1;", (unsigned)k);
    (void)dt_options_read_trained(text, DT_COMMAND_TRAIN, &options, &err);
    free(text);
}

static void keys_of_another_command_are_ignored(void)
{
    const char *path = options_kit_write_file("lr = 0.3; batch = 6; data = \"x\";");
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
    const char *path = options_kit_write_file(text);
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
        DT_CHECK_INT(options.origin[row], is[0] ? DT_ORIGIN_FILE : DT_ORIGIN_DEFAULT);
    }
}

static void every_failing_allocation_is_an_error_and_no_leak(void)
{
    char *text = NULL;
    const char *path = options_kit_write_file("batch = 3;");
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
    DT_TEST(the_command_line_beats_the_file_and_the_file_beats_the_default),
    DT_TEST(unknown_settings_of_a_training_are_ignored),
    DT_TEST(dtrain_conf_is_read_by_train_unless_config_names_a_file),
    DT_TEST(an_empty_text_in_a_file_is_an_option_that_is_not_given),
    DT_TEST(mistakes_in_a_file_are_reported_with_their_line),
    DT_TEST(common_slips_are_explained),
    DT_TEST(byte_order_marks_tabs_and_other_line_ends_are_read),
    DT_TEST(a_later_error_about_an_option_gets_its_line_in_the_file),
    DT_TEST(a_long_integer_in_a_file_is_not_cut_to_32_bits),
    DT_TEST(a_missing_file_is_refused),
    DT_TEST(a_binary_file_is_refused),
    DT_TEST(no_other_file_is_included),
    DT_TEST(hostile_texts_end_soon),
    DT_TEST(keys_of_another_command_are_ignored),
    DT_TEST(the_written_configuration_reads_back_to_the_same_values),
    DT_TEST(every_failing_allocation_is_an_error_and_no_leak),
};

DT_TEST_MAIN("launch/options/options_file", tests)
