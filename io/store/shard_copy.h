/* shard_copy.h: a shard, byte for byte, from one file to another. */
#ifndef DT_IO_STORE_SHARD_COPY_H
#define DT_IO_STORE_SHARD_COPY_H

#include "core/store.h"

/* Copy the open file `from`, of entry->bytes bytes, to the open and empty file `to`, fsync that, read it
 * back, and compare with the entry's hash. Blocking. DT_ERR_IO: a disk refuses, with the path and the reason;
 * DT_ERR_FORMAT: `from` has another size, or the copy is not what the entry says. */
dt_status dt_shard_copy(int from, const char *from_path, int to, const char *to_path,
                        const dt_shard_entry *entry, dt_error *err);

#endif
