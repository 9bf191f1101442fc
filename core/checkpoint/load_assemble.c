/* load_assemble.c: cuts a stream of elements, which arrive in order, into tensors, and gives those to
 * io->set. */
#include "core/base/alloc.h"
#include "core/checkpoint/load_internal.h"
#include "core/checkpoint/state_check.h"

#include <string.h>

dt_status dt_assembler_create(dt_assembler *a, const dt_state_layout *layout, const dt_state_io *io,
                              bool rewinds, dt_error *err)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < layout->n_tensors; i++)
        longest = layout->tensors[i].n_elems > longest ? layout->tensors[i].n_elems : longest;
    const size_t bytes = (size_t)longest * sizeof *a->tensor;
    *a = (dt_assembler){.layout = layout, .io = io};
    a->tensor = dt_alloc_large(bytes);
    a->begun = rewinds ? dt_alloc_large(bytes) : NULL;
    return a->tensor && (!rewinds || a->begun) ? DT_OK : dt_fail_memory(err, bytes, "reading the checkpoint");
}

void dt_assembler_clear(dt_assembler *a)
{
    dt_free(a->tensor);
    dt_free(a->begun);
    *a = (dt_assembler){0};
}

int64_t dt_assembler_at(const dt_assembler *a)
{
    return a->index < a->layout->n_tensors ? a->layout->tensors[a->index].first + a->filled
                                           : a->layout->n_elems;
}

/* End each tensor that is filled; one without elements is filled at once. */
static void end_tensors(dt_assembler *a, const float *tensor)
{
    while (a->index < a->layout->n_tensors && a->filled == a->layout->tensors[a->index].n_elems) {
        const dt_state_tensor *t = &a->layout->tensors[a->index];
        if (a->status == DT_OK)
            a->status = dt_state_check(t->name, tensor, t->n_elems, &a->error);
        if (a->status == DT_OK)
            a->status = a->io->set(a->io->context, a->index, tensor, &a->error);
        a->index++;
        a->filled = 0;
    }
}

static int64_t left_of_tensor(const dt_assembler *a)
{
    return a->index < a->layout->n_tensors ? a->layout->tensors[a->index].n_elems - a->filled : 0;
}

void dt_assembler_add(dt_assembler *a, const float *values, int64_t n)
{
    while (n > 0 && a->index < a->layout->n_tensors) {
        const int64_t left = left_of_tensor(a), count = left < n ? left : n;
        const bool is_whole = a->filled == 0 && count == left; /* needs no copy */
        if (!is_whole)
            memcpy(a->tensor + a->filled, values, (size_t)count * sizeof *values);
        a->filled += count;
        end_tensors(a, is_whole ? values : a->tensor);
        values += count;
        n -= count;
    }
}

static float *reserve(void *context, int64_t *n)
{
    dt_assembler *a = context;
    end_tensors(a, a->tensor); /* one without elements */
    const int64_t left = left_of_tensor(a);
    *n = left < *n ? left : *n;
    return a->tensor + a->filled;
}

static void append(void *context, int64_t n)
{
    dt_assembler *a = context;
    a->filled += n;
    end_tensors(a, a->tensor);
}

dt_shard_sink dt_assembler_sink(dt_assembler *a)
{
    return (dt_shard_sink){a, reserve, append};
}

dt_assembler_mark dt_assembler_get_mark(dt_assembler *a)
{
    if (a->filled > 0)
        memcpy(a->begun, a->tensor, (size_t)a->filled * sizeof *a->tensor);
    return (dt_assembler_mark){a->index, a->filled, a->status, a->error};
}

void dt_assembler_rewind(dt_assembler *a, const dt_assembler_mark *mark)
{
    a->index = mark->index;
    a->filled = mark->filled;
    a->status = mark->status;
    a->error = mark->error;
    if (a->filled > 0)
        memcpy(a->tensor, a->begun, (size_t)a->filled * sizeof *a->tensor);
}
