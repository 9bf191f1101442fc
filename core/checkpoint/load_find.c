/* load_find.c: which checkpoints there are. Rank 0 lists a folder that all hosts see. Every rank lists its
 * host's own folder, so the ranks of a host need not exchange what is in it. */
#include "core/checkpoint/load_internal.h"

#include "core/base/alloc.h"
#include "core/collective/agreement.h"

#include <stdio.h>
#include <string.h>

static bool lists(const dt_loading *l, int from)
{
    return dt_load_store(l, from) && (l->comm->rank == 0 || (from == DT_LOAD_STORE && l->location->per_host));
}

dt_status dt_find_begin(dt_loading *l, dt_error *err)
{
    dt_status mine = DT_OK;
    for (int from = 0; from < DT_N_LOAD_STORES && mine == DT_OK; from++) {
        dt_listing *s = &l->listings[from];
        dt_store *store = dt_load_store(l, from);
        if (!lists(l, from))
            continue;
        mine = store->ops->list(store, s->steps, DT_MAX_CHECKPOINTS, &s->n_steps, err);
        if (s->n_steps > DT_MAX_CHECKPOINTS)
            s->n_steps = DT_MAX_CHECKPOINTS;
    }
    return dt_agree(l->comm, mine, err);
}

dt_status dt_find_step(dt_loading *l, int64_t *step, dt_error *err)
{
    const int64_t *only = l->location->only_step;
    int64_t newest = -1;
    for (int from = 0; from < DT_N_LOAD_STORES; from++)
        for (int64_t i = l->listings[from].n_steps - 1; i >= 0; i--) {
            const int64_t seen = l->listings[from].steps[i];
            if (seen <= *step && seen > newest && (!only || seen == *only))
                newest = seen;
        }
    DT_TRY(l->comm->ops->all_reduce(l->comm, &newest, 1, DT_I64, DT_REDUCE_MAX, err));
    *step = newest;
    return DT_OK;
}

static dt_status read_listed_manifest(dt_loading *l, int from, int64_t step, dt_error *err)
{
    dt_listing *s = &l->listings[from];
    dt_store *store = dt_load_store(l, from);
    s->there = s->to_try = false;
    s->identity[0] = '\0';
    for (int64_t i = 0; i < s->n_steps; i++)
        s->there = s->there || s->steps[i] == step;
    if (!s->there)
        return DT_OK;
    dt_status status = store->ops->read_manifest(store, step, &s->manifest, err);
    if (status == DT_OK) {
        s->to_try = true;
        memcpy(s->identity, s->manifest.identity, sizeof s->identity);
        return DT_OK;
    }
    if (l->comm->rank != 0 && l->comm->local_rank != 0 && dt_checkpoint_is_skippable(status))
        return DT_OK; /* the first rank of this host keeps the same problem */
    return dt_load_problem_add(l, from, -1, status, err);
}

dt_status dt_find_manifests(dt_loading *l, int64_t step, dt_error *err)
{
    dt_status mine = DT_OK;
    l->n_problems = 0;
    for (int from = 0; from < DT_N_LOAD_STORES && mine == DT_OK; from++)
        mine = read_listed_manifest(l, from, step, err);
    l->n_manifest_problems = l->n_problems;
    return dt_agree(l->comm, mine, err);
}

void dt_find_end(dt_loading *l)
{
    for (int from = 0; from < DT_N_LOAD_STORES; from++) {
        dt_manifest_clear(&l->listings[from].manifest);
        l->listings[from].to_try = false;
    }
}

/* A manifest without its arrays, to broadcast. */
typedef struct manifest_head {
    dt_manifest scalars;
    int64_t config_bytes; /* of config_text, including the terminating zero */
} manifest_head;

static dt_status allocate_arrays(const manifest_head *head, dt_manifest *m, dt_error *err)
{
    *m = head->scalars;
    m->class_names.capacity = m->class_names.bytes;
    m->class_names.text = dt_alloc((size_t)m->class_names.bytes);
    m->engines.capacity = m->engines.n;
    m->engines.list = dt_alloc((size_t)m->engines.n * sizeof *m->engines.list);
    m->config_text = dt_alloc((size_t)head->config_bytes);
    m->tensors = dt_alloc((size_t)m->n_tensors * sizeof *m->tensors);
    m->shards = dt_alloc((size_t)m->n_shards * sizeof *m->shards);
    if (m->class_names.text && m->engines.list && m->config_text && m->tensors && m->shards)
        return DT_OK;
    dt_manifest_clear(m);
    return dt_fail_memory(err, (size_t)head->scalars.n_tensors * sizeof *m->tensors,
                          "the manifest of a checkpoint");
}

/* Copy root's manifest to all ranks, whose own is empty before. */
static dt_status broadcast_manifest(dt_comm *comm, int root, dt_manifest *m, dt_error *err)
{
    manifest_head head;
    memset(&head, 0, sizeof head); /* padding bytes are broadcast, too */
    if (comm->rank == root) {
        head.scalars = *m;
        head.config_bytes = (int64_t)strlen(m->config_text) + 1;
        head.scalars.class_names.text = NULL;
        head.scalars.engines.list = NULL;
        head.scalars.config_text = NULL;
        head.scalars.tensors = NULL;
        head.scalars.shards = NULL;
    }
    DT_TRY(comm->ops->broadcast(comm, &head, sizeof head, root, err));
    DT_TRY(dt_agree(comm, comm->rank == root ? DT_OK : allocate_arrays(&head, m, err), err));
    DT_TRY(comm->ops->broadcast(comm, m->class_names.text, m->class_names.bytes, root, err));
    DT_TRY(comm->ops->broadcast(comm, m->engines.list, m->engines.n * (int64_t)sizeof *m->engines.list, root,
                                err));
    DT_TRY(comm->ops->broadcast(comm, m->config_text, head.config_bytes, root, err));
    DT_TRY(comm->ops->broadcast(comm, m->tensors, m->n_tensors * (int64_t)sizeof *m->tensors, root, err));
    return comm->ops->broadcast(comm, m->shards, m->n_shards * (int64_t)sizeof *m->shards, root, err);
}

/* Fill l->offers. A folder with another attempt's manifest has other shards. A folder whose manifest cannot
 * be read may have this attempt's shards: their hashes decide. */
static dt_status find_offers(dt_loading *l, dt_error *err)
{
    int64_t of_rank_0[DT_N_LOAD_STORES];
    for (int from = 0; from < DT_N_LOAD_STORES; from++) {
        dt_listing *s = &l->listings[from];
        bool same = s->there && strcmp(s->identity, l->manifest.identity) == 0;
        if (same) {
            dt_manifest_clear(&s->manifest);
            s->to_try = false;
        }
        l->offers[from] = same || (s->there && !s->identity[0]);
        of_rank_0[from] = l->offers[from];
    }
    DT_TRY(l->comm->ops->broadcast(l->comm, of_rank_0, sizeof of_rank_0, 0, err));
    if (!l->location->per_host)
        l->offers[DT_LOAD_STORE] = of_rank_0[DT_LOAD_STORE];
    l->offers[DT_LOAD_MIRROR] = of_rank_0[DT_LOAD_MIRROR];
    return DT_OK;
}

dt_status dt_find_candidate(dt_loading *l, bool *there, dt_error *err)
{
    dt_manifest_clear(&l->manifest);
    l->n_problems = l->n_manifest_problems;
    dt_listing *mine =
        l->listings[DT_LOAD_STORE].to_try ? &l->listings[DT_LOAD_STORE] : &l->listings[DT_LOAD_MIRROR];
    int64_t root = mine->to_try ? l->comm->rank : l->comm->size;
    DT_TRY(l->comm->ops->all_reduce(l->comm, &root, 1, DT_I64, DT_REDUCE_MIN, err));
    *there = root < l->comm->size;
    if (!*there)
        return DT_OK;
    if (root == l->comm->rank) {
        l->manifest = mine->manifest;
        memset(&mine->manifest, 0, sizeof mine->manifest);
    }
    DT_TRY(broadcast_manifest(l->comm, (int)root, &l->manifest, err));
    return find_offers(l, err);
}
