/* load.h: finds and loads the newest whole checkpoint. saver.h writes checkpoints.
 *
 *   const dt_checkpoint_location location = {.store = store};
 *   dt_checkpoint_load(comm, &location, &layout, &io, accept, context, &manifest, &found, err);
 */
#ifndef DT_CORE_CHECKPOINT_LOAD_H
#define DT_CORE_CHECKPOINT_LOAD_H

#include "core/comm.h"
#include "core/store.h"

/* The folders that a load searches. The same on all ranks, except that with per_host each host's `store` is
 * its own folder. All borrowed. */
typedef struct dt_checkpoint_location {
    dt_store *store;  /* one folder that all hosts see, or this host's own */
    dt_store *mirror; /* a folder that all hosts see, with a second copy; NULL: none */
    bool per_host;    /* `store` is this host's own: it has the shards of this host's ranks, and a manifest
                         that lists the shards of all ranks */
    const int64_t *only_step; /* load the checkpoint of this step; NULL: the newest whole one */
} dt_checkpoint_location;

/* Decides whether a checkpoint fits this run. DT_ERR_USAGE if not: the message names the field that differs
 * (model, data, ...) with both values. Called on every rank with the same manifest, before any tensor of it
 * is set; also for checkpoints that are then skipped because they are not whole. */
typedef dt_status dt_checkpoint_accept(void *context, const dt_manifest *manifest, dt_error *err);

/* After a read failed with this status: is the checkpoint (or its disk) damaged, so that the caller skips it
 * and tries an older one? Other errors end the load. */
static inline bool dt_checkpoint_is_skippable(dt_status status)
{
    return status == DT_ERR_FORMAT || status == DT_ERR_IO;
}

/* Load the newest whole checkpoint. Collective and blocking; any world size and any number of hosts will do,
 * whatever they were when the checkpoint was written.
 *
 * One rank reads each shard and broadcasts it, so hosts that lack a shard get it
 * from the others. The reader is a rank that has the shard whole: of a shared folder rank (shard mod size),
 * of a host's own folder that host's ranks in turn, and of the mirror, for shards that no folder has, all
 * ranks in turn. Two hosts may hold two different attempts at the same step; the load tries one after the
 * other and never mixes them. A checkpoint is skipped if one of its parts is whole nowhere, or if a tensor is
 * not finite (state_check.h): a warning names the part, the host and the problem. A damaged copy of a part
 * that is whole elsewhere is a warning, too.
 *
 * `accept` may be NULL. io->set receives every tensor of the layout; the caller clears *manifest with
 * dt_manifest_clear. While it reads, each rank holds one shard and the longest tensor in host memory; a
 * rank alone holds the longest tensor, since it sets the tensors while it reads and hashes them. After an
 * error, and where checkpoints were skipped, io->set may have received tensors before that were not
 * verified.
 *
 * *found false with DT_OK: there is no checkpoint, and nothing was set. Every rank returns the same:
 * DT_ERR_USAGE: `accept` refuses, or the manifest's tensors are not those of `layout` (names and shapes);
 * DT_ERR_UNSUPPORTED: a newer dtrain wrote it (neither of the two is skipped); DT_ERR_FORMAT: there are
 * checkpoints, and none is whole; DT_ERR_IO: a folder cannot be listed; DT_ERR_MEMORY. DT_ERR_PEER where a
 * rank is lost meanwhile. */
dt_status dt_checkpoint_load(dt_comm *comm, const dt_checkpoint_location *location,
                             const dt_state_layout *layout, const dt_state_io *io,
                             dt_checkpoint_accept *accept, void *accept_context, dt_manifest *manifest,
                             bool *found, dt_error *err);

#endif
