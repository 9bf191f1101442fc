/* saver.h: writes checkpoints while the training goes on.
 *
 *   dt_saver_create(comm, store, false, layout, &io, keep, &saver, err);
 *   dt_saver_start(saver, &manifest, err);           a copy of this rank's share is made; a thread writes it
 *   ... steps ...
 *   dt_saver_seal(saver, err);                       when all ranks have voted that they are ready
 *   ... steps ...
 *   dt_saver_settle(saver, &report, err);            when all are again, before the next one, and at the end:
 *                                                    did it become a checkpoint?
 *
 * start has this rank's share of the state copied to host memory of the saver's own (snapshot.h), and
 * returns; on a GPU the copy is still under way then. A thread on each rank does the rest: waits for the
 * copy, shard, fsync, hash; seal, commit (writer.h). Who commits: rank 0; where every host has a folder of
 * its own, each host's local rank 0 in that, a manifest of all shards beside those of its own ranks.
 */
#ifndef DT_CORE_CHECKPOINT_SAVER_H
#define DT_CORE_CHECKPOINT_SAVER_H

#include "core/checkpoint/snapshot.h"
#include "core/checkpoint/writer.h"
#include "core/comm.h"
#include "core/store.h"

typedef struct dt_saver dt_saver;

typedef dt_writer_progress dt_saver_report;

/* Local. Borrows everything; layout and what io->places points to must stay. Memory for the copy of the state
 * is taken here. Where io->places has step_state, a manifest's loss scale and its counts come from there, and
 * where it has loss, a state whose loss is not finite does not become a checkpoint. per_host: the store is
 * this host's own; at least two checkpoints are kept then. */
dt_status dt_saver_create(dt_comm *comm, dt_store *store, bool per_host, const dt_state_layout *layout,
                          const dt_state_io *io, int64_t keep, dt_saver **saver, dt_error *err);

void dt_saver_destroy(dt_saver *saver); /* as dt_writer_destroy */

/* Collective. The caller fills the manifest's scalars and config_text; on success the saver takes what it
 * owns and zeroes it. Nothing may be pending. What is under way on the device may go on. Every rank returns
 * the same; after an error nothing is pending and nothing is left on the disk. */
dt_status dt_saver_start(dt_saver *saver, dt_manifest *manifest, dt_error *err);

/* What of writer.h is told of this saver's checkpoints: local, or collective. Nothing is waited for but what
 * this job itself still does. */
bool dt_saver_is_ready(dt_saver *saver);
bool dt_saver_is_sealed(dt_saver *saver);
dt_status dt_saver_seal(dt_saver *saver, dt_error *err);
dt_status dt_saver_settle(dt_saver *saver, dt_saver_report *report, dt_error *err);
void dt_saver_look(dt_saver *saver, dt_saver_report *report);
const dt_manifest *dt_saver_get_manifest(const dt_saver *saver);

/* Memory that the snapshot takes on this rank. */
dt_snapshot_memory dt_saver_snapshot_memory(const dt_saver *saver);

#endif
