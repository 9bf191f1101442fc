/* snapshot.h: a copy of this rank's share of the state. A checkpoint is written from it while the training
 * changes the state itself.
 *
 *   dt_snapshot_create(comm, layout, &io, first, n_elems, &snapshot, err);
 *   dt_snapshot_enqueue(snapshot, err);                  between two steps; earlier ones may be under way
 *   in the writer's thread, while later steps run:
 *   dt_snapshot_wait(snapshot, err);
 *   dt_state_io from = dt_snapshot_io(snapshot);         for dt_store_ops.write_shard
 *
 * The share is elements [first, first + n_elems) of the layout's stream; the tensors at its borders are
 * copied whole. The copy has the backend's order: the reader's thread brings it into the canonical order.
 *
 * On a host, dt_snapshot_enqueue copies. On a GPU it only enqueues: after the last step the main stream
 * copies the share within the GPU's memory, to a staging buffer, which takes a fraction of a millisecond.
 * From there another stream copies it to pinned host memory while the next steps run. Without memory for a
 * staging buffer the main stream copies to the host itself, and the next step begins after that. In neither
 * case does the training's thread wait.
 *
 * Nothing here is collective. One thread enqueues; another one may wait and read. Before the next enqueue the
 * two threads must agree that the reader is done.
 */
#ifndef DT_CORE_CHECKPOINT_SNAPSHOT_H
#define DT_CORE_CHECKPOINT_SNAPSHOT_H

#include "core/comm.h"
#include "core/model/state_addresses.h"
#include "core/store.h"

typedef struct dt_snapshot dt_snapshot;

/* Borrows comm (destroy waits with it; NULL: no collectives are enqueued), layout, and what io's addresses
 * point to; io->get is not used. Allocates and touches all memory, so that the first enqueue costs no more
 * than the others. Logs a warning if there is no memory for a staging buffer. DT_ERR_MEMORY,
 * DT_ERR_DEVICE. */
dt_status dt_snapshot_create(dt_comm *comm, const dt_state_layout *layout, const dt_state_io *io,
                             int64_t first, int64_t n_elems, dt_snapshot **snapshot, dt_error *err);

/* Waits for copies that are under way; if the device is lost, its memory is not freed. No thread may be in
 * dt_snapshot_wait. NULL is fine. */
void dt_snapshot_destroy(dt_snapshot *snapshot);

/* Copy the share, step_state and loss as they are once all work on the main stream is done; what is enqueued
 * afterwards may change them. Replaces the copy before. DT_ERR_DEVICE; dt_snapshot_wait returns the error of
 * a copy that fails later. */
dt_status dt_snapshot_enqueue(dt_snapshot *snapshot, dt_error *err);

/* Return when the copy is in host memory and can be read. Blocks, mostly asleep. DT_ERR_DEVICE; DT_ERR_IO
 * after dt_snapshot_abandon. */
dt_status dt_snapshot_wait(dt_snapshot *snapshot, dt_error *err);
/* From any thread: dt_snapshot_wait returns soon, also a later call. */
void dt_snapshot_abandon(dt_snapshot *snapshot);

/* The copy, for a reader: `get` fills the elements of a tensor that lie in the share, at their positions in
 * the tensor, and leaves the others undefined. DT_ERR_NUMERIC: they are not finite (state_check.h). There is
 * no `set`. */
dt_state_io dt_snapshot_io(dt_snapshot *snapshot);
/* Copies of step_state and loss; NULL where the addresses have none. */
const dt_step_state *dt_snapshot_step_state(const dt_snapshot *snapshot);
const dt_loss_sums *dt_snapshot_loss(const dt_snapshot *snapshot);

/* Memory of a snapshot: on the host (pinned if there is a GPU), and on the GPU. */
typedef struct dt_snapshot_memory {
    int64_t host_bytes, device_bytes;
} dt_snapshot_memory;
dt_snapshot_memory dt_snapshot_get_memory(const dt_snapshot *snapshot);

#endif
