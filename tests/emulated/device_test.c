/* The emulated device detects stray writes, unwritten reads, missing events and faults of a capture. */
#include "tests/emulated/device_emulated.h"
#include "tests/testing.h"

#include <string.h>

static dt_error err;

static dt_device *device_of(bool lazy)
{
    dt_device *d = NULL;
    DT_REQUIRE(dt_device_emulated_create(
                   &(dt_emulated_options){.memory_bytes = 1 << 20, .lazy = lazy, .capture = true}, &d,
                   &err) == DT_OK);
    return d;
}

/* Work: *to = *from + 1 */
typedef struct increment {
    const int *from;
    int *to;
} increment;

static dt_status run_increment(void *context, dt_error *e)
{
    const increment *i = context;
    (void)e;
    *i->to = *i->from + 1;
    return DT_OK;
}

static void enqueue(dt_device *d, dt_stream *stream, increment *i)
{
    const dt_emulated_work work = {.name = "increment", .run = run_increment, .context = i};
    DT_REQUIRE(dt_emulated_enqueue(d, stream, &work, &err) == DT_OK);
}

static void upload(dt_device *d, void *dst, int value, dt_stream *stream)
{
    DT_REQUIRE(d->ops->copy(d, dst, &value, sizeof value, DT_COPY_TO_DEVICE, stream, &err) == DT_OK);
}

static int download(dt_device *d, const void *src)
{
    int value = 0;
    DT_REQUIRE(d->ops->copy(d, &value, src, sizeof value, DT_COPY_TO_HOST, NULL, &err) == DT_OK);
    DT_REQUIRE(d->ops->stream_wait(d, NULL, &err) == DT_OK);
    return value;
}

static void fresh_memory_counts_as_unwritten(void)
{
    dt_device *d = device_of(false);
    float *p = d->ops->alloc(d, 4 * sizeof *p);
    DT_REQUIRE(p != NULL);
    DT_CHECK_INT(dt_emulated_unwritten(p, 4, 4), 0);
    upload(d, p, 0, NULL);
    DT_CHECK_INT(dt_emulated_unwritten(p, 4, 4), 1);
    DT_CHECK_INT(dt_emulated_unwritten(p, 1, 4), -1);
    dt_emulated_forget(d, p);
    DT_CHECK_INT(dt_emulated_unwritten(p, 4, 4), 0);
    d->ops->free(d, p);
    DT_CHECK(d->ops->alloc(d, 2 << 20) == NULL); /* more than there is */
    DT_CHECK_STR(dt_emulated_fault(d), "");
    d->ops->destroy(d);
}

static void copies_outside_of_an_allocation_are_faults(void)
{
    dt_device *d = device_of(false);
    int host[8] = {0}, *p = d->ops->alloc(d, sizeof host);
    DT_REQUIRE(p != NULL);
    DT_CHECK_INT(d->ops->copy(d, p + 1, host, sizeof host, DT_COPY_TO_DEVICE, NULL, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(dt_emulated_fault(d), "bytes 4 to 36 of an allocation of 32 bytes");
    DT_CHECK_INT(d->ops->copy(d, host, host + 4, 4, DT_COPY_TO_DEVICE, NULL, &err), DT_ERR_DEVICE);
    DT_CHECK_INT(d->ops->copy(d, p, p + 4, 4, DT_COPY_TO_HOST, NULL, &err), DT_ERR_DEVICE);
    d->ops->free(d, p);
    d->ops->destroy(d);
}

/* AddressSanitizer would end the program here, as it should. */
static void a_stray_write_is_a_fault(void)
{
#if defined(__SANITIZE_ADDRESS__)
    DT_SKIP("AddressSanitizer stops such a write itself");
#else
    dt_device *d = device_of(false);
    int *p = d->ops->alloc(d, 3 * sizeof *p);
    DT_REQUIRE(p != NULL);
    upload(d, p, 1, NULL);
    increment outside = {p, p + 3};
    const dt_emulated_work work = {.name = "increment", .run = run_increment, .context = &outside};
    DT_CHECK_INT(dt_emulated_enqueue(d, NULL, &work, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(dt_emulated_fault(d), "increment wrote at byte 12 of an allocation of 12 bytes");
    d->ops->free(d, p);
    d->ops->destroy(d);
#endif
}

/* A second stream adds one to a value that the first stream uploads, with or without an event in between. */
static int two_streams(bool with_event)
{
    dt_device *d = device_of(true);
    dt_stream *side = NULL;
    dt_event *event = NULL;
    int *p = d->ops->alloc(d, sizeof *p), *pinned = d->ops->host_alloc(d, sizeof *pinned);
    increment work = {p, p};
    DT_REQUIRE(p != NULL && pinned != NULL && d->ops->stream_create(d, &side, &err) == DT_OK &&
               d->ops->event_create(d, false, &event, &err) == DT_OK);
    upload(d, p, 10, NULL);
    DT_REQUIRE(d->ops->stream_wait(d, NULL, &err) == DT_OK);
    *pinned = 20;
    DT_REQUIRE(d->ops->copy(d, p, pinned, sizeof *p, DT_COPY_TO_DEVICE, side, &err) == DT_OK);
    DT_REQUIRE(d->ops->event_record(d, event, side, &err) == DT_OK);
    if (with_event)
        DT_REQUIRE(d->ops->stream_wait_event(d, NULL, event, &err) == DT_OK);
    enqueue(d, NULL, &work);
    *pinned = with_event ? 30 : 20; /* the copy has not run yet, and pinned memory is read when it does */
    int result = download(d, p);
    d->ops->host_free(d, pinned);
    d->ops->free(d, p);
    d->ops->event_destroy(d, event);
    d->ops->stream_destroy(d, side);
    d->ops->destroy(d);
    return result;
}

static void work_that_nothing_waits_for_runs_late(void)
{
    DT_CHECK_INT(two_streams(true), 31);
    DT_CHECK_INT(two_streams(false), 11);
}

static void polling_an_event_makes_progress(void)
{
    dt_device *d = device_of(true);
    dt_event *event = NULL;
    bool done = true;
    int polls = 0, *p = d->ops->alloc(d, sizeof *p);
    DT_REQUIRE(p != NULL && d->ops->event_create(d, false, &event, &err) == DT_OK);
    DT_CHECK(d->ops->event_done(d, event, &done, &err) == DT_OK && done); /* never recorded */
    upload(d, p, 1, NULL);
    DT_REQUIRE(d->ops->event_record(d, event, NULL, &err) == DT_OK);
    do
        DT_REQUIRE(d->ops->event_done(d, event, &done, &err) == DT_OK);
    while (!done && ++polls < 100);
    DT_CHECK(done && polls > 0);
    d->ops->event_destroy(d, event);
    d->ops->free(d, p);
    d->ops->destroy(d);
}

static void a_captured_graph_can_be_launched_repeatedly(void)
{
    dt_device *d = device_of(true);
    dt_stream *side = NULL;
    dt_event *fork = NULL, *join = NULL;
    void *graph = NULL;
    int *p = d->ops->alloc(d, sizeof *p);
    increment work = {p, p};
    DT_REQUIRE(p != NULL && d->ops->stream_create(d, &side, &err) == DT_OK);
    DT_REQUIRE(d->ops->event_create(d, false, &fork, &err) == DT_OK &&
               d->ops->event_create(d, false, &join, &err) == DT_OK);
    upload(d, p, 0, NULL);
    DT_REQUIRE(d->ops->capture_begin(d, &err) == DT_OK);
    enqueue(d, NULL, &work);
    DT_REQUIRE(d->ops->event_record(d, fork, NULL, &err) == DT_OK &&
               d->ops->stream_wait_event(d, side, fork, &err) == DT_OK);
    enqueue(d, side, &work);
    DT_REQUIRE(d->ops->event_record(d, join, side, &err) == DT_OK &&
               d->ops->stream_wait_event(d, NULL, join, &err) == DT_OK);
    DT_REQUIRE_MSG(d->ops->capture_end(d, &graph, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(download(d, p), 0); /* nothing has run */
    for (int i = 0; i < 3; i++)
        DT_REQUIRE(d->ops->graph_launch(d, graph, &err) == DT_OK);
    DT_CHECK_INT(download(d, p), 6);
    d->ops->graph_destroy(d, graph);
    d->ops->event_destroy(d, fork);
    d->ops->event_destroy(d, join);
    d->ops->stream_destroy(d, side);
    d->ops->free(d, p);
    DT_CHECK_STR(dt_emulated_fault(d), "");
    d->ops->destroy(d);
}

static void calls_that_a_capture_forbids_are_faults(void)
{
    dt_device *d = device_of(true);
    dt_stream *side = NULL;
    dt_event *fork = NULL;
    void *graph = NULL;
    int *p = d->ops->alloc(d, sizeof *p), value = 1;
    increment work = {p, p};
    DT_REQUIRE(p != NULL && d->ops->stream_create(d, &side, &err) == DT_OK &&
               d->ops->event_create(d, false, &fork, &err) == DT_OK);
    DT_REQUIRE(d->ops->capture_begin(d, &err) == DT_OK);
    DT_CHECK(d->ops->alloc(d, 16) == NULL);
    DT_CHECK_CONTAINS(dt_emulated_fault(d), "while capturing");
    DT_CHECK_INT(d->ops->stream_wait(d, NULL, &err), DT_ERR_DEVICE);
    DT_CHECK_INT(d->ops->copy(d, p, &value, sizeof value, DT_COPY_TO_DEVICE, NULL, &err), DT_ERR_DEVICE);
    DT_REQUIRE(d->ops->event_record(d, fork, NULL, &err) == DT_OK &&
               d->ops->stream_wait_event(d, side, fork, &err) == DT_OK);
    enqueue(d, side, &work);
    DT_CHECK_INT(d->ops->capture_end(d, &graph, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(err.message, "does not wait for it");
    d->ops->event_destroy(d, fork);
    d->ops->stream_destroy(d, side);
    d->ops->free(d, p);
    d->ops->destroy(d);
}

static const dt_test tests[] = {
    DT_TEST(fresh_memory_counts_as_unwritten),
    DT_TEST(copies_outside_of_an_allocation_are_faults),
    DT_TEST(a_stray_write_is_a_fault),
    DT_TEST(work_that_nothing_waits_for_runs_late),
    DT_TEST(polling_an_event_makes_progress),
    DT_TEST(a_captured_graph_can_be_launched_repeatedly),
    DT_TEST(calls_that_a_capture_forbids_are_faults),
};
DT_TEST_MAIN("emulated/device", tests)
