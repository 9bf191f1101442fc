/* options_kit.h: parses command lines and configuration files, for the tests of launch/options/. */
#ifndef DTRAIN_TESTS_LAUNCH_OPTIONS_KIT_H
#define DTRAIN_TESTS_LAUNCH_OPTIONS_KIT_H

#include "launch/options/options.h"

extern const dt_command_usage options_kit_train, options_kit_eval, options_kit_info, options_kit_demo_data;

/* Parses words that end with NULL. Clears *err first. */
dt_status options_kit_parse(const dt_command_usage *usage, const char *const *words, dt_options *options,
                            dt_error *err);

/* Parses these words for a command (train, eval, info, demo_data) into the test file's `options`, `err`. */
#define PARSE(command, ...)                                                                                  \
    options_kit_parse(&options_kit_##command, (const char *const[]){__VA_ARGS__, NULL}, &options, &err)

/* Checks that parsing returns DT_ERR_USAGE with exactly this message, on one line. */
#define CHECK_REFUSED(message_expected, command, ...)                                                        \
    do {                                                                                                     \
        DT_CHECK_INT(PARSE(command, __VA_ARGS__), DT_ERR_USAGE);                                             \
        DT_CHECK_STR(err.message, message_expected);                                                         \
    } while (0)

/* Writes run.conf into the test's temporary folder. Returns its path, as dt_test_path does. */
const char *options_kit_write_file(const char *text);

/* Checks that a file with this text is refused with the message "PATH" + `rest`. */
void options_kit_check_file_refused(const char *text, const char *rest);

/* Where the value of an option of train comes from. */
dt_origin options_kit_origin(const dt_options *options, const char *name);

#endif
