/* Snapshots of a device whose work is done late: they hold what was enqueued before them, and nothing that
 * was enqueued after, whichever thread makes the device work. And snapshots of a host. */
#include "core/base/alloc.h"
#include "layers/device_host.h"
#include "tests/core/checkpoint/snapshot_kit.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <pthread.h>

static dt_error err;
static const dt_device_ops *inner_ops; /* the real ones of a device whose ops a test has replaced */

/* writer_first: the writer makes the device work; else the training does, which is then a step ahead. */
static void copy_between_steps(dt_device *device, bool writer_first, int64_t rank)
{
    snapshot_kit_state s;
    dt_emulated_counts before, after;
    snapshot_kit_init(&s, device);
    const int64_t n = s.layout.n_elems / 3, first = rank * n;
    dt_snapshot *snapshot = snapshot_kit_create(&s, first, n);
    snapshot_kit_enqueue_step(&s, 0);
    dt_emulated_get_counts(device, &before);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    dt_emulated_get_counts(device, &after);
    DT_CHECK_INT(after.n_work, before.n_work); /* no thread has waited */
    snapshot_kit_enqueue_step(&s, 1);
    if (!writer_first)
        DT_CHECK_INT(device->ops->stream_wait(device, NULL, &err), DT_OK);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_OK);
    snapshot_kit_check(&s, snapshot, first, n, 0);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK); /* and again */
    snapshot_kit_enqueue_step(&s, 0);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_OK);
    snapshot_kit_check(&s, snapshot, first, n, 1);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK); /* under way when it ends */
    dt_snapshot_destroy(snapshot);
    snapshot_kit_clear(&s);
}

static void later_steps_do_not_change_a_snapshot(void)
{
    for (int64_t rank = 0; rank < 3; rank++)
        for (int writer_first = 0; writer_first < 2; writer_first++) {
            dt_device *device = snapshot_kit_emulated(0);
            copy_between_steps(device, writer_first, rank);
            snapshot_kit_end(device);
        }
}

/* The device has memory for the state, but not for a second copy. */
static void without_memory_for_a_staging_buffer_the_main_stream_copies(void)
{
    captured_log_begin(DT_LOG_INFO);
    for (int writer_first = 0; writer_first < 2; writer_first++) {
        dt_device *device = snapshot_kit_emulated(3 * UPLOAD_BYTES + 300);
        void *taken = device->ops->alloc(device, 2 * UPLOAD_BYTES + 200); /* in use */
        DT_REQUIRE(taken != NULL);
        copy_between_steps(device, writer_first, 1);
        device->ops->free(device, taken);
        snapshot_kit_end(device);
    }
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "the GPU has no memory for a copy");
}

static void the_host_copies_at_once(void)
{
    snapshot_kit_state s;
    dt_device *device = NULL;
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK);
    snapshot_kit_init(&s, device);
    dt_snapshot *snapshot = snapshot_kit_create(&s, 0, s.layout.n_elems);
    DT_CHECK_INT(dt_snapshot_get_memory(snapshot).device_bytes, 0);
    DT_CHECK(dt_snapshot_get_memory(snapshot).host_bytes >= UPLOAD_BYTES &&
             dt_snapshot_get_memory(snapshot).host_bytes < UPLOAD_BYTES + 256);
    snapshot_kit_enqueue_step(&s, 0);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    snapshot_kit_enqueue_step(&s, 1);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_OK);
    snapshot_kit_check(&s, snapshot, 0, s.layout.n_elems, 0);
    dt_snapshot_destroy(snapshot);
    snapshot_kit_clear(&s);
    device->ops->destroy(device);
}

static const float *boundary;

static dt_status copy_within_one(dt_device *device, void *dst, const void *src, int64_t bytes,
                                 dt_copy_kind kind, dt_stream *stream, dt_error *e)
{
    DT_CHECK((const char *)src >= (const char *)boundary ||
             (const char *)src + bytes <= (const char *)boundary);
    return inner_ops->copy(device, dst, src, bytes, kind, stream, e);
}

/* Two allocations that are neighbours in memory: one call of CUDA copies from one allocation only. */
static void no_copy_crosses_the_end_of_an_allocation(void)
{
    snapshot_kit_state s;
    dt_device *device = NULL;
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK);
    snapshot_kit_init(&s, device);
    float both[2 * N_VECTOR] = {0};
    for (int t = 0; t < N_TENSORS; t++) {
        s.tensor_addresses[t].values =
            both + t / 3 * N_VECTOR + (s.tensor_addresses[t].values - s.vectors[t / 3]);
        s.tensor_addresses[t].vector = both + t / 3 * N_VECTOR;
    }
    boundary = both + N_VECTOR;
    inner_ops = device->ops;
    dt_device_ops ops = *inner_ops;
    ops.copy = copy_within_one;
    device->ops = &ops;
    dt_snapshot *snapshot = snapshot_kit_create(&s, 0, s.layout.n_elems);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    dt_snapshot_destroy(snapshot);
    device->ops = inner_ops;
    snapshot_kit_clear(&s);
    device->ops->destroy(device);
}

static void a_share_allocates_its_own_memory_and_no_more(void)
{
    snapshot_kit_state s;
    dt_device *device = snapshot_kit_emulated(0);
    snapshot_kit_init(&s, device);
    dt_snapshot *of_one = snapshot_kit_create(&s, N_FILTER, N_PLAIN),
                *of_none = snapshot_kit_create(&s, 3, 0);
    const dt_snapshot_memory one = dt_snapshot_get_memory(of_one), none = dt_snapshot_get_memory(of_none);
    DT_CHECK_INT(one.host_bytes, 3 * DT_ALIGNMENT); /* 16 floats, the step's state, the loss */
    DT_CHECK_INT(one.device_bytes, one.host_bytes);
    DT_CHECK_INT(none.host_bytes, 2 * DT_ALIGNMENT);
    dt_snapshot_destroy(of_one);
    dt_snapshot_destroy(of_none);
    snapshot_kit_clear(&s);
    snapshot_kit_end(device);
}

/* -- another thread -------------------------------------------------------------------------------------- */

static dt_status wait_status;

static void *wait_in_thread(void *context)
{
    dt_error why;
    wait_status = dt_snapshot_wait(context, &why);
    return NULL;
}

/* The writer polls the device while the training captures a graph and launches it. */
static void a_thread_can_wait_while_another_captures_steps(void)
{
    snapshot_kit_state s;
    pthread_t thread;
    void *graph = NULL;
    dt_device *device = snapshot_kit_emulated(0);
    snapshot_kit_init(&s, device);
    dt_snapshot *snapshot = snapshot_kit_create(&s, 0, s.layout.n_elems);
    snapshot_kit_enqueue_step(&s, 0);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    DT_CHECK_INT(device->ops->capture_begin(device, &err), DT_OK);
    DT_REQUIRE(pthread_create(&thread, NULL, wait_in_thread, snapshot) == 0);
    snapshot_kit_enqueue_step(&s, 1);
    DT_CHECK_INT(device->ops->capture_end(device, &graph, &err), DT_OK);
    for (int i = 0; i < 3; i++)
        DT_CHECK_INT(device->ops->graph_launch(device, graph, &err), DT_OK);
    pthread_join(thread, NULL);
    DT_CHECK_INT(wait_status, DT_OK);
    snapshot_kit_check(&s, snapshot, 0, s.layout.n_elems, 0);
    DT_CHECK_INT(device->ops->stream_wait(device, NULL, &err), DT_OK);
    device->ops->graph_destroy(device, graph);
    dt_snapshot_destroy(snapshot);
    snapshot_kit_clear(&s);
    snapshot_kit_end(device);
}

static dt_status never_done(dt_device *device, dt_event *event, bool *done, dt_error *e)
{
    (void)device, (void)event, (void)e;
    *done = false;
    return DT_OK;
}

static void abandon_ends_the_wait_for_a_device_that_hangs(void)
{
    snapshot_kit_state s;
    pthread_t thread;
    dt_device *device = snapshot_kit_emulated(0);
    const dt_device_ops *ops = device->ops;
    dt_device_ops hanging = *ops;
    hanging.event_done = never_done;
    device->ops = &hanging;
    snapshot_kit_init(&s, device);
    dt_snapshot *snapshot = snapshot_kit_create(&s, 0, s.layout.n_elems);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    DT_REQUIRE(pthread_create(&thread, NULL, wait_in_thread, snapshot) == 0);
    dt_snapshot_abandon(snapshot);
    pthread_join(thread, NULL);
    DT_CHECK_INT(wait_status, DT_ERR_IO);
    hanging.event_done = ops->event_done;
    dt_snapshot_destroy(snapshot);
    snapshot_kit_clear(&s);
    device->ops = ops;
    snapshot_kit_end(device);
}

static const dt_test tests[] = {
    DT_TEST(later_steps_do_not_change_a_snapshot),
    DT_TEST(without_memory_for_a_staging_buffer_the_main_stream_copies),
    DT_TEST(the_host_copies_at_once),
    DT_TEST(no_copy_crosses_the_end_of_an_allocation),
    DT_TEST(a_share_allocates_its_own_memory_and_no_more),
    DT_TEST(a_thread_can_wait_while_another_captures_steps),
    DT_TEST(abandon_ends_the_wait_for_a_device_that_hangs),
};
DT_TEST_MAIN("core/snapshot", tests)
