#include "tests/fakes/fake_nccl.h"

#include "core/base/clock.h"
#include "layers/half.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_RANKS = 64, SYSTEM_ERROR = 2, INTERNAL_ERROR = 3, POLLS = 5 };

struct fake_nccl_mistakes fake_nccl_mistakes;
fake_nccl_enqueue_function *fake_nccl_enqueue = fake_gpu_enqueue;

typedef struct fake_comm {
    int rank, size;
    struct sockaddr_in address; /* of rank 0 */
    int sockets[MAX_RANKS];     /* rank 0: to each; others: [0] */
    pthread_t init_thread;
    atomic_int state; /* the result of async_error */
    atomic_bool aborted;
    atomic_int n_running;
    bool has_summed;
    int polls_left; /* calls of async_error until the sum in progress is enqueued */
    struct sum_arguments *waiting;
} fake_comm;

typedef struct sum_arguments {
    fake_comm *comm;
    const void *from;
    void *to;
    int64_t n;
    dt_dtype dtype;
    void *stream;
} sum_arguments;

static fake_comm *newest;
static int listening = -1; /* rank 0 */
static atomic_int n_aborted;
static int n_busy; /* calls of NCCL in progress */

int fake_nccl_n_aborted(void)
{
    return atomic_load(&n_aborted);
}

static void check_not_busy(const char *what)
{
    if (n_busy == 0)
        return;
    fprintf(stderr, "fake_nccl: %s while a call is in progress\n", what);
    abort();
}

/* ncclCommAbort frees the communicator. */
static void check_not_aborted(const fake_comm *c, const char *what)
{
    if (!atomic_load(&c->aborted))
        return;
    fprintf(stderr, "fake_nccl: %s of a communicator that was aborted\n", what);
    abort();
}

/* -- bytes between ranks --------------------------------------------------------------------------------- */

static bool ends(const fake_comm *c)
{
    return atomic_load(&c->aborted) || fake_gpu_stops();
}

/* Send (`out`) or receive all bytes. Returns false when the communicator is aborted or the connection has
 * ended; async_error then reports the latter. */
static bool transfer(fake_comm *c, int socket, void *data, size_t bytes, bool out)
{
    unsigned char *p = data;
    while (bytes > 0) {
        struct pollfd f = {.fd = socket, .events = out ? POLLOUT : POLLIN};
        if (ends(c))
            return false;
        if (poll(&f, 1, 5) <= 0)
            continue;
        ssize_t n = out ? send(socket, p, bytes, MSG_NOSIGNAL) : recv(socket, p, bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0) {
            atomic_store(&c->state, DT_NCCL_REMOTE_ERROR);
            return false;
        }
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static void prepare(int socket)
{
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(socket, F_SETFL, O_NONBLOCK);
    fcntl(socket, F_SETFD, FD_CLOEXEC);
}

/* -- begin and end --------------------------------------------------------------------------------------- */

static int version(int *out)
{
    *out = fake_nccl_mistakes.version ? fake_nccl_mistakes.version : 22809;
    return DT_NCCL_SUCCESS;
}

static int unique_id(dt_nccl_id *id)
{
    const char *address = getenv("DT_FAKE_NCCL_ADDRESS");
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t bytes = sizeof a;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address ? address : "127.0.0.1", &a.sin_addr);
    if (bind(listening, (struct sockaddr *)&a, sizeof a) != 0 || listen(listening, MAX_RANKS) != 0 ||
        getsockname(listening, (struct sockaddr *)&a, &bytes) != 0)
        return SYSTEM_ERROR;
    memset(id, 0, sizeof *id);
    memcpy(id->bytes, &a, sizeof a);
    return DT_NCCL_SUCCESS;
}

static bool accept_all(fake_comm *c)
{
    for (int i = 1; i < c->size;) {
        int rank = 0;
        struct pollfd f = {.fd = listening, .events = POLLIN};
        if (ends(c))
            return false;
        if (poll(&f, 1, 5) <= 0)
            continue;
        int s = accept(listening, NULL, NULL);
        prepare(s);
        if (!transfer(c, s, &rank, sizeof rank, false))
            return false;
        c->sockets[rank] = s;
        i++;
    }
    close(listening);
    return true;
}

static bool connect_to_0(fake_comm *c)
{
    int rank = c->rank;
    c->sockets[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->sockets[0], (struct sockaddr *)&c->address, sizeof c->address) != 0)
        return false;
    prepare(c->sockets[0]);
    return transfer(c, c->sockets[0], &rank, sizeof rank, true);
}

static void *init_thread(void *context)
{
    fake_comm *c = context;
    while (fake_nccl_mistakes.init_hangs && !ends(c))
        dt_clock_sleep_s(1e-3);
    bool ok = c->rank == 0 ? accept_all(c) : connect_to_0(c);
    atomic_store(&c->state, ok && !fake_nccl_mistakes.init_fails ? DT_NCCL_SUCCESS : INTERNAL_ERROR);
    return NULL;
}

static int init(void **handle, int size, const dt_nccl_id *id, int rank)
{
    fake_comm *c = calloc(1, sizeof *c);
    if (!c || size > MAX_RANKS)
        return INTERNAL_ERROR;
    c->rank = rank;
    c->size = size;
    memcpy(&c->address, id->bytes, sizeof c->address);
    for (int r = 0; r < MAX_RANKS; r++)
        c->sockets[r] = -1;
    atomic_store(&c->state, DT_NCCL_IN_PROGRESS);
    *handle = newest = c;
    return pthread_create(&c->init_thread, NULL, init_thread, c) == 0 ? DT_NCCL_IN_PROGRESS : SYSTEM_ERROR;
}

static int finalize(void *handle)
{
    fake_comm *c = handle;
    check_not_busy("ncclCommFinalize");
    return atomic_load(&c->n_running) == 0 ? DT_NCCL_SUCCESS : INTERNAL_ERROR;
}

static int destroy(void *handle)
{
    fake_comm *c = handle;
    pthread_join(c->init_thread, NULL);
    for (int r = 0; r < MAX_RANKS; r++)
        if (c->sockets[r] >= 0)
            close(c->sockets[r]);
    free(c);
    return DT_NCCL_SUCCESS;
}

/* Returns when all kernels of the communicator have ended. */
static int abort_comm(void *handle)
{
    fake_comm *c = handle;
    while (fake_nccl_mistakes.abort_hangs)
        dt_clock_sleep_s(1.0);
    atomic_store(&c->aborted, true);
    while (atomic_load(&c->n_running) > 0)
        dt_clock_sleep_s(1e-3);
    for (int r = 0; r < MAX_RANKS; r++)
        if (c->sockets[r] >= 0)
            shutdown(c->sockets[r], SHUT_RDWR);
    atomic_fetch_add(&n_aborted, 1);
    return DT_NCCL_SUCCESS;
}

void fake_nccl_disconnect(void)
{
    for (int r = 0; r < MAX_RANKS; r++)
        if (newest->sockets[r] >= 0)
            shutdown(newest->sockets[r], SHUT_RDWR);
}

static const char *error_string(int result)
{
    static const char *const names[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return result >= 0 && result < 8 ? names[result] : "unknown result code";
}

static const char *last_error(void *handle)
{
    (void)handle;
    return "";
}

static int gpu_name(char *out, size_t out_bytes)
{
    const char *name = getenv("DT_FAKE_NCCL_GPU");
    if (name)
        snprintf(out, out_bytes, "%s", name);
    else
        snprintf(out, out_bytes, "fake:%d", (int)getpid());
    return 0;
}

/* -- sums ------------------------------------------------------------------------------------------------ */

static float value_at(const void *data, int64_t i, dt_dtype dtype)
{
    if (dtype == DT_F32)
        return ((const float *)data)[i];
    const uint16_t bits = ((const uint16_t *)data)[i];
    return dtype == DT_F16 ? dt_half_to_float(bits) : dt_bfloat_to_float(bits);
}

static void set_value(void *data, int64_t i, dt_dtype dtype, float v)
{
    if (dtype == DT_F32)
        ((float *)data)[i] = v;
    else
        ((uint16_t *)data)[i] = dtype == DT_F16 ? dt_half_from_float(v) : dt_bfloat_from_float(v);
}

static bool sum_at_0(fake_comm *c, const sum_arguments *a, unsigned char *buffer, unsigned char *theirs,
                     size_t bytes)
{
    for (int r = 1; r < c->size; r++) {
        int64_t n = 0;
        if (!transfer(c, c->sockets[r], &n, sizeof n, false))
            return false;
        if (n != a->n || !transfer(c, c->sockets[r], theirs, bytes, false))
            return false;
        for (int64_t i = 0; i < a->n; i++)
            set_value(buffer, i, a->dtype, value_at(buffer, i, a->dtype) + value_at(theirs, i, a->dtype));
    }
    if (fake_nccl_mistakes.wrong_sums)
        set_value(buffer, a->n - 1, a->dtype, 0.5f);
    for (int r = 1; r < c->size; r++)
        if (!transfer(c, c->sockets[r], buffer, bytes, true))
            return false;
    return true;
}

static bool sum_elsewhere(fake_comm *c, const sum_arguments *a, unsigned char *buffer, size_t bytes)
{
    int64_t n = a->n;
    return transfer(c, c->sockets[0], &n, sizeof n, true) &&
           transfer(c, c->sockets[0], buffer, bytes, true) &&
           transfer(c, c->sockets[0], buffer, bytes, false);
}

static void sum_work(void *arguments)
{
    const sum_arguments *a = arguments;
    fake_comm *c = a->comm;
    size_t bytes = (size_t)a->n * (a->dtype == DT_F32 ? 4 : 2);
    atomic_fetch_add(&c->n_running, 1);
    unsigned char *buffer = malloc(bytes + 1), *theirs = malloc(bytes + 1);
    if (!buffer || !theirs)
        abort();
    memcpy(buffer, a->from, bytes);
    bool ok = !ends(c) &&
              (c->rank == 0 ? sum_at_0(c, a, buffer, theirs, bytes) : sum_elsewhere(c, a, buffer, bytes));
    while (!ok && !ends(c)) /* a kernel cannot detect a lost connection: it waits */
        dt_clock_sleep_s(1e-3);
    if (ok)
        memcpy(a->to, buffer, bytes);
    free(buffer);
    free(theirs);
    atomic_fetch_sub(&c->n_running, 1);
}

/* The first sum opens connections: it stays in progress after this call, and async_error enqueues it
 * later. */
static int all_reduce(void *handle, const void *from, void *to, int64_t n, dt_dtype dtype, void *stream)
{
    fake_comm *c = handle;
    const sum_arguments a = {c, from, to, n, dtype, stream};
    check_not_busy("ncclAllReduce");
    check_not_aborted(c, "ncclAllReduce");
    if (c->has_summed) {
        fake_nccl_enqueue(stream, sum_work, &a, sizeof a);
        return DT_NCCL_SUCCESS;
    }
    c->has_summed = true;
    c->polls_left = POLLS;
    c->waiting = malloc(sizeof a);
    if (!c->waiting)
        return SYSTEM_ERROR;
    *c->waiting = a;
    n_busy++;
    return DT_NCCL_IN_PROGRESS;
}

static int async_error(void *handle, int *result)
{
    fake_comm *c = handle;
    check_not_aborted(c, "ncclCommGetAsyncError");
    *result = atomic_load(&c->state);
    if (!c->waiting || *result != DT_NCCL_SUCCESS)
        return DT_NCCL_SUCCESS;
    *result = DT_NCCL_IN_PROGRESS;
    if (--c->polls_left > 0)
        return DT_NCCL_SUCCESS;
    fake_nccl_enqueue(c->waiting->stream, sum_work, c->waiting, sizeof *c->waiting);
    free(c->waiting);
    c->waiting = NULL;
    n_busy--;
    *result = DT_NCCL_SUCCESS;
    return DT_NCCL_SUCCESS;
}

/* -- kernels --------------------------------------------------------------------------------------------- */

typedef struct wire_arguments {
    const void *from;
    void *to;
    int64_t n;
    dt_dtype dtype;
    dt_nccl_mark mark;
} wire_arguments;

static void set_mark(dt_nccl_mark mark)
{
    if (mark.count)
        __atomic_store_n(mark.seen, ++*mark.count, __ATOMIC_RELAXED);
}

static void mark_work(void *arguments)
{
    set_mark(*(const dt_nccl_mark *)arguments);
}

static void pack_work(void *arguments)
{
    const wire_arguments *a = arguments;
    set_mark(a->mark);
    for (int64_t i = 0; i < a->n; i++)
        set_value(a->to, i, a->dtype, ((const float *)a->from)[i]);
}

static void unpack_work(void *arguments)
{
    const wire_arguments *a = arguments;
    set_mark(a->mark);
    for (int64_t i = 0; i < a->n; i++)
        ((float *)a->to)[i] = value_at(a->from, i, a->dtype);
}

static int pack(void *stream, const float *from, void *to, int64_t n, dt_dtype wire, dt_nccl_mark begun)
{
    check_not_busy("a kernel");
    fake_nccl_enqueue(stream, pack_work, &(wire_arguments){from, to, n, wire, begun}, sizeof(wire_arguments));
    return 0;
}

static int unpack(void *stream, const void *from, float *to, int64_t n, dt_dtype wire, dt_nccl_mark done)
{
    check_not_busy("a kernel");
    fake_nccl_enqueue(stream, unpack_work, &(wire_arguments){from, to, n, wire, done},
                      sizeof(wire_arguments));
    return 0;
}

static int mark(void *stream, dt_nccl_mark m)
{
    check_not_busy("a kernel");
    fake_nccl_enqueue(stream, mark_work, &m, sizeof m);
    return 0;
}

static const char *launch_error(int code)
{
    (void)code;
    return "the launch was refused";
}

const dt_nccl_api *fake_nccl(void)
{
    static const dt_nccl_api api = {.version = version,
                                    .unique_id = unique_id,
                                    .init = init,
                                    .async_error = async_error,
                                    .all_reduce = all_reduce,
                                    .finalize = finalize,
                                    .destroy = destroy,
                                    .abort = abort_comm,
                                    .error_string = error_string,
                                    .last_error = last_error,
                                    .gpu_name = gpu_name,
                                    .pack = pack,
                                    .unpack = unpack,
                                    .mark = mark,
                                    .launch_error = launch_error};
    return &api;
}
