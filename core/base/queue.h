/* queue.h: a bounded queue of pointers between threads, first in first out.
 *
 * Any number of producers and consumers. Closing wakes everybody: pushes fail from then on, pops drain what is left
 * and then fail.
 */
#ifndef DT_CORE_BASE_QUEUE_H
#define DT_CORE_BASE_QUEUE_H

#include "core/base/error.h"

#include <stdint.h>

typedef struct dt_queue dt_queue;

dt_status dt_queue_create(int64_t capacity, dt_queue **queue, dt_error *err);
void dt_queue_destroy(dt_queue *queue); /* nobody may wait on it any more; what is still inside is not freed */

/* Block until there is room (or an item); false once the queue is closed (and, for pop, empty). */
bool dt_queue_push(dt_queue *queue, void *item);
bool dt_queue_pop(dt_queue *queue, void **item);

/* As pop, waiting at most timeout_s; *timed_out tells the two kinds of false apart. */
bool dt_queue_pop_timed(dt_queue *queue, double timeout_s, void **item, bool *timed_out);

void dt_queue_close(dt_queue *queue);
int64_t dt_queue_length(dt_queue *queue);

#endif
