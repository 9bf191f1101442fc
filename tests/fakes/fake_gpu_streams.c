/* fake_gpu_streams.c: streams, which are threads, and graphs. See fake_gpu.h. */
#include "tests/fakes/fake_gpu_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool stops;
static int64_t queue_limit;

void fake_gpu_limit_queues(int64_t n)
{
    queue_limit = n;
}

bool fake_gpu_stops(void)
{
    return atomic_load(&stops);
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
    node *n = fake_gpu_must(malloc(sizeof *n));
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
        c->nodes = fake_gpu_must(realloc(c->nodes, (size_t)c->capacity * sizeof *c->nodes));
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

void fake_gpu_push(fake_gpu *g, node n)
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
    if (bytes > 0) /* else arguments may be NULL */
        memcpy(n.arguments, arguments, bytes);
    fake_gpu_push(n.stream->gpu, n);
}

dt_status fake_gpu_stream_create(dt_device *device, dt_stream **stream, dt_error *err)
{
    fake_gpu *g = fake_gpu_of(device);
    int i = 0;
    while (i < MAX_STREAMS && g->streams[i])
        i++;
    if (i == MAX_STREAMS)
        return dt_fail(err, DT_ERR_DEVICE, "fake GPU: too many streams");
    dt_stream *s = fake_gpu_must(calloc(1, sizeof *s));
    s->gpu = g;
    if (pthread_create(&s->thread, NULL, stream_thread, s) != 0)
        abort();
    g->streams[i] = *stream = s;
    return DT_OK;
}

void fake_gpu_stream_destroy(dt_device *device, dt_stream *s)
{
    fake_gpu *g = fake_gpu_of(device);
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

dt_status fake_gpu_stream_wait(dt_device *device, dt_stream *stream, dt_error *err)
{
    fake_gpu *g = fake_gpu_of(device);
    (void)err;
    pthread_mutex_lock(&g->mutex);
    while (fake_gpu_stream(g, stream)->first)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    return DT_OK;
}

void fake_gpu_end_streams(fake_gpu *g)
{
    pthread_mutex_lock(&g->mutex);
    atomic_store(&stops, true);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    for (int i = MAX_STREAMS - 1; i >= 0; i--)
        fake_gpu_stream_destroy(&g->head, g->streams[i]);
    atomic_store(&stops, false);
}

/* -- graphs ---------------------------------------------------------------------------------------------- */

dt_status fake_gpu_capture_begin(dt_device *device, dt_error *err)
{
    fake_gpu *g = fake_gpu_of(device);
    if (g->capture)
        return dt_fail(err, DT_ERR_DEVICE, "fake GPU: a capture within a capture");
    pthread_mutex_lock(&g->mutex);
    g->capture = fake_gpu_must(calloc(1, sizeof *g->capture));
    for (int i = 0; i < MAX_STREAMS; i++)
        if (g->streams[i]) {
            g->streams[i]->captured = i == 0;
            g->streams[i]->n_captured = g->streams[i]->n_joined = 0;
        }
    pthread_mutex_unlock(&g->mutex);
    return DT_OK;
}

bool fake_gpu_retain(void *native_stream, void (*release)(void *context), void *context)
{
    const dt_stream *s = native_stream;
    fake_gpu *g = s->gpu;
    pthread_mutex_lock(&g->mutex);
    const bool captured = g->capture && s->captured;
    if (captured) {
        retained *r = fake_gpu_must(malloc(sizeof *r));
        *r = (retained){release, context, g->capture->retained};
        g->capture->retained = r;
    }
    pthread_mutex_unlock(&g->mutex);
    return captured;
}

void fake_gpu_graph_destroy(dt_device *device, void *p)
{
    graph *c = p;
    (void)device;
    while (c && c->retained) {
        retained *r = c->retained;
        c->retained = r->next;
        r->release(r->context);
        free(r);
    }
    if (c)
        free(c->nodes);
    free(c);
}

dt_status fake_gpu_capture_end(dt_device *device, void **out, dt_error *err)
{
    fake_gpu *g = fake_gpu_of(device);
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
        fake_gpu_graph_destroy(device, c);
        return dt_fail(err, DT_ERR_DEVICE, "fake GPU: a stream of the capture was not joined");
    }
    *out = c;
    return DT_OK;
}

dt_status fake_gpu_graph_launch(dt_device *device, void *p, dt_error *err)
{
    fake_gpu *g = fake_gpu_of(device);
    const graph *c = p;
    (void)err;
    pthread_mutex_lock(&g->mutex);
    for (int64_t i = 0; i < c->n; i++)
        enqueue_now(g, &c->nodes[i]);
    pthread_mutex_unlock(&g->mutex);
    return DT_OK;
}
