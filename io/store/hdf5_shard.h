/* hdf5_shard.h: what is inside one shard of a checkpoint; the folder around it is checkpoint_hdf5's.
 *
 *   /                                   attributes: step, first_element, n_elements (the shard's part of the
 *                                       stream)
 *   /param/conv1.weight                 dataset float32 [64][3][7][7]: a tensor that is here as a whole
 *   /param/layer1.0.conv1.weight        dataset float32 [20000]: a piece of one
 *                                       attributes of both: first_element (in the flattened tensor), shape
 *                                       (of the whole)
 */
#ifndef DT_IO_STORE_HDF5_SHARD_H
#define DT_IO_STORE_HDF5_SHARD_H

#include "core/store.h"

/* Write elements [first, +n_elems) of the stream into the open empty file `fd` (readable too); *bytes is its
 * size. The same values give the same bytes. No fsync. Errors of io->get are passed on; DT_ERR_IO,
 * DT_ERR_MEMORY. */
dt_status dt_hdf5_shard_write(int fd, const char *path, int64_t step, const dt_state_layout *layout,
                              const dt_state_io *io, int64_t first, int64_t n_elems, int64_t *bytes,
                              dt_error *err);

/* Read them back into values[n_elems] from a file of `bytes` whose hash has been found good: HDF5 can hang on
 * a damaged one. A dataset that is missing or not of the expected type and place is DT_ERR_FORMAT. */
dt_status dt_hdf5_shard_read(int fd, const char *path, int64_t bytes, const dt_state_layout *layout,
                             int64_t first, int64_t n_elems, float *values, dt_error *err);

#endif
