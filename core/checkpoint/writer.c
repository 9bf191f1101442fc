#include "core/checkpoint/writer.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"

#include <pthread.h>
#include <string.h>

#define ALIVE_EVERY_S 0.2 /* how often this rank, while it waits, lets the others know that it is alive */

/* What every rank sends to the others in the exchange. */
typedef struct shard_record {
    int64_t status;
    dt_shard_entry entry;
} shard_record;

struct dt_writer {
    dt_comm *comm;
    dt_writer_job job;
    shard_record *records; /* [size] */
    bool whole;            /* the newest checkpoint has finished, and is whole */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    bool leave;                                /* the thread is to end */
    bool started, shard_done, exchanged, done; /* how far the checkpoint is, in this order */
    dt_manifest manifest;
    dt_status shard_status, exchanged_status, commit_status; /* exchanged: of all ranks' shards */
    dt_error shard_error, exchanged_error, commit_error;
    dt_writer_progress progress;
    double start_s, shard_s, exchanged_s; /* when each of these was reached, by dt_clock_s */
};

/* -- the thread ------------------------------------------------------------------------------------------ */

static dt_status commit(dt_writer *w, dt_error *err)
{
    dt_error why = {0};
    dt_store *store = w->job.store;
    DT_TRY(store->ops->commit(store, &w->manifest, w->job.per_host, err));
    if (store->ops->prune(store, w->manifest.step, w->job.keep, &why) != DT_OK)
        /* the new one is safe nevertheless */
        dt_log_warn("checkpoint: old ones were not removed: %s", why.message);
    return DT_OK;
}

/* All ranks know all shards: if this rank commits, commit them, or discard them if one failed. */
static void end_checkpoint(dt_writer *w)
{
    dt_error err = {0};
    dt_status status = w->exchanged_status;
    if (w->job.commits && status == DT_OK)
        status = commit(w, &err);
    if (w->job.commits && status != DT_OK)
        w->job.store->ops->discard(w->job.store, w->manifest.step);
    pthread_mutex_lock(&w->mutex);
    w->commit_status = status;
    w->commit_error = err;
    w->progress.committed = w->job.commits && status == DT_OK;
    w->progress.write_s = w->shard_s - w->start_s + dt_clock_s() - w->exchanged_s;
    w->done = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void set_exchanged(dt_writer *w, dt_status status, const dt_error *err)
{
    w->exchanged_status = status;
    w->exchanged_error = *err;
    w->exchanged = true;
    w->exchanged_s = dt_clock_s();
    for (int64_t i = 0; status == DT_OK && i < w->manifest.n_shards; i++)
        w->progress.bytes += w->manifest.shards[i].bytes;
    pthread_cond_broadcast(&w->changed);
}

static void make_shard(dt_writer *w)
{
    dt_error err = {0};
    dt_shard_entry entry = w->manifest.shards[w->comm->rank];
    dt_status status = w->job.make_shard(w->job.context, &w->manifest, &entry, &err);
    pthread_mutex_lock(&w->mutex);
    w->manifest.shards[w->comm->rank] = entry;
    w->shard_status = status;
    w->shard_error = err;
    w->shard_done = true;
    w->shard_s = dt_clock_s();
    if (w->comm->size == 1 && !(w->leave && status != DT_OK))
        set_exchanged(w, status, &err);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

/* Wait for a flag, or until the thread is to end; return the flag. */
static bool wait_in_thread(dt_writer *w, const bool *flag)
{
    pthread_mutex_lock(&w->mutex);
    while (!*flag && !w->leave)
        pthread_cond_wait(&w->changed, &w->mutex);
    const bool is_set = *flag;
    pthread_mutex_unlock(&w->mutex);
    return is_set;
}

static void *make_checkpoints(void *context)
{
    dt_writer *w = context;
    while (wait_in_thread(w, &w->started)) {
        pthread_mutex_lock(&w->mutex);
        w->started = false;
        pthread_mutex_unlock(&w->mutex);
        make_shard(w);
        if (!wait_in_thread(w, &w->exchanged))
            break;
        end_checkpoint(w);
    }
    return NULL;
}

/* -- the caller's side ----------------------------------------------------------------------------------- */

dt_status dt_writer_create(dt_comm *comm, const dt_writer_job *job, dt_writer **writer, dt_error *err)
{
    dt_writer *w = dt_calloc(1, sizeof *w);
    if (!w) {
        if (job->destroy)
            job->destroy(job->context);
        return dt_fail_memory(err, sizeof *w, "the writer of checkpoints");
    }
    w->comm = comm;
    w->job = *job;
    pthread_mutex_init(&w->mutex, NULL); /* on Linux this does not fail */
    dt_clock_init_cond(&w->changed);
    w->records = dt_calloc((size_t)comm->size, sizeof *w->records);
    dt_status status = w->records ? DT_OK
                                  : dt_fail_memory(err, (size_t)comm->size * sizeof *w->records,
                                                   "the writer of checkpoints");
    int failed = status == DT_OK ? pthread_create(&w->thread, NULL, make_checkpoints, w) : 0;
    if (failed)
        status = dt_fail(err, DT_ERR_MEMORY, "cannot start the thread that writes checkpoints: %s",
                         strerror(failed));
    w->has_thread = status == DT_OK;
    if (status != DT_OK) {
        dt_writer_destroy(w);
        return status;
    }
    *writer = w;
    return DT_OK;
}

void dt_writer_destroy(dt_writer *w)
{
    if (!w)
        return;
    if (w->job.abandon)
        w->job.abandon(w->job.context);
    pthread_mutex_lock(&w->mutex);
    w->leave = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
    if (w->job.destroy)
        w->job.destroy(w->job.context);
    dt_manifest_clear(&w->manifest);
    dt_free(w->records);
    dt_free(w);
}

static dt_status copy_manifest(const dt_manifest *from, dt_manifest *to, dt_error *err)
{
    const size_t tensor_bytes = (size_t)from->n_tensors * sizeof *to->tensors,
                 shard_bytes = (size_t)from->n_shards * sizeof *to->shards;
    *to = *from;
    to->class_names = (dt_class_names){0};
    to->engines = (dt_engines){0};
    to->config_text = dt_strdup(from->config_text);
    to->tensors = tensor_bytes ? dt_alloc(tensor_bytes) : NULL;
    to->shards = shard_bytes ? dt_alloc(shard_bytes) : NULL;
    if (!to->config_text || (tensor_bytes && !to->tensors) || (shard_bytes && !to->shards))
        return dt_fail_memory(err, tensor_bytes + shard_bytes, "a copy of a checkpoint's manifest");
    if (tensor_bytes)
        memcpy(to->tensors, from->tensors, tensor_bytes);
    if (shard_bytes)
        memcpy(to->shards, from->shards, shard_bytes);
    DT_TRY(dt_class_names_copy(&from->class_names, &to->class_names, err));
    return dt_engines_copy(&from->engines, &to->engines, err);
}

static dt_status prepare(dt_writer *w, const dt_manifest *from, dt_manifest *manifest, dt_error *err)
{
    if (w->progress.pending)
        return dt_fail(err, DT_ERR_INTERNAL, "checkpoints: one is being written already");
    DT_TRY(copy_manifest(from, manifest, err));
    return w->job.prepare ? w->job.prepare(w->job.context, manifest, err) : DT_OK;
}

static void start_thread(dt_writer *w, const dt_manifest *manifest, double start_s)
{
    pthread_mutex_lock(&w->mutex);
    dt_manifest_clear(&w->manifest);
    w->manifest = *manifest;
    w->start_s = start_s;
    w->shard_done = w->exchanged = w->done = w->whole = false;
    w->progress =
        (dt_writer_progress){.pending = true, .step = manifest->step, .stall_s = dt_clock_s() - start_s};
    w->started = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

dt_status dt_writer_start(dt_writer *w, const dt_manifest *manifest, dt_error *err)
{
    dt_error own; /* dt_agree passes messages on in it */
    err = err ? err : &own;
    const double start_s = dt_clock_s();
    dt_store *store = w->job.store;
    dt_manifest copy = {0};
    dt_status mine = prepare(w, manifest, &copy, err);
    const bool begun = mine == DT_OK && w->job.begins;
    if (begun)
        mine = store->ops->begin(store, manifest->step, err);
    const dt_status status = dt_agree(w->comm, mine, err);
    if (status == DT_OK) {
        start_thread(w, &copy, start_s);
        return DT_OK;
    }
    if (begun)
        store->ops->discard(store, manifest->step);
    dt_manifest_clear(&copy);
    return status;
}

bool dt_writer_is_ready(dt_writer *w)
{
    pthread_mutex_lock(&w->mutex);
    const bool ready = w->progress.pending && (w->comm->size > 1 && !w->exchanged ? w->shard_done : w->done);
    pthread_mutex_unlock(&w->mutex);
    return ready;
}

bool dt_writer_has_exchanged(dt_writer *w)
{
    pthread_mutex_lock(&w->mutex);
    const bool exchanged = w->exchanged || w->comm->size == 1;
    pthread_mutex_unlock(&w->mutex);
    return exchanged;
}

/* Wait for a flag until until_s; false: it was not set in time. */
static bool wait_for(dt_writer *w, const bool *flag, double until_s)
{
    pthread_mutex_lock(&w->mutex);
    for (double now; !*flag && (now = dt_clock_s()) < until_s;) {
        const double left_s = until_s - now;
        const struct timespec next = dt_clock_deadline(left_s < ALIVE_EVERY_S ? left_s : ALIVE_EVERY_S);
        pthread_cond_timedwait(&w->changed, &w->mutex, &next);
        pthread_mutex_unlock(&w->mutex);
        (void)w->comm->ops->progress(w->comm, NULL); /* the next collective returns what is wrong */
        pthread_mutex_lock(&w->mutex);
    }
    const bool is_set = *flag;
    pthread_mutex_unlock(&w->mutex);
    return is_set;
}

static dt_status too_late(const dt_writer *w, dt_error *err)
{
    return dt_fail(err, DT_ERR_TIMEOUT, "%s: there was not enough time left",
                   w->job.store->ops->location(w->job.store));
}

dt_status dt_writer_exchange_shards(dt_writer *w, double until_s, dt_error *err)
{
    if (!w->progress.pending || dt_writer_has_exchanged(w))
        return DT_OK;
    dt_error why = {0};
    const bool in_time = wait_for(w, &w->shard_done, until_s);
    dt_status mine = in_time ? w->shard_status : too_late(w, &why);
    if (in_time)
        why = w->shard_error;
    shard_record record;
    memset(&record, 0, sizeof record); /* all of it is sent */
    record.status = mine;
    if (mine == DT_OK)
        record.entry = w->manifest.shards[w->comm->rank];
    DT_TRY(w->comm->ops->all_gather(w->comm, &record, sizeof record, w->records, err));
    bool all = true;
    for (int r = 0; r < w->comm->size; r++)
        all = all && w->records[r].status == DT_OK;
    const dt_status status = all ? DT_OK : dt_agree(w->comm, mine, &why);
    pthread_mutex_lock(&w->mutex);
    for (int r = 0; all && r < w->comm->size; r++)
        w->manifest.shards[r] = w->records[r].entry;
    set_exchanged(w, status, &why);
    pthread_mutex_unlock(&w->mutex);
    return DT_OK;
}

/* This host has committed, and another host has not: remove what is not a whole checkpoint. */
static void withdraw(dt_writer *w)
{
    dt_error why = {0};
    dt_store *store = w->job.store;
    if (store->ops->prune(store, w->progress.step - 1, w->job.keep, &why) != DT_OK)
        dt_log_warn("checkpoint: what another host could not write was not removed on this host: %s",
                    why.message);
}

static dt_status finish(dt_writer *w, double until_s, dt_error *err)
{
    DT_TRY(dt_writer_exchange_shards(w, until_s, err));
    const bool in_time = wait_for(w, &w->done, until_s);
    if (w->exchanged_status != DT_OK) {
        *err = w->exchanged_error;
        return w->exchanged_status;
    }
    dt_status mine = in_time ? w->commit_status : too_late(w, err);
    if (in_time && mine != DT_OK)
        *err = w->commit_error;
    const dt_status status = dt_agree(w->comm, mine, err);
    if (status != DT_OK && in_time && w->progress.committed && w->job.per_host)
        withdraw(w);
    return status;
}

dt_status dt_writer_finish(dt_writer *w, double until_s, dt_writer_progress *progress, dt_error *err)
{
    dt_error own = {0};
    dt_status status = DT_OK;
    if (w->progress.pending) {
        status = finish(w, until_s, &own);
        w->whole = status == DT_OK;
    }
    if (status != DT_OK && err)
        *err = own;
    pthread_mutex_lock(&w->mutex);
    if (progress)
        *progress = w->progress.pending ? w->progress : (dt_writer_progress){0};
    w->progress.pending = false;
    pthread_mutex_unlock(&w->mutex);
    return status;
}

void dt_writer_poll(dt_writer *w, dt_writer_progress *progress)
{
    pthread_mutex_lock(&w->mutex);
    *progress = w->progress;
    pthread_mutex_unlock(&w->mutex);
}

const dt_manifest *dt_writer_get_manifest(const dt_writer *w)
{
    return w->whole ? &w->manifest : NULL;
}
