/* commands_kit.h: runs a command of dtrain in a child process, and keeps what it prints.
 *
 *   commands_kit_result r = commands_kit_run(dt_command_eval, "eval", "--data", data, "--weights", w, NULL);
 *   DT_CHECK_INT(r.code, 0);
 *   DT_CHECK_STR(r.out, "val_loss 1.000000 ...\n");
 *   commands_kit_clear(&r);
 */
#ifndef DTRAIN_TESTS_COMMANDS_KIT_H
#define DTRAIN_TESTS_COMMANDS_KIT_H

#include "launch/commands/commands.h"

typedef struct commands_kit_result {
    int code;        /* the exit code; 1000 + the signal that ended the child */
    char *out, *err; /* stdout; stderr, with the error as `dtrain` prints it; owned */
} commands_kit_result;

/* The words after the command's name, ended by NULL. */
commands_kit_result commands_kit_run(dt_command *command, const char *name, ...) __attribute__((sentinel));
void commands_kit_clear(commands_kit_result *r);

/* Makes ROOT/SPLIT/CLASS with n grey JPEG files of size x size pixels. */
void commands_kit_images(const char *root, const char *split, const char *class_name, int n, int size);

#endif
