/* hdf5_store.h: checkpoints as folders of HDF5 shards; implements core/store.h.
 *
 *   dt_store *store;
 *   DT_TRY(dt_store_hdf5_create("runs/demo/checkpoints", &store, err));
 *   const dt_saver_options options = {.comm = comm, .store = store, .keep = 3, .layout = layout, .io = &io};
 *   DT_TRY(dt_saver_create(&options, &writer, &memory, err));     core/checkpoint/saver.h writes to it
 *
 *   checkpoints/step-00001234/manifest.json          what, and the size and XXH3-128 of every shard
 *                             shard-0000-of-0002.h5  param/layer1.0.conv1.weight ...
 *                             shard-0001-of-0002.h5
 *
 * A tensor that lies in one shard as a whole is a dataset of its own shape; a piece of one that straddles two
 * shards is a dataset of one dimension. Attributes say which part it is: "first_element" (in the flattened
 * tensor) and "shape" (of the whole tensor), so that h5ls -r, h5dump and h5py need no manual.
 *
 * A checkpoint is written under step-00001234.tmp; every file is fsynced, then the folder, then it is
 * renamed, then the parent is fsynced. So a folder with a final name was whole once, and its hashes tell
 * whether it still is. The same state gives the same bytes. No file locks are taken: they fail on NFS and
 * Lustre, and a final name is never written to.
 *
 * On several hosts the folder must be on a file system that all of them see.
 */
#ifndef DT_IO_STORE_HDF5_STORE_H
#define DT_IO_STORE_HDF5_STORE_H

#include "core/store.h"

/* A store in `folder`, which is copied and is made by the first `begin`; nothing is touched before. The
 * caller ends it with store->ops->destroy. DT_ERR_USAGE if the path is empty or too long, DT_ERR_MEMORY.
 *
 * The operations, beyond what core/store.h says of them:
 *   all         DT_ERR_IO names the path and the system's reason; a full disk also the bytes wanted and the
 *               bytes free
 *   list        no folder: no checkpoints; anything not named step-<digits> is not looked at
 *   write_shard blocks for the write and the fsync; a folder that `begin` made on another host is waited for
 *   (3 s)
 *   commit      DT_ERR_IO if a shard of another rank cannot be seen from here, or has another size than its
 *               rank says
 *   read_*      DT_ERR_FORMAT: damaged; DT_ERR_UNSUPPORTED: written by a newer dtrain
 *   prune       removes only what has the names above; a folder with something else inside stays
 * Operations on different shards may run in different threads (they wait for each other: HDF5 is not
 * thread-safe). */
dt_status dt_store_hdf5_create(const char *folder, dt_store **store, dt_error *err);

#endif
