/* mpi.c: start and end of MPI, barrier, broadcast and all-gather by MPI's own functions, and sums by
 * mpi_sum.c. */
#include "comm/mpi_internal.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_MESSAGE_BYTES ((int64_t)1 << 30) /* MPI counts bytes in an int */

static bool we_started_mpi;

static dt_comm_mpi *mine(dt_comm *comm)
{
    return (dt_comm_mpi *)comm;
}

enum { N_COMMUNICATORS = 4 };

static MPI_Comm *communicator(dt_comm_mpi *c, int i)
{
    return (MPI_Comm *[]){&c->barriers, &c->broadcasts, &c->gathers, &c->data}[i];
}

/* -- collectives ----------------------------------------------------------------------------------------- */

/* Give the next collective its number; the notices of this rank carry it from now on. */
static dt_position begin(dt_comm_mpi *c, dt_position_kind kind, int64_t bytes)
{
    dt_watch_set_begun(c->watch, DT_SEQUENCE_HOST, ++c->n_begun);
    return (dt_position){.number = c->n_begun, .bytes = bytes, .kind = kind, .step = c->head.step};
}

/* Callers may go on after a failure: a checkpoint that fails does not stop the training. */
static dt_status failed_before(const dt_comm_mpi *c, const char *what, dt_error *err)
{
    return dt_fail(err, c->lost_peer ? DT_ERR_PEER : DT_ERR_COMM, "%s: communication has failed before%s",
                   what, c->lost_peer ? ": another rank is lost" : "");
}

/* Fails where communication has failed before: another collective would only wait for the lost rank. */
static dt_status usable(const dt_comm_mpi *c, const char *what, const char *fault, dt_error *err)
{
    if (c->failed)
        return failed_before(c, what, err);
    if (dt_fault(fault))
        return dt_fail(err, DT_ERR_COMM, "%s: fault point %s", what, fault);
    return DT_OK;
}

/* Wait for a collective of MPI. Sums under way go on meanwhile: other ranks may wait for them before they
 * come here. */
static dt_status wait_for_mpi(dt_comm_mpi *c, int code, MPI_Request *request, const dt_position *position,
                              const char *what, dt_error *err)
{
    dt_waiting w = dt_waiting_begin(position);
    for (;;) {
        int done = 0;
        bool moved = false;
        if (code == MPI_SUCCESS)
            code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS)
            return dt_mpi_fail(c, code, what, err);
        if (done)
            return DT_OK;
        DT_TRY(dt_mpi_sum_progress(c, &moved, err));
        DT_TRY(dt_mpi_poll(c, &w, moved, err));
    }
}

static dt_status barrier(dt_comm *comm, dt_error *err)
{
    dt_comm_mpi *c = mine(comm);
    MPI_Request request = MPI_REQUEST_NULL;
    DT_TRY(usable(c, "barrier", "comm.barrier", err));
    const dt_position position = begin(c, DT_POSITION_BARRIER, 0);
    return wait_for_mpi(c, MPI_Ibarrier(c->barriers, &request), &request, &position, "a barrier", err);
}

static dt_status broadcast_pieces(dt_comm_mpi *c, unsigned char *buffer, int64_t bytes, int root,
                                  const dt_position *position, const char *what, dt_error *err)
{
    for (int64_t at = 0; at < bytes; at += c->max_message_bytes) {
        MPI_Request request = MPI_REQUEST_NULL;
        int piece = (int)(bytes - at < c->max_message_bytes ? bytes - at : c->max_message_bytes);
        DT_TRY(wait_for_mpi(c, MPI_Ibcast(buffer + at, piece, MPI_BYTE, root, c->broadcasts, &request),
                            &request, position, what, err));
    }
    return DT_OK;
}

static dt_status broadcast(dt_comm *comm, void *buffer, int64_t bytes, int root, dt_error *err)
{
    dt_comm_mpi *c = mine(comm);
    if (root < 0 || root >= comm->size)
        return dt_fail(err, DT_ERR_INTERNAL, "broadcast: there is no rank %d among %d", root, comm->size);
    DT_TRY(usable(c, "broadcast", "comm.broadcast", err));
    const dt_position position = begin(c, DT_POSITION_BROADCAST, bytes);
    return broadcast_pieces(c, buffer, bytes, root, &position, "a broadcast", err);
}

static dt_status all_gather(dt_comm *comm, const void *own, int64_t bytes, void *all, dt_error *err)
{
    dt_comm_mpi *c = mine(comm);
    MPI_Request request = MPI_REQUEST_NULL;
    DT_TRY(usable(c, "all-gather", "comm.all_gather", err));
    const dt_position position = begin(c, DT_POSITION_ALL_GATHER, bytes);
    if (bytes * comm->size <= c->max_message_bytes)
        return wait_for_mpi(
            c, MPI_Iallgather(own, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, c->gathers, &request),
            &request, &position, "an all-gather", err);
    memcpy((unsigned char *)all + comm->rank * bytes, own, (size_t)bytes);
    for (int r = 0; r < comm->size; r++)
        DT_TRY(
            broadcast_pieces(c, (unsigned char *)all + r * bytes, bytes, r, &position, "an all-gather", err));
    return DT_OK;
}

static dt_status wait_sum(dt_comm_mpi *c, dt_comm_request *request, dt_error *err)
{
    const dt_position position = request->position;
    dt_waiting w = dt_waiting_begin(&position);
    for (;;) {
        bool moved = false;
        DT_TRY(dt_mpi_sum_progress(c, &moved, err));
        if (dt_mpi_sum_done(request))
            break;
        DT_TRY(dt_mpi_poll(c, &w, moved, err));
    }
    dt_mpi_sum_release(c, request);
    return DT_OK;
}

static dt_status all_reduce(dt_comm *comm, void *buffer, int64_t n, dt_dtype dtype, dt_reduce_op op,
                            dt_error *err)
{
    dt_comm_mpi *c = mine(comm);
    dt_comm_request *request = NULL;
    DT_TRY(usable(c, "all-reduce", "comm.all_reduce", err));
    const dt_position position = begin(c, DT_POSITION_ALL_REDUCE, n * dt_dtype_bytes(dtype));
    DT_TRY(dt_mpi_sum_start(c, buffer, n, dtype, op, &position, &request, err));
    return wait_sum(c, request, err);
}

/* `wire` is ignored: mpi_sum.c adds on the host, in float32. */
static dt_status all_reduce_start(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                  dt_comm_request **request, dt_error *err)
{
    (void)wire;
    dt_comm_mpi *c = mine(comm);
    dt_comm_request *started = NULL;
    bool moved;
    DT_TRY(usable(c, "gradients", "comm.start", err));
    const dt_position position = begin(c, DT_POSITION_GRADIENTS, n * (int64_t)sizeof(float));
    DT_TRY(dt_mpi_sum_start(c, buffer, n, DT_F32, DT_REDUCE_SUM, &position, &started, err));
    DT_TRY(dt_mpi_sum_progress(c, &moved, err)); /* the first messages leave now */
    *request = started;
    return DT_OK;
}

static dt_status progress(dt_comm *comm, dt_error *err)
{
    bool moved;
    if (mine(comm)->failed)
        return failed_before(mine(comm), "gradients", err);
    DT_TRY(dt_watch_heartbeat(mine(comm)->watch, err));
    return dt_mpi_sum_progress(mine(comm), &moved, err);
}

static dt_status wait_request(dt_comm *comm, dt_comm_request *request, dt_error *err)
{
    dt_comm_mpi *c = mine(comm);
    if (!request || !request->open)
        return dt_fail(err, DT_ERR_INTERNAL, "gradients: wait for a request that is not under way");
    DT_TRY(usable(c, "gradients", "comm.wait", err));
    return wait_sum(c, request, err);
}

/* -- the end --------------------------------------------------------------------------------------------- */

static void abort_job(dt_comm *comm, int exit_code)
{
    (void)comm;
    fflush(NULL); /* mpirun sends SIGTERM, then SIGKILL: messages must be written before */
#ifdef MPICH_VERSION
    dt_clock_sleep_s(0.2); /* MPICH's mpiexec exits without reading its pipes to the end: let it forward
                              the error message first */
#endif
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    _exit(exit_code);
}

static void free_all(dt_comm_mpi *c)
{
    dt_mpi_sum_destroy(&c->sum);
    dt_mpi_watch_destroy(c);
    dt_free(c);
}

/* MPI_Finalize waits for all ranks without a deadline. So it is called only after a barrier that has one. If
 * that fails the process ends without MPI_Finalize, which mpirun reports. */
static void destroy(dt_comm *comm)
{
    dt_comm_mpi *c = mine(comm);
    if (!c)
        return;
    const dt_position leaving = begin(c, DT_POSITION_LEAVE, 0);
    MPI_Request request = MPI_REQUEST_NULL;
    dt_error ignored;
    if (!c->failed && dt_mpi_sum_idle(c) &&
        wait_for_mpi(c, MPI_Ibarrier(c->data, &request), &request, &leaving, "leaving", &ignored) == DT_OK) {
        dt_mpi_notices_drain(c);
        for (int i = 0; i < N_COMMUNICATORS; i++)
            MPI_Comm_free(communicator(c, i));
        if (c->ranks != MPI_COMM_WORLD)
            MPI_Comm_free(&c->ranks);
        else if (we_started_mpi)
            MPI_Finalize();
    }
    free_all(c);
}

/* -- the start ------------------------------------------------------------------------------------------- */

dt_watch *dt_comm_mpi_watch(dt_comm *comm)
{
    return mine(comm)->watch;
}

bool dt_comm_mpi_launched(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || getenv("PMI_RANK");
}

static const char *level_name(int level)
{
    return level == MPI_THREAD_SINGLE       ? "single"
           : level == MPI_THREAD_FUNNELED   ? "funneled"
           : level == MPI_THREAD_SERIALIZED ? "serialized"
           : level == MPI_THREAD_MULTIPLE   ? "multiple"
                                            : "unknown";
}

void dt_mpi_tidy_name(char *text, char *out, size_t out_bytes)
{
    size_t used = 0;
    char *rest = NULL;
    text[strcspn(text, ",\n")] = '\0';
    if (strncmp(text, "MPI VERSION", 11) == 0 && strchr(text, ':'))
        text = strchr(text, ':') + 1;
    out[0] = '\0';
    for (char *word = strtok_r(text, " \t", &rest); word && used < out_bytes;
         word = strtok_r(NULL, " \t", &rest)) {
        if (strcasecmp(word, "version") == 0 || strcasecmp(word, "version:") == 0)
            continue;
        if (*word == 'v' && isdigit((unsigned char)word[1]))
            word++;
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? " " : "", word);
    }
}

void dt_comm_mpi_library(char *out, size_t out_bytes)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING + 1] = "";
    int length = 0;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS)
        snprintf(text, sizeof text, "MPI");
    dt_mpi_tidy_name(text, out, out_bytes);
}

static dt_status start_mpi(dt_comm_mpi *c, dt_error *err)
{
    int initialized = 0, finalized = 0, level = MPI_THREAD_SINGLE, code = MPI_SUCCESS;
    char library[80];
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (finalized)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "MPI was finalized before, and starts only once in a process");
    if (initialized)
        code = MPI_Query_thread(&level);
    else
        code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (code != MPI_SUCCESS)
        return dt_mpi_fail(c, code, "MPI_Init_thread", err);
    we_started_mpi = we_started_mpi || !initialized;
    dt_comm_mpi_library(library, sizeof library);
    if (level < MPI_THREAD_FUNNELED)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s gives thread level %s where funneled is needed: %s",
                       library, level_name(level),
                       initialized ? "start it with MPI_Init_thread" : "build it with thread support");
    snprintf(c->head.detail, sizeof c->head.detail, "%s, thread level %s", library, level_name(level));
    return DT_OK;
}

static dt_status make_communicators(dt_comm_mpi *c, dt_error *err)
{
    MPI_Comm_set_errhandler(c->ranks, MPI_ERRORS_RETURN);
    int code = MPI_SUCCESS;
    for (int i = 0; i < N_COMMUNICATORS && code == MPI_SUCCESS; i++)
        code = MPI_Comm_dup(c->ranks, communicator(c, i));
    if (code == MPI_SUCCESS)
        code = MPI_Comm_rank(c->ranks, &c->head.rank);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_size(c->ranks, &c->head.size);
    return code == MPI_SUCCESS ? DT_OK : dt_mpi_fail(c, code, "MPI_Comm_dup", err);
}

/* What each rank sends of itself at the start. */
typedef struct rank_info {
    char host[64];
    int leader, local_size; /* the lowest rank of its host; the number of ranks there */
} rank_info;

static dt_status find_host(dt_comm_mpi *c, rank_info *own, dt_error *err)
{
    MPI_Comm here = MPI_COMM_NULL;
    int code = MPI_Comm_split_type(c->ranks, MPI_COMM_TYPE_SHARED, c->head.rank, MPI_INFO_NULL, &here);
    own->leader = c->head.rank;
    if (code == MPI_SUCCESS)
        code = MPI_Comm_rank(here, &c->head.local_rank);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_size(here, &c->head.local_size);
    if (code == MPI_SUCCESS)
        code = MPI_Bcast(&own->leader, 1, MPI_INT, 0, here);
    if (here != MPI_COMM_NULL)
        MPI_Comm_free(&here);
    if (code != MPI_SUCCESS)
        return dt_mpi_fail(c, code, "finding the ranks of this host", err);
    if (gethostname(c->head.host, sizeof c->head.host - 1) != 0)
        snprintf(c->head.host, sizeof c->head.host, "unknown");
    memcpy(own->host, c->head.host, sizeof own->host);
    own->local_size = c->head.local_size;
    return DT_OK;
}

static dt_status exchange_rank_info(dt_comm_mpi *c, int ranks_per_host, double deadline_s, dt_error *err)
{
    const size_t size = (size_t)c->head.size;
    rank_info own;
    memset(&own, 0, sizeof own);
    DT_TRY(find_host(c, &own, err));
    if (ranks_per_host > 0) {
        own.leader = c->head.rank / ranks_per_host * ranks_per_host;
        own.local_size =
            c->head.size - own.leader < ranks_per_host ? c->head.size - own.leader : ranks_per_host;
    }
    rank_info *infos = dt_calloc(size, sizeof *infos);
    int *leaders = dt_calloc(size, sizeof *leaders), *local_sizes = dt_calloc(size, sizeof *local_sizes);
    char(*hosts)[64] = dt_calloc(size, sizeof *hosts);
    dt_status status = DT_OK;
    if (!infos || !leaders || !local_sizes || !hosts) {
        status = dt_fail_memory(err, size * (sizeof *infos + sizeof *hosts), "the ranks' hosts");
        goto done;
    }
    int code = MPI_Allgather(&own, sizeof own, MPI_BYTE, infos, sizeof own, MPI_BYTE, c->ranks);
    if (code != MPI_SUCCESS) {
        status = dt_mpi_fail(c, code, "exchanging the ranks' hosts", err);
        goto done;
    }
    for (size_t r = 0; r < size; r++) {
        memcpy(hosts[r], infos[r].host, sizeof hosts[r]);
        leaders[r] = infos[r].leader;
        local_sizes[r] = infos[r].local_size;
    }
    status = dt_mpi_watch_create(c, (const char(*)[64])hosts, deadline_s, err);
    if (status == DT_OK)
        status = dt_mpi_sum_create(c, leaders, local_sizes, err);
done:
    dt_free(hosts);
    dt_free(infos);
    dt_free(leaders);
    dt_free(local_sizes);
    return status;
}

/* `ranks`: all of them, or a part, which is freed with the communicator. */
static dt_status create(MPI_Comm ranks, const dt_comm_mpi_options *options, dt_comm **comm, dt_error *err)
{
    static const dt_comm_ops ops = {.name = "mpi",
                                    .destroy = destroy,
                                    .barrier = barrier,
                                    .broadcast = broadcast,
                                    .all_gather = all_gather,
                                    .all_reduce = all_reduce,
                                    .all_reduce_start = all_reduce_start,
                                    .progress = progress,
                                    .wait = wait_request,
                                    .abort = abort_job};
    const dt_comm_mpi_options none = {0}, *o = options ? options : &none;
    dt_status status;
    dt_comm_mpi *c = dt_calloc(1, sizeof *c);
    if (!c)
        return dt_fail_memory(err, sizeof *c, "the communicator");
    c->head.ops = &ops;
    c->ranks = ranks;
    c->max_message_bytes = o->max_message_bytes > 0 && o->max_message_bytes < MAX_MESSAGE_BYTES
                               ? o->max_message_bytes
                               : MAX_MESSAGE_BYTES;
    for (int i = 0; i < N_COMMUNICATORS; i++)
        *communicator(c, i) = MPI_COMM_NULL;
    DT_TRY_OR_FAIL(status, start_mpi(c, err));
    DT_TRY_OR_FAIL(status, make_communicators(c, err));
    DT_TRY_OR_FAIL(status, exchange_rank_info(c, o->ranks_per_host,
                                              o->deadline_s > 0 ? o->deadline_s : DT_COMM_DEADLINE_S, err));
    *comm = &c->head;
    return DT_OK;
fail:
    free_all(c);
    return status;
}

dt_status dt_comm_mpi_create(const dt_comm_mpi_options *options, dt_comm **comm, dt_error *err)
{
    return create(MPI_COMM_WORLD, options, comm, err);
}

dt_status dt_comm_mpi_create_part(bool takes_part, const dt_comm_mpi_options *options, dt_comm **comm,
                                  dt_error *err)
{
    MPI_Comm ranks = MPI_COMM_NULL;
    const int code = MPI_Comm_split(MPI_COMM_WORLD, takes_part ? 0 : MPI_UNDEFINED, 0, &ranks);
    *comm = NULL;
    if (code != MPI_SUCCESS)
        return dt_fail(err, DT_ERR_COMM, "MPI_Comm_split failed with code %d", code);
    return takes_part ? create(ranks, options, comm, err) : DT_OK;
}
