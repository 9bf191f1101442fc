/* saver.h: a writer (writer.h) that saves the state of a training while training goes on.
 *
 *   const dt_saver_options options = {.comm = comm, .store = store, .keep = 3, .layout = layout, .io = &io};
 *   dt_saver_create(&options, &writer, &memory, err);
 *   dt_writer_start(writer, &manifest, err);             between two steps
 *   ... steps; writer.h says how the checkpoint finishes
 *   dt_writer_destroy(writer);
 *
 * dt_writer_start enqueues a copy of this rank's share of the state into the saver's own host memory
 * (snapshot.h) and returns; on a GPU the copy is then still under way. Each rank's thread waits for the copy,
 * writes its shard, fsyncs and hashes it. Rank 0 begins and commits the checkpoint; where each host has its
 * own folder, each host's local rank 0 does so there, with a manifest of all shards beside the shards of that
 * host's ranks.
 */
#ifndef DT_CORE_CHECKPOINT_SAVER_H
#define DT_CORE_CHECKPOINT_SAVER_H

#include "core/checkpoint/snapshot.h"
#include "core/checkpoint/writer.h"
#include "core/comm.h"
#include "core/store.h"

/* All borrowed; the layout and what io->addresses points to must stay until the writer is destroyed. */
typedef struct dt_saver_options {
    dt_comm *comm;
    dt_store *store;
    bool per_host; /* the store is this host's own: at least two checkpoints are kept */
    int64_t keep;  /* checkpoints, at least 1 */
    const dt_state_layout *layout;
    /* Where io->addresses has step_state, a manifest's loss scale and its counts come from there. Where it
     * has loss, a state whose loss is not finite, or so large that the training has diverged, does not become
     * a checkpoint. */
    const dt_state_io *io;
} dt_saver_options;

/* Local. Allocates the memory for the copy of the state; *memory is its size. Of the manifest that
 * dt_writer_start gets, the caller fills the scalars and config_text; tensors and shards are added. */
dt_status dt_saver_create(const dt_saver_options *options, dt_writer **writer, dt_snapshot_memory *memory,
                          dt_error *err);

#endif
