/* options_kit.c: see options_kit.h. */
#include "tests/launch/options/options_kit.h"

#include "tests/testing.h"

#include <string.h>

const dt_command_usage options_kit_train = {.name = "dtrain", .doc = "", .bit = DT_COMMAND_TRAIN};
const dt_command_usage options_kit_eval = {.name = "dtrain eval", .doc = "", .bit = DT_COMMAND_EVAL};
const dt_command_usage options_kit_info = {.name = "dtrain info", .doc = "", .bit = DT_COMMAND_INFO};
const dt_command_usage options_kit_demo_data = {.name = "dtrain demo-data", .doc = "", .args_doc = "DIR"};

dt_status options_kit_parse(const dt_command_usage *usage, const char *const *words, dt_options *options,
                            dt_error *err)
{
    char *argv[64] = {(char *)"dtrain"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    *err = (dt_error){0};
    return dt_options_parse(usage, argc, argv, options, err);
}

const char *options_kit_write_file(const char *text)
{
    const char *path = dt_test_path("%s/run.conf", dt_test_temp_dir());
    dt_test_write_file(path, text, strlen(text));
    return path;
}

void options_kit_check_file_refused(const char *text, const char *rest)
{
    static dt_options options; /* large */
    dt_error err;
    const char *path = options_kit_write_file(text);
    DT_CHECK_INT(PARSE(train, "--config", path), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, dt_test_path("%s%s", path, rest));
}

dt_origin options_kit_origin(const dt_options *options, const char *name)
{
    return options->origin[dt_options_find(name, DT_COMMAND_TRAIN)];
}
