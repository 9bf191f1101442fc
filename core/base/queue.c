#include "core/base/queue.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct dt_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_full, not_empty;
    int64_t capacity, first, length; /* a ring: items[first .. first + length), modulo capacity */
    bool closed;
    void *items[];
};

/* Waiting is measured on CLOCK_MONOTONIC: setting the machine's time must not end or prolong it. */
static int init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0)
        return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

static int init_locks(dt_queue *queue)
{
    int error = pthread_mutex_init(&queue->lock, NULL);
    if (error != 0)
        return error;
    error = init_condition(&queue->not_full);
    if (error != 0)
        goto no_not_full;
    error = init_condition(&queue->not_empty);
    if (error != 0)
        goto no_not_empty;
    return 0;
no_not_empty:
    pthread_cond_destroy(&queue->not_full);
no_not_full:
    pthread_mutex_destroy(&queue->lock);
    return error;
}

dt_status dt_queue_create(int64_t capacity, dt_queue **queue, dt_error *err)
{
    if (capacity < 1 || (uint64_t)capacity > (SIZE_MAX - sizeof(dt_queue)) / sizeof(void *))
        return dt_fail(err, DT_ERR_INTERNAL, "queue: a capacity of %lld is not possible", (long long)capacity);
    const size_t bytes = sizeof(dt_queue) + (size_t)capacity * sizeof(void *);
    dt_queue *q = dt_calloc(1, bytes);
    if (!q)
        return dt_fail_memory(err, bytes, "a queue");
    q->capacity = capacity;
    const int error = init_locks(q);
    if (error != 0) {
        dt_free(q);
        return dt_fail(err, error == ENOMEM ? DT_ERR_MEMORY : DT_ERR_IO, "queue: no locks: %s", strerror(error));
    }
    *queue = q;
    return DT_OK;
}

void dt_queue_destroy(dt_queue *queue)
{
    if (!queue)
        return;
    pthread_cond_destroy(&queue->not_empty);
    pthread_cond_destroy(&queue->not_full);
    pthread_mutex_destroy(&queue->lock);
    dt_free(queue);
}

bool dt_queue_push(dt_queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->length == queue->capacity && !queue->closed)
        pthread_cond_wait(&queue->not_full, &queue->lock);
    const bool open = !queue->closed;
    if (open) {
        queue->items[(queue->first + queue->length) % queue->capacity] = item;
        queue->length++;
        pthread_cond_signal(&queue->not_empty);
    }
    pthread_mutex_unlock(&queue->lock);
    return open;
}

/* Take the first item, if there is one; the lock is held. */
static bool take(dt_queue *queue, void **item)
{
    if (queue->length == 0)
        return false;
    *item = queue->items[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->length--;
    pthread_cond_signal(&queue->not_full);
    return true;
}

bool dt_queue_pop(dt_queue *queue, void **item)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->length == 0 && !queue->closed)
        pthread_cond_wait(&queue->not_empty, &queue->lock);
    const bool taken = take(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

bool dt_queue_pop_timed(dt_queue *queue, double timeout_s, void **item, bool *timed_out)
{
    const struct timespec deadline = dt_clock_deadline(timeout_s);
    int error = 0;
    pthread_mutex_lock(&queue->lock);
    while (queue->length == 0 && !queue->closed && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&queue->not_empty, &queue->lock, &deadline);
    const bool taken = take(queue, item);
    *timed_out = !taken && !queue->closed;
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

void dt_queue_close(dt_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_full);
    pthread_cond_broadcast(&queue->not_empty);
    pthread_mutex_unlock(&queue->lock);
}

int64_t dt_queue_length(dt_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    const int64_t length = queue->length;
    pthread_mutex_unlock(&queue->lock);
    return length;
}
