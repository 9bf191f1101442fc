/* plan_here.h: `dtrain plan --here`: how long a training takes on the machine that `dtrain bench` has
 * measured.
 *
 *   DT_TRY(dt_plan_here(&options, catalog, stdout, err));
 */
#ifndef DT_LAUNCH_COMMANDS_PLAN_HERE_H
#define DT_LAUNCH_COMMANDS_PLAN_HERE_H

#include "launch/estimate/catalog.h"
#include "launch/options/options.h"

#include <stdio.h>

/* Prints a table, or with --json one object. `catalog`: with the file of --rates. DT_ERR_USAGE: it has no
 * machine, or none that suits the options; errors of reading --data; DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_plan_here(const dt_options *options, const dt_catalog *catalog, FILE *stream, dt_error *err);

#endif
