/* team.h: whether the threads that OpenMP provides are those that dtrain requested, and if not, why. */
#ifndef DT_LAUNCH_HARDWARE_TEAM_H
#define DT_LAUNCH_HARDWARE_TEAM_H

#include "core/base/error.h"
#include "launch/hardware/backends.h"

#include <stdint.h>

/* Local. *n_threads: the number requested; replaced by the number that computes. Fewer threads, or threads
 * that share processors, give the same results more slowly: this warns, with the variables that may be the
 * cause. DT_ERR_USAGE: the threads' stacks are too small to compute with. Does nothing for backends without
 * a team. */
dt_status dt_team_check(const dt_backend *backend, int64_t *n_threads, dt_error *err);

#endif
