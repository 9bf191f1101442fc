/* load_read.c: from the disks to all ranks: the rank that has verified a shard broadcasts it in pieces. */
#include "core/checkpoint/load_internal.h"

#include "core/base/alloc.h"
#include "core/collective/agreement.h"

/* A piece has 16 MiB: a rank that does not read the shard needs no more memory for it. */
#define BROADCAST_ELEMS ((int64_t)4 << 20)

static int reader_of(const dt_loading *l, int64_t shard)
{
    return (int)(l->readers[shard] % l->comm->size);
}

/* Elements of a shard that this rank needs memory for. */
static int64_t elems_to_hold(const dt_loading *l, int64_t shard)
{
    const int64_t n = l->manifest.shards[shard].n_elems;
    if (reader_of(l, shard) == l->comm->rank)
        return l->kept[shard] || l->is_set[shard] ? 0 : n;
    return n < BROADCAST_ELEMS ? n : BROADCAST_ELEMS;
}

/* Memory for the elements of the longest shard that this rank has still to read or gets in pieces. */
static dt_status allocate_buffer(const dt_loading *l, float **buffer, dt_error *err)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->manifest.n_shards; i++)
        if (elems_to_hold(l, i) > n)
            n = elems_to_hold(l, i);
    *buffer = dt_alloc_large((size_t)n * sizeof **buffer);
    return *buffer ? DT_OK : dt_fail_memory(err, (size_t)n * sizeof **buffer, "reading the checkpoint");
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
static dt_status broadcast_shard(dt_loading *l, int64_t i, float *buffer, bool *whole, dt_error *why,
                                 dt_error *err)
{
    const int64_t n_elems = l->manifest.shards[i].n_elems;
    const bool reads = reader_of(l, i) == l->comm->rank;
    dt_status status = dt_agree(l->comm, read_now(l, i, buffer, why), why);
    float *values = l->kept[i] ? l->kept[i] : buffer;
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
            dt_assembler_add(&l->assembler, piece, n);
    }
    if (reads)
        dt_assembler_add(&l->assembler, values, n_elems); /* all at once: fewer tensors are cut */
    dt_free(l->kept[i]);
    l->kept[i] = NULL;
    return DT_OK;
}

dt_status dt_read_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err)
{
    float *buffer = NULL;
    const dt_assembler *a = &l->assembler;
    dt_status status = dt_agree(l->comm, allocate_buffer(l, &buffer, err), err);
    *whole = true;
    for (int64_t i = 0; i < l->manifest.n_shards && status == DT_OK && *whole; i++)
        if (!l->is_set[i])
            status = broadcast_shard(l, i, buffer, whole, why, err);
    if (status == DT_OK && *whole) {
        status = dt_agree(l->comm, a->status, &l->assembler.error);
        *whole = status == DT_OK;
        if (status != DT_OK)
            *(status == DT_ERR_NUMERIC ? why : err) = a->error;
        status = status == DT_ERR_NUMERIC ? DT_OK : status; /* an older checkpoint is finite */
    }
    dt_free(buffer);
    return status;
}
