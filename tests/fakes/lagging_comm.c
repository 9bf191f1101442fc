#include "tests/fakes/lagging_comm.h"

#include "tests/emulated/device_emulated.h"
#include "tests/fakes/fake_comm.h"

#include <stdlib.h>

#define MAX_REQUESTS 64

struct dt_comm_request {
    dt_event *ready, *done; /* the gradients are written; they are summed */
};

typedef struct lagging_comm {
    dt_comm head;
    dt_comm_ops ops; /* those of inner, with some replaced */
    dt_comm *inner;
    dt_device *device;
    dt_stream *stream;
    dt_comm_request requests[MAX_REQUESTS]; /* used in turn */
    int n_started;
} lagging_comm;

typedef struct reduction {
    dt_comm *inner;
    float *buffer;
    int64_t n;
} reduction;

static dt_status run_reduction(void *context, dt_error *err)
{
    const reduction *r = context;
    return r->inner->ops->all_reduce(r->inner, r->buffer, r->n, DT_F32, DT_REDUCE_SUM, err);
}

static dt_status all_reduce_start(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                  dt_comm_request **request, dt_error *err)
{
    lagging_comm *c = (lagging_comm *)comm;
    const dt_device_ops *ops = c->device->ops;
    dt_comm_request *r = &c->requests[c->n_started++ % MAX_REQUESTS];
    reduction *work = malloc(sizeof *work);
    if (!work)
        abort();
    (void)wire;
    *work = (reduction){fake_comm_second(c->inner), buffer, n};
    DT_TRY(ops->event_record(c->device, r->ready, NULL, err));
    DT_TRY(ops->stream_wait_event(c->device, c->stream, r->ready, err));
    DT_TRY(dt_emulated_enqueue(
        c->device, c->stream,
        &(dt_emulated_work){.name = "all_reduce", .run = run_reduction, .destroy = free, .context = work},
        err));
    DT_TRY(ops->event_record(c->device, r->done, c->stream, err));
    *request = r;
    return DT_OK;
}

static dt_status wait_request(dt_comm *comm, dt_comm_request *request, dt_error *err)
{
    lagging_comm *c = (lagging_comm *)comm;
    return c->device->ops->stream_wait_event(c->device, NULL, request->done, err);
}

static dt_status device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err)
{
    (void)comm;
    for (;;) {
        bool done = false;
        DT_TRY(device->ops->event_done(device, event, &done, err));
        if (done)
            return DT_OK;
    }
}

static void destroy(dt_comm *comm)
{
    lagging_comm *c = (lagging_comm *)comm;
    const dt_device_ops *ops = c->device->ops;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        ops->event_destroy(c->device, c->requests[i].ready);
        ops->event_destroy(c->device, c->requests[i].done);
    }
    ops->stream_destroy(c->device, c->stream);
    free(c);
}

/* The functions of inner expect inner as their communicator. */
#define INNER(comm) (((lagging_comm *)(comm))->inner)

static dt_status barrier(dt_comm *comm, dt_error *err)
{
    return INNER(comm)->ops->barrier(INNER(comm), err);
}

static dt_status broadcast(dt_comm *comm, void *buffer, int64_t bytes, int root, dt_error *err)
{
    return INNER(comm)->ops->broadcast(INNER(comm), buffer, bytes, root, err);
}

static dt_status all_gather(dt_comm *comm, const void *mine, int64_t bytes, void *all, dt_error *err)
{
    return INNER(comm)->ops->all_gather(INNER(comm), mine, bytes, all, err);
}

static dt_status all_reduce(dt_comm *comm, void *buffer, int64_t n, dt_dtype dtype, dt_reduce_op op,
                            dt_error *err)
{
    return INNER(comm)->ops->all_reduce(INNER(comm), buffer, n, dtype, op, err);
}

static dt_status progress(dt_comm *comm, dt_error *err)
{
    return INNER(comm)->ops->progress(INNER(comm), err);
}

dt_status lagging_comm_create(dt_comm *inner, dt_device *device, dt_comm **comm, dt_error *err)
{
    lagging_comm *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->head = *inner;
    c->ops = *inner->ops;
    c->ops.destroy = destroy;
    c->ops.barrier = barrier;
    c->ops.broadcast = broadcast;
    c->ops.all_gather = all_gather;
    c->ops.all_reduce = all_reduce;
    c->ops.progress = progress;
    c->ops.all_reduce_start = all_reduce_start;
    c->ops.wait = wait_request;
    c->ops.device_wait = device_wait;
    c->head.ops = &c->ops;
    c->inner = inner;
    c->device = device;
    DT_TRY(device->ops->stream_create(device, &c->stream, err));
    for (int i = 0; i < MAX_REQUESTS; i++) {
        DT_TRY(device->ops->event_create(device, false, &c->requests[i].ready, err));
        DT_TRY(device->ops->event_create(device, false, &c->requests[i].done, err));
    }
    *comm = &c->head;
    return DT_OK;
}
