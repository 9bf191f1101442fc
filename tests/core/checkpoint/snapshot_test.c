/* Snapshots of a device whose work is done late: they hold what was enqueued before them, and nothing that
 * was enqueued after, whichever thread makes the device work. And snapshots of a host. */
#include "core/checkpoint/snapshot.h"

#include "core/base/alloc.h"
#include "layers/device_host.h"
#include "tests/emulated/device_emulated.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Two vectors, as a net has them: parameters (a filter in the backend's order with padding, a plain vector, a
 * filter) and their momentum. */
enum {
    N_TENSORS = 6,
    K = 4,
    C = 3,
    TAPS = 3,
    N_FILTER = K * C * TAPS,
    N_NATIVE = K * TAPS * 4,
    N_PLAIN = 5,
    PADDED = 16,
    N_VECTOR = 2 * N_NATIVE + PADDED
};

typedef struct state {
    dt_device *device;
    dt_state_tensor tensors[N_TENSORS];
    dt_state_address tensor_addresses[N_TENSORS];
    dt_state_layout layout;
    dt_state_addresses addresses;
    dt_state_io io;
    float *vectors[2]; /* device memory */
    dt_step_state *step_state;
    dt_loss_sums *loss;
    char *host; /* pinned: what is uploaded */
    float canonical[2 * (2 * N_FILTER + N_PLAIN)];
} state;

static dt_error err;
static const dt_device_ops *inner_ops; /* the real ones of a device whose ops a test has replaced */

#define UPLOAD_BYTES ((int64_t)(2 * N_VECTOR * sizeof(float) + sizeof(dt_step_state) + sizeof(dt_loss_sums)))

static void init(state *s, dt_device *device)
{
    static const int64_t native[3] = {N_NATIVE, PADDED, N_NATIVE}, elems[3] = {N_FILTER, N_PLAIN, N_FILTER};
    int64_t first = 0;
    *s = (state){.device = device};
    s->step_state = device->ops->alloc(device, sizeof *s->step_state);
    s->loss = device->ops->alloc(device, sizeof *s->loss);
    s->host = device->ops->host_alloc(device, 2 * UPLOAD_BYTES);
    for (int v = 0; v < 2; v++) {
        float *at = s->vectors[v] = device->ops->alloc(device, N_VECTOR * sizeof *at);
        for (int i = 0; i < 3; i++) {
            const int t = 3 * v + i;
            s->tensors[t] = (dt_state_tensor){.n_elems = elems[i], .first = first};
            s->tensor_addresses[t] = (dt_state_address){.values = at,
                                                        .vector = s->vectors[v],
                                                        .n_elems = native[i],
                                                        .order = dt_weights_order_plain(elems[i])};
            if (i != 1)
                s->tensor_addresses[t].order = (dt_weights_order){.n_k = K,
                                                                  .n_c = C,
                                                                  .n_taps = TAPS,
                                                                  .k_block = 1,
                                                                  .c_block = C,
                                                                  .k_block_step = TAPS * 4,
                                                                  .c_step = 1,
                                                                  .tap_step = 4};
            first += elems[i];
            at += native[i];
        }
    }
    s->layout = (dt_state_layout){.n_tensors = N_TENSORS, .n_elems = first, .tensors = s->tensors};
    s->addresses = (dt_state_addresses){.device = device,
                                        .n_tensors = N_TENSORS,
                                        .tensors = s->tensor_addresses,
                                        .step_state = s->step_state,
                                        .loss = s->loss};
    s->io = (dt_state_io){.addresses = &s->addresses};
}

static void clear(state *s)
{
    const dt_device_ops *ops = s->device->ops;
    for (int v = 0; v < 2; v++)
        ops->free(s->device, s->vectors[v]);
    ops->free(s->device, s->step_state);
    ops->free(s->device, s->loss);
    ops->host_free(s->device, s->host);
}

/* Enqueue a training step, which changes all of the state; which: 0 or 1. */
static void enqueue_step(state *s, int which)
{
    const dt_device_ops *ops = s->device->ops;
    char *at = s->host + which * UPLOAD_BYTES;
    float *values = (float *)(void *)at;
    const dt_step_state step_state = {
        .loss_scale = (float)(256 << which), .n_good = 7 + which, .n_skipped = 3 + which};
    const dt_loss_sums loss = {.loss = 2.0f + (float)which};
    for (int i = 0; i < 2 * N_VECTOR; i++)
        values[i] = (float)(1000 * (which + 1) + i);
    for (int v = 0; v < 2; v++) {
        DT_CHECK_INT(
            ops->copy(s->device, s->vectors[v], at, N_VECTOR * sizeof(float), DT_COPY_TO_DEVICE, NULL, &err),
            DT_OK);
        at += N_VECTOR * sizeof(float);
    }
    memcpy(at, &step_state, sizeof step_state);
    DT_CHECK_INT(ops->copy(s->device, s->step_state, at, sizeof step_state, DT_COPY_TO_DEVICE, NULL, &err),
                 DT_OK);
    at += sizeof step_state;
    memcpy(at, &loss, sizeof loss);
    DT_CHECK_INT(ops->copy(s->device, s->loss, at, sizeof loss, DT_COPY_TO_DEVICE, NULL, &err), DT_OK);
}

/* The stream after step `which`. */
static const float *expected(state *s, int which)
{
    const float *values = (const float *)(const void *)(s->host + which * UPLOAD_BYTES);
    for (int t = 0; t < N_TENSORS; t++)
        dt_weights_to_canonical(&s->tensor_addresses[t].order,
                                values + t / 3 * N_VECTOR +
                                    (s->tensor_addresses[t].values - s->vectors[t / 3]),
                                s->canonical + s->tensors[t].first);
    return s->canonical;
}

/* Compare a share, as the writer reads it, with the state after step `which`. */
static void check(state *s, dt_snapshot *snapshot, int64_t first, int64_t n, int which)
{
    const dt_state_io io = dt_snapshot_io(snapshot);
    const float *all = expected(s, which);
    for (int64_t t = 0; t < N_TENSORS; t++) {
        float tensor[N_NATIVE];
        const int64_t begin = s->tensors[t].first, from = begin > first ? begin : first,
                      end = begin + s->tensors[t].n_elems < first + n ? begin + s->tensors[t].n_elems
                                                                      : first + n;
        DT_CHECK_INT(io.get(io.context, t, tensor, &err), DT_OK);
        if (end > from)
            DT_CHECK_BYTES(tensor + (from - begin), all + from, (size_t)(end - from) * sizeof(float));
    }
    DT_CHECK(dt_snapshot_step_state(snapshot)->loss_scale == (float)(256 << which));
    DT_CHECK_INT(dt_snapshot_step_state(snapshot)->n_skipped, 3 + which);
    DT_CHECK(dt_snapshot_loss(snapshot)->loss == 2.0f + (float)which);
}

static dt_device *emulated(int64_t memory_bytes)
{
    dt_device *device = NULL;
    const dt_emulated_options options = {.memory_bytes = memory_bytes, .lazy = true, .capture = true};
    DT_REQUIRE(dt_device_emulated_create(&options, &device, &err) == DT_OK);
    return device;
}

static void end(dt_device *device)
{
    dt_emulated_counts counts;
    dt_emulated_get_counts(device, &counts);
    DT_CHECK_INT(counts.live_bytes, 0);
    DT_CHECK_STR(dt_emulated_fault(device), "");
    device->ops->destroy(device);
}

static dt_snapshot *create(state *s, int64_t first, int64_t n)
{
    dt_snapshot *snapshot = NULL;
    DT_REQUIRE_MSG(dt_snapshot_create(NULL, &s->layout, &s->io, first, n, &snapshot, &err) == DT_OK, "%s",
                   err.message);
    return snapshot;
}

/* writer_first: the writer makes the device work; else the training does, which is then a step ahead. */
static void copy_between_steps(dt_device *device, bool writer_first, int64_t rank)
{
    state s;
    dt_emulated_counts before, after;
    init(&s, device);
    const int64_t n = s.layout.n_elems / 3, first = rank * n;
    dt_snapshot *snapshot = create(&s, first, n);
    enqueue_step(&s, 0);
    dt_emulated_get_counts(device, &before);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    dt_emulated_get_counts(device, &after);
    DT_CHECK_INT(after.n_work, before.n_work); /* no thread has waited */
    enqueue_step(&s, 1);
    if (!writer_first)
        DT_CHECK_INT(device->ops->stream_wait(device, NULL, &err), DT_OK);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_OK);
    check(&s, snapshot, first, n, 0);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK); /* and again */
    enqueue_step(&s, 0);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_OK);
    check(&s, snapshot, first, n, 1);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK); /* under way when it ends */
    dt_snapshot_destroy(snapshot);
    clear(&s);
}

static void later_steps_do_not_change_a_snapshot(void)
{
    for (int64_t rank = 0; rank < 3; rank++)
        for (int writer_first = 0; writer_first < 2; writer_first++) {
            dt_device *device = emulated(0);
            copy_between_steps(device, writer_first, rank);
            end(device);
        }
}

/* The device has memory for the state, but not for a second copy. */
static void without_memory_for_a_staging_buffer_the_main_stream_copies(void)
{
    captured_log_begin(DT_LOG_INFO);
    for (int writer_first = 0; writer_first < 2; writer_first++) {
        dt_device *device = emulated(3 * UPLOAD_BYTES + 300);
        void *taken = device->ops->alloc(device, 2 * UPLOAD_BYTES + 200); /* in use */
        DT_REQUIRE(taken != NULL);
        copy_between_steps(device, writer_first, 1);
        device->ops->free(device, taken);
        end(device);
    }
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "the GPU has no memory for a copy");
}

static void the_host_copies_at_once(void)
{
    state s;
    dt_device *device = NULL;
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK);
    init(&s, device);
    dt_snapshot *snapshot = create(&s, 0, s.layout.n_elems);
    DT_CHECK_INT(dt_snapshot_get_memory(snapshot).device_bytes, 0);
    DT_CHECK(dt_snapshot_get_memory(snapshot).host_bytes >= UPLOAD_BYTES &&
             dt_snapshot_get_memory(snapshot).host_bytes < UPLOAD_BYTES + 256);
    enqueue_step(&s, 0);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    enqueue_step(&s, 1);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_OK);
    check(&s, snapshot, 0, s.layout.n_elems, 0);
    dt_snapshot_destroy(snapshot);
    clear(&s);
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
    state s;
    dt_device *device = NULL;
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK);
    init(&s, device);
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
    dt_snapshot *snapshot = create(&s, 0, s.layout.n_elems);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    dt_snapshot_destroy(snapshot);
    device->ops = inner_ops;
    clear(&s);
    device->ops->destroy(device);
}

static void a_share_allocates_its_own_memory_and_no_more(void)
{
    state s;
    dt_device *device = emulated(0);
    init(&s, device);
    dt_snapshot *of_one = create(&s, N_FILTER, N_PLAIN), *of_none = create(&s, 3, 0);
    const dt_snapshot_memory one = dt_snapshot_get_memory(of_one), none = dt_snapshot_get_memory(of_none);
    DT_CHECK_INT(one.host_bytes, 3 * DT_ALIGNMENT); /* 16 floats, the step's state, the loss */
    DT_CHECK_INT(one.device_bytes, one.host_bytes);
    DT_CHECK_INT(none.host_bytes, 2 * DT_ALIGNMENT);
    dt_snapshot_destroy(of_one);
    dt_snapshot_destroy(of_none);
    clear(&s);
    end(device);
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
    state s;
    pthread_t thread;
    void *graph = NULL;
    dt_device *device = emulated(0);
    init(&s, device);
    dt_snapshot *snapshot = create(&s, 0, s.layout.n_elems);
    enqueue_step(&s, 0);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    DT_CHECK_INT(device->ops->capture_begin(device, &err), DT_OK);
    DT_REQUIRE(pthread_create(&thread, NULL, wait_in_thread, snapshot) == 0);
    enqueue_step(&s, 1);
    DT_CHECK_INT(device->ops->capture_end(device, &graph, &err), DT_OK);
    for (int i = 0; i < 3; i++)
        DT_CHECK_INT(device->ops->graph_launch(device, graph, &err), DT_OK);
    pthread_join(thread, NULL);
    DT_CHECK_INT(wait_status, DT_OK);
    check(&s, snapshot, 0, s.layout.n_elems, 0);
    DT_CHECK_INT(device->ops->stream_wait(device, NULL, &err), DT_OK);
    device->ops->graph_destroy(device, graph);
    dt_snapshot_destroy(snapshot);
    clear(&s);
    end(device);
}

static dt_status never_done(dt_device *device, dt_event *event, bool *done, dt_error *e)
{
    (void)device, (void)event, (void)e;
    *done = false;
    return DT_OK;
}

static void abandon_ends_the_wait_for_a_device_that_hangs(void)
{
    state s;
    pthread_t thread;
    dt_device *device = emulated(0);
    const dt_device_ops *ops = device->ops;
    dt_device_ops hanging = *ops;
    hanging.event_done = never_done;
    device->ops = &hanging;
    init(&s, device);
    dt_snapshot *snapshot = create(&s, 0, s.layout.n_elems);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    DT_REQUIRE(pthread_create(&thread, NULL, wait_in_thread, snapshot) == 0);
    dt_snapshot_abandon(snapshot);
    pthread_join(thread, NULL);
    DT_CHECK_INT(wait_status, DT_ERR_IO);
    hanging.event_done = ops->event_done;
    dt_snapshot_destroy(snapshot);
    clear(&s);
    device->ops = ops;
    end(device);
}

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
    state s;
    static const dt_comm_ops comm_ops = {.device_wait = peer_is_gone};
    dt_comm comm = {.ops = &comm_ops};
    dt_device *device = emulated(0);
    inner_ops = device->ops;
    dt_device_ops ops = *inner_ops;
    ops.event_create = keep_event;
    ops.free = ops.host_free = count_free;
    device->ops = &ops;
    init(&s, device);
    dt_snapshot *snapshot = NULL;
    DT_REQUIRE(dt_snapshot_create(&comm, &s.layout, &s.io, 0, s.layout.n_elems, &snapshot, &err) == DT_OK);
    const dt_snapshot_memory memory = dt_snapshot_get_memory(snapshot);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    dt_snapshot_destroy(snapshot);
    DT_CHECK_INT(n_freed, 0);
    device->ops = inner_ops;
    for (int i = 0; i < n_events; i++)
        inner_ops->event_destroy(device, events[i]);
    clear(&s);
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
    state s;
    dt_device *device = emulated(0);
    init(&s, device);
    dt_snapshot *snapshot = create(&s, 0, s.layout.n_elems);
    enqueue_step(&s, 0);
    DT_CHECK_INT(
        dt_emulated_enqueue(device, NULL, &(dt_emulated_work){.name = "broken", .run = run_failing}, &err),
        DT_OK);
    DT_CHECK_INT(dt_snapshot_enqueue(snapshot, &err), DT_OK);
    DT_CHECK_INT(dt_snapshot_wait(snapshot, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(err.message, "ECC");
    dt_snapshot_destroy(snapshot);
    clear(&s);
    end(device);
}

static void every_allocation_may_fail(void)
{
    state s;
    dt_device *device = NULL;
    dt_status status = DT_ERR_MEMORY;
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK);
    init(&s, device);
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
    clear(&s);
    device->ops->destroy(device);
}

static const dt_test tests[] = {
    DT_TEST(later_steps_do_not_change_a_snapshot),
    DT_TEST(without_memory_for_a_staging_buffer_the_main_stream_copies),
    DT_TEST(the_host_copies_at_once),
    DT_TEST(no_copy_crosses_the_end_of_an_allocation),
    DT_TEST(a_share_allocates_its_own_memory_and_no_more),
    DT_TEST(a_thread_can_wait_while_another_captures_steps),
    DT_TEST(abandon_ends_the_wait_for_a_device_that_hangs),
    DT_TEST(the_memory_of_a_lost_device_is_not_freed),
    DT_TEST(wait_returns_the_errors_of_the_device),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("core/snapshot", tests)
