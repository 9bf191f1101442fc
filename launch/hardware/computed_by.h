/* computed_by.h: collects the names and versions of everything that this rank's numbers come from, for
 * checkpoints (core/base/computed_by.h). To add a pair: a line in computed_by.c, or in the backend.
 */
#ifndef DT_LAUNCH_HARDWARE_COMPUTED_BY_H
#define DT_LAUNCH_HARDWARE_COMPUTED_BY_H

#include "core/base/computed_by.h"
#include "core/comm.h"
#include "launch/hardware/backends.h"

/* Local. Replaces what is in *out. */
void dt_computed_by_collect(const dt_backend *backend, const dt_comm *comm, dt_computed_by *out);

#endif
