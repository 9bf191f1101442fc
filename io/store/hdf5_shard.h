/* hdf5_shard.h: the content of one shard of a checkpoint. hdf5_store.c makes the folder around it.
 *
 *   /                              attributes: step; first_element and n_elements: the shard's part of the
 *                                  stream (core/store.h)
 *   /param/conv1.weight            dataset float32 [64][3][7][7]: a whole tensor
 *   /param/layer1.0.conv1.weight   dataset float32 [20000]: a piece of a tensor
 *                                  attributes of both: first_element (in the flattened tensor) and shape (of
 *                                  the whole tensor)
 */
#ifndef DT_IO_STORE_HDF5_SHARD_H
#define DT_IO_STORE_HDF5_SHARD_H

#include "core/store.h"
#include "io/store/hdf5_check.h"

/* Write elements [first, first + n_elems) of the stream into the empty file `fd`, which is open for reading
 * and writing. *bytes: the file's size. The same values give the same bytes. No fsync. Returns errors of
 * io->get; DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_hdf5_shard_write(int fd, const char *path, int64_t step, const dt_state_layout *layout,
                              const dt_state_io *io, int64_t first, int64_t n_elems, int64_t *bytes,
                              dt_error *err);

/* Check that a file of `bytes` is the shard that `expected` describes and nothing else (hdf5_check.h), without
 * reading elements. The caller has verified the file's hash: HDF5 can hang on a damaged file. DT_ERR_FORMAT: it is
 * not; DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_hdf5_shard_check(int fd, const char *path, int64_t bytes, const dt_hdf5_expected *expected,
                              dt_error *err);

/* As dt_hdf5_shard_check, then read the elements into values[expected->n_elems]. */
dt_status dt_hdf5_shard_read(int fd, const char *path, int64_t bytes, const dt_hdf5_expected *expected,
                             float *values, dt_error *err);

#endif
