/* loader_ring.c: see loader_ring.h. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "io/source/loader_ring.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/waits.h"
#include "io/source/host_memory.h"
#include "io/source/sampler.h"
#include "io/source/slow_read.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define POLL_S 0.25

typedef struct ring_entry {
    dt_batch batch; /* first: release finds the entry by it */
    bool busy;      /* from the assignment of its first slot until release */
    bool held;      /* by the caller */
    int64_t number; /* of its batch since start */
    int64_t n_left; /* slots not filled yet */
    int64_t n_decoded, n_broken;
    int64_t failed_slot; /* the first that could not be filled; batch.n: none */
    dt_error error;      /* of that slot */
} ring_entry;

typedef struct ring_worker {
    dt_loader_ring *ring;
    dt_sample *sample;
    pthread_t thread;
} ring_worker;

struct dt_loader_ring {
    dt_slot_filler *filler;
    dt_device *device;   /* or NULL */
    const dt_cpus *cpus; /* where threads run, or NULL */
    dt_sampler sampler;
    int64_t image_size, reserved_size; /* pixels: now, and what the allocated memory holds */
    int64_t n_entries, n_workers, n_threads;
    int64_t group; /* slots assigned to a thread at once */
    ring_entry *entries;
    ring_worker *workers;
    dt_sample **samples; /* [n_workers] */

    pthread_mutex_t lock; /* guards all below and the entries, except slots that are being filled */
    pthread_cond_t work;  /* there may be slots to fill, or it is time to quit */
    pthread_cond_t done;  /* a batch is full, or a thread is idle */
    bool quit;
    int64_t n_running; /* threads that have not ended */
    int64_t epoch, position, n_batches;
    int64_t next_batch, next_slot; /* the next slot to assign */
    int64_t n_busy_threads;
    int64_t next_out, n_held; /* the next batch to return; batches not released yet */
    int64_t n_decoded;
    double wait_s;
};

/* Slots of a batch, for one thread. */
typedef struct ring_task {
    ring_entry *entry;
    int64_t epoch, position, first, n;
} ring_task;

/* Assign the next slots to this thread, under the lock. False: there are none, or their batch is busy. */
static bool acquire_task(dt_loader_ring *ring, ring_task *task_out)
{
    if (ring->next_batch >= ring->n_batches)
        return false;
    ring_entry *entry = &ring->entries[ring->next_batch % ring->n_entries];
    int64_t n = entry->batch.n;
    if (ring->next_slot == 0) {
        if (entry->busy)
            return false;
        entry->busy = true;
        entry->number = ring->next_batch;
        entry->n_left = entry->failed_slot = n;
        entry->n_decoded = entry->n_broken = 0;
        entry->batch.size = ring->image_size;
    }
    int64_t left = n - ring->next_slot;
    *task_out = (ring_task){
        .entry = entry,
        .epoch = ring->epoch,
        .position = dt_sampler_position(&ring->sampler, ring->position, ring->next_batch, ring->next_slot),
        .first = ring->next_slot,
        .n = left < ring->group ? left : ring->group,
    };
    ring->next_slot += task_out->n;
    if (ring->next_slot == n) {
        ring->next_slot = 0;
        ring->next_batch++;
    }
    return true;
}

/* The result of a task. */
typedef struct ring_outcome {
    int64_t n_decoded, n_broken, failed_slot;
    dt_error error;
} ring_outcome;

static void fill_slots(ring_worker *worker, const ring_task *task, ring_outcome *outcome)
{
    dt_loader_ring *ring = worker->ring;
    dt_batch *batch = &task->entry->batch;
    int64_t size = batch->size, slot_bytes = size * size * 3;
    outcome->n_decoded = outcome->n_broken = 0;
    outcome->failed_slot = batch->n;
    for (int64_t i = task->first; i < task->first + task->n; i++) {
        uint8_t *pixels = batch->pixels + i * slot_bytes;
        int64_t id = dt_sampler_id(&ring->sampler, task->epoch, task->position + i - task->first);
        dt_slot slot = {.label = -1};
        if (id < 0) {
            memset(pixels, 0, (size_t)slot_bytes);
        } else if (dt_slot_fill(ring->filler, worker->sample, task->epoch, id, size, pixels, &slot,
                                &outcome->error) != DT_OK) {
            outcome->failed_slot = i;
            return;
        }
        batch->ids[i] = id;
        batch->labels[i] = slot.label;
        outcome->n_decoded += slot.label >= 0;
        outcome->n_broken += slot.broken;
    }
}

/* Add the result of a task to its batch. Under the lock. */
static void finish_task(dt_loader_ring *ring, const ring_task *task, const ring_outcome *outcome)
{
    ring_entry *entry = task->entry;
    entry->n_decoded += outcome->n_decoded;
    entry->n_broken += outcome->n_broken;
    if (outcome->failed_slot < entry->failed_slot) {
        entry->failed_slot = outcome->failed_slot;
        entry->error = outcome->error;
    }
    entry->n_left -= task->n;
    ring->n_busy_threads--;
    if (entry->n_left == 0 || ring->n_busy_threads == 0)
        pthread_cond_signal(&ring->done);
}

static void *run_worker(void *argument)
{
    ring_worker *worker = argument;
    dt_loader_ring *ring = worker->ring;
    ring_outcome outcome;
    if (ring->cpus)
        (void)dt_cpus_bind(ring->cpus); /* elsewhere it decodes as well */
    pthread_mutex_lock(&ring->lock);
    while (!ring->quit) {
        ring_task task;
        if (!acquire_task(ring, &task)) {
            pthread_cond_wait(&ring->work, &ring->lock);
            continue;
        }
        ring->n_busy_threads++;
        pthread_mutex_unlock(&ring->lock);
        fill_slots(worker, &task, &outcome);
        pthread_mutex_lock(&ring->lock);
        finish_task(ring, &task, &outcome);
    }
    ring->n_running--;
    pthread_cond_signal(&ring->done);
    pthread_mutex_unlock(&ring->lock);
    return NULL;
}

/* Start the threads with all signals blocked, so that the main thread gets them. */
static dt_status start_threads(dt_loader_ring *ring, dt_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int refused = 0;
    while (ring->n_threads < ring->n_workers && !refused) {
        ring_worker *worker = &ring->workers[ring->n_threads];
        refused = pthread_create(&worker->thread, NULL, run_worker, worker);
        if (!refused) {
            pthread_setname_np(worker->thread, "dtrain-load");
            pthread_mutex_lock(&ring->lock);
            ring->n_threads++;
            ring->n_running++;
            pthread_mutex_unlock(&ring->lock);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!refused)
        return DT_OK;
    errno = refused;
    return dt_fail_errno(err, "loader: cannot start thread %lld of %lld (--workers)",
                         (long long)ring->n_threads + 1, (long long)ring->n_workers);
}

/* Wait for a signal of `done`, a short time at most. Under the lock. */
static dt_status wait_done(dt_loader_ring *ring, dt_slow_read *slow, dt_error *err)
{
    const struct timespec until = dt_clock_deadline(POLL_S);
    if (pthread_cond_timedwait(&ring->done, &ring->lock, &until) == 0)
        return DT_OK;
    return dt_slow_read_check(slow, ring->samples, ring->n_threads, err);
}

/* Assign no more slots, wait for those that are being filled, and free all batches. Under the lock. */
static dt_status stop(dt_loader_ring *ring, dt_error *err)
{
    dt_slow_read slow = {0};
    ring->n_batches = ring->next_batch = ring->next_slot = 0;
    while (ring->n_busy_threads > 0)
        DT_TRY(wait_done(ring, &slow, err));
    for (int64_t i = 0; i < ring->n_entries; i++)
        ring->entries[i].busy = ring->entries[i].held = false;
    ring->next_out = ring->n_held = ring->n_decoded = 0;
    ring->wait_s = 0;
    return DT_OK;
}

dt_status dt_loader_ring_start(dt_loader_ring *ring, int64_t epoch, int64_t position, int64_t n_batches,
                               dt_error *err)
{
    DT_TRY(start_threads(ring, err));
    pthread_mutex_lock(&ring->lock);
    dt_status status = stop(ring, err);
    if (status == DT_OK) {
        ring->epoch = epoch;
        ring->position = position;
        ring->n_batches = n_batches;
        pthread_cond_broadcast(&ring->work);
    }
    pthread_mutex_unlock(&ring->lock);
    return status;
}

/* Wait for the next batch and hand it to the caller. Under the lock. */
static dt_status acquire_batch(dt_loader_ring *ring, ring_entry **entry_out, dt_error *err)
{
    if (ring->next_out >= ring->n_batches)
        return dt_fail(err, DT_ERR_INTERNAL, "loader: all %lld batches have been returned",
                       (long long)ring->n_batches);
    if (ring->n_held == ring->n_entries)
        return dt_fail(err, DT_ERR_INTERNAL, "loader: all %lld batches are held and none was released",
                       (long long)ring->n_entries);
    ring_entry *entry = &ring->entries[ring->next_out % ring->n_entries];
    double start_s = dt_clock_s();
    dt_slow_read slow = {0};
    while (!(entry->busy && entry->number == ring->next_out && entry->n_left == 0))
        DT_TRY(wait_done(ring, &slow, err));
    ring->wait_s += dt_clock_s() - start_s;
    if (entry->failed_slot < entry->batch.n) {
        if (err)
            *err = entry->error;
        return entry->error.status;
    }
    entry->held = true;
    ring->next_out++;
    ring->n_held++;
    ring->n_decoded += entry->n_decoded;
    *entry_out = entry;
    return DT_OK;
}

dt_status dt_loader_ring_next(dt_loader_ring *ring, dt_batch **batch, int64_t *n_broken, dt_error *err)
{
    ring_entry *entry = NULL;
    pthread_mutex_lock(&ring->lock);
    dt_status status = acquire_batch(ring, &entry, err);
    if (status == DT_OK) {
        *batch = &entry->batch;
        *n_broken = entry->n_broken;
    }
    pthread_mutex_unlock(&ring->lock);
    return status;
}

void dt_loader_ring_release(dt_loader_ring *ring, dt_batch *batch)
{
    ring_entry *entry = (ring_entry *)batch;
    pthread_mutex_lock(&ring->lock);
    if (entry->held) {
        entry->held = entry->busy = false;
        ring->n_held--;
        pthread_cond_broadcast(&ring->work);
    }
    pthread_mutex_unlock(&ring->lock);
}

void dt_loader_ring_stats(dt_loader_ring *ring, int64_t *n_decoded, double *wait_s)
{
    pthread_mutex_lock(&ring->lock);
    *n_decoded = ring->n_decoded;
    *wait_s = ring->wait_s;
    pthread_mutex_unlock(&ring->lock);
}

/* Allocate pixels of `size` for every entry. If memory is short, all entries keep what they had. */
static dt_status reserve_pixels(dt_loader_ring *ring, int64_t size, dt_error *err)
{
    int64_t bytes = ring->sampler.batch * size * size * 3;
    uint8_t **fresh = dt_calloc((size_t)ring->n_entries, sizeof *fresh);
    bool enough = fresh != NULL;
    for (int64_t i = 0; i < ring->n_entries && enough; i++) {
        fresh[i] = dt_host_memory_alloc(ring->device, bytes);
        enough = fresh[i] != NULL;
    }
    for (int64_t i = 0; i < ring->n_entries && fresh; i++) {
        uint8_t *unused = fresh[i];
        if (enough) {
            unused = ring->entries[i].batch.pixels;
            ring->entries[i].batch.pixels = fresh[i];
        }
        dt_host_memory_free(ring->device, unused);
    }
    dt_free(fresh);
    if (!enough)
        return dt_fail_memory(err, (size_t)(ring->n_entries * bytes),
                              "batches of images; try a smaller --batch");
    ring->reserved_size = size;
    return DT_OK;
}

dt_status dt_loader_ring_set_image_size(dt_loader_ring *ring, int64_t size, dt_error *err)
{
    pthread_mutex_lock(&ring->lock);
    dt_status status = stop(ring, err);
    if (status == DT_OK && size > ring->reserved_size)
        status = reserve_pixels(ring, size, err);
    if (status == DT_OK)
        ring->image_size = size;
    pthread_mutex_unlock(&ring->lock);
    return status;
}

/* False: a thread does not return from reading a file. */
static bool end_threads(dt_loader_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->quit = true;
    pthread_cond_broadcast(&ring->work);
    while (ring->n_running > 0 && !dt_slow_read_hangs(ring->samples, ring->n_threads)) {
        const struct timespec until = dt_clock_deadline(POLL_S);
        (void)pthread_cond_timedwait(&ring->done, &ring->lock, &until);
    }
    const bool ended = ring->n_running == 0;
    pthread_mutex_unlock(&ring->lock);
    return ended;
}

bool dt_loader_ring_destroy(dt_loader_ring *ring)
{
    if (!ring)
        return true;
    if (!end_threads(ring)) {
        dt_waits_leave_thread();
        return false;
    }
    for (int64_t i = 0; i < ring->n_threads; i++)
        pthread_join(ring->workers[i].thread, NULL);
    for (int64_t i = 0; i < ring->n_workers && ring->samples; i++)
        dt_sample_destroy(ring->samples[i]);
    for (int64_t i = 0; i < ring->n_entries && ring->entries; i++) {
        dt_host_memory_free(ring->device, ring->entries[i].batch.pixels);
        dt_free(ring->entries[i].batch.labels);
        dt_free(ring->entries[i].batch.ids);
    }
    dt_free(ring->workers);
    dt_free(ring->samples);
    dt_free(ring->entries);
    pthread_cond_destroy(&ring->done);
    pthread_cond_destroy(&ring->work);
    pthread_mutex_destroy(&ring->lock);
    dt_free(ring);
    return true;
}

static dt_status create_entries(dt_loader_ring *ring, dt_error *err)
{
    size_t n_slots = (size_t)ring->sampler.batch;
    ring->entries = dt_calloc((size_t)ring->n_entries, sizeof *ring->entries);
    if (!ring->entries)
        return dt_fail_memory(err, (size_t)ring->n_entries * sizeof *ring->entries, "the loader");
    for (int64_t i = 0; i < ring->n_entries; i++) {
        dt_batch *batch = &ring->entries[i].batch;
        batch->n = ring->sampler.batch;
        batch->labels = dt_calloc(n_slots, sizeof *batch->labels);
        batch->ids = dt_calloc(n_slots, sizeof *batch->ids);
        if (!batch->labels || !batch->ids)
            return dt_fail_memory(err, n_slots * sizeof *batch->ids, "the loader");
    }
    return reserve_pixels(ring, ring->image_size, err);
}

static dt_status create_workers(dt_loader_ring *ring, dt_error *err)
{
    ring->workers = dt_calloc((size_t)ring->n_workers, sizeof *ring->workers);
    ring->samples = dt_calloc((size_t)ring->n_workers, sizeof *ring->samples);
    if (!ring->workers || !ring->samples)
        return dt_fail_memory(err, (size_t)ring->n_workers * sizeof *ring->workers, "the loader");
    for (int64_t i = 0; i < ring->n_workers; i++) {
        ring->workers[i].ring = ring;
        DT_TRY(dt_sample_create(&ring->samples[i], err));
        ring->workers[i].sample = ring->samples[i];
    }
    return DT_OK;
}

dt_status dt_loader_ring_create(const dt_loader_options *options, const dt_folder *folder,
                                dt_slot_filler *filler, dt_loader_ring **ring_out, dt_error *err)
{
    dt_loader_ring *ring = dt_calloc(1, sizeof *ring);
    if (!ring)
        return dt_fail_memory(err, sizeof *ring, "the loader");
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->work, NULL);
    dt_clock_init_cond(&ring->done);
    ring->filler = filler;
    ring->device = options->device;
    ring->cpus = options->cpus;
    ring->sampler = (dt_sampler){
        .n_samples = dt_folder_n_samples(folder),
        .seed = options->seed,
        .shuffle = options->training && options->shuffle,
        .batch = options->batch,
        .accumulate = options->accumulate,
        .rank = options->rank,
        .world = options->world,
    };
    ring->image_size = options->image_size;
    ring->n_workers = options->workers;
    /* The caller holds one or two batches, one is being filled, one is full; more if batches are too small to
     * occupy all threads. */
    ring->n_entries = 4 + 2 * options->workers / options->batch;
    /* Small images decode in 30 us: groups make the cost of the lock negligible. Large groups would leave
     * threads idle at the end of a batch. */
    ring->group = options->batch / (4 * options->workers);
    ring->group = ring->group < 1 ? 1 : ring->group > 16 ? 16 : ring->group;
    dt_status status = create_entries(ring, err);
    if (status == DT_OK)
        status = create_workers(ring, err);
    if (status != DT_OK) {
        (void)dt_loader_ring_destroy(ring); /* no thread runs yet */
        return status;
    }
    *ring_out = ring;
    return DT_OK;
}
