/* hdf5_check.h: whether a shard's file is what hdf5_shard.c writes, before any element is read.
 *
 *   dt_hdf5_expected e = {.layout = layout, .step = step, .first = first, .n_elems = n_elems};
 *   DT_TRY(dt_hdf5_check_size(path, bytes, &e, err));              before any memory is taken for it
 *   DT_TRY(dt_hdf5_check(&image, &e, &places, &n, err));     places[i]: where the elements of piece i are
 *
 * HDF5 does not see the file (hdf5_format.h).
 *
 * A hash shows that a file is the one that its manifest lists, not that dtrain wrote either of them. HDF5
 * files can refer to other files (external storage, virtual datasets, links), call plugins (filters) and
 * claim sizes that they do not have. So only this is accepted: the file ends where its superblock says, and
 * has no user block and no extension of it; its objects are the groups and datasets of the shard's pieces,
 * each with one hard link; each dataset is contiguous float32 in this file, without filters, of the piece's
 * shape, apart from all others; the attributes are those that a shard has, with the values that follow from
 * the manifest.
 */
#ifndef DT_IO_STORE_HDF5_CHECK_H
#define DT_IO_STORE_HDF5_CHECK_H

#include "core/store.h"
#include "io/store/hdf5_driver.h"

/* What the manifest says about a shard. */
typedef struct dt_hdf5_expected {
    const dt_state_layout *layout;
    int64_t step, first, n_elems;
} dt_hdf5_expected;

/* Where a piece's elements are: float32, little-endian, without gaps. */
typedef struct dt_hdf5_place {
    int64_t at;      /* byte of the file */
    int64_t n_elems; /* > 0 */
} dt_hdf5_place;

/* Whether a file of this size can be the shard: its values, and not much more. DT_ERR_FORMAT. */
dt_status dt_hdf5_check_size(const char *path, int64_t bytes, const dt_hdf5_expected *expected,
                             dt_error *err);

/* Check a file of such a size, which is in memory. *places: one for each piece of the shard, in the order
 * of the stream, so that their elements are the shard's; the caller frees it with dt_free. HDF5 does not
 * see the file. DT_ERR_FORMAT: dtrain did not write this file for this manifest, the message says why;
 * DT_ERR_MEMORY. */
dt_status dt_hdf5_check(const dt_hdf5_image *image, const dt_hdf5_expected *expected, dt_hdf5_place **places,
                        int64_t *n, dt_error *err);

#endif
