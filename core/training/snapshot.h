/* snapshot.h: a copy of this rank's share of the state, which a checkpoint is written from while the training changes the state itself.
 *
 *   dt_snapshot_create(layout, &io, first, n_elems, &snapshot, err);
 *   dt_snapshot_take(snapshot, err);                     between two steps
 *   dt_state_io from = dt_snapshot_io(snapshot);         for dt_store_ops.write_shard, on the writer's thread, while later steps run
 *
 * The share is elements [first, first + n_elems) of the layout's stream. Nothing here is collective. One thread takes; another one may read
 * what was taken, until the next take, for which the two must agree that nobody reads any more.
 */
#ifndef DT_CORE_TRAINING_SNAPSHOT_H
#define DT_CORE_TRAINING_SNAPSHOT_H

#include "core/store.h"

typedef struct dt_snapshot dt_snapshot;

/* Borrows layout and what io points to. Takes no memory for the state before the first take. DT_ERR_MEMORY. */
dt_status dt_snapshot_create(const dt_state_layout *layout, const dt_state_io *io, int64_t first, int64_t n_elems, dt_snapshot **snapshot, dt_error *err);
void dt_snapshot_destroy(dt_snapshot *snapshot);

/* Copy the share as it is now; the caller may change the state afterwards. The device has nothing under way. Replaces what was taken before;
 * after an error nothing is taken. DT_ERR_MEMORY (of the first one), or what io.get says. */
dt_status dt_snapshot_take(dt_snapshot *snapshot, dt_error *err);

/* What was taken, for a reader: get fills the elements of a tensor that lie in the share, at their places in the tensor, and leaves the others
 * alone. There is no set. */
dt_state_io dt_snapshot_io(dt_snapshot *snapshot);

/* Host memory that it holds; 0 before the first take. */
int64_t dt_snapshot_bytes(const dt_snapshot *snapshot);

#endif
