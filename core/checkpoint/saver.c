#include "core/checkpoint/saver.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/collective/agreement.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct dt_saver {
    dt_comm *comm;
    dt_store *store;
    const dt_state_layout *layout;
    bool commits;          /* this rank begins and commits checkpoints */
    dt_shard_entry share;  /* this rank's: file, first, n_elems */
    dt_snapshot *snapshot; /* of it */
    dt_writer *writer;
};

/* The rank-th even share: sizes differ by one element at most. */
static dt_shard_entry share_of(int rank, int size, int64_t n_elems)
{
    dt_shard_entry entry = {.n_elems = n_elems / size + (rank < n_elems % size)};
    entry.first = n_elems / size * rank + (rank < n_elems % size ? rank : n_elems % size);
    snprintf(entry.file, sizeof entry.file, "shard-%04d-of-%04d.h5", rank, size);
    return entry;
}

/* -- in the writer's thread ------------------------------------------------------------------------------ */

/* What only the device knew when the step was enqueued. The scale is the same on all ranks; one rank's loss
 * is enough to spoil all weights. */
static dt_status look_at_step(dt_saver *s, dt_manifest *manifest, dt_error *err)
{
    const dt_step_state *state = dt_snapshot_step_state(s->snapshot);
    const dt_loss_sums *loss = dt_snapshot_loss(s->snapshot);
    if (loss && !isfinite(loss->loss))
        return dt_fail(err, DT_ERR_NUMERIC, "the loss of step %lld is not finite (%g)",
                       (long long)manifest->step, (double)loss->loss);
    if (state) {
        manifest->loss_scale = (double)state->loss_scale;
        manifest->n_good_steps = state->n_good;
        manifest->n_skipped_steps = state->n_skipped;
    }
    return DT_OK;
}

static dt_status write_share(void *context, dt_manifest *manifest, dt_shard_entry *entry, dt_error *err)
{
    dt_saver *s = context;
    const dt_state_io io = dt_snapshot_io(s->snapshot);
    *entry = s->share;
    DT_TRY(dt_snapshot_wait(s->snapshot, err));
    DT_TRY(look_at_step(s, manifest, err));
    return s->store->ops->write_shard(s->store, manifest->step, s->layout, &io, entry, err);
}

/* -- the training's side --------------------------------------------------------------------------------- */

dt_status dt_saver_create(dt_comm *comm, dt_store *store, bool per_host, const dt_state_layout *layout,
                          const dt_state_io *io, int64_t keep, dt_saver **saver, dt_error *err)
{
    dt_saver *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the writer of checkpoints");
    s->comm = comm;
    s->store = store;
    s->layout = layout;
    s->commits = per_host ? comm->local_rank == 0 : comm->rank == 0;
    s->share = share_of(comm->rank, comm->size, layout->n_elems);
    const dt_writer_job job = {.store = store,
                               .commits = s->commits,
                               .per_host = per_host,
                               .keep = per_host && keep < 2 ? 2 : keep,
                               .make_shard = write_share,
                               .context = s};
    dt_status status =
        dt_snapshot_create(comm, layout, io, s->share.first, s->share.n_elems, &s->snapshot, err);
    if (status == DT_OK)
        status = dt_writer_create(comm, &job, &s->writer, err);
    if (status != DT_OK) {
        dt_saver_destroy(s);
        return status;
    }
    *saver = s;
    return DT_OK;
}

void dt_saver_destroy(dt_saver *s)
{
    if (!s)
        return;
    if (s->snapshot)
        dt_snapshot_abandon(s->snapshot);
    dt_writer_destroy(s->writer);
    dt_snapshot_destroy(s->snapshot);
    dt_free(s);
}

/* The tensors of the layout, and room for a shard of every rank, into the manifest. */
static dt_status fill_manifest(const dt_saver *s, dt_manifest *m, dt_error *err)
{
    size_t tensor_bytes = (size_t)s->layout->n_tensors * sizeof *m->tensors;
    m->tensors = dt_alloc(tensor_bytes);
    m->shards = dt_calloc((size_t)s->comm->size, sizeof *m->shards);
    if (!m->tensors || !m->shards)
        return dt_fail_memory(err, tensor_bytes, "the manifest of the checkpoint");
    if (tensor_bytes)
        memcpy(m->tensors, s->layout->tensors, tensor_bytes);
    m->n_tensors = s->layout->n_tensors;
    m->n_shards = s->comm->size;
    return DT_OK;
}

dt_status dt_saver_start(dt_saver *s, dt_manifest *manifest, dt_error *err)
{
    dt_error own; /* dt_agree hands messages on, so there must be one */
    err = err ? err : &own;
    const double start = dt_clock_s();
    dt_saver_report report;
    dt_saver_look(s, &report);
    dt_status mine = report.pending
                         ? dt_fail(err, DT_ERR_INTERNAL, "checkpoints: one is being written already")
                         : fill_manifest(s, manifest, err);
    if (mine == DT_OK)
        mine = dt_snapshot_enqueue(s->snapshot, err);
    bool begun = mine == DT_OK && s->commits;
    if (begun)
        mine = s->store->ops->begin(s->store, manifest->step, err);
    dt_status status = dt_agree(s->comm, mine, err);
    if (status == DT_OK)
        dt_writer_start(s->writer, manifest, dt_clock_s() - start);
    else if (begun)
        s->store->ops->discard(s->store, manifest->step);
    return status;
}

bool dt_saver_is_ready(dt_saver *s)
{
    return dt_writer_is_ready(s->writer);
}

bool dt_saver_is_sealed(dt_saver *s)
{
    return dt_writer_has_exchanged(s->writer);
}

dt_status dt_saver_seal(dt_saver *s, dt_error *err)
{
    return dt_writer_exchange_shards(s->writer, INFINITY, err);
}

dt_status dt_saver_settle(dt_saver *s, dt_saver_report *report, dt_error *err)
{
    return dt_writer_finish(s->writer, INFINITY, report, err);
}

void dt_saver_look(dt_saver *s, dt_saver_report *report)
{
    dt_writer_poll(s->writer, report);
}

const dt_manifest *dt_saver_get_manifest(const dt_saver *s)
{
    return dt_writer_get_manifest(s->writer);
}

dt_snapshot_memory dt_saver_snapshot_memory(const dt_saver *s)
{
    return dt_snapshot_get_memory(s->snapshot);
}
