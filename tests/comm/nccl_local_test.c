/* comm/nccl with one rank and without MPI: marks, positions and what stays after a failure, on a fake GPU and
 * a fake NCCL whose calls the test observes. */
#include "comm/nccl/internal.h"
#include "comm/self.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "tests/fakes/fake_gpu.h"
#include "tests/fakes/fake_nccl.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static dt_device *device;
static dt_nccl_api api;
static dt_comm_nccl *c;

/* What was enqueued: 'm' a mark, 'P' a pack with a mark, 'p' one without, 'U' and 'u' for unpack, 's' a
 * sum. */
static char calls[64];
static int sum_result;
static int64_t largest_sum;

static void record(char call)
{
    const size_t n = strlen(calls);
    if (n + 1 < sizeof calls)
        calls[n] = call;
}

static int record_mark(void *stream, dt_nccl_mark mark)
{
    record('m');
    return fake_nccl()->mark(stream, mark);
}

static int record_pack(void *stream, const float *from, void *to, int64_t n, dt_dtype wire,
                       dt_nccl_mark begun)
{
    record(begun.count ? 'P' : 'p');
    return fake_nccl()->pack(stream, from, to, n, wire, begun);
}

static int record_unpack(void *stream, const void *from, float *to, int64_t n, dt_dtype wire,
                         dt_nccl_mark done)
{
    record(done.count ? 'U' : 'u');
    return fake_nccl()->unpack(stream, from, to, n, wire, done);
}

static int record_sum(void *handle, const void *from, void *to, int64_t n, dt_dtype dtype, void *stream)
{
    record('s');
    largest_sum = n > largest_sum ? n : largest_sum;
    return sum_result ? sum_result : fake_nccl()->all_reduce(handle, from, to, n, dtype, stream);
}

static void begin(void)
{
    dt_comm *host = NULL, *comm = NULL;
    dt_error err = {0};
    api = *fake_nccl();
    api.mark = record_mark;
    api.pack = record_pack;
    api.unpack = record_unpack;
    api.all_reduce = record_sum;
    sum_result = DT_NCCL_SUCCESS;
    largest_sum = 0;
    DT_REQUIRE(dt_comm_self_create(&host, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_comm_nccl_create(host, device, &(dt_comm_nccl_options){.api = &api, .wire_bytes = 4096},
                                       &comm, &err) == DT_OK,
                   "%s", err.message);
    c = (dt_comm_nccl *)comm;
    memset(calls, 0, sizeof calls);
}

static void end(void)
{
    c->head.ops->destroy(&c->head);
}

static void finish(void)
{
    dt_event *event = NULL;
    dt_error err = {0};
    DT_REQUIRE(device->ops->event_create(device, false, &event, &err) == DT_OK);
    DT_CHECK_INT(device->ops->event_record(device, event, NULL, &err), DT_OK);
    DT_CHECK_INT(c->head.ops->device_wait(&c->head, device, event, &err), DT_OK);
    device->ops->event_destroy(device, event);
}

/* NCCL has other connections for large sums, and opens them at the first one. */
static void the_start_makes_a_sum_as_large_as_the_largest_bucket(void)
{
    begin();
    DT_CHECK_INT(largest_sum, 4096 / (int64_t)sizeof(float));
    end();
}

static int n_polls;

static int in_progress(void *handle, int *result)
{
    (void)handle;
    n_polls++;
    *result = DT_NCCL_IN_PROGRESS;
    return DT_NCCL_SUCCESS;
}

static void sleep_work(void *arguments)
{
    (void)arguments;
    dt_clock_sleep_s(0.05);
}

/* A nonblocking communicator that still launches a sum is no failure. */
static void nccl_at_work_is_waited_for(void)
{
    begin();
    n_polls = 0;
    api.async_error = in_progress;
    fake_gpu_enqueue(device->ops->native_stream(device, NULL), sleep_work, NULL, 0);
    finish();
    DT_CHECK(n_polls > 0 && !c->failed);
    api.async_error = fake_nccl()->async_error;
    end();
}

static void marks_are_at_the_beginning_and_the_end_of_a_sum(void)
{
    static const struct {
        int64_t n;
        dt_dtype wire;
        const char *calls;
    } cases[] = {{1, DT_F32, "msm"},        {5000, DT_F32, "msm"},       {2048, DT_F16, "PsU"},
                 {2049, DT_BF16, "PsupsU"}, {6144, DT_F16, "PsupsupsU"}, {0, DT_F16, ""}};
    static float v[6144];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_comm_request *request = NULL;
        dt_error err = {0};
        begin();
        DT_REQUIRE(dt_nccl_all_reduce_start(&c->head, v, cases[i].n, cases[i].wire, &request, &err) == DT_OK);
        DT_REQUIRE(dt_nccl_wait(&c->head, request, &err) == DT_OK);
        finish();
        DT_CHECK_STR(calls, cases[i].calls);
        end();
    }
}

static void buckets_are_numbered_from_0_in_each_step(void)
{
    static float v[8];
    begin();
    for (c->head.step = 7; c->head.step < 10; c->head.step++) {
        dt_comm_request *requests[3];
        dt_error err = {0};
        for (int k = 0; k < 3; k++) {
            DT_REQUIRE(dt_nccl_all_reduce_start(&c->head, v, 8, k == 1 ? DT_F32 : DT_F16, &requests[k],
                                                &err) == DT_OK);
            DT_CHECK_INT(c->bucket_bytes[k], k == 1 ? 32 : 16);
            DT_CHECK_INT(c->n_started, k + 1);
        }
        for (int k = 0; k < 3; k++)
            DT_REQUIRE(dt_nccl_wait(&c->head, requests[k], &err) == DT_OK);
        finish();
        const dt_position position = dt_nccl_device_position(c);
        DT_CHECK_INT(position.kind, DT_POSITION_WORK); /* all that was begun has ended */
        DT_CHECK_INT(position.number, 64 * (c->head.step - 6) + 2);
        DT_CHECK_INT(position.step, c->head.step);
        DT_CHECK_INT(position.bucket, 2);
        DT_CHECK_INT(position.bytes, 16);
    }
    end();
}

static void the_position_is_the_last_sum_begun(void)
{
    int64_t begun = -1, done = -1;
    begin();
    c->first_step = 100;
    c->bucket_bytes[5] = 1234;
    c->seen[0].begun = c->seen[5].begun = 2;
    c->seen[6].begun = 1;
    c->seen[0].done = 2;
    c->seen[5].done = c->seen[6].done = 1;
    dt_nccl_read_marks(c, &begun, &done);
    DT_CHECK_INT(begun, 2 * 64 + 5);
    DT_CHECK_INT(done, 2 * 64);
    dt_position position = dt_nccl_device_position(c);
    DT_CHECK_INT(position.kind, DT_POSITION_BUCKET);
    DT_CHECK_INT(position.step, 101); /* the second step since the first */
    DT_CHECK_INT(position.bucket, 5);
    DT_CHECK_INT(position.bytes, 1234);
    c->seen[5].done = 2;
    DT_CHECK_INT(dt_nccl_device_position(c).kind, DT_POSITION_WORK);
    memset(c->seen, 0, DT_NCCL_BUCKETS * sizeof *c->seen);
    c->start_number = 2;
    DT_CHECK_INT(dt_nccl_device_position(c).kind, DT_POSITION_START);
    DT_CHECK_INT(dt_nccl_device_position(c).number, 2);
    c->start_number = 0;
    DT_CHECK_INT(dt_nccl_device_position(c).kind, DT_POSITION_WORK);
    end();
}

static void an_error_of_nccl_is_a_lost_rank_or_a_failure(void)
{
    static const struct {
        int result;
        dt_status status;
    } cases[] = {{DT_NCCL_REMOTE_ERROR, DT_ERR_PEER}, {3, DT_ERR_COMM}};
    static float v[8];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_comm_request *request = NULL;
        dt_error err = {0};
        begin();
        sum_result = cases[i].result;
        DT_CHECK_INT(dt_nccl_all_reduce_start(&c->head, v, 8, DT_F32, &request, &err), cases[i].status);
        DT_CHECK_CONTAINS(err.message,
                          "NCCL, in the sum of gradient bucket 0 of step 1 (32 bytes) (ncclAllReduce): ");
        DT_CHECK(c->failed && atomic_load(&c->aborted));
        DT_CHECK_INT(dt_nccl_leave(c, DT_ERR_TIMEOUT), DT_ERR_TIMEOUT);
        DT_CHECK_INT(c->failed_as, cases[i].status); /* the first failure counts */
        DT_CHECK_INT(dt_nccl_all_reduce_start(&c->head, v, 8, DT_F32, &request, &err), cases[i].status);
        DT_CHECK_STR(err.message, "gradients: communication has failed before");
        DT_CHECK_INT(c->head.ops->progress(&c->head, &err), cases[i].status);
        void *handle = c->handle;
        end();
        (void)fake_nccl()->destroy(handle); /* an abort leaves it: other threads may still read it */
    }
}

/* The other communicator's notices and messages name the step, too. */
static void collectives_of_host_memory_know_the_step(void)
{
    int32_t own = 1, all = 0;
    dt_error err = {0};
    begin();
    const dt_comm_ops *ops = c->head.ops;
    c->head.step = 12;
    DT_CHECK_INT(ops->barrier(&c->head, &err), DT_OK);
    DT_CHECK_INT(c->host->step, 12);
    c->head.step = 13;
    DT_CHECK_INT(ops->all_gather(&c->head, &own, sizeof own, &all, &err), DT_OK);
    DT_CHECK_INT(c->host->step, 13);
    c->head.step = 14;
    DT_CHECK_INT(ops->progress(&c->head, &err), DT_OK);
    DT_CHECK_INT(c->host->step, 14);
    end();
}

static void start_watchdog(dt_comm_nccl *of, dt_nccl_seen *seen)
{
    static const char hosts[2][64] = {"a", "b"};
    dt_error err = {0};
    *of = (dt_comm_nccl){.head = {.size = 2}, .seen = seen};
    const dt_watch_options options = {.comm = &of->head, .hosts = hosts, .deadline_s = 0.2};
    DT_REQUIRE(dt_watch_create(&options, &of->watch, &err) == DT_OK);
    DT_REQUIRE(dt_nccl_watchdog_start(of, &err) == DT_OK);
}

/* One of two ranks, whose sum does not end; and a rank whose sums have all ended. With this deadline the
 * watchdog's limit is 1.3 s. */
static void the_watchdog_fires_only_where_the_main_thread_does_not_wait(void)
{
    dt_nccl_seen seen[DT_NCCL_BUCKETS] = {{.begun = 3, .done = 2}},
                 ended[DT_NCCL_BUCKETS] = {{.begun = 3, .done = 3}};
    static dt_comm_nccl stalled, idle;
    start_watchdog(&idle, ended);
    start_watchdog(&stalled, seen);
    dt_nccl_watchdog_hold(&stalled);
    dt_clock_sleep_s(2.0);
    DT_CHECK(!atomic_load(&stalled.watchdog.fired));
    const double released_s = dt_clock_s();
    dt_nccl_watchdog_release(&stalled);
    while (!atomic_load(&stalled.watchdog.fired) && dt_clock_s() < released_s + 60.0)
        dt_clock_sleep_s(0.01);
    DT_CHECK(atomic_load(&stalled.watchdog.fired));
    DT_CHECK_MSG(dt_clock_s() - released_s > 1.25, "after %g s", dt_clock_s() - released_s);
    DT_CHECK_INT(atomic_load(&stalled.watchdog.stalled), 3 * 64);
    DT_CHECK(!atomic_load(&idle.watchdog.fired));
    dt_nccl_watchdog_stop(&stalled);
    dt_nccl_watchdog_stop(&idle);
    dt_watch_destroy(stalled.watch);
    dt_watch_destroy(idle.watch);
}

/* A host that calls NCCL again and again does not hang, however long a sum takes. */
static void the_watchdog_gives_each_call_of_nccl_its_whole_limit(void)
{
    dt_nccl_seen seen[DT_NCCL_BUCKETS] = {{.begun = 3, .done = 2}};
    static dt_comm_nccl stalled;
    dt_error err = {0};
    start_watchdog(&stalled, seen);
    for (double end_s = dt_clock_s() + 3.0; dt_clock_s() < end_s; dt_clock_sleep_s(0.1))
        DT_CHECK_INT(dt_nccl_check_fired(&stalled, &err), DT_OK);
    for (double end_s = dt_clock_s() + 60.0; !atomic_load(&stalled.watchdog.fired) && dt_clock_s() < end_s;)
        dt_clock_sleep_s(0.01);
    DT_CHECK(!dt_nccl_watchdog_enter(&stalled));
    dt_nccl_watchdog_stop(&stalled);
    dt_watch_destroy(stalled.watch);
}

/* The fault point stretches the moment between the watchdog's decision and its abort. The main thread comes
 * in this moment: it must either see that the watchdog has fired, or keep it from firing. */
static void the_watchdog_does_not_fire_once_the_main_thread_waits(void)
{
    dt_nccl_seen seen[DT_NCCL_BUCKETS] = {{.begun = 3, .done = 2}};
    static dt_comm_nccl stalled;
    dt_error err = {0};
    DT_REQUIRE(dt_fault_arm("nccl.watchdog:1:sleep=3", 0, &err) == DT_OK);
    start_watchdog(&stalled, seen); /* it decides after 1.3 to 1.4 s */
    dt_clock_sleep_s(2.5);
    dt_nccl_watchdog_hold(&stalled);
    const bool fired = atomic_load(&stalled.watchdog.fired);
    dt_clock_sleep_s(2.5);
    DT_CHECK_INT(atomic_load(&stalled.watchdog.fired), fired);
    dt_nccl_watchdog_stop(&stalled);
    dt_watch_destroy(stalled.watch);
    DT_CHECK_INT(dt_fault_arm(NULL, 0, &err), DT_OK);
}

static void *graph;

static void drop_graph(void *context)
{
    device->ops->graph_destroy(device, graph);
    graph = NULL;
    dt_clock_sleep_s(0.1); /* NCCL has returned, but this function still uses its context */
    (*(int *)context)++;
}

/* NCCL keeps a communicator that a captured graph refers to, and dtrain leaves the call after 3 s. */
static void an_abort_has_the_captured_graphs_destroyed(void)
{
    static float v[8];
    dt_comm_request *request = NULL;
    dt_error err = {0};
    int n_drops = 0;
    begin();
    c->head.drop_graphs = drop_graph;
    c->head.drop_graphs_context = &n_drops;
    DT_REQUIRE(device->ops->capture_begin(device, &err) == DT_OK);
    DT_REQUIRE(dt_nccl_all_reduce_start(&c->head, v, 8, DT_F32, &request, &err) == DT_OK);
    DT_REQUIRE(dt_nccl_wait(&c->head, request, &err) == DT_OK);
    DT_REQUIRE(device->ops->capture_end(device, &graph, &err) == DT_OK);
    DT_REQUIRE(device->ops->graph_launch(device, graph, &err) == DT_OK);
    const double start_s = dt_clock_s();
    DT_CHECK_INT(dt_nccl_leave(c, DT_ERR_TIMEOUT), DT_ERR_TIMEOUT);
    DT_CHECK_MSG(dt_clock_s() - start_s < 2.0, "the abort took %g s", dt_clock_s() - start_s);
    DT_CHECK(atomic_load(&c->aborted));
    DT_CHECK_INT(n_drops, 1);
    void *handle = c->handle;
    end(); /* aborts once more */
    dt_clock_sleep_s(0.2);
    DT_CHECK_INT(n_drops, 1);
    (void)fake_nccl()->destroy(handle);
}

void dt_test_set_up(void)
{
    device = fake_gpu_create();
}

void dt_test_tear_down(void)
{
    device->ops->destroy(device);
}

static const dt_test tests[] = {
    DT_TEST(the_start_makes_a_sum_as_large_as_the_largest_bucket),
    DT_TEST(nccl_at_work_is_waited_for),
    DT_TEST(marks_are_at_the_beginning_and_the_end_of_a_sum),
    DT_TEST(buckets_are_numbered_from_0_in_each_step),
    DT_TEST(the_position_is_the_last_sum_begun),
    DT_TEST(an_error_of_nccl_is_a_lost_rank_or_a_failure),
    DT_TEST(collectives_of_host_memory_know_the_step),
    DT_TEST(the_watchdog_fires_only_where_the_main_thread_does_not_wait),
    DT_TEST(the_watchdog_gives_each_call_of_nccl_its_whole_limit),
    DT_TEST(the_watchdog_does_not_fire_once_the_main_thread_waits),
    DT_TEST(an_abort_has_the_captured_graphs_destroyed),
};

DT_TEST_MAIN("comm/nccl_local", tests)
