#include "tests/fakes/fake_nccl_internal.h"

#include "core/base/clock.h"

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

enum { MAX_RANKS = 64, INTERNAL_ERROR = 3, POLLS = 5 };

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
    atomic_int n_captured; /* sums in captured graphs */
    bool blocking, has_summed;
    bool nvls; /* sums are made by the NVSwitch */
    FILE *log;
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
static int n_nvls_sums;

int fake_nccl_n_aborted(void)
{
    return atomic_load(&n_aborted);
}

void fake_nccl_check_not_busy(const char *what)
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

/* -- the log --------------------------------------------------------------------------------------------- */

/* As NCCL does, with the settings of the environment. */
static void open_log(fake_comm *c)
{
    const char *level = getenv("NCCL_DEBUG"), *path = getenv("NCCL_DEBUG_FILE");
    if (level && path && strcmp(level, "INFO") == 0)
        c->log = fopen(path, "we");
    if (c->log)
        setvbuf(c->log, NULL, _IOLBF, 0);
}

static void warn(const fake_comm *c, const char *text)
{
    if (c->log)
        fprintf(c->log, "\n[2026-01-01 00:00:00] host:1:1 [0] fake_nccl.c:1 NCCL WARN %s\n", text);
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
            warn(c, "Connection closed by remote peer");
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
        return DT_NCCL_SYSTEM_ERROR;
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

/* NVLS is on unless NCCL_NVLS_ENABLE is 0. */
static bool uses_nvls(void)
{
    const char *setting = getenv("NCCL_NVLS_ENABLE");
    return getenv("DT_FAKE_NCCL_NVSWITCH") && (!setting || strcmp(setting, "0") != 0);
}

static void *init_thread(void *context)
{
    fake_comm *c = context;
    while (fake_nccl_mistakes.init_hangs && !ends(c))
        dt_clock_sleep_s(1e-3);
    bool ok = c->rank == 0 ? accept_all(c) : connect_to_0(c);
    if (fake_nccl_mistakes.init_fails)
        warn(c, "the plugin is from another planet");
    atomic_store(&c->state, ok && !fake_nccl_mistakes.init_fails ? DT_NCCL_SUCCESS : INTERNAL_ERROR);
    return NULL;
}

static int init(void **handle, int size, const dt_nccl_id *id, int rank, bool blocking)
{
    fake_comm *c = calloc(1, sizeof *c);
    if (!c || size > MAX_RANKS)
        return INTERNAL_ERROR;
    c->rank = rank;
    c->size = size;
    c->blocking = blocking;
    c->nvls = uses_nvls();
    open_log(c);
    memcpy(&c->address, id->bytes, sizeof c->address);
    for (int r = 0; r < MAX_RANKS; r++)
        c->sockets[r] = -1;
    atomic_store(&c->state, DT_NCCL_IN_PROGRESS);
    *handle = newest = c;
    if (blocking) {
        (void)init_thread(c);
        return atomic_load(&c->state);
    }
    return pthread_create(&c->init_thread, NULL, init_thread, c) == 0 ? DT_NCCL_IN_PROGRESS
                                                                      : DT_NCCL_SYSTEM_ERROR;
}

static int finalize(void *handle)
{
    fake_comm *c = handle;
    fake_nccl_check_not_busy("ncclCommFinalize");
    return atomic_load(&c->n_running) == 0 ? DT_NCCL_SUCCESS : INTERNAL_ERROR;
}

static int destroy(void *handle)
{
    fake_comm *c = handle;
    if (atomic_load(&c->n_captured) > 0) {
        fprintf(stderr, "fake_nccl: ncclCommDestroy waits for ever: a captured graph has sums\n");
        abort();
    }
    if (!c->blocking)
        pthread_join(c->init_thread, NULL);
    if (c->log)
        fclose(c->log);
    for (int r = 0; r < MAX_RANKS; r++)
        if (c->sockets[r] >= 0)
            close(c->sockets[r]);
    free(c);
    return DT_NCCL_SUCCESS;
}

/* Returns when all kernels of the communicator have ended, and no captured graph has its sums. */
static int abort_comm(void *handle)
{
    fake_comm *c = handle;
    while (fake_nccl_mistakes.abort_hangs)
        dt_clock_sleep_s(1.0);
    atomic_store(&c->aborted, true);
    while (atomic_load(&c->n_running) > 0 || atomic_load(&c->n_captured) > 0)
        dt_clock_sleep_s(1e-3);
    for (int r = 0; r < MAX_RANKS; r++)
        if (c->sockets[r] >= 0)
            shutdown(c->sockets[r], SHUT_RDWR);
    atomic_fetch_add(&n_aborted, 1);
    return DT_NCCL_SUCCESS;
}

void fake_nccl_disconnect(void)
{
    warn(newest, "Connection closed by this rank");
    for (int r = 0; r < MAX_RANKS; r++)
        if (newest->sockets[r] >= 0)
            shutdown(newest->sockets[r], SHUT_RDWR);
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

/* Add the values of all ranks, all[size][n], into the first n. The order is that of the ranks, from `begin`
 * on. */
static void add_up(const fake_comm *c, const sum_arguments *a, unsigned char *all, size_t bytes, int begin)
{
    for (int64_t i = 0; i < a->n; i++) {
        float sum = fake_nccl_value(all + (size_t)begin * bytes, i, a->dtype);
        for (int k = 1; k < c->size; k++) {
            unsigned char rounded[sizeof(float)] __attribute__((aligned(sizeof(float))));
            const size_t rank = (size_t)((begin + k) % c->size);
            fake_nccl_set_value(rounded, 0, a->dtype, sum + fake_nccl_value(all + rank * bytes, i, a->dtype));
            sum = fake_nccl_value(rounded, 0, a->dtype);
        }
        fake_nccl_set_value(all, i, a->dtype, sum);
    }
}

/* `all` has room for the values of all ranks, and begins with those of rank 0. NVLS adds in an order that
 * changes from sum to sum. */
static bool sum_at_0(fake_comm *c, const sum_arguments *a, unsigned char *all, size_t bytes)
{
    for (int r = 1; r < c->size; r++) {
        int64_t n = 0;
        if (!transfer(c, c->sockets[r], &n, sizeof n, false))
            return false;
        if (n != a->n || !transfer(c, c->sockets[r], all + (size_t)r * bytes, bytes, false))
            return false;
    }
    add_up(c, a, all, bytes, c->nvls ? n_nvls_sums++ % c->size : 0);
    if (fake_nccl_mistakes.wrong_sums)
        fake_nccl_set_value(all, a->n - 1, a->dtype, 0.5f);
    for (int r = 1; r < c->size; r++)
        if (!transfer(c, c->sockets[r], all, bytes, true))
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
    unsigned char *buffer = malloc(bytes * (size_t)(c->rank == 0 ? c->size : 1) + 1);
    if (!buffer)
        abort();
    memcpy(buffer, a->from, bytes);
    bool ok = !ends(c) && (c->rank == 0 ? sum_at_0(c, a, buffer, bytes) : sum_elsewhere(c, a, buffer, bytes));
    while (!ok && !ends(c)) /* a kernel cannot detect a lost connection: it waits */
        dt_clock_sleep_s(1e-3);
    if (ok)
        memcpy(a->to, buffer, bytes);
    free(buffer);
    atomic_fetch_sub(&c->n_running, 1);
}

static void release_captured(void *context)
{
    atomic_fetch_sub(&((fake_comm *)context)->n_captured, 1);
}

static int enqueue_sum(const sum_arguments *a)
{
    if (fake_nccl_enqueue == fake_gpu_enqueue && fake_gpu_retain(a->stream, release_captured, a->comm))
        atomic_fetch_add(&a->comm->n_captured, 1);
    fake_nccl_enqueue(a->stream, sum_work, a, sizeof *a);
    return DT_NCCL_SUCCESS;
}

/* The first sum of a blocking communicator returns when the connections are open. */
static int connect_and_enqueue(const sum_arguments *a)
{
    while (fake_nccl_mistakes.connect_hangs && !ends(a->comm))
        dt_clock_sleep_s(1e-3);
    dt_clock_sleep_s(5e-3);
    return ends(a->comm) ? INTERNAL_ERROR : enqueue_sum(a);
}

/* The first sum opens connections. If the communicator is nonblocking it stays in progress after this call,
 * and async_error enqueues it later. */
static int all_reduce(void *handle, const void *from, void *to, int64_t n, dt_dtype dtype, void *stream)
{
    fake_comm *c = handle;
    const sum_arguments a = {c, from, to, n, dtype, stream};
    fake_nccl_check_not_busy("ncclAllReduce");
    check_not_aborted(c, "ncclAllReduce");
    if (c->has_summed)
        return enqueue_sum(&a);
    c->has_summed = true;
    if (c->blocking)
        return connect_and_enqueue(&a);
    c->polls_left = POLLS;
    c->waiting = malloc(sizeof a);
    if (!c->waiting)
        return DT_NCCL_SYSTEM_ERROR;
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
    (void)enqueue_sum(c->waiting);
    free(c->waiting);
    c->waiting = NULL;
    n_busy--;
    *result = DT_NCCL_SUCCESS;
    return DT_NCCL_SUCCESS;
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
                                    .error_string = fake_nccl_error_string,
                                    .last_error = last_error,
                                    .gpu_name = gpu_name,
                                    .pack = fake_nccl_pack,
                                    .unpack = fake_nccl_unpack,
                                    .mark = fake_nccl_mark,
                                    .launch_error = fake_nccl_launch_error};
    return &api;
}
