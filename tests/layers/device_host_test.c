/* The host as a device, and the table of data types. */
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/tensor.h"
#include "layers/device_host.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static dt_device *device;

static void memory_is_aligned_and_refused_when_there_is_none(void)
{
    void *p = device->ops->alloc(device, 1000), *q = device->ops->host_alloc(device, 0);
    DT_CHECK(p != NULL && (uintptr_t)p % DT_ALIGNMENT == 0);
    DT_CHECK(q != NULL && (uintptr_t)q % DT_ALIGNMENT == 0);
    device->ops->free(device, p);
    device->ops->host_free(device, q);
    device->ops->free(device, NULL);
    device->ops->host_free(device, NULL);
    DT_CHECK(device->ops->alloc(device, -1) == NULL);
    DT_CHECK(device->ops->alloc(device, INT64_MAX) == NULL);
    dt_alloc_fail_after(1);
    DT_CHECK(device->ops->alloc(device, 1000) == NULL);
    dt_alloc_fail_after(1);
    DT_CHECK(device->ops->host_alloc(device, 1000) == NULL);
}

/* Threads copy pieces, bypassing the caches. For any alignment of the ends, exactly the requested bytes are
 * written. */
static void large_copies_write_exactly_their_bytes(void)
{
    const int64_t n_bytes = (INT64_C(9) << 20);
    unsigned char *from = device->ops->alloc(device, n_bytes), *to = device->ops->host_alloc(device, n_bytes);
    dt_device *three = NULL;
    DT_REQUIRE(from != NULL && to != NULL && dt_device_host_create(3, &three, NULL) == DT_OK);
    for (int64_t i = 0; i < n_bytes; i++)
        from[i] = (unsigned char)(i * 31 + i / 977);
    for (int64_t at = 0; at < 3; at++) {
        const int64_t bytes = (INT64_C(8) << 20) + 100 + at, src = 5 * at, dst = 64 + 7 * at;
        memset(to, 0xA5, (size_t)n_bytes);
        DT_CHECK_INT(three->ops->copy(three, to + dst, from + src, bytes, DT_COPY_TO_HOST, NULL, NULL),
                     DT_OK);
        DT_CHECK(memcmp(to + dst, from + src, (size_t)bytes) == 0);
        DT_CHECK(to[dst - 1] == 0xA5 && to[dst + bytes] == 0xA5);
    }
    device->ops->free(device, from);
    device->ops->host_free(device, to);
    three->ops->destroy(three);
}

static void copies_and_zeroing_are_done_when_the_call_returns(void)
{
    char from[8] = "ABCDEFG", to[8] = "-------";
    static const dt_copy_kind kinds[] = {DT_COPY_TO_DEVICE, DT_COPY_TO_HOST, DT_COPY_ON_DEVICE};
    for (int k = 0; k < 3; k++) {
        memset(to, '-', 7);
        DT_CHECK_INT(device->ops->copy(device, to, from, 3, kinds[k], NULL, NULL), DT_OK);
        DT_CHECK_STR(to, "ABC----");
    }
    DT_CHECK_INT(device->ops->zero(device, to + 1, 2, NULL, NULL), DT_OK);
    DT_CHECK_BYTES(to, "A\0\0----", 8);
    DT_CHECK_INT(device->ops->copy(device, to, from, 0, DT_COPY_ON_DEVICE, NULL, NULL), DT_OK);
    DT_CHECK_INT(device->ops->zero(device, NULL, 0, NULL, NULL), DT_OK);
    DT_CHECK_BYTES(to, "A\0\0----", 8);
}

static void negative_sizes_are_refused(void)
{
    dt_error err;
    char c = 'c';
    DT_CHECK_INT(device->ops->copy(device, &c, &c, -1, DT_COPY_TO_HOST, NULL, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(device->ops->zero(device, &c, -1, NULL, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(c, 'c');
}

static void streams_and_events_are_always_done(void)
{
    const dt_device_ops *ops = device->ops;
    const int64_t before = dt_alloc_live_blocks();
    dt_stream *stream = NULL;
    dt_event *event = NULL;
    dt_error err;
    DT_CHECK_INT(ops->stream_create(device, &stream, &err), DT_OK);
    DT_CHECK_INT(ops->event_create(device, false, &event, &err), DT_OK);
    DT_CHECK(stream != NULL);
    DT_CHECK(event != NULL);
    DT_CHECK_INT(ops->event_record(device, event, stream, &err), DT_OK);
    DT_CHECK_INT(ops->stream_wait_event(device, NULL, event, &err), DT_OK);
    DT_CHECK_INT(ops->stream_wait(device, stream, &err), DT_OK);
    bool done = false;
    double ms = -1.0;
    DT_CHECK_INT(ops->event_done(device, event, &done, &err), DT_OK);
    DT_CHECK(done);
    DT_CHECK_INT(ops->event_elapsed_ms(device, event, event, &ms, &err), DT_OK);
    DT_CHECK_CLOSE(ms, 0.0, 0.0);
    DT_CHECK_INT(ops->stream_wait(device, NULL, &err), DT_OK);
    ops->event_destroy(device, event);
    ops->stream_destroy(device, stream);
    ops->event_destroy(device, NULL);
    ops->stream_destroy(device, NULL);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static void the_time_between_events_is_in_milliseconds(void)
{
    const dt_device_ops *ops = device->ops;
    dt_event *first = NULL, *second = NULL;
    double ms = -1.0;
    DT_REQUIRE(ops->event_create(device, true, &first, NULL) == DT_OK &&
               ops->event_create(device, true, &second, NULL) == DT_OK);
    const double outer_s = dt_clock_s();
    DT_CHECK_INT(ops->event_record(device, first, NULL, NULL), DT_OK);
    const double inner_s = dt_clock_s();
    dt_clock_sleep_s(0.01);
    const double inner_ms = 1e3 * (dt_clock_s() - inner_s);
    DT_CHECK_INT(ops->event_record(device, second, NULL, NULL), DT_OK);
    const double outer_ms = 1e3 * (dt_clock_s() - outer_s);
    DT_CHECK_INT(ops->event_elapsed_ms(device, first, second, &ms, NULL), DT_OK);
    DT_CHECK_MSG(ms >= inner_ms - 1e-6 && ms <= outer_ms + 1e-6, "%g ms, not between %g and %g", ms, inner_ms,
                 outer_ms);
    ops->event_destroy(device, first);
    ops->event_destroy(device, second);
}

/* /proc/meminfo counts in KiB. Other processes change it, but hardly by half. */
static void free_memory_is_what_the_system_has_available(void)
{
    char *text = dt_test_read_file("/proc/meminfo", NULL);
    const char *line = text != NULL ? strstr(text, "MemAvailable:") : NULL;
    const double bytes = line != NULL ? 1024.0 * strtod(line + strlen("MemAvailable:"), NULL) : 0.0;
    free(text);
    if (bytes <= 0.0)
        DT_SKIP("/proc/meminfo has no MemAvailable");
    DT_CHECK_CLOSE((double)device->ops->memory_free(device), bytes, 0.5 * bytes);
}

static void the_host_device_has_no_capture(void)
{
    DT_CHECK(device->ops->capture_begin == NULL);
    DT_CHECK(device->ops->capture_end == NULL);
    DT_CHECK(device->ops->graph_launch == NULL);
    DT_CHECK(device->ops->graph_destroy == NULL);
}

static void info_names_processor_and_threads(void)
{
    dt_device_info info;
    device->ops->info(device, &info);
    DT_CHECK_CONTAINS(info.name, ", 3 threads");
    DT_CHECK(info.name[0] != ',' && info.name[0] != ' ');
    DT_CHECK(strchr(info.name, '\n') == NULL);
    DT_CHECK(info.memory_bytes > 64 << 20);
    DT_CHECK(device->ops->memory_free(device) > 16 << 20 &&
             device->ops->memory_free(device) <= info.memory_bytes);
    DT_CHECK_INT(info.multiprocessors, 0);
    DT_CHECK_INT(info.n_threads, 3);
    DT_CHECK(info.is_host);
    DT_CHECK_STR(device->ops->name, "host");
}

static void a_device_needs_a_thread(void)
{
    dt_device *none = NULL;
    dt_error err;
    DT_CHECK_INT(dt_device_host_create(0, &none, &err), DT_ERR_INTERNAL);
    DT_CHECK(none == NULL);
    DT_CHECK_INT(dt_device_host_create(1, &none, &err), DT_OK);
    dt_device_info info;
    none->ops->info(none, &info);
    DT_CHECK_STR(info.name + strlen(info.name) - strlen(", 1 thread"), ", 1 thread");
    none->ops->destroy(none);
}

static void types_have_the_size_of_their_elements(void)
{
    static const struct {
        dt_dtype dtype;
        int64_t bytes;
        const char *name;
    } types[] = {{DT_F32, 4, "fp32"}, {DT_F16, 2, "fp16"},  {DT_BF16, 2, "bf16"}, {DT_TF32, 4, "tf32"},
                 {DT_F64, 8, "fp64"}, {DT_I32, 4, "int32"}, {DT_I64, 8, "int64"}, {DT_U8, 1, "uint8"}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        DT_CHECK_INT(dt_dtype_bytes(types[i].dtype), types[i].bytes);
        DT_CHECK_STR(dt_dtype_name(types[i].dtype), types[i].name);
    }
}

void dt_test_set_up(void)
{
    if (dt_device_host_create(3, &device, NULL) != DT_OK)
        device = NULL;
}

void dt_test_tear_down(void)
{
    if (device)
        device->ops->destroy(device);
}

static const dt_test tests[] = {
    DT_TEST(memory_is_aligned_and_refused_when_there_is_none),
    DT_TEST(large_copies_write_exactly_their_bytes),
    DT_TEST(copies_and_zeroing_are_done_when_the_call_returns),
    DT_TEST(negative_sizes_are_refused),
    DT_TEST(streams_and_events_are_always_done),
    DT_TEST(the_time_between_events_is_in_milliseconds),
    DT_TEST(free_memory_is_what_the_system_has_available),
    DT_TEST(the_host_device_has_no_capture),
    DT_TEST(info_names_processor_and_threads),
    DT_TEST(a_device_needs_a_thread),
    DT_TEST(types_have_the_size_of_their_elements),
};

DT_TEST_MAIN("core/device_host", tests)
