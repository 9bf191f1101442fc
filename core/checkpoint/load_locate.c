/* load_locate.c: which rank reads which shard, and from where. A rank keeps the elements of the shards
 * that it verifies: load_read.c broadcasts what was verified, and no file is read twice. A rank alone sets
 * them while it reads, and needs no memory for a shard. A file is a whole shard if its size and hash are
 * the manifest's, whichever rank wrote it. So any other host that has the file, or the mirror, can replace
 * one that a host has lost. */
#include "core/checkpoint/load_internal.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/collective/agreement.h"

#include <stdio.h>
#include <string.h>

/* The value of readers[] that stands for no rank. */
static int64_t no_reader(const dt_loading *l)
{
    return 2 * (int64_t)l->comm->size;
}

/* Local. Memory for the elements of a shard; NULL: there is none, or the checkpoint is not of this run's
 * size. */
static float *allocate_kept(const dt_loading *l, const dt_shard_entry *entry)
{
    int64_t n_elems = 0;
    for (int64_t i = 0; i < l->manifest.n_tensors; i++)
        n_elems += l->manifest.tensors[i].n_elems;
    if (n_elems != l->layout->n_elems || entry->n_elems > n_elems)
        return NULL;
    return dt_alloc_large((size_t)entry->n_elems * sizeof(float));
}

/* Local. Verify the shard that is next in the stream, and set its tensors. If it is not whole, other elements
 * are set in their place: of another copy, or of another checkpoint. */
static dt_status verify_and_set(dt_loading *l, dt_store *store, int64_t shard, dt_error *err)
{
    const dt_assembler_mark mark = dt_assembler_get_mark(&l->assembler);
    const dt_shard_sink sink = dt_assembler_sink(&l->assembler);
    const dt_status status =
        store->ops->verify_shard(store, &l->manifest, &l->manifest.shards[shard], &sink, err);
    l->is_set[shard] = status == DT_OK;
    if (status != DT_OK)
        dt_assembler_rewind(&l->assembler, &mark);
    return status;
}

static dt_status verify_and_keep(dt_loading *l, dt_store *store, int64_t shard, dt_error *err)
{
    const dt_shard_entry *entry = &l->manifest.shards[shard];
    float *values = allocate_kept(l, entry);
    const dt_status status = values ? store->ops->read_shard(store, &l->manifest, entry, values, err)
                                    : store->ops->verify_shard(store, &l->manifest, entry, NULL, err);
    if (status == DT_OK)
        l->kept[shard] = values;
    else
        dt_free(values);
    return status;
}

/* Local. Verify one shard; if it is whole, this rank can read it, and keeps what it has read. */
static dt_status verify(dt_loading *l, int from, int64_t shard, dt_error *err)
{
    dt_store *store = dt_load_store(l, from);
    const dt_shard_entry *entry = &l->manifest.shards[shard];
    const bool sets = l->sets && dt_assembler_at(&l->assembler) == entry->first &&
                      entry->n_elems <= l->layout->n_elems - entry->first;
    const dt_status status =
        sets ? verify_and_set(l, store, shard, err) : verify_and_keep(l, store, shard, err);
    if (status != DT_OK)
        return dt_load_problem_add(l, from, shard, status, err);
    l->readers[shard] = l->comm->rank + (from == DT_LOAD_MIRROR ? l->comm->size : 0);
    return l->comm->ops->progress(l->comm, err); /* a sign of life: a slow disk is no stall */
}

/* Local. Verify this rank's share of the shards in the store. */
static dt_status verify_in_store(dt_loading *l, dt_error *err)
{
    const dt_comm *c = l->comm;
    dt_store *store = l->location->store;
    int64_t n_present = 0;
    for (int64_t i = 0; i < l->manifest.n_shards && l->offers[DT_LOAD_STORE]; i++) {
        bool mine = i % c->size == c->rank;
        if (l->location->per_host) /* other hosts have the shards of their ranks */
            mine = store->ops->has_shard(store, l->manifest.step, &l->manifest.shards[i]) &&
                   n_present++ % c->local_size == c->local_rank;
        if (mine)
            DT_TRY(verify(l, DT_LOAD_STORE, i, err));
    }
    return DT_OK;
}

/* Local. Verify, in the mirror, this rank's share of the shards that no store has. */
static dt_status verify_in_mirror(dt_loading *l, dt_error *err)
{
    int64_t n_missing = 0;
    for (int64_t i = 0; i < l->manifest.n_shards && l->offers[DT_LOAD_MIRROR]; i++)
        if (l->readers[i] == no_reader(l) && n_missing++ % l->comm->size == l->comm->rank)
            DT_TRY(verify(l, DT_LOAD_MIRROR, i, err));
    return DT_OK;
}

/* The first shard that no rank can read, or n_shards. */
static int64_t first_missing(const dt_loading *l)
{
    int64_t i = 0;
    while (i < l->manifest.n_shards && l->readers[i] != no_reader(l))
        i++;
    return i;
}

/* Combine what the ranks verified: the lowest rank that can read a shard reads it, from the store if it
 * can. */
static dt_status share_readers(dt_loading *l, dt_status mine, dt_error *err)
{
    DT_TRY(dt_agree(l->comm, mine, err));
    return l->manifest.n_shards ? l->comm->ops->all_reduce(l->comm, l->readers, l->manifest.n_shards, DT_I64,
                                                           DT_REDUCE_MIN, err)
                                : DT_OK;
}

/* *why: the problem that the lowest rank has with this shard, or `otherwise` if no rank has one. */
static dt_status agree_on_reason(dt_loading *l, int from, int64_t shard, const char *otherwise, dt_error *why,
                                 dt_error *err)
{
    dt_status mine = DT_OK;
    for (int64_t i = 0; i < l->n_problems && mine == DT_OK; i++)
        if (l->problems[i].from == from && l->problems[i].shard == shard) {
            *why = l->problems[i].error;
            mine = why->status;
        }
    dt_status status = dt_agree(l->comm, mine, why);
    if (status == DT_OK)
        dt_fail(why, DT_ERR_IO, "%s", otherwise);
    else if (!dt_checkpoint_is_skippable(status))
        *err = *why;
    return dt_checkpoint_is_skippable(status) ? DT_OK : status;
}

static dt_status explain(dt_loading *l, int64_t shard, dt_error *why, dt_error *err)
{
    char otherwise[DT_ERROR_MESSAGE_BYTES];
    dt_error of_mirror = {0};
    const char *file = l->manifest.shards[shard].file,
               *folder = l->location->store->ops->location(l->location->store);
    if (l->location->per_host)
        snprintf(otherwise, sizeof otherwise, "no host has a whole %s in %s", file, folder);
    else
        snprintf(otherwise, sizeof otherwise, "%s has no such checkpoint", folder);
    DT_TRY(agree_on_reason(l, DT_LOAD_STORE, shard, otherwise, why, err));
    if (!l->location->mirror)
        return DT_OK;
    snprintf(otherwise, sizeof otherwise, "the mirror %s has no such checkpoint",
             l->location->mirror->ops->location(l->location->mirror));
    DT_TRY(agree_on_reason(l, DT_LOAD_MIRROR, shard, otherwise, &of_mirror, err));
    dt_fail(why, DT_ERR_IO, "%.480s; %.480s", why->message, of_mirror.message);
    return DT_OK;
}

static void log_mirror_reads(const dt_loading *l)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->manifest.n_shards; i++)
        n += l->readers[i] >= l->comm->size;
    if (n > 0 && l->comm->rank == 0)
        dt_log_info("checkpoint: %lld of the %lld shard%s of step %lld %s from the mirror %s", (long long)n,
                    (long long)l->manifest.n_shards, DT_PLURAL(l->manifest.n_shards),
                    (long long)l->manifest.step, n == 1 ? "comes" : "come",
                    l->location->mirror->ops->location(l->location->mirror));
}

void dt_locate_end(dt_loading *l)
{
    for (int64_t i = 0; l->kept && i < l->manifest.n_shards; i++)
        dt_free(l->kept[i]);
    dt_free(l->kept);
    dt_free(l->is_set);
    dt_free(l->readers);
    l->kept = NULL;
    l->is_set = NULL;
    l->readers = NULL;
    dt_assembler_clear(&l->assembler);
}

static dt_status allocate_arrays(dt_loading *l, dt_error *err)
{
    const size_t n = (size_t)l->manifest.n_shards, bytes = n * sizeof *l->readers;
    l->readers = dt_alloc(bytes);
    l->kept = dt_calloc(n, sizeof *l->kept);
    l->is_set = dt_calloc(n, sizeof *l->is_set);
    if (!l->readers || !l->kept || !l->is_set)
        return dt_fail_memory(err, bytes, "the readers of a checkpoint's shards");
    for (size_t i = 0; i < n; i++)
        l->readers[i] = no_reader(l);
    return dt_assembler_create(&l->assembler, l->layout, l->io, l->sets, err);
}

/* Local. Free what another rank is going to read. */
static void drop_unread(dt_loading *l)
{
    for (int64_t i = 0; i < l->manifest.n_shards; i++)
        if (l->readers[i] % l->comm->size != l->comm->rank) {
            dt_free(l->kept[i]);
            l->kept[i] = NULL;
        }
}

dt_status dt_locate_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err)
{
    DT_TRY(dt_agree(l->comm, allocate_arrays(l, err), err));
    DT_TRY(share_readers(l, verify_in_store(l, err), err));
    if (first_missing(l) < l->manifest.n_shards && l->location->mirror)
        DT_TRY(share_readers(l, verify_in_mirror(l, err), err));
    int64_t missing = first_missing(l);
    *whole = missing == l->manifest.n_shards;
    if (!*whole)
        return explain(l, missing, why, err);
    drop_unread(l);
    log_mirror_reads(l);
    return DT_OK;
}
