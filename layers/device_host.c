#include "layers/device_host.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/large_copy.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES (INT64_C(2) << 20)  /* of x86-64, and of 64-bit Arm with pages of 4 KiB */
#define LARGE_COPY_BYTES (INT64_C(8) << 20) /* larger than a core's caches; starting threads pays off */

typedef struct host_device {
    dt_device base;
    int64_t n_threads;
} host_device;

/* Every call finishes its work before it returns, so streams and events hold no state. */
struct dt_stream {
    char unused;
};
struct dt_event {
    double recorded_s;
};

static void host_destroy(dt_device *device)
{
    dt_free(device);
}

/* Request huge pages for large blocks, where the system grants them to programs that ask: the flat vectors,
 * of which a snapshot is a copy, are read from end to end. */
static void *host_alloc(dt_device *device, int64_t bytes)
{
    (void)device;
    if (bytes < 0)
        return NULL;
    char *p = dt_alloc((size_t)bytes);
    const int64_t before = p ? (int64_t)((uintptr_t)p % HUGE_PAGE_BYTES) : 0,
                  skip = before ? HUGE_PAGE_BYTES - before : 0;
    const int64_t whole = (bytes - skip) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (p && bytes >= 2 * HUGE_PAGE_BYTES)
        (void)madvise(p + skip, (size_t)whole, MADV_HUGEPAGE); /* may fail without harm */
    return p;
}

static void host_free(dt_device *device, void *p)
{
    (void)device;
    dt_free(p);
}

static dt_status host_copy(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                           dt_stream *stream, dt_error *err)
{
    (void)kind, (void)stream;
    if (bytes < 0)
        return dt_fail(err, DT_ERR_INTERNAL, "host device: a copy of %lld bytes", (long long)bytes);
    if (bytes >= LARGE_COPY_BYTES && dst != src)
        dt_large_copy(dst, src, (size_t)bytes, (int)((const host_device *)device)->n_threads);
    else if (bytes > 0 && dst != src)
        memcpy(dst, src, (size_t)bytes);
    return DT_OK;
}

static dt_status host_zero(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err)
{
    (void)device, (void)stream;
    if (bytes < 0)
        return dt_fail(err, DT_ERR_INTERNAL, "host device: %lld bytes to zero", (long long)bytes);
    if (bytes > 0)
        memset(dst, 0, (size_t)bytes);
    return DT_OK;
}

static dt_status host_stream_create(dt_device *device, dt_stream **stream, dt_error *err)
{
    (void)device;
    dt_stream *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "a stream");
    *stream = s;
    return DT_OK;
}

static void host_stream_destroy(dt_device *device, dt_stream *stream)
{
    (void)device;
    dt_free(stream);
}

static dt_status host_stream_wait(dt_device *device, dt_stream *stream, dt_error *err)
{
    (void)device, (void)stream, (void)err;
    return DT_OK;
}

static dt_status host_event_create(dt_device *device, bool timed, dt_event **event, dt_error *err)
{
    (void)device, (void)timed;
    dt_event *e = dt_calloc(1, sizeof *e);
    if (!e)
        return dt_fail_memory(err, sizeof *e, "an event");
    *event = e;
    return DT_OK;
}

static void host_event_destroy(dt_device *device, dt_event *event)
{
    (void)device;
    dt_free(event);
}

static dt_status host_event_record(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err)
{
    (void)device, (void)stream, (void)err;
    event->recorded_s = dt_clock_s();
    return DT_OK;
}

static dt_status host_event_done(dt_device *device, dt_event *event, bool *done, dt_error *err)
{
    (void)device, (void)event, (void)err;
    *done = true;
    return DT_OK;
}

static dt_status host_event_elapsed_ms(dt_device *device, dt_event *from, dt_event *to, double *ms,
                                       dt_error *err)
{
    (void)device, (void)err;
    *ms = 1e3 * (to->recorded_s - from->recorded_s);
    return DT_OK;
}

static dt_status host_stream_wait_event(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err)
{
    (void)device, (void)stream, (void)event, (void)err;
    return DT_OK;
}

/* Memory that is available without swapping, from /proc/meminfo. */
static int64_t host_memory_free(dt_device *device)
{
    (void)device;
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (int64_t)kib * 1024;
}

/* The processor's name from /proc/cpuinfo, or the architecture's where Linux gives no name (64-bit Arm). */
static void processor_name(char *name, size_t name_bytes)
{
    char line[512];
    name[0] = '\0';
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && name[0] == '\0' && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (colon && strncmp(line, "model name", strlen("model name")) == 0)
            snprintf(name, name_bytes, "%.*s", (int)strcspn(colon + 1 + strspn(colon + 1, " \t"), "\n"),
                     colon + 1 + strspn(colon + 1, " \t"));
    }
    if (f)
        fclose(f);
    struct utsname system;
    if (name[0] == '\0')
        snprintf(name, name_bytes, "%s", uname(&system) == 0 ? system.machine : "host");
}

static void host_info(dt_device *device, dt_device_info *info)
{
    const host_device *host = (const host_device *)device;
    char processor[96];
    processor_name(processor, sizeof processor);
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s, %lld thread%s", processor, (long long)host->n_threads,
             host->n_threads == 1 ? "" : "s");
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    info->memory_bytes = pages > 0 && page_bytes > 0 ? (int64_t)pages * page_bytes : 0;
    info->n_threads = host->n_threads;
    info->is_host = true;
}

static const dt_device_ops host_ops = {
    .name = "host",
    .destroy = host_destroy,
    .alloc = host_alloc,
    .free = host_free,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .memory_free = host_memory_free,
    .copy = host_copy,
    .zero = host_zero,
    .stream_create = host_stream_create,
    .stream_destroy = host_stream_destroy,
    .stream_wait = host_stream_wait,
    .event_create = host_event_create,
    .event_destroy = host_event_destroy,
    .event_record = host_event_record,
    .stream_wait_event = host_stream_wait_event,
    .event_done = host_event_done,
    .event_elapsed_ms = host_event_elapsed_ms,
    .info = host_info,
};

dt_status dt_device_host_create(int64_t n_threads, dt_device **device, dt_error *err)
{
    if (n_threads < 1)
        return dt_fail(err, DT_ERR_INTERNAL, "host device: %lld compute threads", (long long)n_threads);
    host_device *host = dt_calloc(1, sizeof *host);
    if (!host)
        return dt_fail_memory(err, sizeof *host, "the host device");
    host->base.ops = &host_ops;
    host->n_threads = n_threads;
    *device = &host->base;
    return DT_OK;
}
