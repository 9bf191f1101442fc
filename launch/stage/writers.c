#include "config.h"

#include "launch/stage/writers.h"

#include "core/base/alloc.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { N_THREADS = 3 }; /* to check, to copy to the page cache, to wait for the disk */

struct dt_stage_writers {
    dt_stage_files *files;
    const dt_stage_plan *plan;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    dt_stage_block *first, *last;
    int64_t n_left;
    bool leave;
    dt_error error; /* the first */
    pthread_t threads[N_THREADS];
    int n_threads;
};

static dt_status write_block(dt_stage_writers *w, const dt_stage_block *block, dt_error *err)
{
    const dt_stage_batch *batch = &w->plan->batches[block->batch];
    const char *data = block->memory + dt_stage_block_head(batch);
    for (int64_t i = 0; i < batch->n; i++) {
        const dt_stage_piece *piece = &w->plan->pieces[batch->first + i];
        dt_stage_sum sum; /* the memory may begin at any address */
        memcpy(&sum, block->memory + (size_t)i * sizeof sum, sizeof sum);
        DT_TRY(dt_stage_files_put(w->files, piece, data, sum.has_sum ? &sum.sum : NULL, err));
        data += piece->bytes;
    }
    return DT_OK;
}

static void *work(void *argument)
{
    dt_stage_writers *w = argument;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->first && !w->leave)
            pthread_cond_wait(&w->changed, &w->mutex);
        dt_stage_block *block = w->first;
        if (!block)
            break;
        w->first = block->next;
        const bool has_failed = w->error.status != DT_OK;
        pthread_mutex_unlock(&w->mutex);
        dt_error err = {0};
        const dt_status status = has_failed ? DT_OK : write_block(w, block, &err);
        block->written(block->context, block);
        pthread_mutex_lock(&w->mutex);
        if (status != DT_OK && w->error.status == DT_OK) {
            w->error = err;
            w->error.status = status;
        }
        w->n_left--;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

dt_status dt_stage_writers_create(dt_stage_files *files, const dt_stage_plan *plan,
                                  dt_stage_writers **writers, dt_error *err)
{
    sigset_t all, before;
    dt_stage_writers *w = dt_calloc(1, sizeof *w);
    if (!w)
        return dt_fail_memory(err, sizeof *w, "writing files");
    w->files = files;
    w->plan = plan;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals go to the main thread */
    while (w->n_threads < N_THREADS && pthread_create(&w->threads[w->n_threads], NULL, work, w) == 0)
        w->n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (w->n_threads == 0) {
        dt_stage_writers_destroy(w);
        return dt_fail(err, DT_ERR_MEMORY, "no thread for writing files");
    }
    *writers = w;
    return DT_OK;
}

void dt_stage_writers_add(dt_stage_writers *w, dt_stage_block *block)
{
    pthread_mutex_lock(&w->mutex);
    block->next = NULL;
    if (w->first)
        w->last->next = block;
    else
        w->first = block;
    w->last = block;
    w->n_left++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

dt_status dt_stage_writers_status(dt_stage_writers *w, dt_error *err)
{
    pthread_mutex_lock(&w->mutex);
    const dt_status status = w->error.status;
    if (status != DT_OK && err)
        *err = w->error;
    pthread_mutex_unlock(&w->mutex);
    return status;
}

dt_status dt_stage_writers_finish(dt_stage_writers *w, dt_error *err)
{
    pthread_mutex_lock(&w->mutex);
    while (w->n_left > 0)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    return dt_stage_writers_status(w, err);
}

void dt_stage_writers_destroy(dt_stage_writers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->leave = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    for (int i = 0; i < w->n_threads; i++)
        pthread_join(w->threads[i], NULL);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
    dt_free(w);
}
