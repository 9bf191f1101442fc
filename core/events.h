/* events.h: the door for requests to stop (signals now; spot notices and time limits join here).
 *
 * A request is set on some rank; it rides along in the step's loss reduction, so that all ranks stop after the same step.
 */
#ifndef DT_CORE_EVENTS_H
#define DT_CORE_EVENTS_H

typedef struct dt_events dt_events;

typedef struct dt_events_ops {
    const char *name;
    void (*destroy)(dt_events *events);
    /* A static text saying why to stop ("SIGTERM"), or NULL: go on. Never blocks. */
    const char *(*stop_requested)(dt_events *events);
    /* Seconds until this process will be ended by force; INFINITY: nobody has said so. Never blocks. NULL: INFINITY always. */
    double (*seconds_left)(dt_events *events);
} dt_events_ops;

/* Implementations begin with this. */
struct dt_events {
    const dt_events_ops *ops;
};

#endif
