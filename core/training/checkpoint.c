#include "core/training/checkpoint.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/training/agreement.h"
#include "core/training/saver.h"

#include <stdio.h>
#include <string.h>

#define MAX_GENERATIONS 256                        /* looked at; nobody keeps so many */
#define BROADCAST_ELEMS ((int64_t)4 << 20)         /* 16 MiB a piece: ranks that do not read the shard need no more memory */

void dt_manifest_clear(dt_manifest *manifest)
{
    if (!manifest)
        return;
    dt_free(manifest->config_text);
    dt_free(manifest->tensors);
    dt_free(manifest->shards);
    memset(manifest, 0, sizeof *manifest);
}

/* -- saving ------------------------------------------------------------------------------------------------------- */

dt_status dt_checkpoint_save(dt_comm *comm, dt_store *store, const dt_state_layout *layout, const dt_state_io *io, dt_manifest *manifest, int64_t keep,
                             int64_t *bytes, dt_error *err)
{
    dt_error own;
    err = err ? err : &own;
    dt_saver *saver = NULL;
    dt_saver_report report = {0};
    dt_status status = dt_agree(comm, dt_saver_create(comm, store, layout, io, keep, &saver, err), err);
    if (status == DT_OK)
        status = dt_saver_start(saver, manifest, err);
    if (status == DT_OK)
        status = dt_saver_settle(saver, &report, err);
    dt_saver_destroy(saver);
    DT_TRY(status);
    DT_TRY(comm->ops->broadcast(comm, &report.bytes, sizeof report.bytes, 0, err)); /* rank 0 knows all shards */
    *bytes = report.bytes;
    return DT_OK;
}

/* -- loading ------------------------------------------------------------------------------------------------------ */

/* A manifest without its arrays, as rank 0 sends it. */
typedef struct manifest_head {
    dt_manifest scalars;
    int64_t config_bytes; /* with the zero at the end */
} manifest_head;

static dt_status allocate_arrays(const manifest_head *head, dt_manifest *m, dt_error *err)
{
    *m = head->scalars;
    m->config_text = dt_alloc((size_t)head->config_bytes);
    m->tensors = dt_alloc((size_t)m->n_tensors * sizeof *m->tensors);
    m->shards = dt_alloc((size_t)m->n_shards * sizeof *m->shards);
    if (m->config_text && m->tensors && m->shards)
        return DT_OK;
    dt_manifest_clear(m);
    return dt_fail_memory(err, (size_t)head->scalars.n_tensors * sizeof *m->tensors, "the manifest of a checkpoint");
}

/* Give rank 0's manifest to all. The others' is empty before, and on failure again. */
static dt_status broadcast_manifest(dt_comm *comm, dt_manifest *m, dt_error *err)
{
    manifest_head head = {0};
    if (comm->rank == 0) {
        head.scalars = *m;
        head.config_bytes = (int64_t)strlen(m->config_text) + 1;
        head.scalars.config_text = NULL;
        head.scalars.tensors = NULL;
        head.scalars.shards = NULL;
    }
    DT_TRY(comm->ops->broadcast(comm, &head, sizeof head, 0, err));
    DT_TRY(dt_agree(comm, comm->rank == 0 ? DT_OK : allocate_arrays(&head, m, err), err));
    DT_TRY(comm->ops->broadcast(comm, m->config_text, head.config_bytes, 0, err));
    DT_TRY(comm->ops->broadcast(comm, m->tensors, m->n_tensors * (int64_t)sizeof *m->tensors, 0, err));
    return comm->ops->broadcast(comm, m->shards, m->n_shards * (int64_t)sizeof *m->shards, 0, err);
}

/* Rank 0's list of generations, newest first, for all. */
static dt_status list_generations(dt_comm *comm, dt_store *store, int64_t steps[MAX_GENERATIONS], int64_t *n, dt_error *err)
{
    dt_status mine = DT_OK;
    *n = 0;
    if (comm->rank == 0)
        mine = store->ops->list(store, steps, MAX_GENERATIONS, n, err);
    if (*n > MAX_GENERATIONS)
        *n = MAX_GENERATIONS;
    DT_TRY(dt_agree(comm, mine, err));
    DT_TRY(comm->ops->broadcast(comm, n, sizeof *n, 0, err));
    return *n ? comm->ops->broadcast(comm, steps, *n * (int64_t)sizeof *steps, 0, err) : DT_OK;
}

static dt_status check_layout(const dt_manifest *m, const dt_state_layout *layout, dt_error *err)
{
    if (m->n_tensors != layout->n_tensors)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld has %lld tensors, this model has %lld: give the options it was made with, or another --out",
                       (long long)m->step, (long long)m->n_tensors, (long long)layout->n_tensors);
    for (int64_t i = 0; i < m->n_tensors; i++) {
        const dt_state_tensor *a = &m->tensors[i], *b = &layout->tensors[i];
        if (strcmp(a->name, b->name) != 0)
            return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld has the tensor %s where this model has %s: another model",
                           (long long)m->step, a->name, b->name);
        if (a->n_dims != b->n_dims || memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof *a->dims) != 0)
            return dt_fail(err, DT_ERR_USAGE,
                           "the checkpoint of step %lld has %s with %lld elements and another shape than this model's with %lld: another model",
                           (long long)m->step, a->name, (long long)a->n_elems, (long long)b->n_elems);
    }
    return DT_OK;
}

/* Puts the stream together again: takes its elements in order, gives whole tensors to io->set. */
typedef struct assembler {
    const dt_state_layout *layout;
    const dt_state_io *io;
    float *tensor;  /* as long as the longest */
    int64_t index;  /* of the tensor being filled */
    int64_t filled; /* elements of it that are there */
    dt_status status; /* of io->set: kept until the vote, for no rank leaves the broadcasts alone */
    dt_error *err;
} assembler;

static void assemble(assembler *a, const float *values, int64_t n)
{
    while (n > 0 && a->status == DT_OK && a->index < a->layout->n_tensors) {
        int64_t length = a->layout->tensors[a->index].n_elems;
        int64_t take = length - a->filled < n ? length - a->filled : n;
        memcpy(a->tensor + a->filled, values, (size_t)take * sizeof *values);
        a->filled += take;
        values += take;
        n -= take;
        if (a->filled == length) {
            a->status = a->io->set(a->io->context, a->index, a->tensor, a->err);
            a->index++;
            a->filled = 0;
        }
    }
}

/* One generation: verified, then read. Every rank returns the same; `passable` says that an older one may do. */
typedef struct loading {
    dt_comm *comm;
    dt_store *store;
    const dt_state_layout *layout;
    const dt_state_io *io;
    dt_manifest *manifest;
    float *shard; /* room for the longest shard that this rank reads, and for a piece of BROADCAST_ELEMS */
    bool passable;
} loading;

static bool reads(const loading *l, int64_t shard)
{
    return shard % l->comm->size == l->comm->rank;
}

static dt_status verify_shards(loading *l, dt_error *err)
{
    dt_status mine = DT_OK;
    for (int64_t i = 0; i < l->manifest->n_shards && mine == DT_OK; i++)
        if (reads(l, i))
            mine = l->store->ops->verify_shard(l->store, l->manifest->step, &l->manifest->shards[i], err);
    return dt_agree(l->comm, mine, err);
}

static dt_status allocate_buffers(loading *l, assembler *a, dt_error *err)
{
    int64_t n_tensor = 0, n_shard = l->layout->n_elems < BROADCAST_ELEMS ? l->layout->n_elems : BROADCAST_ELEMS;
    for (int64_t i = 0; i < l->layout->n_tensors; i++)
        if (l->layout->tensors[i].n_elems > n_tensor)
            n_tensor = l->layout->tensors[i].n_elems;
    for (int64_t i = 0; i < l->manifest->n_shards; i++)
        if (reads(l, i) && l->manifest->shards[i].n_elems > n_shard)
            n_shard = l->manifest->shards[i].n_elems;
    a->tensor = dt_alloc((size_t)n_tensor * sizeof *a->tensor);
    l->shard = a->tensor ? dt_alloc((size_t)n_shard * sizeof *l->shard) : NULL;
    return l->shard ? DT_OK : dt_fail_memory(err, (size_t)(n_tensor + n_shard) * sizeof *l->shard, "reading the checkpoint");
}

/* Shard i from the rank that reads it to all, piece by piece. */
static dt_status spread_shard(loading *l, int64_t i, assembler *a, dt_error *err)
{
    const dt_shard_entry *entry = &l->manifest->shards[i];
    dt_status mine = DT_OK;
    if (reads(l, i))
        mine = l->store->ops->read_shard(l->store, l->manifest, entry, l->shard, err);
    l->passable = true;
    DT_TRY(dt_agree(l->comm, mine, err));
    l->passable = false;
    for (int64_t at = 0; at < entry->n_elems; at += BROADCAST_ELEMS) {
        int64_t n = entry->n_elems - at < BROADCAST_ELEMS ? entry->n_elems - at : BROADCAST_ELEMS;
        float *piece = l->shard + (reads(l, i) ? at : 0);
        DT_TRY(l->comm->ops->broadcast(l->comm, piece, n * (int64_t)sizeof *piece, (int)(i % l->comm->size), err));
        assemble(a, piece, n);
    }
    return DT_OK;
}

static dt_status read_shards(loading *l, dt_error *err)
{
    dt_error set_error = {0};
    assembler a = {.layout = l->layout, .io = l->io, .err = &set_error};
    dt_status status = dt_agree(l->comm, allocate_buffers(l, &a, err), err);
    for (int64_t i = 0; i < l->manifest->n_shards && status == DT_OK; i++)
        status = spread_shard(l, i, &a, err);
    if (status == DT_OK) {
        if (a.status != DT_OK)
            *err = set_error;
        status = dt_agree(l->comm, a.status, err);
    }
    dt_free(l->shard);
    dt_free(a.tensor);
    l->shard = NULL;
    return status;
}

static dt_status load_generation(loading *l, int64_t step, dt_checkpoint_accept *accept, void *accept_context, dt_error *err)
{
    dt_comm *comm = l->comm;
    l->passable = true;
    dt_status mine = comm->rank == 0 ? l->store->ops->read_manifest(l->store, step, l->manifest, err) : DT_OK;
    DT_TRY(dt_agree(comm, mine, err));
    l->passable = false;
    DT_TRY(broadcast_manifest(comm, l->manifest, err));
    l->passable = true;
    DT_TRY(verify_shards(l, err));
    l->passable = false;
    mine = accept ? accept(accept_context, l->manifest, err) : DT_OK; /* first: it knows the model by its name */
    if (mine == DT_OK)
        mine = check_layout(l->manifest, l->layout, err);
    DT_TRY(dt_agree(comm, mine, err));
    return read_shards(l, err);
}

dt_status dt_checkpoint_load(dt_comm *comm, const dt_checkpoint_place *place, const dt_state_layout *layout, const dt_state_io *io,
                             dt_checkpoint_accept *accept, void *accept_context, dt_manifest *manifest, bool *found, dt_error *err)
{
    dt_error own;
    err = err ? err : &own;
    dt_store *store = place->store;
    int64_t steps[MAX_GENERATIONS], n;
    DT_TRY(list_generations(comm, store, steps, &n, err));
    dt_manifest m = {0};
    loading l = {.comm = comm, .store = store, .layout = layout, .io = io, .manifest = &m};
    for (int64_t i = 0; i < n; i++) {
        dt_status status = load_generation(&l, steps[i], accept, accept_context, err);
        if (status == DT_OK) {
            *manifest = m;
            *found = true;
            return DT_OK;
        }
        dt_manifest_clear(&m);
        if (!l.passable || (status != DT_ERR_FORMAT && status != DT_ERR_IO))
            return status;
        if (comm->rank == 0)
            dt_log_warn("checkpoint: passing over step %lld: %s", (long long)steps[i], err->message);
    }
    if (n > 0)
        return dt_fail(err, DT_ERR_FORMAT,
                       "%s: none of the %lld checkpoints there is whole; bring a good copy back, or start over with --resume never",
                       store->ops->location(store), (long long)n);
    *found = false;
    return DT_OK;
}
