#include "core/checkpoint/saver.h"

#include "core/base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A mean loss that no training comes back from: that of guessing among 1,000 classes is 7. */
#define DIVERGED_LOSS 1e4

typedef struct saver {
    dt_store *store;
    const dt_state_layout *layout;
    int64_t n_shards;
    dt_shard_entry share;  /* this rank's: file, first, n_elems */
    dt_snapshot *snapshot; /* of it */
} saver;

/* The rank-th even share: sizes differ by one element at most. */
static dt_shard_entry share_of(int rank, int size, int64_t n_elems)
{
    dt_shard_entry entry = {.n_elems = n_elems / size + (rank < n_elems % size)};
    entry.first = n_elems / size * rank + (rank < n_elems % size ? rank : n_elems % size);
    snprintf(entry.file, sizeof entry.file, "shard-%04d-of-%04d.h5", rank, size);
    return entry;
}

/* -- in the writer's thread ------------------------------------------------------------------------------ */

/* Complete the manifest with what only the device knew when the step was enqueued. The scale is the same on
 * all ranks. If one rank's loss is not finite, all weights are spoilt. */
static dt_status read_step_state(const saver *s, dt_manifest *manifest, dt_error *err)
{
    const dt_step_state *state = dt_snapshot_step_state(s->snapshot);
    const dt_loss_sums *loss = dt_snapshot_loss(s->snapshot);
    if (loss && !isfinite(loss->loss))
        return dt_fail(err, DT_ERR_NUMERIC, "the loss of step %lld is not finite (%g)",
                       (long long)manifest->step, (double)loss->loss);
    if (loss && (double)loss->loss > DIVERGED_LOSS * (double)loss->n)
        return dt_fail(
            err, DT_ERR_DATA,
            "the loss of step %lld is %g: the training has diverged, and an older checkpoint is better",
            (long long)manifest->step, (double)loss->loss / (double)loss->n);
    if (state) {
        manifest->loss_scale = (double)state->loss_scale;
        manifest->n_good_steps = state->n_good;
        manifest->n_skipped_steps = state->n_skipped;
    }
    return DT_OK;
}

static dt_status write_share(void *context, dt_manifest *manifest, dt_shard_entry *entry, dt_error *err)
{
    saver *s = context;
    const dt_state_io io = dt_snapshot_io(s->snapshot);
    *entry = s->share;
    DT_TRY(dt_snapshot_wait(s->snapshot, err));
    DT_TRY(read_step_state(s, manifest, err));
    return s->store->ops->write_shard(s->store, manifest->step, s->layout, &io, entry, err);
}

/* -- in the caller's thread ------------------------------------------------------------------------------ */

/* Add the layout's tensors, and an empty entry for every rank's shard. */
static dt_status add_arrays(const saver *s, dt_manifest *m, dt_error *err)
{
    const size_t tensor_bytes = (size_t)s->layout->n_tensors * sizeof *m->tensors;
    m->tensors = dt_alloc(tensor_bytes);
    m->shards = dt_calloc((size_t)s->n_shards, sizeof *m->shards);
    if (!m->tensors || !m->shards)
        return dt_fail_memory(err, tensor_bytes, "the manifest of the checkpoint");
    if (tensor_bytes)
        memcpy(m->tensors, s->layout->tensors, tensor_bytes);
    m->n_tensors = s->layout->n_tensors;
    m->n_shards = s->n_shards;
    return DT_OK;
}

static dt_status prepare(void *context, dt_manifest *manifest, dt_error *err)
{
    saver *s = context;
    DT_TRY(add_arrays(s, manifest, err));
    return dt_snapshot_enqueue(s->snapshot, err);
}

static void abandon(void *context)
{
    dt_snapshot_abandon(((saver *)context)->snapshot);
}

static void destroy(void *context)
{
    saver *s = context;
    dt_snapshot_destroy(s->snapshot);
    dt_free(s);
}

dt_status dt_saver_create(const dt_saver_options *o, dt_writer **writer, dt_snapshot_memory *memory,
                          dt_error *err)
{
    const dt_comm *comm = o->comm;
    const bool commits = o->per_host ? comm->local_rank == 0 : comm->rank == 0;
    saver *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the writer of checkpoints");
    s->store = o->store;
    s->layout = o->layout;
    s->n_shards = comm->size;
    s->share = share_of(comm->rank, comm->size, o->layout->n_elems);
    dt_status status =
        dt_snapshot_create(o->comm, o->layout, o->io, s->share.first, s->share.n_elems, &s->snapshot, err);
    if (status != DT_OK) {
        destroy(s);
        return status;
    }
    const dt_writer_job job = {.store = o->store,
                               .begins = commits,
                               .commits = commits,
                               .per_host = o->per_host,
                               .keep = o->per_host && o->keep < 2 ? 2 : o->keep,
                               .prepare = prepare,
                               .make_shard = write_share,
                               .abandon = abandon,
                               .destroy = destroy,
                               .context = s};
    *memory = dt_snapshot_get_memory(s->snapshot);
    return dt_writer_create(o->comm, &job, writer, err);
}
