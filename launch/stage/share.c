#include "config.h"

#include "launch/stage/share.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/waits.h"
#include "core/collective/agreement.h"

#include <pthread.h>
#include <string.h>

#define PACE_S 0.02 /* a node that has read nothing holds up a round no longer */
#define TICK_S 30.0
enum { N_BUFFERS = 3 }; /* of what other nodes have read */

/* What a node says in a round. */
typedef struct words {
    int64_t ready;  /* a batch; -1: none */
    int64_t wanted; /* more batches */
    int64_t failed; /* something went wrong there, or a stop is requested */
    int64_t ticks;
    int64_t source_bytes, lists, gets, heads, retries, width;
} words;

/* What all nodes have read in one round. */
typedef struct buffer {
    char *memory;
    int64_t n_open; /* blocks that are not written yet; guarded by the mutex */
} buffer;

typedef struct share {
    const dt_stage_parts *parts;
    dt_stage_totals *totals;
    words *all;             /* [nodes] */
    dt_stage_block *blocks; /* [N_BUFFERS][nodes] */
    buffer buffers[N_BUFFERS];
    int64_t buffer_bytes;
    int64_t n_shared, next_shared; /* batches that any node may read; the first that no node has been given */
    int64_t n_rounds, n_done;
    double ticked_s;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} share;

/* -- buffers --------------------------------------------------------------------------------------------- */

static void written(void *context, dt_stage_block *block)
{
    share *s = context;
    buffer *b = block->owner;
    pthread_mutex_lock(&s->mutex);
    b->n_open--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

/* Blocks until the writers have left a buffer: the disk is the limit then. */
static buffer *wait_for_buffer(share *s)
{
    buffer *b = &s->buffers[s->n_rounds++ % N_BUFFERS];
    pthread_mutex_lock(&s->mutex);
    while (b->n_open > 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    return b;
}

typedef struct own_block {
    dt_stage_block block; /* first */
    dt_stage_fetch *fetch;
    dt_stage_slot *slot;
} own_block;

static void own_written(void *context, dt_stage_block *block)
{
    own_block *own = (own_block *)block;
    (void)context;
    dt_stage_fetch_release(own->fetch, own->slot);
    dt_free(own);
}

static dt_status write_own(share *s, dt_stage_slot *slot, dt_error *err)
{
    own_block *own = dt_calloc(1, sizeof *own);
    if (!own)
        return dt_fail_memory(err, sizeof *own, "a batch of objects");
    own->fetch = s->parts->fetch;
    own->slot = slot;
    own->block = (dt_stage_block){.batch = slot->batch, .memory = slot->block, .written = own_written};
    dt_stage_writers_add(s->parts->writers, &own->block);
    return DT_OK;
}

/* -- a round --------------------------------------------------------------------------------------------- */

static dt_status look_for_errors(const share *s, dt_error *err)
{
    DT_TRY(dt_waits_check("copying the data", err));
    DT_TRY(dt_stage_fetch_status(s->parts->fetch, err));
    return dt_stage_writers_status(s->parts->writers, err);
}

static void say(share *s, const dt_stage_slot *slot, bool failed, words *mine)
{
    dt_stage_source_stats stats = {0};
    const double now = dt_clock_s();
    memset(mine, 0, sizeof *mine);
    dt_stage_fetch_get_stats(s->parts->fetch, &stats);
    mine->ready = slot ? slot->batch : -1;
    mine->wanted = s->parts->reads_source ? dt_stage_fetch_wanted(s->parts->fetch) : 0;
    mine->failed = failed;
    mine->ticks = now - s->ticked_s >= TICK_S;
    mine->source_bytes = stats.bytes;
    mine->lists = stats.lists;
    mine->gets = stats.gets;
    mine->heads = stats.heads;
    mine->retries = stats.retries;
    mine->width = stats.width;
}

/* Gives batches to the nodes, in their order, as many as each wants. */
static dt_status give_out(share *s, dt_error *err)
{
    const dt_comm *comm = s->parts->comm;
    for (int node = 0; node < comm->size; node++)
        for (int64_t k = 0; k < s->all[node].wanted && s->next_shared < s->n_shared; k++, s->next_shared++)
            if (node == comm->rank)
                DT_TRY(dt_stage_fetch_add(s->parts->fetch, s->next_shared, err));
    return DT_OK;
}

static void add_up(share *s)
{
    dt_stage_totals *t = s->totals;
    const dt_stage_plan *plan = s->parts->plan;
    const int64_t done = t->done_bytes;
    *t = (dt_stage_totals){.done_bytes = done};
    for (int node = 0; node < s->parts->comm->size; node++) {
        const words *w = &s->all[node];
        if (w->ready >= 0) {
            t->done_bytes += plan->batches[w->ready].bytes;
            s->n_done++;
        }
        t->source_bytes += w->source_bytes;
        t->lists += w->lists;
        t->gets += w->gets;
        t->heads += w->heads;
        t->retries += w->retries;
        t->width += w->width;
    }
}

/* Sends this node's batch to the others, and hands theirs to the writers. */
static dt_status exchange(share *s, const dt_stage_slot *slot, dt_error *err)
{
    dt_comm *comm = s->parts->comm;
    const dt_stage_plan *plan = s->parts->plan;
    int64_t bytes = 0;
    for (int node = 0; node < comm->size; node++)
        if (s->all[node].ready >= 0) {
            const int64_t n = dt_stage_block_bytes(&plan->batches[s->all[node].ready]);
            bytes = n > bytes ? n : bytes;
        }
    if (bytes == 0 || comm->size == 1 || s->parts->is_split)
        return DT_OK;
    buffer *b = wait_for_buffer(s);
    /* without a batch it sends something that no rank reads */
    const char *mine = slot ? slot->block : s->buffers[s->n_rounds % N_BUFFERS].memory;
    DT_TRY(comm->ops->all_gather(comm, mine, bytes, b->memory, err));
    dt_stage_block *blocks = s->blocks + (b - s->buffers) * comm->size;
    pthread_mutex_lock(&s->mutex);
    for (int node = 0; node < comm->size; node++)
        b->n_open += node != comm->rank && s->all[node].ready >= 0;
    pthread_mutex_unlock(&s->mutex);
    for (int node = 0; node < comm->size; node++) {
        if (node == comm->rank || s->all[node].ready < 0)
            continue;
        blocks[node] = (dt_stage_block){.batch = s->all[node].ready,
                                        .memory = b->memory + node * bytes,
                                        .written = written,
                                        .context = s,
                                        .owner = b};
        dt_stage_writers_add(s->parts->writers, &blocks[node]);
    }
    return DT_OK;
}

/* *ends: all batches have been exchanged. */
static dt_status round_of(share *s, bool *ends, dt_error *err)
{
    dt_comm *comm = s->parts->comm;
    dt_error why = {0};
    words mine;
    bool failed = false;
    dt_stage_slot *slot = dt_stage_fetch_take(s->parts->fetch, PACE_S);
    const dt_status status = look_for_errors(s, &why);
    say(s, slot, status != DT_OK, &mine);
    DT_TRY(comm->ops->all_gather(comm, &mine, sizeof mine, s->all, err));
    for (int node = 0; node < comm->size; node++)
        failed = failed || s->all[node].failed;
    if (failed) {
        if (slot)
            dt_stage_fetch_release(s->parts->fetch, slot);
        if (err)
            *err = why;
        return dt_agree(comm, status, err);
    }
    if (s->all[0].ticks)
        s->ticked_s = dt_clock_s();
    add_up(s);
    DT_TRY(give_out(s, err));
    DT_TRY(exchange(s, slot, err));
    if (slot)
        DT_TRY(write_own(s, slot, err));
    *ends = s->n_done == s->parts->plan->n_batches;
    return s->parts->round(s->parts->context, s->totals, s->all[0].ticks != 0, err);
}

/* -- all rounds ------------------------------------------------------------------------------------------ */

static dt_status allocate(share *s, dt_error *err)
{
    const size_t n = (size_t)s->parts->comm->size;
    const bool sends = n > 1 && !s->parts->is_split;
    s->all = dt_calloc(n, sizeof *s->all);
    s->blocks = dt_calloc(N_BUFFERS * n, sizeof *s->blocks);
    bool has_all = s->all && s->blocks;
    for (int i = 0; i < N_BUFFERS && sends; i++) {
        s->buffers[i].memory = dt_alloc_large(n * (size_t)DT_STAGE_BLOCK_BYTES);
        has_all = has_all && s->buffers[i].memory;
    }
    return has_all ? DT_OK
                   : dt_fail_memory(err, N_BUFFERS * n * (size_t)DT_STAGE_BLOCK_BYTES,
                                    "what the other nodes have read");
}

/* Batches that this node must read: those on its disk, and its part of a split. */
static dt_status add_own(share *s, dt_error *err)
{
    const dt_stage_plan *plan = s->parts->plan;
    for (int64_t i = 0; i < plan->n_batches; i++) {
        s->n_shared += plan->batches[i].node < 0;
        if (plan->batches[i].node == s->parts->comm->rank)
            DT_TRY(dt_stage_fetch_add(s->parts->fetch, i, err));
    }
    return DT_OK;
}

dt_status dt_stage_share(const dt_stage_parts *parts, dt_stage_totals *totals, dt_error *err)
{
    share s = {.parts = parts, .totals = totals, .ticked_s = dt_clock_s()};
    bool ends = parts->plan->n_batches == 0;
    *totals = (dt_stage_totals){0};
    pthread_mutex_init(&s.mutex, NULL);
    pthread_cond_init(&s.changed, NULL);
    dt_status status = allocate(&s, err);
    if (status == DT_OK)
        status = add_own(&s, err);
    status = dt_agree(parts->comm, status, err);
    while (status == DT_OK && !ends)
        status = round_of(&s, &ends, err);
    dt_error ignored;
    (void)dt_stage_writers_finish(parts->writers, &ignored); /* they use the buffers */
    for (int i = 0; i < N_BUFFERS; i++)
        dt_free(s.buffers[i].memory);
    dt_free(s.all);
    dt_free(s.blocks);
    pthread_mutex_destroy(&s.mutex);
    pthread_cond_destroy(&s.changed);
    return status;
}
