/* device_internal.h: shared by memory_emulated.c, streams_emulated.c and device_emulated.c. The caller of
 * every function holds the lock. */
#ifndef DTRAIN_TESTS_EMULATED_DEVICE_INTERNAL_H
#define DTRAIN_TESTS_EMULATED_DEVICE_INTERNAL_H

#include "tests/emulated/device_emulated.h"

#include <pthread.h>

/* One allocation. */
typedef struct block {
    unsigned char *base; /* guard, memory, guard */
    unsigned char *memory;
    int64_t bytes;
    bool is_host; /* host_alloc */
    struct block *next;
} block;

/* An entry of a stream: a piece of work, or an event to record or to wait for. */
typedef struct item {
    enum { ITEM_WORK, ITEM_RECORD, ITEM_WAIT } kind;
    dt_emulated_work work;
    bool borrowed; /* the work belongs to a graph */
    dt_event *event;
    int64_t sequence; /* number of the record */
    struct item *next;
} item;

struct dt_stream {
    item *first, *last;
    bool capturing;
    int64_t n_captured, n_joined; /* pieces of captured work; of these, how many the main stream waits for */
    dt_stream *next;              /* of the device's list */
};

struct dt_event {
    dt_stream *stream; /* of the last record */
    int64_t n_recorded, n_done;
    bool captured; /* the last record was in a capture, after n_captured pieces of work of its stream */
    int64_t n_captured;
    bool timed;
    double time_s; /* of the last record that was done */
};

typedef struct captured_graph {
    item *first, *last; /* in the order of the calls */
} captured_graph;

typedef struct emulated_device {
    dt_device base;
    dt_emulated_options options;
    dt_device_ops ops; /* without the capture functions if options.capture is false */
    pthread_mutex_t lock;
    block *blocks;
    dt_stream main;
    dt_stream *streams;      /* all but main */
    captured_graph *capture; /* the capture in progress */
    dt_error error;          /* of work that ran in a call without errors; the next wait returns it */
    dt_emulated_counts counts;
    char fault[DT_ERROR_MESSAGE_BYTES];
    bool fault_was_read; /* else destroy prints it */
} emulated_device;

static inline emulated_device *dt_emulated(dt_device *device)
{
    return (emulated_device *)device;
}

/* memory_emulated.c. set_fault: keep a fault, if it is the first one, and return it as an error. free: no
 * enqueued work may use the memory. */
dt_status dt_emulated_set_fault(emulated_device *d, dt_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *dt_emulated_alloc(emulated_device *d, int64_t bytes, bool is_host);
void dt_emulated_free(emulated_device *d, void *p, bool is_host);
block *dt_emulated_find(emulated_device *d, const void *p);
dt_status dt_emulated_check_guards(emulated_device *d, const char *after, dt_error *err);

/* streams_emulated.c */
dt_stream *dt_emulated_stream(emulated_device *d, void *stream); /* NULL is main */
dt_status dt_emulated_push(emulated_device *d, dt_stream *s, const item *what, dt_error *err);
dt_status dt_emulated_step(emulated_device *d, dt_stream *s, dt_error *err);  /* run the first item */
dt_status dt_emulated_drain(emulated_device *d, dt_stream *s, dt_error *err); /* run all that is in it */
dt_status dt_emulated_drain_all(emulated_device *d, dt_error *err);
dt_status dt_emulated_run_to_event(emulated_device *d, dt_event *e, int64_t sequence, dt_error *err);
void dt_emulated_free_items(item *first);
dt_status dt_emulated_capture_begin(emulated_device *d, dt_error *err);
dt_status dt_emulated_capture_end(emulated_device *d, void **graph, dt_error *err);
dt_status dt_emulated_launch(emulated_device *d, captured_graph *graph, dt_error *err);

#endif
