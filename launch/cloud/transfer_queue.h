/* transfer_queue.h: transfers in a row, linked through themselves. For transfers.c. */
#ifndef DT_LAUNCH_CLOUD_TRANSFER_QUEUE_H
#define DT_LAUNCH_CLOUD_TRANSFER_QUEUE_H

#include "launch/cloud/transfers.h"

typedef struct dt_transfer_queue {
    dt_transfer *first, *last;
    int64_t n;
} dt_transfer_queue;

static inline void dt_transfer_queue_push(dt_transfer_queue *q, dt_transfer *t)
{
    t->own.next = NULL;
    if (q->last)
        q->last->own.next = t;
    else
        q->first = t;
    q->last = t;
    q->n++;
}

static inline void dt_transfer_queue_push_first(dt_transfer_queue *q, dt_transfer *t)
{
    t->own.next = q->first;
    q->first = t;
    if (!q->last)
        q->last = t;
    q->n++;
}

/* NULL: the queue is empty. */
static inline dt_transfer *dt_transfer_queue_pop(dt_transfer_queue *q)
{
    dt_transfer *t = q->first;
    if (!t)
        return NULL;
    q->first = t->own.next;
    if (!q->first)
        q->last = NULL;
    q->n--;
    return t;
}

#endif
