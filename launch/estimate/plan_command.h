/* plan_command.h: the command that starts a planned training: what the user gave to `dtrain plan`, and what
 * the choice adds to it.
 *
 *   dt_plan_command(plan, row, command, sizeof command);
 *   mpirun -np 8 dtrain --config imagenet.conf --batch 256 --checkpoint-every auto --mtti 3.1
 *
 * Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_PLAN_COMMAND_H
#define DT_LAUNCH_ESTIMATE_PLAN_COMMAND_H

#include "launch/estimate/choices.h"

/* Write the command; values are quoted for a shell where they need it. Without settings.options it is that of
 * a training whose options have their defaults. A command that does not fit is left out: "". */
void dt_plan_command(const dt_plan *plan, const dt_plan_row *row, char *out, size_t out_bytes);

/* Write the command that makes a cluster for the row, with BUCKET and KEY for what only the user knows. ""
 * for a type that is being retired, and if it does not fit. */
void dt_plan_cluster_command(const dt_plan *plan, const dt_plan_row *row, char *out, size_t out_bytes);

/* Sentences about the command: its learning rate, its hosts, and the change to on demand of a mixed row. Each
 * ends with a space. */
void dt_plan_command_explain(const dt_plan *plan, const dt_plan_row *row, char *out, size_t out_bytes);

#endif
