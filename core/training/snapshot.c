#include "core/training/snapshot.h"

#include "core/base/alloc.h"

#include <string.h>

struct dt_snapshot {
    const dt_state_layout *layout;
    dt_state_io io;
    int64_t first, n_elems; /* the share */
    float *values;          /* [n_elems] */
    float *tensor;          /* [the longest tensor] */
    int64_t bytes;
};

/* The elements of tensor t that lie in the share: *first in the tensor, *place in the snapshot. Returns how many. */
static int64_t part_of(const dt_snapshot *s, int64_t t, int64_t *first, int64_t *place)
{
    const dt_state_tensor *tensor = &s->layout->tensors[t];
    int64_t begin = s->first, end = begin + s->n_elems, from = tensor->first, to = tensor->first + tensor->n_elems;
    from = from > begin ? from : begin;
    to = to < end ? to : end;
    *first = from - tensor->first;
    *place = from - begin;
    return to - from;
}

dt_status dt_snapshot_create(const dt_state_layout *layout, const dt_state_io *io, int64_t first, int64_t n_elems, dt_snapshot **snapshot, dt_error *err)
{
    dt_snapshot *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the snapshot that a checkpoint is written from");
    *s = (dt_snapshot){.layout = layout, .io = *io, .first = first, .n_elems = n_elems};
    *snapshot = s;
    return DT_OK;
}

void dt_snapshot_destroy(dt_snapshot *s)
{
    if (!s)
        return;
    dt_free(s->values);
    dt_free(s);
}

static dt_status allocate(dt_snapshot *s, dt_error *err)
{
    int64_t longest = 0;
    if (s->values)
        return DT_OK;
    for (int64_t t = 0; t < s->layout->n_tensors; t++)
        longest = s->layout->tensors[t].n_elems > longest ? s->layout->tensors[t].n_elems : longest;
    int64_t bytes = (s->n_elems + longest) * (int64_t)sizeof(float);
    float *memory = dt_alloc((size_t)bytes);
    if (!memory)
        return dt_fail_memory(err, (size_t)bytes, "the snapshot that a checkpoint is written from");
    s->values = memory;
    s->tensor = memory + s->n_elems;
    s->bytes = bytes;
    return DT_OK;
}

dt_status dt_snapshot_take(dt_snapshot *s, dt_error *err)
{
    DT_TRY(allocate(s, err));
    for (int64_t t = 0; t < s->layout->n_tensors; t++) {
        int64_t first, place, n = part_of(s, t, &first, &place);
        if (n <= 0)
            continue;
        if (n == s->layout->tensors[t].n_elems) { /* straight to its place */
            DT_TRY(s->io.get(s->io.context, t, s->values + place, err));
            continue;
        }
        DT_TRY(s->io.get(s->io.context, t, s->tensor, err));
        memcpy(s->values + place, s->tensor + first, (size_t)n * sizeof(float));
    }
    return DT_OK;
}

static dt_status get(void *context, int64_t t, float *canonical, dt_error *err)
{
    (void)err;
    const dt_snapshot *s = context;
    int64_t first, place, n = part_of(s, t, &first, &place);
    if (n > 0)
        memcpy(canonical + first, s->values + place, (size_t)n * sizeof(float));
    return DT_OK;
}

dt_state_io dt_snapshot_io(dt_snapshot *s)
{
    return (dt_state_io){.context = s, .get = get};
}

int64_t dt_snapshot_bytes(const dt_snapshot *s)
{
    return s->bytes;
}
