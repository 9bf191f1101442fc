/* shard_copy.h: copies a shard, byte for byte. */
#ifndef DT_IO_STORE_SHARD_COPY_H
#define DT_IO_STORE_SHARD_COPY_H

#include "core/store.h"

/* Copy the open file `from` to the empty open file `to`, fsync that, read it back, and compare it with the
 * entry's hash. Each file is read once. Blocks. DT_ERR_IO: a disk refused something, the message has the
 * path and the reason, or the copy is read back with another hash; DT_ERR_FORMAT: `from` does not have the
 * entry's size or hash; DT_ERR_MEMORY. */
dt_status dt_shard_copy(int from, const char *from_path, int to, const char *to_path,
                        const dt_shard_entry *entry, dt_error *err);

#endif
