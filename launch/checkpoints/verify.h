/* verify.h: what inspect, export and eval call a whole shard. A resume asks for the same
 * (core/checkpoint/load.h): the file has the size, hash and layout of its entry, and its values are finite.
 */
#ifndef DT_LAUNCH_CHECKPOINTS_VERIFY_H
#define DT_LAUNCH_CHECKPOINTS_VERIFY_H

#include "core/store.h"

/* Local, blocking. Read one shard of a checkpoint and check it. Its elements go to values[entry->n_elems]
 * (NULL: nowhere), which are undefined after an error. DT_ERR_FORMAT: the file is not whole, or a value is
 * not finite or a negative variance; the message names the tensor. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_checkpoint_verify_shard(dt_store *store, const dt_manifest *manifest,
                                     const dt_shard_entry *entry, float *values, dt_error *err);

#endif
