#include "tests/fakes/fake_comm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANKS 64
#define MAX_REQUESTS 64

typedef enum op_kind { OP_BARRIER, OP_BROADCAST, OP_GATHER, OP_REDUCE } op_kind;

typedef struct arrival {
    op_kind kind;
    void *buffer;
    const void *mine;
    int64_t n;
    int extra; /* root, or dtype * 8 + op */
} arrival;

struct dt_comm_request {
    float *buffer;
    int64_t n;
    bool open;
};

typedef struct world {
    int size, n_arrived, n_left;
    int64_t round;
    bool mismatch;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    arrival arrivals[MAX_RANKS];
    fake_comm_rank *rank_main;
    void *context;
} world;

typedef struct fake_comm {
    dt_comm head;
    world *w;
    bool has_left;
    int64_t n_progress;
    struct fake_comm *second; /* NULL: this is a second communicator */
    dt_comm_request requests[MAX_REQUESTS];
} fake_comm;

#define REDUCE(type)                                                                                         \
    do {                                                                                                     \
        type *out = scratch;                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            type v = ((type *)w->arrivals[0].buffer)[i];                                                     \
            for (int r = 1; r < w->size; r++) {                                                              \
                type x = ((type *)w->arrivals[r].buffer)[i];                                                 \
                v = op == DT_REDUCE_SUM ? v + x : op == DT_REDUCE_MIN ? (x < v ? x : v) : (x > v ? x : v);   \
            }                                                                                                \
            out[i] = v;                                                                                      \
        }                                                                                                    \
    } while (0)

/* Carry out the collective, when all ranks have arrived. */
static void perform(world *w)
{
    const arrival *a = &w->arrivals[0];
    for (int r = 1; r < w->size; r++)
        if (w->arrivals[r].kind != a->kind || w->arrivals[r].n != a->n || w->arrivals[r].extra != a->extra) {
            w->mismatch = true;
            return;
        }
    if (a->kind == OP_BROADCAST && a->n > 0) /* of nothing: buffers may be NULL */
        for (int r = 0; r < w->size; r++)
            memmove(w->arrivals[r].buffer, w->arrivals[a->extra].buffer, (size_t)a->n);
    if (a->kind == OP_GATHER)
        for (int r = 0; r < w->size; r++)
            for (int q = 0; q < w->size; q++)
                memcpy((char *)w->arrivals[r].buffer + (int64_t)q * a->n, w->arrivals[q].mine, (size_t)a->n);
    if (a->kind == OP_REDUCE) {
        int64_t n = a->n, bytes = n * dt_dtype_bytes((dt_dtype)(a->extra / 8));
        dt_reduce_op op = (dt_reduce_op)(a->extra % 8);
        void *scratch = malloc((size_t)bytes + 1);
        if (!scratch)
            abort();
        switch (a->extra / 8) {
        case DT_F32:
            REDUCE(float);
            break;
        case DT_F64:
            REDUCE(double);
            break;
        default:
            REDUCE(int64_t);
            break;
        }
        for (int r = 0; r < w->size; r++)
            memcpy(w->arrivals[r].buffer, scratch, (size_t)bytes);
        free(scratch);
    }
}

/* Arrive at a collective, and wait until it is carried out or a rank has left. */
static dt_status arrive_and_wait(dt_comm *comm, arrival a, dt_error *err)
{
    world *w = ((fake_comm *)comm)->w;
    if (((fake_comm *)comm)->has_left)
        return dt_fail(err, DT_ERR_PEER, "rank %d has left itself", comm->rank);
    pthread_mutex_lock(&w->mutex);
    w->arrivals[comm->rank] = a;
    int64_t round = w->round;
    if (++w->n_arrived == w->size) {
        perform(w);
        w->n_arrived = 0;
        w->round++;
        pthread_cond_broadcast(&w->changed);
    }
    while (w->round == round && w->n_left == 0)
        pthread_cond_wait(&w->changed, &w->mutex);
    bool complete = w->round != round, mismatch = w->mismatch;
    pthread_mutex_unlock(&w->mutex);
    if (!complete)
        return dt_fail(err, DT_ERR_PEER, "a rank has left, and rank %d waits for it", comm->rank);
    return mismatch ? dt_fail(err, DT_ERR_COMM, "ranks are in different collectives") : DT_OK;
}

static void destroy(dt_comm *comm)
{
    (void)comm; /* fake_comm_run owns it */
}

static dt_status barrier(dt_comm *comm, dt_error *err)
{
    return arrive_and_wait(comm, (arrival){.kind = OP_BARRIER}, err);
}

static dt_status broadcast(dt_comm *comm, void *buffer, int64_t bytes, int root, dt_error *err)
{
    return arrive_and_wait(comm, (arrival){.kind = OP_BROADCAST, .buffer = buffer, .n = bytes, .extra = root},
                           err);
}

static dt_status all_gather(dt_comm *comm, const void *mine, int64_t bytes, void *all, dt_error *err)
{
    return arrive_and_wait(comm, (arrival){.kind = OP_GATHER, .buffer = all, .mine = mine, .n = bytes}, err);
}

static dt_status all_reduce(dt_comm *comm, void *buffer, int64_t n, dt_dtype dtype, dt_reduce_op op,
                            dt_error *err)
{
    return arrive_and_wait(
        comm, (arrival){.kind = OP_REDUCE, .buffer = buffer, .n = n, .extra = (int)dtype * 8 + (int)op}, err);
}

/* The sum is made in wait; until then the buffer holds this rank's values. */
static dt_status all_reduce_start(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                  dt_comm_request **request, dt_error *err)
{
    (void)wire;
    fake_comm *c = (fake_comm *)comm;
    for (int i = 0; i < MAX_REQUESTS; i++)
        if (!c->requests[i].open) {
            c->requests[i] = (dt_comm_request){buffer, n, true};
            *request = &c->requests[i];
            return DT_OK;
        }
    return dt_fail(err, DT_ERR_INTERNAL, "more than %d all-reduces under way", MAX_REQUESTS);
}

static dt_status progress(dt_comm *comm, dt_error *err)
{
    (void)err;
    ((fake_comm *)comm)->n_progress++;
    return DT_OK;
}

static dt_status wait_request(dt_comm *comm, dt_comm_request *request, dt_error *err)
{
    request->open = false;
    return all_reduce(comm, request->buffer, request->n, DT_F32, DT_REDUCE_SUM, err);
}

static _Noreturn void abort_job(dt_comm *comm, int exit_code)
{
    fprintf(stderr, "fake_comm: rank %d aborts\n", comm->rank);
    _Exit(exit_code);
}

static const dt_comm_ops ops = {.name = "fake",
                                .destroy = destroy,
                                .barrier = barrier,
                                .broadcast = broadcast,
                                .all_gather = all_gather,
                                .all_reduce = all_reduce,
                                .all_reduce_start = all_reduce_start,
                                .progress = progress,
                                .wait = wait_request,
                                .abort = abort_job};

void fake_comm_leave(dt_comm *comm)
{
    fake_comm *c = (fake_comm *)comm;
    pthread_mutex_lock(&c->w->mutex);
    c->has_left = true;
    c->w->n_left++;
    pthread_cond_broadcast(&c->w->changed);
    pthread_mutex_unlock(&c->w->mutex);
    if (c->second)
        fake_comm_leave(&c->second->head);
}

dt_comm *fake_comm_second(dt_comm *comm)
{
    return &((fake_comm *)comm)->second->head;
}

int64_t fake_comm_progress_calls(const dt_comm *comm)
{
    return ((const fake_comm *)comm)->n_progress;
}

static void *rank_thread(void *p)
{
    fake_comm *c = p;
    c->w->rank_main(&c->head, c->w->context);
    fake_comm_leave(&c->head);
    return NULL;
}

void fake_comm_run(int size, fake_comm_rank *rank_main, void *context)
{
    fake_comm_run_on_hosts(size, 2, rank_main, context);
}

static void init_world(world *w, fake_comm *comms, int size, int per_host)
{
    *w = (world){.size = size};
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    for (int r = 0; r < size; r++) {
        int first = r / per_host * per_host, n = size - first < per_host ? size - first : per_host;
        comms[r].head =
            (dt_comm){.ops = &ops, .rank = r, .size = size, .local_rank = r - first, .local_size = n};
        comms[r].w = w;
        snprintf(comms[r].head.host, sizeof comms[r].head.host, "host%d", r / per_host);
        snprintf(comms[r].head.detail, sizeof comms[r].head.detail, "threads as ranks");
    }
}

void fake_comm_run_on_hosts(int size, int per_host, fake_comm_rank *rank_main, void *context)
{
    world first, second;
    pthread_t threads[MAX_RANKS];
    fake_comm *comms = calloc(2 * (size_t)size, sizeof *comms);
    if (!comms || size > MAX_RANKS)
        abort();
    init_world(&first, comms, size, per_host);
    init_world(&second, comms + size, size, per_host);
    first.rank_main = rank_main;
    first.context = context;
    for (int r = 0; r < size; r++) {
        comms[r].second = &comms[size + r];
        if (pthread_create(&threads[r], NULL, rank_thread, &comms[r]) != 0)
            abort();
    }
    for (int r = 0; r < size; r++)
        pthread_join(threads[r], NULL);
    pthread_cond_destroy(&first.changed);
    pthread_mutex_destroy(&first.mutex);
    pthread_cond_destroy(&second.changed);
    pthread_mutex_destroy(&second.mutex);
    free(comms);
}
