#include "config.h"

#include "launch/stage/fetch.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define RUN_S 1.0
enum { WAITING = 3 }; /* batches that should wait, so that the thread never waits for the next round */

/* One thread and its source. */
typedef struct reader {
    struct dt_stage_fetch *fetch;
    dt_stage_source *source;
    int64_t *queue; /* batches; guarded by the mutex, as all below */
    int64_t first, n, capacity;
    bool wants_more; /* the source could use more reads than there are */
    pthread_t thread;
    bool has_thread;
} reader;

struct dt_stage_fetch {
    const dt_stage_plan *plan;
    int max_slots;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    reader readers[2]; /* of the source, of the disk */
    dt_stage_slot *free, *ready, *last_ready;
    int n_slots, n_in_use;
    bool leave;
    dt_error error;              /* the first */
    dt_stage_source_stats stats; /* of the source, after the last run */
};

/* -- slots ----------------------------------------------------------------------------------------------- */

static void free_slot(dt_stage_slot *slot)
{
    if (!slot)
        return;
    dt_free(slot->block);
    dt_free(slot->reads);
    dt_free(slot);
}

/* The mutex is locked. NULL: there is none; *err is set where memory is the reason. */
static dt_stage_slot *get_slot(dt_stage_fetch *f, dt_status *status, dt_error *err)
{
    dt_stage_slot *slot = f->free;
    *status = DT_OK;
    if (slot) {
        f->free = slot->next;
    } else if (f->n_slots < f->max_slots) {
        slot = dt_calloc(1, sizeof *slot);
        if (slot) {
            slot->block = dt_alloc_large((size_t)DT_STAGE_BLOCK_BYTES);
            slot->reads = dt_calloc(DT_STAGE_BATCH_PIECES, sizeof *slot->reads);
        }
        if (!slot || !slot->block || !slot->reads) {
            free_slot(slot);
            *status = dt_fail_memory(err, (size_t)DT_STAGE_BLOCK_BYTES, "a batch of objects");
            return NULL;
        }
        f->n_slots++;
    }
    f->n_in_use += slot != NULL;
    return slot;
}

void dt_stage_fetch_release(dt_stage_fetch *f, dt_stage_slot *slot)
{
    pthread_mutex_lock(&f->mutex);
    slot->next = f->free;
    f->free = slot;
    f->n_in_use--;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    for (int i = 0; i < 2; i++)
        if (f->readers[i].source)
            f->readers[i].source->ops->wake(f->readers[i].source);
}

static void set_ready(dt_stage_fetch *f, dt_stage_slot *slot)
{
    pthread_mutex_lock(&f->mutex);
    slot->next = NULL;
    if (f->ready)
        f->last_ready->next = slot;
    else
        f->ready = slot;
    f->last_ready = slot;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

dt_stage_slot *dt_stage_fetch_take(dt_stage_fetch *f, double most_s)
{
    const struct timespec until = dt_clock_deadline(most_s);
    pthread_mutex_lock(&f->mutex);
    while (!f->ready && f->error.status == DT_OK)
        if (pthread_cond_timedwait(&f->changed, &f->mutex, &until) == ETIMEDOUT)
            break;
    dt_stage_slot *slot = f->ready;
    if (slot)
        f->ready = slot->next;
    pthread_mutex_unlock(&f->mutex);
    return slot;
}

/* -- reading --------------------------------------------------------------------------------------------- */

/* read->context is the slot; its position in slot->reads is that of the piece. */
static dt_status piece_done(dt_stage_read *read, dt_status status, dt_error *err)
{
    dt_stage_slot *slot = read->context;
    dt_stage_sum *sum = (dt_stage_sum *)slot->block + (read - slot->reads);
    (void)err;
    if (status != DT_OK)
        return status;
    sum->has_sum = read->has_sum;
    if (read->has_sum)
        sum->sum = read->sum;
    slot->n_open--;
    return DT_OK;
}

/* Starts the reads of a batch; returns how many there are. Empty objects need none. */
static int64_t start_batch(reader *r, dt_stage_slot *slot, int64_t number)
{
    const dt_stage_plan *plan = r->fetch->plan;
    const dt_stage_batch *batch = &plan->batches[number];
    char *data = slot->block + dt_stage_block_head(batch);
    memset(slot->block, 0, (size_t)dt_stage_block_head(batch));
    slot->batch = number;
    slot->n_open = 0;
    for (int64_t i = 0; i < batch->n; i++)
        slot->n_open += plan->pieces[batch->first + i].bytes > 0;
    const int64_t n = slot->n_open;
    for (int64_t i = 0; i < batch->n; i++) {
        const dt_stage_piece *p = &plan->pieces[batch->first + i];
        dt_stage_read *read = &slot->reads[i];
        *read = (dt_stage_read){.object = p->object,
                                .offset = p->offset,
                                .bytes = p->bytes,
                                .buffer = data,
                                .done = piece_done,
                                .context = slot};
        data += p->bytes;
        if (p->bytes > 0)
            r->source->ops->start(r->source, read);
    }
    return n;
}

/* The slots that a thread is reading into. */
typedef struct loading {
    dt_stage_slot *slots;
} loading;

static void hand_over_complete(reader *r, loading *at)
{
    for (dt_stage_slot **link = &at->slots; *link;) {
        dt_stage_slot *slot = *link;
        if (slot->n_open > 0) {
            link = &slot->next;
            continue;
        }
        *link = slot->next;
        set_ready(r->fetch, slot);
    }
}

/* Starts batches while the source wants more and there is memory. The mutex is locked. */
static dt_status start_batches(reader *r, loading *at, dt_error *err)
{
    dt_stage_fetch *f = r->fetch;
    dt_status status = DT_OK;
    while (r->n > 0 && (!at->slots || r->source->ops->wanted(r->source) > 0)) {
        dt_stage_slot *slot = get_slot(f, &status, err);
        if (!slot)
            return status;
        const int64_t number = r->queue[r->first++];
        r->n--;
        pthread_mutex_unlock(&f->mutex);
        (void)start_batch(r, slot, number);
        slot->next = at->slots;
        at->slots = slot;
        pthread_mutex_lock(&f->mutex);
    }
    r->wants_more = r->n == 0 && r->source->ops->wanted(r->source) > 0;
    return DT_OK;
}

static void *work(void *argument)
{
    reader *r = argument;
    dt_stage_fetch *f = r->fetch;
    loading at = {0};
    dt_error err = {0};
    pthread_mutex_lock(&f->mutex);
    while (!f->leave && f->error.status == DT_OK) {
        dt_status status = start_batches(r, &at, &err);
        if (status == DT_OK && !at.slots) {
            pthread_cond_wait(&f->changed, &f->mutex);
            continue;
        }
        pthread_mutex_unlock(&f->mutex);
        hand_over_complete(r, &at);
        if (status == DT_OK && at.slots)
            status = r->source->ops->run(r->source, RUN_S, &err);
        hand_over_complete(r, &at);
        dt_stage_source_stats stats;
        r->source->ops->get_stats(r->source, &stats);
        pthread_mutex_lock(&f->mutex);
        if (r == &f->readers[0])
            f->stats = stats;
        if (status != DT_OK && f->error.status == DT_OK) {
            f->error = err;
            f->error.status = status;
            pthread_cond_broadcast(&f->changed);
        }
    }
    pthread_mutex_unlock(&f->mutex);
    while (at.slots) { /* of reads that were given up */
        dt_stage_slot *slot = at.slots;
        at.slots = slot->next;
        pthread_mutex_lock(&f->mutex);
        slot->next = f->free;
        f->free = slot;
        pthread_mutex_unlock(&f->mutex);
    }
    return NULL;
}

/* -- the queue ------------------------------------------------------------------------------------------- */

dt_status dt_stage_fetch_add(dt_stage_fetch *f, int64_t batch, dt_error *err)
{
    reader *r = &f->readers[f->plan->batches[batch].on_disk];
    dt_status status = DT_OK;
    pthread_mutex_lock(&f->mutex);
    if (r->first + r->n == r->capacity) {
        const int64_t capacity = r->capacity * 2 + 64;
        const size_t each = sizeof *r->queue;
        int64_t *grown = dt_realloc(r->queue, (size_t)r->capacity * each, (size_t)capacity * each);
        if (grown) {
            r->queue = grown;
            r->capacity = capacity;
        } else {
            status = dt_fail_memory(err, (size_t)capacity * each, "the queue of batches");
        }
    }
    if (status == DT_OK) {
        r->queue[r->first + r->n++] = batch;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->mutex);
    if (status == DT_OK)
        r->source->ops->wake(r->source);
    return status;
}

int dt_stage_fetch_wanted(dt_stage_fetch *f)
{
    pthread_mutex_lock(&f->mutex);
    const reader *r = &f->readers[0];
    const int64_t waiting = r->n, room = f->max_slots - f->n_in_use - waiting;
    int64_t n = waiting < WAITING ? WAITING - waiting : 0;
    if (r->wants_more)
        n = WAITING + 1;
    n = n < room ? n : room;
    pthread_mutex_unlock(&f->mutex);
    return n > 0 ? (int)n : 0;
}

void dt_stage_fetch_get_stats(dt_stage_fetch *f, dt_stage_source_stats *stats)
{
    pthread_mutex_lock(&f->mutex);
    *stats = f->stats;
    pthread_mutex_unlock(&f->mutex);
}

dt_status dt_stage_fetch_status(dt_stage_fetch *f, dt_error *err)
{
    pthread_mutex_lock(&f->mutex);
    const dt_status status = f->error.status;
    if (status != DT_OK && err)
        *err = f->error;
    pthread_mutex_unlock(&f->mutex);
    return status;
}

/* -- start and end --------------------------------------------------------------------------------------- */

static dt_status start_thread(dt_stage_fetch *f, int i, dt_stage_source *source, dt_error *err)
{
    sigset_t all, before;
    reader *r = &f->readers[i];
    if (!source)
        return DT_OK;
    r->fetch = f;
    r->source = source;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals go to the main thread */
    r->has_thread = pthread_create(&r->thread, NULL, work, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r->has_thread ? DT_OK : dt_fail(err, DT_ERR_MEMORY, "no thread for reading the source");
}

dt_status dt_stage_fetch_create(const dt_stage_fetch_options *options, dt_stage_fetch **fetch, dt_error *err)
{
    dt_stage_fetch *f = dt_calloc(1, sizeof *f);
    if (!f)
        return dt_fail_memory(err, sizeof *f, "reading the source");
    f->plan = options->plan;
    f->max_slots = options->max_slots;
    pthread_mutex_init(&f->mutex, NULL);
    dt_clock_init_cond(&f->changed);
    dt_status status = start_thread(f, 0, options->source, err);
    if (status == DT_OK)
        status = start_thread(f, 1, options->disk, err);
    if (status == DT_OK) {
        *fetch = f;
    } else {
        dt_stage_fetch_stop(f);
        dt_stage_fetch_destroy(f);
    }
    return status;
}

void dt_stage_fetch_stop(dt_stage_fetch *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->mutex);
    f->leave = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    for (int i = 0; i < 2; i++) {
        if (f->readers[i].source)
            f->readers[i].source->ops->wake(f->readers[i].source);
        if (f->readers[i].has_thread)
            pthread_join(f->readers[i].thread, NULL);
        f->readers[i].has_thread = false;
    }
}

void dt_stage_fetch_destroy(dt_stage_fetch *f)
{
    if (!f)
        return;
    dt_free(f->readers[0].queue);
    dt_free(f->readers[1].queue);
    dt_stage_slot *lists[] = {f->free, f->ready};
    for (int i = 0; i < 2; i++)
        while (lists[i]) {
            dt_stage_slot *slot = lists[i];
            lists[i] = slot->next;
            free_slot(slot);
        }
    pthread_mutex_destroy(&f->mutex);
    pthread_cond_destroy(&f->changed);
    dt_free(f);
}
