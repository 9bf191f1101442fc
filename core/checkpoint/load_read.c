/* load_read.c: from the disks to all ranks: the rank that has verified a shard broadcasts it in pieces. */
#include "core/checkpoint/load_internal.h"

#include "core/base/alloc.h"
#include "core/checkpoint/state_check.h"
#include "core/collective/agreement.h"

#include <string.h>

/* A piece has 16 MiB: a rank that does not read the shard needs no more memory for it. */
#define BROADCAST_ELEMS ((int64_t)4 << 20)

/* Cuts the stream of elements, which arrive in order, into tensors, and gives those to io->set. */
typedef struct assembler {
    const dt_state_layout *layout;
    const dt_state_io *io;
    float *tensor;  /* [elements of the longest tensor] */
    float *shard;   /* [elements of the longest shard that this rank has still to read or gets in pieces] */
    int64_t index;  /* of the tensor that is being filled */
    int64_t filled; /* elements of it so far */
    dt_status
        status; /* of the check and io->set; kept until the vote, because other ranks wait in the broadcasts */
    dt_error error;
} assembler;

static void assemble(assembler *a, const float *values, int64_t n)
{
    while (n > 0 && a->status == DT_OK && a->index < a->layout->n_tensors) {
        int64_t length = a->layout->tensors[a->index].n_elems;
        int64_t count = length - a->filled < n ? length - a->filled : n;
        const bool is_whole = count == length; /* needs no copy */
        if (!is_whole)
            memcpy(a->tensor + a->filled, values, (size_t)count * sizeof *values);
        const float *tensor = is_whole ? values : a->tensor;
        a->filled += count;
        values += count;
        n -= count;
        if (a->filled == length) {
            a->status = dt_state_check(a->layout->tensors[a->index].name, tensor, length, &a->error);
            if (a->status == DT_OK)
                a->status = a->io->set(a->io->context, a->index, tensor, &a->error);
            a->index++;
            a->filled = 0;
        }
    }
}

static int reader_of(const dt_loading *l, int64_t shard)
{
    return (int)(l->readers[shard] % l->comm->size);
}

/* Elements of a shard that this rank needs memory for. */
static int64_t elems_to_hold(const dt_loading *l, int64_t shard)
{
    const int64_t n = l->manifest.shards[shard].n_elems;
    if (reader_of(l, shard) == l->comm->rank)
        return l->kept[shard] ? 0 : n;
    return n < BROADCAST_ELEMS ? n : BROADCAST_ELEMS;
}

static dt_status allocate_buffers(const dt_loading *l, assembler *a, dt_error *err)
{
    int64_t n_tensor = 0, n_shard = 0;
    for (int64_t i = 0; i < l->layout->n_tensors; i++)
        if (l->layout->tensors[i].n_elems > n_tensor)
            n_tensor = l->layout->tensors[i].n_elems;
    for (int64_t i = 0; i < l->manifest.n_shards; i++)
        if (elems_to_hold(l, i) > n_shard)
            n_shard = elems_to_hold(l, i);
    a->tensor = dt_alloc((size_t)n_tensor * sizeof *a->tensor);
    a->shard = a->tensor ? dt_alloc_large((size_t)n_shard * sizeof *a->shard) : NULL;
    return a->shard ? DT_OK
                    : dt_fail_memory(err, (size_t)(n_tensor + n_shard) * sizeof *a->shard,
                                     "reading the checkpoint");
}

/* The elements of shard i, on the rank that reads it; it keeps them from verifying, or reads the file now. */
static dt_status read_now(const dt_loading *l, int64_t i, float *buffer, dt_error *why)
{
    dt_store *store = dt_load_store(l, l->readers[i] >= l->comm->size ? DT_LOAD_MIRROR : DT_LOAD_STORE);
    if (reader_of(l, i) != l->comm->rank || l->kept[i])
        return DT_OK;
    return store->ops->read_shard(store, &l->manifest, &l->manifest.shards[i], buffer, why);
}

/* The rank that reads shard i broadcasts it piece by piece; every rank assembles it. */
static dt_status broadcast_shard(dt_loading *l, int64_t i, assembler *a, bool *whole, dt_error *why,
                                 dt_error *err)
{
    const int64_t n_elems = l->manifest.shards[i].n_elems;
    const bool reads = reader_of(l, i) == l->comm->rank;
    dt_status status = dt_agree(l->comm, read_now(l, i, a->shard, why), why);
    float *values = l->kept[i] ? l->kept[i] : a->shard;
    *whole = status == DT_OK;
    if (!*whole) {
        if (!dt_checkpoint_is_skippable(status))
            *err = *why;
        return dt_checkpoint_is_skippable(status) ? DT_OK : status;
    }
    for (int64_t at = 0; at < n_elems; at += BROADCAST_ELEMS) {
        int64_t n = n_elems - at < BROADCAST_ELEMS ? n_elems - at : BROADCAST_ELEMS;
        float *piece = values + (reads ? at : 0);
        DT_TRY(l->comm->ops->broadcast(l->comm, piece, n * (int64_t)sizeof *piece, reader_of(l, i), err));
        if (!reads)
            assemble(a, piece, n);
    }
    if (reads)
        assemble(a, values, n_elems); /* all at once: fewer tensors are cut */
    dt_free(l->kept[i]);
    l->kept[i] = NULL;
    return DT_OK;
}

dt_status dt_read_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err)
{
    assembler a = {.layout = l->layout, .io = l->io};
    dt_status status = dt_agree(l->comm, allocate_buffers(l, &a, err), err);
    *whole = true;
    for (int64_t i = 0; i < l->manifest.n_shards && status == DT_OK && *whole; i++)
        status = broadcast_shard(l, i, &a, whole, why, err);
    if (status == DT_OK && *whole) {
        status = dt_agree(l->comm, a.status, &a.error);
        *whole = status == DT_OK;
        if (status != DT_OK)
            *(status == DT_ERR_NUMERIC ? why : err) = a.error;
        status = status == DT_ERR_NUMERIC ? DT_OK : status; /* an older checkpoint is finite */
    }
    dt_free(a.shard);
    dt_free(a.tensor);
    return status;
}
