/* hdf5_piece.h: which part of which tensor a shard holds. hdf5_shard.c writes a dataset for each,
 * hdf5_check.c expects exactly these.
 *
 *   int64_t cursor = 0;
 *   dt_hdf5_piece p;
 *   while (dt_hdf5_next_piece(layout, first, n_elems, &cursor, &p)) ...
 */
#ifndef DT_IO_STORE_HDF5_PIECE_H
#define DT_IO_STORE_HDF5_PIECE_H

#include "core/store.h"

#include <stdbool.h>

/* The offset of the values in a shard's file. The superblock is before them, and every other object after
 * them. */
#define DT_HDF5_VALUES_AT 4096

typedef struct dt_hdf5_piece {
    const dt_state_tensor *tensor;
    int64_t index;   /* of the tensor in the layout */
    int64_t first;   /* element of the flattened tensor */
    int64_t n_elems; /* > 0 */
    int64_t offset;  /* of its first element in the shard */
} dt_hdf5_piece;

/* Find the next tensor from *cursor on that has elements in [first, first + n_elems), and move *cursor
 * past it. False: there are no more. */
bool dt_hdf5_next_piece(const dt_state_layout *layout, int64_t first, int64_t n_elems, int64_t *cursor,
                        dt_hdf5_piece *piece);

/* The dimensions of the piece's dataset: the tensor's if it is whole, else one. Returns their number, at
 * least 1. */
int dt_hdf5_piece_dims(const dt_hdf5_piece *piece, int64_t dims[DT_STATE_MAX_DIMS]);

/* The offset of a piece's values in the file, in bytes. */
static inline int64_t dt_hdf5_values_at(const dt_hdf5_piece *piece)
{
    return DT_HDF5_VALUES_AT + piece->offset * (int64_t)sizeof(float);
}

#endif
