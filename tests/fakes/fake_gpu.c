#include "tests/fakes/fake_gpu.h"

#include "core/base/alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

typedef struct graph {
    node *nodes;
    int64_t n, capacity;
} graph;

struct fake_gpu {
    dt_device head;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    dt_stream *streams[MAX_STREAMS]; /* [0]: the main one */
    graph *capture;
};

static atomic_bool stops;
static atomic_llong n_allocs;
static int64_t queue_limit;

void fake_gpu_limit_queues(int64_t n)
{
    queue_limit = n;
}

bool fake_gpu_stops(void)
{
    return atomic_load(&stops);
}

int64_t fake_gpu_n_allocs(void)
{
    return atomic_load(&n_allocs);
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static fake_gpu *mine(dt_device *device)
{
    return (fake_gpu *)device;
}

static dt_stream *stream_of(fake_gpu *g, dt_stream *stream)
{
    return stream ? stream : g->streams[0];
}

/* -- streams --------------------------------------------------------------------------------------------- */

/* Carry out a node. The caller holds the mutex; it is released while a kernel runs. */
static void perform(fake_gpu *g, node *n)
{
    if (n->kind == RECORD)
        n->event->done = n->ticket;
    while (n->kind == WAIT && n->event->done < n->ticket && !fake_gpu_stops())
        pthread_cond_wait(&g->changed, &g->mutex);
    if (n->kind == WORK) {
        pthread_mutex_unlock(&g->mutex);
        n->work(n->arguments);
        pthread_mutex_lock(&g->mutex);
    }
}

static void *stream_thread(void *context)
{
    dt_stream *s = context;
    fake_gpu *g = s->gpu;
    pthread_mutex_lock(&g->mutex);
    for (;;) {
        while (!s->first && !s->ends)
            pthread_cond_wait(&g->changed, &g->mutex);
        if (!s->first)
            break;
        node *n = s->first;
        perform(g, n);
        s->first = n->next;
        if (!s->first)
            s->last = NULL;
        free(n);
        s->n_queued--;
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

/* The caller holds the mutex. */
static void enqueue_now(fake_gpu *g, const node *what)
{
    node *n = must(malloc(sizeof *n));
    while (queue_limit > 0 && what->stream->n_queued >= queue_limit)
        pthread_cond_wait(&g->changed, &g->mutex);
    what->stream->n_queued++;
    *n = *what;
    n->next = NULL;
    if (n->kind == RECORD)
        n->ticket = ++n->event->recorded;
    if (n->kind == WAIT)
        n->ticket = n->event->recorded;
    *(n->stream->last ? &n->stream->last->next : &n->stream->first) = n;
    n->stream->last = n;
    pthread_cond_broadcast(&g->changed);
}

static void capture(fake_gpu *g, const node *n)
{
    graph *c = g->capture;
    if (c->n == c->capacity) {
        c->capacity = 2 * c->capacity + 64;
        c->nodes = must(realloc(c->nodes, (size_t)c->capacity * sizeof *c->nodes));
    }
    c->nodes[c->n++] = *n;
    if (n->kind == RECORD) {
        n->event->of_capture = true;
        n->event->stream = n->stream;
        n->event->n_before = n->stream->n_captured;
    } else {
        n->stream->n_captured++;
    }
    if (n->kind == WAIT && n->stream == g->streams[0] && n->event->of_capture &&
        n->event->stream->n_joined < n->event->n_before)
        n->event->stream->n_joined = n->event->n_before;
}

static void enqueue(fake_gpu *g, node n)
{
    pthread_mutex_lock(&g->mutex);
    if (g->capture && n.kind == WAIT && n.event->of_capture)
        n.stream->captured = true;
    if (g->capture && n.stream->captured) {
        capture(g, &n);
    } else {
        if (n.kind == RECORD)
            n.event->of_capture = false;
        enqueue_now(g, &n);
    }
    pthread_mutex_unlock(&g->mutex);
}

void fake_gpu_enqueue(void *native_stream, fake_gpu_work *work, const void *arguments, size_t bytes)
{
    node n = {.kind = WORK, .stream = native_stream, .work = work};
    if (bytes > sizeof n.arguments)
        abort();
    memcpy(n.arguments, arguments, bytes);
    enqueue(n.stream->gpu, n);
}

static dt_status stream_create(dt_device *device, dt_stream **stream, dt_error *err)
{
    fake_gpu *g = mine(device);
    int i = 0;
    while (i < MAX_STREAMS && g->streams[i])
        i++;
    if (i == MAX_STREAMS)
        return dt_fail(err, DT_ERR_DEVICE, "fake GPU: too many streams");
    dt_stream *s = must(calloc(1, sizeof *s));
    s->gpu = g;
    if (pthread_create(&s->thread, NULL, stream_thread, s) != 0)
        abort();
    g->streams[i] = *stream = s;
    return DT_OK;
}

static void stream_destroy(dt_device *device, dt_stream *s)
{
    fake_gpu *g = mine(device);
    if (!s)
        return;
    pthread_mutex_lock(&g->mutex);
    s->ends = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < MAX_STREAMS; i++)
        if (g->streams[i] == s)
            g->streams[i] = NULL;
    free(s);
}

static dt_status stream_wait(dt_device *device, dt_stream *stream, dt_error *err)
{
    fake_gpu *g = mine(device);
    (void)err;
    pthread_mutex_lock(&g->mutex);
    while (stream_of(g, stream)->first)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    return DT_OK;
}

static void *native_stream(dt_device *device, dt_stream *stream)
{
    return stream_of(mine(device), stream);
}

/* -- events ---------------------------------------------------------------------------------------------- */

static dt_status event_create(dt_device *device, bool timed, dt_event **event, dt_error *err)
{
    (void)device;
    (void)timed;
    (void)err;
    *event = must(calloc(1, sizeof **event));
    return DT_OK;
}

static void event_destroy(dt_device *device, dt_event *event)
{
    (void)device;
    free(event);
}

static dt_status event_record(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err)
{
    (void)err;
    enqueue(mine(device), (node){.kind = RECORD, .stream = stream_of(mine(device), stream), .event = event});
    return DT_OK;
}

static dt_status stream_wait_event(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err)
{
    (void)err;
    enqueue(mine(device), (node){.kind = WAIT, .stream = stream_of(mine(device), stream), .event = event});
    return DT_OK;
}

static dt_status event_done(dt_device *device, dt_event *event, bool *done, dt_error *err)
{
    fake_gpu *g = mine(device);
    pthread_mutex_lock(&g->mutex);
    const bool captured = event->of_capture;
    *done = event->done == event->recorded;
    pthread_mutex_unlock(&g->mutex);
    return captured ? dt_fail(err, DT_ERR_DEVICE, "fake GPU: an event of a capture cannot be asked") : DT_OK;
}

static dt_status event_elapsed_ms(dt_device *device, dt_event *from, dt_event *to, double *ms, dt_error *err)
{
    (void)device;
    (void)from;
    (void)to;
    (void)err;
    *ms = 1.0;
    return DT_OK;
}

/* -- memory ---------------------------------------------------------------------------------------------- */

static void *device_alloc(dt_device *device, int64_t bytes)
{
    (void)device;
    atomic_fetch_add(&n_allocs, 1);
    return dt_alloc((size_t)bytes);
}

static void device_free(dt_device *device, void *p)
{
    (void)device;
    dt_free(p);
}

static int64_t memory_free(dt_device *device)
{
    (void)device;
    return 0;
}

typedef struct copy_arguments {
    void *dst;
    const void *src;
    int64_t bytes;
} copy_arguments;

static void copy_work(void *p)
{
    const copy_arguments *a = p;
    if (a->src)
        memcpy(a->dst, a->src, (size_t)a->bytes);
    else
        memset(a->dst, 0, (size_t)a->bytes);
}

static dt_status copy(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                      dt_stream *stream, dt_error *err)
{
    (void)kind;
    (void)err;
    fake_gpu_enqueue(stream_of(mine(device), stream), copy_work, &(copy_arguments){dst, src, bytes},
                     sizeof(copy_arguments));
    return DT_OK;
}

static dt_status zero(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err)
{
    return copy(device, dst, NULL, bytes, DT_COPY_ON_DEVICE, stream, err);
}

/* -- graphs ---------------------------------------------------------------------------------------------- */

static dt_status capture_begin(dt_device *device, dt_error *err)
{
    fake_gpu *g = mine(device);
    if (g->capture)
        return dt_fail(err, DT_ERR_DEVICE, "fake GPU: a capture within a capture");
    pthread_mutex_lock(&g->mutex);
    g->capture = must(calloc(1, sizeof *g->capture));
    for (int i = 0; i < MAX_STREAMS; i++)
        if (g->streams[i]) {
            g->streams[i]->captured = i == 0;
            g->streams[i]->n_captured = g->streams[i]->n_joined = 0;
        }
    pthread_mutex_unlock(&g->mutex);
    return DT_OK;
}

static void graph_destroy(dt_device *device, void *p)
{
    graph *c = p;
    (void)device;
    if (c)
        free(c->nodes);
    free(c);
}

static dt_status capture_end(dt_device *device, void **out, dt_error *err)
{
    fake_gpu *g = mine(device);
    graph *c = g->capture;
    bool joined = true;
    if (!c)
        return dt_fail(err, DT_ERR_DEVICE, "fake GPU: no capture to end");
    pthread_mutex_lock(&g->mutex);
    for (int i = 1; i < MAX_STREAMS; i++)
        joined = joined && (!g->streams[i] || g->streams[i]->n_joined == g->streams[i]->n_captured);
    g->capture = NULL;
    pthread_mutex_unlock(&g->mutex);
    if (!joined) {
        graph_destroy(device, c);
        return dt_fail(err, DT_ERR_DEVICE, "fake GPU: a stream of the capture was not joined");
    }
    *out = c;
    return DT_OK;
}

static dt_status graph_launch(dt_device *device, void *p, dt_error *err)
{
    fake_gpu *g = mine(device);
    const graph *c = p;
    (void)err;
    pthread_mutex_lock(&g->mutex);
    for (int64_t i = 0; i < c->n; i++)
        enqueue_now(g, &c->nodes[i]);
    pthread_mutex_unlock(&g->mutex);
    return DT_OK;
}

/* -- the device ------------------------------------------------------------------------------------------ */

static void info(dt_device *device, dt_device_info *out)
{
    (void)device;
    *out = (dt_device_info){.multiprocessors = 1};
    snprintf(out->name, sizeof out->name, "fake GPU");
}

static void destroy(dt_device *device)
{
    fake_gpu *g = mine(device);
    if (!g)
        return;
    pthread_mutex_lock(&g->mutex);
    atomic_store(&stops, true);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    for (int i = MAX_STREAMS - 1; i >= 0; i--)
        stream_destroy(device, g->streams[i]);
    atomic_store(&stops, false);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->mutex);
    free(g);
}

dt_device *fake_gpu_create(void)
{
    static const dt_device_ops ops = {.name = "fake GPU",
                                      .destroy = destroy,
                                      .alloc = device_alloc,
                                      .free = device_free,
                                      .host_alloc = device_alloc,
                                      .host_free = device_free,
                                      .memory_free = memory_free,
                                      .copy = copy,
                                      .zero = zero,
                                      .stream_create = stream_create,
                                      .stream_destroy = stream_destroy,
                                      .stream_wait = stream_wait,
                                      .native_stream = native_stream,
                                      .event_create = event_create,
                                      .event_destroy = event_destroy,
                                      .event_record = event_record,
                                      .stream_wait_event = stream_wait_event,
                                      .event_done = event_done,
                                      .event_elapsed_ms = event_elapsed_ms,
                                      .capture_begin = capture_begin,
                                      .capture_end = capture_end,
                                      .graph_launch = graph_launch,
                                      .graph_destroy = graph_destroy,
                                      .info = info};
    fake_gpu *g = must(calloc(1, sizeof *g));
    dt_stream *main_stream = NULL;
    g->head.ops = &ops;
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
    (void)stream_create(&g->head, &main_stream, NULL);
    return &g->head;
}
