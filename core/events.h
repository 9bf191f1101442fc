/* events.h: the door for requests from outside: to stop (signals, a time limit, a cloud that takes its
 * machine back), or to write a checkpoint now.
 *
 *   events->ops->reserve(events, 12.0);                       what the trainer needs at its end
 *   why = events->ops->stop_requested(events);                before each step; the answer rides along in the
 *                                                             step's loss reduction
 *
 * A request is set on some rank; all ranks stop, or write, after the same step. Nothing here blocks, and all
 * is called by the training's thread.
 */
#ifndef DT_CORE_EVENTS_H
#define DT_CORE_EVENTS_H

typedef struct dt_events dt_events;

typedef struct dt_events_ops {
    const char *name;
    void (*destroy)(dt_events *events);
    /* Why to stop ("SIGTERM"), a text that stays as it is until destroy; or NULL: go on. */
    const char *(*stop_requested)(dt_events *events);
    /* Seconds until this process will be ended by force; INFINITY: nobody has said so. NULL: INFINITY
     * always. */
    double (*seconds_left)(dt_events *events);
    /* From now on so many seconds are needed between a request and the end: who knows the end beforehand asks
     * that early. NULL: of no use here. */
    void (*reserve)(dt_events *events, double seconds);
    /* Why to write a checkpoint now and train on, once for each request; else NULL. NULL: nobody asks. */
    const char *(*save_requested)(dt_events *events);
} dt_events_ops;

/* Implementations begin with this. */
struct dt_events {
    const dt_events_ops *ops;
};

#endif
