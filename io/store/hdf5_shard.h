/* hdf5_shard.h: the content of one shard of a checkpoint. hdf5_store.c makes the folder around it.
 *
 * The file begins with HDF5's superblock. From byte 4096 on all values of the shard's part of the stream
 * follow each other without a gap; after them come the objects that describe them. Files of earlier versions
 * have the objects between the values, and can be read.
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
#include "io/file_writer.h"
#include "io/store/hdf5_check.h"

/* Write elements [first, first + n_elems) of the stream into the empty file `fd`, which is open for
 * reading and writing. *bytes: the file's size; hex: the XXH3-128 of what was written, and is on the disk:
 * the file is fsynced and read back. The same values give the same bytes. memory:
 * dt_file_writer_options. Returns errors of io->get;
 * DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_hdf5_shard_write(int fd, const char *path, int64_t step, const dt_state_layout *layout,
                              const dt_state_io *io, int64_t first, int64_t n_elems,
                              dt_file_writer_memory *memory, int64_t *bytes, char hex[33], dt_error *err);

/* Read a file of `bytes` once: its XXH3-128 must be hex, and it must be the shard that `expected`
 * describes and nothing else (hdf5_check.h). Its elements go to the sink; NULL: nowhere. What is checked,
 * and what the sink gets, are the bytes that were hashed. A file of an earlier version, where the values
 * are not in one piece, takes memory for itself meanwhile. DT_ERR_FORMAT: another size or hash, or not
 * that shard; DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_hdf5_shard_read(int fd, const char *path, int64_t bytes, const char *hex,
                             const dt_hdf5_expected *expected, const dt_shard_sink *sink, dt_error *err);

/* A sink that fills an array from *next on, and moves *next, which is borrowed. */
dt_shard_sink dt_hdf5_array_sink(float **next);

#endif
