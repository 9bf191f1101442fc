/* nccl_failures WHAT [RANK]: rank RANK (1) or its GPU misbehaves, for nccl_test.sh. The other ranks print the
 * error that they get, as launch/main.c does, and abort. With DT_TEST_REAL_NCCL it runs on GPUs with NCCL
 * itself. */
#include "config.h"

#include "comm/mpi.h"
#include "comm/nccl/nccl.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#ifdef DT_WITH_NCCL
#    include "layers/cuda/device_cuda.h"
#endif
#include "tests/fakes/fake_gpu.h"
#include "tests/fakes/fake_nccl.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_S 2.0

enum { BUCKETS = 4, BUCKET = 50000, LAG = 4, LAST_STEP = 200, BAD_STEP = 41 };

static dt_comm *comm;
static const dt_nccl_api *nccl;
static dt_device *device;
static dt_event *event;
static double alive_s; /* when the last wait ended */

static void check(dt_status status, const dt_error *err)
{
    if (status == DT_OK)
        return;
    fprintf(stderr, "rank %d: %s: %s [after %.1f s, %d aborted]\n", comm->rank, dt_status_name(status),
            err->message, dt_clock_s() - alive_s, fake_nccl_n_aborted());
    comm->ops->abort(comm, 9);
}

static void hang_work(void *arguments)
{
    (void)arguments;
    while (!fake_gpu_stops())
        dt_clock_sleep_s(1e-3);
}

static void wait_for_device(void)
{
    dt_error err = {0};
    check(device->ops->event_record(device, event, NULL, &err), &err);
    check(comm->ops->device_wait(comm, device, event, &err), &err);
    alive_s = dt_clock_s();
}

static void be_busy(double seconds)
{
    dt_error err = {0};
    for (double end = dt_clock_s() + seconds; dt_clock_s() < end; dt_clock_sleep_s(0.02))
        check(comm->ops->progress(comm, &err), &err);
}

/* What rank RANK does before bucket 2 of step 41. */
static void misbehave(const char *what)
{
    if (strcmp(what, "hang") == 0)
        fake_gpu_enqueue(device->ops->native_stream(device, NULL), hang_work, "", 0);
    dt_clock_sleep_s(0.05); /* until the buckets before are summed */
    if (strcmp(what, "stop") == 0 || strcmp(what, "abort-hangs") == 0 || strcmp(what, "full-queue") == 0 ||
        strcmp(what, "captured") == 0)
        raise(SIGSTOP);
    if (strcmp(what, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(what, "abort") == 0)
        comm->ops->abort(comm, 3);
    if (strcmp(what, "disconnect") == 0)
        fake_nccl_disconnect();
    if (strcmp(what, "late") == 0)
        dt_clock_sleep_s(0.7 * DEADLINE_S);
    if (strcmp(what, "busy") == 0)
        be_busy(2.5 * DEADLINE_S);
    if (strcmp(what, "elsewhere") == 0) {
        dt_error err = {0};
        check(comm->ops->barrier(comm, &err), &err);
    }
}

static void start_buckets(const char *what, int rank, float *v)
{
    dt_comm_request *requests[BUCKETS];
    dt_error err = {0};
    const bool other_size = comm->step >= BAD_STEP && comm->rank == rank && strcmp(what, "sizes") == 0;
    for (int k = 0; k < BUCKETS; k++) {
        if (comm->step == BAD_STEP && k == 2 && comm->rank == rank)
            misbehave(what);
        int64_t n = k == 2 && other_size ? BUCKET / 2 : BUCKET;
        check(comm->ops->all_reduce_start(comm, v + k * BUCKET, n, k == BUCKETS - 1 ? DT_F32 : DT_F16,
                                          &requests[k], &err),
              &err);
    }
    for (int k = 0; k < BUCKETS; k++)
        check(comm->ops->wait(comm, requests[k], &err), &err);
}

static void *graph; /* with "captured" */

static void drop_graph(void *context)
{
    (void)context;
    device->ops->graph_destroy(device, graph);
    graph = NULL;
}

/* With "captured" the steps before the bad one are captured and launched; the graph stays. */
static void run_step(const char *what, int rank, float *v)
{
    dt_error err = {0};
    if (strcmp(what, "captured") != 0 || comm->step == 1 || comm->step >= BAD_STEP) {
        start_buckets(what, rank, v);
        return;
    }
    if (!graph) {
        check(device->ops->capture_begin(device, &err), &err);
        start_buckets(what, rank, v);
        check(device->ops->capture_end(device, &graph, &err), &err);
        comm->drop_graphs = drop_graph;
    }
    check(device->ops->graph_launch(device, graph, &err), &err);
}

static void run_steps(const char *what, int rank)
{
    const char *command = getenv("DT_TEST_BEFORE_STEP_41"); /* rank 0 runs it */
    float *v = device->ops->alloc(device, BUCKETS * BUCKET * (int64_t)sizeof *v);
    dt_error zero_error = {0};
    check(device->ops->zero(device, v, BUCKETS * BUCKET * (int64_t)sizeof *v, NULL, &zero_error),
          &zero_error);
    /* The queues of CUDA hold about a thousand operations. */
    const int64_t last_step = strcmp(what, "full-queue") == 0 ? 100000 : LAST_STEP;
    for (comm->step = 1; comm->step <= last_step; comm->step++) {
        if (comm->step == BAD_STEP && command && comm->rank == 0 && system(command) != 0)
            fprintf(stderr, "cannot run %s\n", command);
        run_step(what, rank, v);
        if (comm->step % LAG == 0 && (comm->step < BAD_STEP || strcmp(what, "full-queue") != 0))
            wait_for_device();
    }
    device->ops->free(device, v);
}

/* The other ranks wait in a collective of the host while RANK evaluates. */
static void evaluate(const char *what, int rank)
{
    dt_error err = {0};
    if (comm->rank == rank && strcmp(what, "evaluation") == 0)
        be_busy(2.5 * DEADLINE_S);
    check(comm->ops->barrier(comm, &err), &err);
}

static void create_device(void)
{
#ifdef DT_WITH_NCCL
    dt_error err = {0};
    if (getenv("DT_TEST_REAL_NCCL")) {
        nccl = dt_nccl_library(&err);
        check(nccl ? DT_OK : err.status, &err);
        check(dt_device_cuda_create(comm->local_rank, comm->local_size, &device, &err), &err);
        return;
    }
#endif
    nccl = fake_nccl();
    device = fake_gpu_create();
    fake_gpu_limit_queues(99); /* with "full-queue" the host hangs in the call before a sum */
}

static void print_warning(void *context, dt_log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "rank %d warns: %s\n", comm->rank, line);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int rank = argc > 2 ? atoi(argv[2]) : 1;
    dt_error err = {0};
    if (dt_comm_mpi_create(&(dt_comm_mpi_options){.deadline_s = DEADLINE_S}, &comm, &err) != DT_OK ||
        dt_fault_arm(getenv("DTRAIN_FAULT"), comm->rank, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (comm->rank == rank) {
        fake_nccl_mistakes.init_fails = strcmp(what, "init-fails") == 0;
        fake_nccl_mistakes.init_hangs = strcmp(what, "init-hangs") == 0;
    }
    fake_nccl_mistakes.connect_hangs = comm->rank == rank && strcmp(what, "connect-hangs") == 0;
    fake_nccl_mistakes.abort_hangs = strcmp(what, "abort-hangs") == 0;
    dt_log_set_sink(print_warning, NULL, DT_LOG_WARN);
    alive_s = dt_clock_s();
    create_device();
    check(dt_comm_nccl_create(comm, device,
                              &(dt_comm_nccl_options){.api = nccl, .watch = dt_comm_mpi_watch(comm)}, &comm,
                              &err),
          &err);
    check(device->ops->event_create(device, false, &event, &err), &err);
    run_steps(what, rank);
    wait_for_device();
    evaluate(what, rank);
    device->ops->event_destroy(device, event);
    comm->ops->destroy(comm);
    device->ops->destroy(device);
    printf("rank left in order\n");
    return 0;
}
