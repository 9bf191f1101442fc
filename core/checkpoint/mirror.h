/* mirror.h: a writer (writer.h) that copies committed checkpoints to a second store while training goes on.
 *
 *   dt_mirror_create(comm, store, mirror_store, keep, &mirror, err);
 *   dt_writer_start(mirror, dt_writer_get_manifest(saver), err);     after a checkpoint has been committed
 *
 * Each rank's thread copies that rank's shard, byte for byte, and reads it back. Rank 0's thread commits the
 * copy with the same manifest, and removes older copies. The caller's thread does no I/O in the mirror, which
 * may be slow, or hang.
 */
#ifndef DT_CORE_CHECKPOINT_MIRROR_H
#define DT_CORE_CHECKPOINT_MIRROR_H

#include "core/checkpoint/writer.h"

/* Local. Borrows all of them: `from`, where this rank finds its own shards; `to`, which all hosts see. `keep`
 * copies are kept, at least 1. DT_ERR_MEMORY. */
dt_status dt_mirror_create(dt_comm *comm, dt_store *from, dt_store *to, int64_t keep, dt_writer **writer,
                           dt_error *err);

#endif
