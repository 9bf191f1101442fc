/* hdf5_store.h: checkpoints as folders of HDF5 shards. Implements core/store.h.
 *
 *   dt_store *store;
 *   DT_TRY(dt_store_hdf5_create("runs/demo/checkpoints", &store, err));
 *   const dt_saver_options options = {.comm = comm, .store = store, .keep = 3, .layout = layout, .io = &io};
 *   DT_TRY(dt_saver_create(&options, &writer, &memory, err));     core/checkpoint/saver.h
 *
 *   checkpoints/step-00001234/manifest.json          the state's layout; size and XXH3-128 of every shard
 *                             shard-0000-of-0002.h5  param/layer1.0.conv1.weight ...
 *                             shard-0001-of-0002.h5
 *
 * A tensor that is in one shard as a whole is a dataset of its own shape. A piece of a tensor that two shards
 * share is a dataset of one dimension. Two attributes say which part it is: "first_element" (in the flattened
 * tensor) and "shape" (of the whole tensor). So h5ls -r, h5dump and h5py show all of it.
 *
 * A checkpoint is written under the name step-00001234.tmp. Every file is fsynced, then the folder; then the
 * folder is renamed and its parent fsynced. So a folder with a final name was whole once, and the hashes show
 * whether it still is. The same state gives the same bytes. The store uses no file locks: they fail on NFS
 * and Lustre, and a folder with a final name is never written to.
 *
 * On several hosts the folder is on a file system that all of them see, or each host has its own (per_host in
 * core/store.h).
 */
#ifndef DT_IO_STORE_HDF5_STORE_H
#define DT_IO_STORE_HDF5_STORE_H

#include "core/guard.h"
#include "core/store.h"

/* A store in `folder`. The path is copied; the first begin or copy_shard makes the folder. The caller
 * destroys the store. DT_ERR_USAGE: the path is empty or too long; DT_ERR_MEMORY.
 *
 * What the operations do beyond core/store.h:
 *   all         DT_ERR_IO names the path and the system's reason; for a full disk also the bytes wanted and
 *               the bytes free
 *   list        without the folder there are no checkpoints; only folders named step-<digits> count
 *   write_shard blocks until the file is written, fsynced and read back from the disk (DT_ERR_IO if it has
 *               changed); waits up to 3 s for a folder that begin made on
 *               another host
 *   commit      DT_ERR_IO if this host does not see another rank's shard, or sees another size than that rank
 *               reported
 *   read_*      DT_ERR_FORMAT: damaged; DT_ERR_UNSUPPORTED: written by a newer dtrain
 *   prune       removes only what checkpoint_prune.h lists; a folder with other files in it stays
 * Different threads may work on different shards; they wait for each other only while
 * HDF5, which is not thread-safe, makes or checks what describes the values. */
dt_status dt_store_hdf5_create(const char *folder, dt_store **store, dt_error *err);

/* From here on begin, copy_shard, commit, prune, clean and discard ask the guard before they change
 * anything, and return its error. Borrowed until destroy; NULL: no guard. Call it before other threads use
 * the store. */
void dt_store_hdf5_set_guard(dt_store *store, const dt_guard *guard);

#endif
