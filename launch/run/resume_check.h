/* resume_check.h: whether a training with these options can go on from a checkpoint that was written with
 * others. The trainer itself compares network, data and seed. */
#ifndef DT_LAUNCH_RUN_RESUME_CHECK_H
#define DT_LAUNCH_RUN_RESUME_CHECK_H

#include "core/store.h"

#include <stdbool.h>

/* For dt_trainer_parts.accepts; context: the dt_options of this start. The checkpoint's options are those in
 * its configuration, which is accepted if it cannot be read.
 *
 * The momentum of LARS has another size in each --lars-form: they differ by the learning rate, which changes
 * from step to step. So another form than the checkpoint's is refused (DT_ERR_USAGE). A configuration without
 * this option is older than it, and has the form torch. Another --optimizer is accepted, and sets
 * *new_momentum. DT_ERR_MEMORY. */
dt_status dt_resume_check(void *context, const dt_manifest *manifest, bool *new_momentum, dt_error *err);

#endif
