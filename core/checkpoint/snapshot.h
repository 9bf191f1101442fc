/* snapshot.h: a copy of this rank's share of the state, which a checkpoint is written from while the training
 * changes the state itself.
 *
 *   dt_snapshot_create(comm, layout, &io, first, n_elems, &snapshot, err);
 *   dt_snapshot_enqueue(snapshot, err);                     between two steps; what was enqueued before may
 *                                                        still be under way
 *   dt_snapshot_wait(snapshot, err);                     the writer's thread, and the next:
 *   dt_state_io from = dt_snapshot_io(snapshot);         for dt_store_ops.write_shard, while later steps run
 *
 * The share is elements [first, first + n_elems) of the layout's stream; of the tensors at its borders all is
 * copied. The copy has the backend's order: the reader's thread brings it into the canonical one.
 *
 * On a host, take copies. On a GPU it only enqueues: behind the last step the share is copied within the
 * GPU's memory (a staging buffer; a fraction of a millisecond), and from there another stream copies it to
 * pinned host memory while the next steps run. Without room for a staging buffer the main stream copies to
 * the host itself, and the next step begins when that is done. The training's thread waits in neither case.
 *
 * Nothing here is collective. One thread takes; another one may wait and read, until the next take, for which
 * the two must agree that nobody reads any more.
 */
#ifndef DT_CORE_CHECKPOINT_SNAPSHOT_H
#define DT_CORE_CHECKPOINT_SNAPSHOT_H

#include "core/comm.h"
#include "core/model/state_addresses.h"
#include "core/store.h"

typedef struct dt_snapshot dt_snapshot;

/* Borrows comm (whose device_wait destroy waits with), layout and what io->addresses points to; io->get is
 * not used. All memory is taken here, and touched, so that the first take costs no more than the others. Says
 * in the log if there is no room for a staging buffer. DT_ERR_MEMORY, DT_ERR_DEVICE. */
dt_status dt_snapshot_create(dt_comm *comm, const dt_state_layout *layout, const dt_state_io *io,
                             int64_t first, int64_t n_elems, dt_snapshot **snapshot, dt_error *err);

/* Waits for copies that are under way; where the device is lost, its memory is left to it. Nobody may be in
 * dt_snapshot_wait. */
void dt_snapshot_destroy(dt_snapshot *snapshot);

/* Copy the share, step_state and loss as they are behind all that is on the main stream; what is enqueued
 * afterwards may change them. Replaces what was taken before. An error of the device; of a copy that fails
 * later, wait tells. */
dt_status dt_snapshot_enqueue(dt_snapshot *snapshot, dt_error *err);

/* Return when what was taken is in host memory: from here on it can be read. Blocks, asleep most of the time.
 * DT_ERR_DEVICE; DT_ERR_IO after abandon. */
dt_status dt_snapshot_wait(dt_snapshot *snapshot, dt_error *err);
/* From any thread: wait returns soon, also one that comes later. */
void dt_snapshot_abandon(dt_snapshot *snapshot);

/* What was taken, for a reader: get fills the elements of a tensor that lie in the share, at their places in
 * the tensor; the others are anything. There is no set. */
dt_state_io dt_snapshot_io(dt_snapshot *snapshot);
/* addresses->step_state and addresses->loss as they were taken; NULL where those are. */
const dt_step_state *dt_snapshot_step_state(const dt_snapshot *snapshot);
const dt_loss_sums *dt_snapshot_loss(const dt_snapshot *snapshot);

/* Memory that it holds: of the host (pinned, if there is a GPU), and of the GPU. */
typedef struct dt_snapshot_memory {
    int64_t host_bytes, device_bytes;
} dt_snapshot_memory;
dt_snapshot_memory dt_snapshot_get_memory(const dt_snapshot *snapshot);

#endif
