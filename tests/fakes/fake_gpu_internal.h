/* fake_gpu_internal.h: shared by fake_gpu.c and fake_gpu_streams.c. */
#ifndef DTRAIN_TESTS_FAKE_GPU_INTERNAL_H
#define DTRAIN_TESTS_FAKE_GPU_INTERNAL_H

#include "tests/fakes/fake_gpu.h"

#include <pthread.h>
#include <stdlib.h>

enum { MAX_STREAMS = 16 };

typedef enum node_kind { WORK, RECORD, WAIT } node_kind;

typedef struct node {
    node_kind kind;
    dt_stream *stream;
    dt_event *event;
    int64_t ticket; /* of the event */
    fake_gpu_work *work;
    unsigned char arguments[FAKE_GPU_ARGUMENT_BYTES] __attribute__((aligned(16)));
    struct node *next;
} node;

typedef struct fake_gpu fake_gpu;

struct dt_stream {
    fake_gpu *gpu;
    pthread_t thread;
    node *first, *last; /* the queue; `first` is being carried out */
    bool ends, captured;
    int64_t n_queued;
    int64_t n_captured, n_joined; /* nodes of the capture; those of them that the main stream waits for */
};

struct dt_event {
    int64_t recorded, done; /* tickets */
    bool of_capture;
    dt_stream *stream; /* in which it was captured */
    int64_t n_before;  /* nodes captured in that stream before it */
};

typedef struct retained {
    void (*release)(void *context);
    void *context;
    struct retained *next;
} retained;

typedef struct graph {
    node *nodes;
    int64_t n, capacity;
    retained *retained; /* to release with the graph */
} graph;

struct fake_gpu {
    dt_device head;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    dt_stream *streams[MAX_STREAMS]; /* [0]: the main one */
    graph *capture;
};

static inline void *fake_gpu_must(void *p)
{
    if (!p)
        abort();
    return p;
}

static inline fake_gpu *fake_gpu_of(dt_device *device)
{
    return (fake_gpu *)device;
}

static inline dt_stream *fake_gpu_stream(fake_gpu *g, dt_stream *stream)
{
    return stream ? stream : g->streams[0];
}

/* Put a node into its stream's queue or into the capture that the stream belongs to. */
void fake_gpu_push(fake_gpu *g, node n);

/* End all streams; fake_gpu_stops() meanwhile. */
void fake_gpu_end_streams(fake_gpu *g);

/* Functions of the device's table (core/device.h). */
dt_status fake_gpu_stream_create(dt_device *device, dt_stream **stream, dt_error *err);
void fake_gpu_stream_destroy(dt_device *device, dt_stream *s);
dt_status fake_gpu_stream_wait(dt_device *device, dt_stream *stream, dt_error *err);
dt_status fake_gpu_capture_begin(dt_device *device, dt_error *err);
dt_status fake_gpu_capture_end(dt_device *device, void **out, dt_error *err);
dt_status fake_gpu_graph_launch(dt_device *device, void *p, dt_error *err);
void fake_gpu_graph_destroy(dt_device *device, void *p);

#endif
