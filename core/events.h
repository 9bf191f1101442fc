/* events.h: interface for requests from outside: to stop (a signal, a time limit, a spot notice of the
 * cloud), or to write a checkpoint now.
 *
 *   events->ops->reserve(events, 12.0);             the trainer needs 12 s to stop
 *   why = events->ops->stop_requested(events);      before each step; the vote is part of the step's loss
 *                                                   reduction
 *
 * A request arrives on one rank, or on some; all ranks stop, or write, after the same step. The functions are
 * local, do not block, and are called by the trainer's thread.
 */
#ifndef DT_CORE_EVENTS_H
#define DT_CORE_EVENTS_H

#include <stdbool.h>

typedef struct dt_events dt_events;

typedef struct dt_events_ops {
    const char *name;
    void (*destroy)(dt_events *events);
    /* The reason to stop ("SIGTERM"), a text that is valid until destroy; or NULL: continue. */
    const char *(*stop_requested)(dt_events *events);
    /* Seconds until something ends this process by force; INFINITY if nothing is known to. A NULL pointer
     * means INFINITY always. */
    double (*seconds_left)(dt_events *events);
    /* From now on the trainer needs `seconds` between a request and the end of the process. An implementation
     * that knows the end in advance requests the stop that early. NULL: none does. */
    void (*reserve)(dt_events *events, double seconds);
    /* As stop_requested, before the first step: a limit counts only if it has passed, whatever is reserved.
     * A NULL pointer: nothing ends a start. */
    const char *(*start_stop_requested)(dt_events *events);
    /* The first step begins: from now on a stop has something to save. NULL: does not matter. */
    void (*begin)(dt_events *events);
    /* Whether the reason that stop_requested or start_stop_requested returned last is a limit that the next
     * start has again. A NULL pointer: never. */
    bool (*is_limit)(dt_events *events);
    /* The reason to write a checkpoint now and continue, returned once for each request; else NULL. A NULL
     * pointer: there are no such requests. */
    const char *(*save_requested)(dt_events *events);
} dt_events_ops;

/* Implementations begin with this. */
struct dt_events {
    const dt_events_ops *ops;
};

#endif
