/* mirror.h: copies committed checkpoints to a second store, while the training goes on.
 *
 *   dt_mirror_create(comm, store, mirror_store, keep, &mirror, err);
 *   dt_mirror_start(mirror, dt_saver_get_manifest(saver), err);   behind the settle of a checkpoint that is
 *                                                                 whole
 *   ... steps; seal and settle as with a saver: writer.h
 *
 * A thread on each rank copies that rank's shard, byte for byte, and reads it back; rank 0's commits, with
 * the same manifest, and removes older ones there. The training's thread does nothing in the mirror: it may
 * be slow, or hang.
 */
#ifndef DT_CORE_CHECKPOINT_MIRROR_H
#define DT_CORE_CHECKPOINT_MIRROR_H

#include "core/checkpoint/writer.h"

typedef struct dt_mirror dt_mirror;

/* Local. Borrows all: `from`, where this rank finds its own shards; `to`, which all hosts see.
 * DT_ERR_MEMORY. */
dt_status dt_mirror_create(dt_comm *comm, dt_store *from, dt_store *to, int64_t keep, dt_mirror **mirror,
                           dt_error *err);
void dt_mirror_destroy(dt_mirror *mirror); /* as dt_writer_destroy */

/* Collective. Begins to copy a checkpoint that is committed in `from`; nothing may be pending. Copies the
 * manifest. */
dt_status dt_mirror_start(dt_mirror *mirror, const dt_manifest *manifest, dt_error *err);

/* What happens in between: is_ready, seal, settle ... */
dt_writer *dt_mirror_get_writer(dt_mirror *mirror);

#endif
