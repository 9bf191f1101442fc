/* engines_build.h: builds a net on all ranks, so that ranks with one kind of device compute with the same
 * engines (core/engines.h).
 *
 *   static dt_status build(void *context, dt_error *err) { ... dt_net_create(...) ... }
 *   DT_TRY(dt_engines_build(comm, kernels, build, &context, err));
 */
#ifndef DT_CORE_COLLECTIVE_ENGINES_BUILD_H
#define DT_CORE_COLLECTIVE_ENGINES_BUILD_H

#include "core/comm.h"
#include "core/kernels.h"

/* Creates what makes the kernels choose engines: the layers of a net. */
typedef dt_status dt_engines_builder(void *context, dt_error *err);

/* Collective. Calls `build` once on every rank, in two rounds. First the lowest rank of each kind of device
 * builds, and chooses. It sends heartbeats meanwhile, since choosing may take longer than the deadline of a
 * wait. Then all ranks get the choices of all kinds, and the others build with those of their kind. Ranks
 * whose kernels choose no engines build in the first round. Afterwards the lists of all ranks that have one
 * have the same choices for these kinds. Returns the first error of any rank, shared; errors of the
 * communicator are not. */
dt_status dt_engines_build(dt_comm *comm, dt_kernels *kernels, dt_engines_builder *build, void *context,
                           dt_error *err);

#endif
