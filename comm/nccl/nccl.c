/* nccl.c: start and end of NCCL, and the collectives that the other communicator does. */
#include "comm/nccl/internal.h"

#include "comm/nccl/environment.h"
#include "comm/nccl/network.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINALIZE_S 30.0 /* all ranks have just passed a barrier */
#define POLL_S 1e-4

static dt_comm_nccl *mine(dt_comm *comm)
{
    return (dt_comm_nccl *)comm;
}

/* -- host memory: done by the other communicator --------------------------------------------------------- */

/* Prepare a call of the other communicator, and return it. */
static dt_comm *host_of(dt_comm *comm)
{
    dt_comm_nccl *c = mine(comm);
    c->host->step = comm->step;
    (void)dt_nccl_device_position(c); /* so that its notices carry the device's position */
    dt_nccl_watchdog_hold(c);
    return c->host;
}

static bool lost(dt_status status)
{
    return status == DT_ERR_COMM || status == DT_ERR_PEER || status == DT_ERR_TIMEOUT;
}

/* Return the status of a call of the other communicator. If that has lost a rank this one leaves NCCL too:
 * the lost rank will not come to the device's sums either. */
static dt_status after_host(dt_comm *comm, dt_status status)
{
    dt_nccl_watchdog_release(mine(comm));
    return lost(status) ? dt_nccl_leave(mine(comm), status) : status;
}

static dt_status barrier(dt_comm *comm, dt_error *err)
{
    dt_comm *host = host_of(comm);
    return after_host(comm, host->ops->barrier(host, err));
}

static dt_status broadcast(dt_comm *comm, void *buffer, int64_t bytes, int root, dt_error *err)
{
    dt_comm *host = host_of(comm);
    return after_host(comm, host->ops->broadcast(host, buffer, bytes, root, err));
}

static dt_status all_gather(dt_comm *comm, const void *own, int64_t bytes, void *all, dt_error *err)
{
    dt_comm *host = host_of(comm);
    return after_host(comm, host->ops->all_gather(host, own, bytes, all, err));
}

static dt_status all_reduce(dt_comm *comm, void *buffer, int64_t n, dt_dtype dtype, dt_reduce_op op,
                            dt_error *err)
{
    dt_comm *host = host_of(comm);
    return after_host(comm, host->ops->all_reduce(host, buffer, n, dtype, op, err));
}

/* Sums on the device need no calls; this passes on the heartbeat. */
static dt_status progress(dt_comm *comm, dt_error *err)
{
    if (mine(comm)->failed)
        return dt_fail(err, mine(comm)->failed_as, "gradients: communication has failed before");
    dt_comm *host = host_of(comm);
    return after_host(comm, host->ops->progress(host, err));
}

/* -- the end --------------------------------------------------------------------------------------------- */

static void abort_job(dt_comm *comm, int exit_code)
{
    dt_comm *host = mine(comm)->host;
    dt_nccl_abort(mine(comm), true);
    host->ops->abort(host, exit_code);
}

/* ncclCommFinalize waits for all ranks, so it is called only after a barrier. If anything fails before, NCCL
 * is aborted. */
static int finalize_call(dt_comm_nccl *c, dt_nccl_call *call)
{
    (void)call;
    return c->api->finalize(c->handle);
}

static void end_nccl(dt_comm_nccl *c)
{
    dt_error ignored;
    int result = DT_NCCL_IN_PROGRESS;
    if (!c->handle)
        return;
    bool ok = !c->failed && c->n_open == 0 && c->host->ops->barrier(c->host, &ignored) == DT_OK;
    if (ok) {
        result = dt_nccl_call_begin(c, finalize_call);
        for (double end_s = dt_clock_s() + FINALIZE_S; result == DT_NCCL_IN_PROGRESS && dt_clock_s() < end_s;
             dt_clock_sleep_s(POLL_S))
            if (dt_nccl_call_poll(c, &result) != DT_NCCL_SUCCESS)
                break;
    }
    if (result == DT_NCCL_SUCCESS)
        (void)c->api->destroy(c->handle);
    else
        dt_nccl_abort(c, true);
}

static void free_all(dt_comm_nccl *c)
{
    dt_nccl_watchdog_stop(c);
    end_nccl(c);
    dt_nccl_log_close(&c->log);
    if (c->call.open)
        (void)dt_nccl_call_poll(c, &(int){0});
    if (c->call.open || (atomic_load(&c->abort_begun) && !atomic_load(&c->aborted)) ||
        (atomic_load(&c->drop_begun) && !atomic_load(&c->graphs_dropped)))
        return; /* a call hangs in a thread and uses this memory; the process is about to end */
    dt_nccl_buckets_destroy(c);
    if (c->owns_watch)
        dt_watch_destroy(c->watch);
    dt_free(c);
}

static void destroy(dt_comm *comm)
{
    if (!comm)
        return;
    dt_comm *host = mine(comm)->host;
    free_all(mine(comm));
    host->ops->destroy(host);
}

/* -- the start ------------------------------------------------------------------------------------------- */

/* What each rank sends of itself at the start. */
typedef struct rank_info {
    char host[64], gpu[64];
} rank_info;

static dt_status choose_watch(dt_comm_nccl *c, const dt_comm_nccl_options *o, dt_error *err)
{
    if (o->watch || c->head.size > 1) {
        c->watch = o->watch;
        return c->watch ? DT_OK : dt_fail(err, DT_ERR_INTERNAL, "NCCL: several ranks, and no watch");
    }
    const dt_watch_options options = {.comm = c->host,
                                      .hosts = (const char(*)[64])c->host->host,
                                      .deadline_s = o->deadline_s > 0 ? o->deadline_s : DT_NCCL_DEADLINE_S};
    DT_TRY(dt_watch_create(&options, &c->watch, err));
    c->owns_watch = true;
    return DT_OK;
}

static dt_status create_local(dt_comm_nccl *c, const dt_comm_nccl_options *o, rank_info *own, dt_error *err)
{
    c->api = o->api ? o->api : dt_nccl_library(err);
    if (!c->api)
        return DT_ERR_UNSUPPORTED;
    if (!c->device->ops->native_stream)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "NCCL sums between GPUs, and the backend computes on %s: use --comm mpi",
                       c->device->ops->name);
    snprintf(own->host, sizeof own->host, "%s", c->head.host);
    if (c->api->gpu_name(own->gpu, sizeof own->gpu) != 0)
        return dt_fail(err, DT_ERR_DEVICE, "NCCL: cannot get the PCI address of this rank's GPU");
    DT_TRY(choose_watch(c, o, err));
    return dt_nccl_buckets_create(c, err);
}

/* Whether ranks may share a GPU: NCCL 2.30 allows it with a setting. */
static bool may_share(const dt_comm_nccl *c)
{
    int version = 0;
    const char *setting = getenv("NCCL_MULTI_RANK_GPU_ENABLE");
    return setting && strcmp(setting, "1") == 0 && c->api->version(&version) == DT_NCCL_SUCCESS &&
           version >= 23000;
}

static dt_status check_gpus(const dt_comm_nccl *c, const rank_info *own, dt_error *err)
{
    const size_t size = (size_t)c->head.size;
    dt_comm *host = c->host;
    rank_info *infos = dt_calloc(size, sizeof *infos);
    dt_status status =
        dt_agree(host, infos ? DT_OK : dt_fail_memory(err, size * sizeof *infos, "the ranks' GPUs"), err);
    if (status == DT_OK)
        status = host->ops->all_gather(host, own, sizeof *own, infos, err);
    for (size_t r = 0; status == DT_OK && !may_share(c) && r < size; r++)
        for (size_t q = 0; q < r && status == DT_OK; q++)
            if (strcmp(infos[r].host, infos[q].host) == 0 && strcmp(infos[r].gpu, infos[q].gpu) == 0)
                status =
                    dt_fail(err, DT_ERR_USAGE,
                            "ranks %zu and %zu are both on GPU %s of %s, and NCCL needs one GPU for each "
                            "rank: start no more ranks on a host than it has GPUs, and check "
                            "CUDA_VISIBLE_DEVICES",
                            q, r, infos[r].gpu, infos[r].host);
    dt_free(infos);
    /* Ranks may differ in the setting, so they agree on the result. */
    return lost(status) ? status : dt_agree(host, status, err);
}

/* Rank 0 makes the id, which contains the address that NCCL listens on, and broadcasts it. */
static dt_status share_id(dt_comm_nccl *c, dt_nccl_id *id, dt_error *err)
{
    int result = c->head.rank == 0 ? c->api->unique_id(id) : DT_NCCL_SUCCESS;
    dt_status status = DT_OK;
    if (result != DT_NCCL_SUCCESS)
        status = dt_fail(err, DT_ERR_COMM, "NCCL, in ncclGetUniqueId: %s", c->api->error_string(result));
    DT_TRY(dt_agree(c->host, status, err));
    return c->host->ops->broadcast(c->host, id, sizeof *id, 0, err);
}

/* Begin part `number` of NCCL's start: 1 is init, then come the sums. */
static dt_position begin_start(dt_comm_nccl *c, int64_t number)
{
    c->start_number = number;
    dt_watch_set_begun(c->watch, DT_SEQUENCE_DEVICE, number);
    return (dt_position){.kind = DT_POSITION_START, .number = number};
}

static int init_call(dt_comm_nccl *c, dt_nccl_call *call)
{
    return c->api->init(&call->handle, c->head.size, &call->id, c->head.rank, c->blocking);
}

static dt_status start_nccl(dt_comm_nccl *c, dt_error *err)
{
    DT_TRY(share_id(c, &c->call.id, err));
    const dt_position position = begin_start(c, 1);
    const int result = dt_nccl_call_begin(c, init_call);
    if (!c->blocking)
        c->handle = c->call.handle;
    DT_TRY(dt_nccl_wait_ready(c, result, &position, "ncclCommInitRankConfig", err));
    c->handle = c->call.handle; /* a blocking init sets it when it returns */
    return DT_OK;
}

static int first_sum_call(dt_comm_nccl *c, dt_nccl_call *call)
{
    return c->api->all_reduce(c->handle, c->wire, c->wire, call->n, DT_F32, c->native);
}

/* Sum n values, which are rank + 1, and check the result. Uses the wire buffer, which is still free. */
static dt_status sum_once(dt_comm_nccl *c, int64_t n, float *values, dt_event *event,
                          const dt_position *position, dt_error *err)
{
    const dt_device_ops *d = c->device->ops;
    const float mine_is = (float)(c->head.rank + 1),
                all_is = (float)c->head.size * (float)(c->head.size + 1) / 2.0f;
    const int64_t bytes = n * (int64_t)sizeof *values;
    for (int64_t i = 0; i < n; i++)
        values[i] = mine_is;
    DT_TRY(d->copy(c->device, c->wire, values, bytes, DT_COPY_TO_DEVICE, c->stream, err));
    c->call.n = n;
    DT_TRY(dt_nccl_wait_ready(c, dt_nccl_call_begin(c, first_sum_call), position, "ncclAllReduce", err));
    DT_TRY(d->copy(c->device, values, c->wire, bytes, DT_COPY_TO_HOST, c->stream, err));
    DT_TRY(d->event_record(c->device, event, c->stream, err));
    DT_TRY(dt_nccl_device_wait(&c->head, c->device, event, err));
    for (int64_t i = 0; i < n; i++)
        if (fabsf(values[i] - all_is) > 0.0f)
            return dt_fail(err, DT_ERR_DEVICE,
                           "the first sum between the GPUs is wrong: %g instead of %g. An IOMMU or PCIe "
                           "access control (ACS) can break direct transfers between GPUs (P2P): try "
                           "NCCL_P2P_DISABLE=1",
                           (double)values[i], (double)all_is);
    return DT_OK;
}

/* Make a small sum, a middle one and one as large as the largest bucket. NCCL opens its connections at the
 * first sum, and uses others for large sums than for small ones. That must not happen within the first step,
 * which may be captured; and only then does NCCL's log show the connections. */
static dt_status sum_first(dt_comm_nccl *c, dt_error *err)
{
    const dt_device_ops *d = c->device->ops;
    const int64_t all = c->wire_bytes / (int64_t)sizeof(float), sizes[] = {256, all / 4, all};
    const int64_t most_bytes = all * (int64_t)sizeof(float);
    dt_event *event = NULL;
    float *values = d->host_alloc(c->device, most_bytes);
    dt_status status = values ? d->event_create(c->device, false, &event, err)
                              : dt_fail_memory(err, (size_t)most_bytes, "NCCL's first sum");
    status = dt_agree(c->host, status, err);
    for (int64_t i = 0; i < 3 && status == DT_OK; i++) {
        const dt_position position = begin_start(c, 2 + i);
        status = sum_once(c, sizes[i], values, event, &position, err);
    }
    if (event)
        d->event_destroy(c->device, event);
    if (!c->failed) /* otherwise the device may still write there */
        d->host_free(c->device, values);
    return lost(status) ? status : dt_agree(c->host, status, err);
}

/* -- what it uses ---------------------------------------------------------------------------------------- */

static void version_name(const dt_comm_nccl *c, char *out, size_t out_bytes)
{
    int v = 0;
    if (c->api->version(&v) == DT_NCCL_SUCCESS && v >= 10000)
        snprintf(out, out_bytes, "NCCL %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    else
        snprintf(out, out_bytes, "NCCL");
}

/* Fill comm->detail with NCCL's version, network and whether NVLS is off. Ranks may use different networks:
 * all get the slowest. Rank 0 logs a warning where EFA should be used and is not, and where NVLS may be. */
static dt_status describe_communicator(dt_comm_nccl *c, const char *log, const dt_nccl_environment *settings,
                                       const char *root, dt_error *err)
{
    const size_t size = (size_t)c->head.size;
    char version[32], way[80], advice[800];
    dt_nccl_network own, *all = dt_calloc(size, sizeof *all);
    dt_nccl_network_parse(log, NULL, &own);
    own.nvls_may_be_used = settings->nvls_may_be_used;
    dt_efa_read(root ? root : "", &own.efa);
    memcpy(own.efa.host, c->host->host, sizeof own.efa.host);
    DT_TRY(
        dt_agree(c->host, all ? DT_OK : dt_fail_memory(err, size * sizeof *all, "the ranks' networks"), err));
    dt_status status = c->host->ops->all_gather(c->host, &own, sizeof own, all, err);
    int64_t most_local = c->head.local_size;
    if (status == DT_OK)
        status = c->host->ops->all_reduce(c->host, &most_local, 1, DT_I64, DT_REDUCE_MAX, err);
    for (size_t r = 0; status == DT_OK && r < size; r++)
        dt_nccl_network_join(&own, &all[r]);
    dt_free(all);
    DT_TRY(status);
    const bool alone = c->head.size == 1, several_hosts = c->head.local_size < c->head.size;
    version_name(c, version, sizeof version);
    dt_nccl_network_describe(&own, several_hosts, most_local > 1, way, sizeof way);
    const bool advised = (several_hosts || alone) && dt_nccl_network_advice(&own, advice, sizeof advice);
    const size_t host_chars = strcspn(c->host->detail, ",");
    snprintf(c->head.detail, sizeof c->head.detail, "%.15s, %s%.70s%s, NVLS %s; %.*s", version,
             c->blocking ? "blocking, " : "", way, advised ? ": EFA is not used" : "",
             own.nvls_may_be_used ? "allowed" : "off", (int)(host_chars < 20 ? host_chars : 20),
             c->host->detail);
    if (advised && several_hosts && c->head.rank == 0)
        dt_log_warn("%s", advice);
    if (own.nvls_may_be_used && c->head.rank == 0)
        dt_log_warn("NCCL_NVLS_ENABLE is '%s': GPUs behind an NVSwitch may then add in another order in each "
                    "sum, and two runs with the same seed need not have the same bits; unset it, or set it "
                    "to 0, for the same bits",
                    settings->nvls);
    return DT_OK;
}

static dt_status start(dt_comm_nccl *c, const dt_comm_nccl_options *o, dt_error *err)
{
    rank_info own;
    dt_nccl_environment settings;
    memset(&own, 0, sizeof own); /* all of it is sent */
    DT_TRY(dt_agree(c->host, create_local(c, o, &own, err), err));
    DT_TRY(check_gpus(c, &own, err));
    dt_nccl_environment_prepare(&settings);
    c->blocking = settings.blocking;
    dt_nccl_log_begin(&c->log);
    dt_status status = start_nccl(c, err);
    if (status == DT_OK)
        status = sum_first(c, err);
    char *text = dt_nccl_log_end(&c->log);
    if (status == DT_OK)
        status = describe_communicator(c, text, &settings, o->root, err);
    c->start_number = 0;
    dt_free(text);
    if (status == DT_OK)
        status = dt_agree(c->host, dt_nccl_watchdog_start(c, err), err);
    return status;
}

dt_status dt_comm_nccl_create(dt_comm *host, dt_device *device, const dt_comm_nccl_options *options,
                              dt_comm **comm, dt_error *err)
{
    static const dt_comm_ops ops = {.name = "nccl",
                                    .destroy = destroy,
                                    .barrier = barrier,
                                    .broadcast = broadcast,
                                    .all_gather = all_gather,
                                    .all_reduce = all_reduce,
                                    .all_reduce_start = dt_nccl_all_reduce_start,
                                    .progress = progress,
                                    .wait = dt_nccl_wait,
                                    .device_wait = dt_nccl_device_wait,
                                    .abort = abort_job};
    const dt_comm_nccl_options none = {0}, *o = options ? options : &none;
    dt_comm_nccl *c = dt_calloc(1, sizeof *c);
    DT_TRY(dt_agree(host, c ? DT_OK : dt_fail_memory(err, sizeof *c, "the communicator"), err));
    c->head = *host;
    c->head.ops = &ops;
    c->host = host;
    c->device = device;
    c->log.fd = -1;
    c->wire_bytes = o->wire_bytes > 0 ? o->wire_bytes : DT_NCCL_WIRE_BYTES;
    dt_status status = start(c, o, err);
    if (status != DT_OK) {
        dt_nccl_abort(c, false);
        free_all(c);
        return status;
    }
    *comm = &c->head;
    return DT_OK;
}
