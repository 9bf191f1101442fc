/* resume_engines.h: a resume computes with the engines that the checkpoint names (core/engines.h).
 *
 *   DT_TRY(dt_resume_engines(training->parts, &manifest, err));
 */
#ifndef DT_CORE_TRAINING_RESUME_ENGINES_H
#define DT_CORE_TRAINING_RESUME_ENGINES_H

#include "core/training/trainer.h"

/* Collective; before the first step, with the manifest of the checkpoint that was loaded, the same on all
 * ranks. Gives the kernels the checkpoint's engines. If the net was built with others, builds it again; its
 * vectors keep their contents. Rank 0 logs a warning with the operations that have other engines
 * nevertheless, or if the checkpoint has none for a kind of device of this job. Does nothing if the
 * checkpoint has no engines. Errors of the kernels and of memory, shared; errors of the communicator. */
dt_status dt_resume_engines(const dt_trainer_parts *parts, const dt_manifest *manifest, dt_error *err);

#endif
