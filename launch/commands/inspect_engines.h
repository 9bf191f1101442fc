/* inspect_engines.h: how `dtrain inspect` shows the engines that a checkpoint names (core/engines.h).
 *
 *   json_object_set_new(row, "engines", dt_inspect_engines_json(&engines));
 *   dt_inspect_engines_count("step 40", true, json_object_get(row, "engines"), stdout);
 */
#ifndef DT_LAUNCH_COMMANDS_INSPECT_ENGINES_H
#define DT_LAUNCH_COMMANDS_INSPECT_ENGINES_H

#include "core/engines.h"

#include <jansson.h>
#include <stdio.h>

/* {KIND: {OPERATION: VALUE}}; the caller owns it. */
json_t *dt_inspect_engines_json(const dt_engines *engines);

/* `steps`: the checkpoints that have these engines, `one` of them or several. count: print a line for each
 * kind of device, "step 40 has the engines of 53 operations on NVIDIA H200, ...". table: after that line a
 * table of operations, engines and milliseconds. A table that cannot be made is left out. */
void dt_inspect_engines_count(const char *steps, bool one, json_t *engines, FILE *stream);
void dt_inspect_engines_table(const char *steps, bool one, json_t *engines, FILE *stream);

#endif
