/* commands.h: one function per command. To add one: a file launch/commands/NAME.c, its line here and in
 * launch.mk, and its row in main.c.
 *
 * argv[0] is the program's or the command's name, options follow. A command prints what the user asked for,
 * but not its errors: it returns them, and main.c prints. `session` is zeroed; main.c closes it. Where
 * err->shared is false, other ranks do not know of the error and may be waiting for this one in a collective:
 * main.c then aborts all ranks.
 */
#ifndef DT_LAUNCH_COMMANDS_COMMANDS_H
#define DT_LAUNCH_COMMANDS_COMMANDS_H

#include "launch/commands/session.h"

typedef dt_status dt_command(int argc, char **argv, dt_session *session, dt_error *err);

dt_command dt_command_train, dt_command_eval, dt_command_info, dt_command_demo_data, dt_command_inspect,
    dt_command_export, dt_command_bench, dt_command_plan, dt_command_where, dt_command_cluster,
    dt_command_stage;

/* Ends the help of `train`, which is the program's own. */
#define DT_COMMANDS_DOC                                                                                      \
    "Commands: dtrain [train] [OPTION...], dtrain eval --data DIR --weights FILE, dtrain inspect DIR, "      \
    "dtrain export DIR --output FILE, dtrain plan, dtrain cluster, dtrain stage SOURCE "                     \
    "TARGET, dtrain bench, dtrain info, dtrain demo-data DIR; each "                                         \
    "has --help. dtrain help [COMMAND] and dtrain version print these, too."

#endif
