/* run_engines.h: the engines that the run's newest checkpoint names (core/engines.h), before the net is
 * built.
 *
 *   dt_run_engines_read(&options, "runs/demo/checkpoints", comm, kernels);
 */
#ifndef DT_LAUNCH_RUN_RUN_ENGINES_H
#define DT_LAUNCH_RUN_RUN_ENGINES_H

#include "core/comm.h"
#include "core/kernels.h"
#include "launch/options/options.h"

/* Local; on rank 0. If this start may resume, gives the kernels the engines of the newest checkpoint that has
 * a valid manifest, so that a start on a new host measures none. usual: the folder of checkpoints without
 * --checkpoint-dir; the mirror is read if that has none. Opens nothing for writing. It only saves time, so it
 * returns no error: core/training/resume_engines.h compares with the checkpoint that is loaded later. */
void dt_run_engines_read(const dt_options *options, const char *usual, const dt_comm *comm,
                         dt_kernels *kernels);

#endif
