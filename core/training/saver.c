#include "core/training/saver.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/training/agreement.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define LOOK_EVERY_S 0.02 /* for other ranks' shards; a shard takes longer */
/* All ranks have said that their shards are there: how long rank 0 goes on looking. NFS believes for up to 3 s what it saw last. */
#define VISIBLE_WITHIN_S 10.0

typedef enum phase { IDLE, SHARD, COMMIT, DONE } phase;

struct dt_saver {
    dt_comm *comm;
    dt_store *store;
    const dt_state_layout *layout;
    int64_t keep;

    dt_shard_entry share;  /* this rank's: file, first, n_elems */
    dt_snapshot *snapshot; /* of it */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    phase phase;
    bool leave;            /* the thread is to end */
    bool abandon;          /* rank 0: no use in waiting for other ranks' shards */
    double visible_until;  /* rank 0: > 0: all are written; look until then */
    dt_manifest manifest;
    dt_status shard_status, commit_status;
    dt_error shard_error, commit_error;
    dt_saver_report report;
    double start_s;
};

/* The rank-th even share: sizes differ by one element at most. */
static dt_shard_entry share_of(int rank, int size, int64_t n_elems)
{
    dt_shard_entry entry = {.n_elems = n_elems / size + (rank < n_elems % size)};
    entry.first = n_elems / size * rank + (rank < n_elems % size ? rank : n_elems % size);
    snprintf(entry.file, sizeof entry.file, "shard-%04d-of-%04d.h5", rank, size);
    return entry;
}

/* -- the thread --------------------------------------------------------------------------------------------------------------- */

/* What only the device knew when the step was enqueued. The scale is the same on all ranks; one rank's loss is enough to spoil all weights. */
static dt_status look_at_step(dt_saver *s, dt_error *err)
{
    const dt_step_state *state = dt_snapshot_step_state(s->snapshot);
    const dt_loss_sums *loss = dt_snapshot_loss(s->snapshot);
    if (loss && !isfinite(loss->loss))
        return dt_fail(err, DT_ERR_NUMERIC, "the loss of step %lld is not finite (%g)", (long long)s->manifest.step, (double)loss->loss);
    if (state) {
        s->manifest.loss_scale = (double)state->loss_scale;
        s->manifest.n_good_steps = state->n_good;
        s->manifest.n_skipped_steps = state->n_skipped;
    }
    return DT_OK;
}

static dt_status write_share(dt_saver *s, dt_error *err)
{
    const dt_state_io io = dt_snapshot_io(s->snapshot);
    dt_shard_entry entry = s->share;
    DT_TRY(dt_snapshot_wait(s->snapshot, err));
    DT_TRY(look_at_step(s, err));
    DT_TRY(s->store->ops->write_shard(s->store, s->manifest.step, s->layout, &io, &entry, err));
    s->manifest.shards[s->comm->rank] = entry;
    return s->comm->rank == 0 ? DT_OK : s->store->ops->tell_shard(s->store, s->manifest.step, &entry, err);
}

static bool is_abandoned(dt_saver *s, double *visible_until)
{
    pthread_mutex_lock(&s->mutex);
    bool abandoned = s->abandon || s->leave;
    *visible_until = s->visible_until;
    pthread_mutex_unlock(&s->mutex);
    return abandoned;
}

/* Rank 0: until every other rank's shard is there. */
static dt_status hear_shards(dt_saver *s, dt_error *err)
{
    double until;
    for (int r = 1; r < s->comm->size;) {
        const dt_shard_entry share = share_of(r, s->comm->size, s->layout->n_elems);
        bool there = false;
        if (is_abandoned(s, &until))
            return dt_fail(err, DT_ERR_IO, "the checkpoint of step %lld was abandoned", (long long)s->manifest.step);
        DT_TRY(s->store->ops->hear_shard(s->store, s->manifest.step, &share, &s->manifest.shards[r], &there, err));
        if (there) {
            r++;
            continue;
        }
        if (until > 0.0 && dt_clock_s() > until)
            return dt_fail(err, DT_ERR_IO,
                           "%s: rank %d has written %s, but that is not seen on rank 0's host; with several hosts checkpoints must be on a file system that "
                           "all of them share",
                           s->store->ops->location(s->store), r, share.file);
        dt_clock_sleep_s(LOOK_EVERY_S);
    }
    return DT_OK;
}

static dt_status commit(dt_saver *s, dt_error *err)
{
    dt_error why = {0};
    DT_TRY(hear_shards(s, err));
    DT_TRY(s->store->ops->commit(s->store, &s->manifest, err));
    if (s->store->ops->prune(s->store, s->manifest.step, s->keep, &why) != DT_OK)
        dt_log_warn("checkpoint: old ones were not removed: %s", why.message); /* the new one is safe all the same */
    return DT_OK;
}

static void shard_is_done(dt_saver *s, dt_status status)
{
    pthread_mutex_lock(&s->mutex);
    s->shard_status = status;
    s->phase = s->comm->rank == 0 && status == DT_OK ? COMMIT : DONE;
    if (s->phase == DONE)
        s->report.write_s = dt_clock_s() - s->start_s;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void commit_is_done(dt_saver *s, dt_status status)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < s->manifest.n_shards; i++)
        bytes += s->manifest.shards[i].bytes;
    pthread_mutex_lock(&s->mutex);
    s->commit_status = status;
    s->report.committed = status == DT_OK;
    s->report.bytes = bytes;
    s->report.write_s = dt_clock_s() - s->start_s;
    s->phase = DONE;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void *write_generations(void *context)
{
    dt_saver *s = context;
    for (;;) {
        pthread_mutex_lock(&s->mutex);
        while (s->phase != SHARD && !s->leave)
            pthread_cond_wait(&s->changed, &s->mutex);
        bool leaves = s->leave;
        pthread_mutex_unlock(&s->mutex);
        if (leaves)
            return NULL;
        dt_status status = write_share(s, &s->shard_error);
        shard_is_done(s, status);
        if (s->comm->rank == 0 && status == DT_OK)
            commit_is_done(s, commit(s, &s->commit_error));
    }
}

/* -- the training's side --------------------------------------------------------------------------------------------------------- */

dt_status dt_saver_create(dt_comm *comm, dt_store *store, const dt_state_layout *layout, const dt_state_io *io, int64_t keep, dt_saver **saver, dt_error *err)
{
    dt_saver *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the writer of checkpoints");
    s->comm = comm;
    s->store = store;
    s->layout = layout;
    s->keep = keep;
    s->share = share_of(comm->rank, comm->size, layout->n_elems);
    pthread_mutex_init(&s->mutex, NULL); /* on Linux these two do not fail */
    pthread_cond_init(&s->changed, NULL);
    dt_status status = dt_snapshot_create(comm, layout, io, s->share.first, s->share.n_elems, &s->snapshot, err);
    int failed = status == DT_OK ? pthread_create(&s->thread, NULL, write_generations, s) : 0;
    if (failed)
        status = dt_fail(err, DT_ERR_MEMORY, "checkpoints: no thread to write them: %s", strerror(failed));
    s->has_thread = status == DT_OK;
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
    pthread_mutex_lock(&s->mutex);
    s->leave = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    if (s->snapshot)
        dt_snapshot_abandon(s->snapshot);
    if (s->has_thread)
        pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->changed);
    dt_manifest_clear(&s->manifest);
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
    dt_status mine = s->report.pending ? dt_fail(err, DT_ERR_INTERNAL, "checkpoints: one is being written already") : fill_manifest(s, manifest, err);
    if (mine == DT_OK)
        mine = dt_snapshot_take(s->snapshot, err);
    bool begun = mine == DT_OK && s->comm->rank == 0;
    if (begun)
        mine = s->store->ops->begin(s->store, manifest->step, err);
    dt_status status = dt_agree(s->comm, mine, err);
    if (status != DT_OK) {
        if (begun)
            s->store->ops->discard(s->store, manifest->step);
        return status;
    }
    pthread_mutex_lock(&s->mutex);
    dt_manifest_clear(&s->manifest);
    s->manifest = *manifest;
    *manifest = (dt_manifest){.step = manifest->step};
    s->start_s = start;
    s->shard_status = s->commit_status = DT_OK;
    s->shard_error = s->commit_error = (dt_error){0};
    s->abandon = false;
    s->visible_until = 0.0;
    s->report = (dt_saver_report){.pending = true, .step = s->manifest.step, .stall_s = dt_clock_s() - start};
    s->phase = SHARD;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    return DT_OK;
}

static void wait_for(dt_saver *s, phase least)
{
    pthread_mutex_lock(&s->mutex);
    while (s->phase < least)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

static void tell_thread(dt_saver *s, bool abandon)
{
    pthread_mutex_lock(&s->mutex);
    s->abandon = abandon;
    s->visible_until = dt_clock_s() + VISIBLE_WITHIN_S;
    pthread_mutex_unlock(&s->mutex);
}

dt_status dt_saver_settle(dt_saver *s, dt_saver_report *report, dt_error *err)
{
    dt_error own = {0};
    err = err ? err : &own;
    if (!s->report.pending) {
        if (report)
            *report = (dt_saver_report){0};
        return DT_OK;
    }
    wait_for(s, COMMIT);
    *err = s->shard_error;
    dt_status status = dt_agree(s->comm, s->shard_status, err);
    tell_thread(s, status != DT_OK);
    wait_for(s, DONE);
    if (status == DT_OK) {
        *err = s->commit_error;
        status = dt_agree(s->comm, s->commit_status, err);
    }
    if (status != DT_OK && s->comm->rank == 0)
        s->store->ops->discard(s->store, s->report.step);
    if (report)
        *report = s->report;
    pthread_mutex_lock(&s->mutex);
    s->report.pending = false;
    s->phase = IDLE;
    pthread_mutex_unlock(&s->mutex);
    return status;
}

void dt_saver_look(dt_saver *s, dt_saver_report *report)
{
    pthread_mutex_lock(&s->mutex);
    *report = s->report;
    pthread_mutex_unlock(&s->mutex);
}

dt_snapshot_memory dt_saver_snapshot_memory(const dt_saver *s)
{
    return dt_snapshot_get_memory(s->snapshot);
}
