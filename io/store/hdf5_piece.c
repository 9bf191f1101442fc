#include "io/store/hdf5_piece.h"

bool dt_hdf5_next_piece(const dt_state_layout *layout, int64_t first, int64_t n_elems, int64_t *cursor,
                        dt_hdf5_piece *p)
{
    for (; *cursor < layout->n_tensors; ++*cursor) {
        const dt_state_tensor *t = &layout->tensors[*cursor];
        int64_t from = t->first > first ? t->first : first;
        int64_t to = t->first + t->n_elems < first + n_elems ? t->first + t->n_elems : first + n_elems;
        if (from >= to)
            continue;
        *p = (dt_hdf5_piece){t, (*cursor)++, from - t->first, to - from, from - first};
        return true;
    }
    return false;
}

int dt_hdf5_piece_dims(const dt_hdf5_piece *p, int64_t dims[DT_STATE_MAX_DIMS])
{
    const bool is_whole = p->n_elems == p->tensor->n_elems && p->tensor->n_dims > 0;
    dims[0] = p->n_elems;
    for (int d = 0; is_whole && d < p->tensor->n_dims; d++)
        dims[d] = p->tensor->dims[d];
    return is_whole ? p->tensor->n_dims : 1;
}
