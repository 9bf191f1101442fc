/* Snapshots of a device that fails or is lost, and allocations that fail. */
#include "core/base/alloc.h"
#include "layers/device_host.h"
#include "tests/core/checkpoint/snapshot_kit.h"
#include "tests/testing.h"

static dt_error err;
static const dt_device_ops *inner_ops; /* the real ones of a device whose ops a test has replaced */

/* -- a device that is lost ------------------------------------------------------------------------------- */

static dt_event *events[8];
static int n_events, n_freed;

static dt_status keep_event(dt_device *device, bool timed, dt_event **event, dt_error *e)
{
    DT_TRY(inner_ops->event_create(device, timed, event, e));
    events[n_events++] = *event;
    return DT_OK;
}

static void count_free(dt_device *device, void *p)
{
    (void)device, (void)p;
    n_freed++;
}

static dt_status peer_is_gone(dt_comm *comm, dt_device *device, dt_event *event, dt_error *e)
{
    (void)comm, (void)device, (void)event;
    return dt_fail(e, DT_ERR_TIMEOUT, "a peer is gone");
}

/* Freeing memory that its streams still write to might wait for ever. */
static void the_memory_of_a_lost_device_is_not_freed(void)
{
    snapshot_kit_state s;
    static const dt_comm_ops comm_ops = {.device_wait = peer_is_gone};
    dt_comm comm = {.ops = &comm_ops};
    dt_device *device = snapshot_kit_emulated(0);
    inner_ops = device->ops;
    dt_device_ops ops = *inner_ops;
    ops.event_create = keep_event;
    ops.free = ops.host_free = count_free;
    device->ops = &ops;
    snapshot_kit_init(&s, device);
    dt_snapshot *snapshot = NULL;
    DT_REQUIRE(dt_snapshot_create(&comm, &s.layout, &s.io, 0, s.layout.n_elems, &snapshot, &err) == DT_OK);
    const dt_snapshot_memory memory = dt_snapshot_get_memory(snapshot);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    dt_snapshot_destroy(snapshot);
    DT_CHECK_INT(n_freed, 0);
    device->ops = inner_ops;
    for (int i = 0; i < n_events; i++)
        inner_ops->event_destroy(device, events[i]);
    snapshot_kit_clear(&s);
    dt_emulated_counts counts;
    dt_emulated_get_counts(device, &counts);
    DT_CHECK_INT(counts.live_bytes, memory.device_bytes);
    DT_CHECK_STR(dt_emulated_fault(device), "");
    device->ops->destroy(device);
}

/* -- failures -------------------------------------------------------------------------------------------- */

static dt_status run_failing(void *context, dt_error *e)
{
    (void)context;
    return dt_fail(e, DT_ERR_DEVICE, "an ECC error");
}

static void wait_returns_the_errors_of_the_device(void)
{
    snapshot_kit_state s;
    dt_device *device = snapshot_kit_emulated(0);
    snapshot_kit_init(&s, device);
    dt_snapshot *snapshot = snapshot_kit_create(&s, 0, s.layout.n_elems);
    snapshot_kit_enqueue_step(&s, 0);
    DT_CHECK_INT(
        dt_emulated_enqueue(device, NULL, &(dt_emulated_work){.name = "broken", .run = run_failing}, &err),
        DT_OK);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(err.message, "ECC");
    dt_snapshot_destroy(snapshot);
    snapshot_kit_clear(&s);
    snapshot_kit_end(device);
}

static void every_allocation_may_fail(void)
{
    snapshot_kit_state s;
    dt_device *device = NULL;
    dt_status status = DT_ERR_MEMORY;
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK);
    snapshot_kit_init(&s, device);
    const int64_t live = dt_alloc_live_blocks();
    for (int64_t i = 1; status != DT_OK; i++) {
        dt_snapshot *snapshot = NULL;
        dt_alloc_fail_after(i);
        status = dt_snapshot_create(NULL, &s.layout, &s.io, 0, s.layout.n_elems, &snapshot, &err);
        dt_alloc_fail_after(0);
        DT_CHECK(status == DT_OK || status == DT_ERR_MEMORY);
        if (status == DT_OK)
            dt_snapshot_destroy(snapshot);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
    }
    snapshot_kit_clear(&s);
    device->ops->destroy(device);
}

static const dt_test tests[] = {
    DT_TEST(the_memory_of_a_lost_device_is_not_freed),
    DT_TEST(wait_returns_the_errors_of_the_device),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("core/checkpoint/snapshot_failures", tests)
