/* Every constructor of core/ with each of its allocations failing in turn: it reports DT_ERR_MEMORY, sets
 * nothing and leaks nothing. To add one: a function that creates and destroys, and its row. */
#include "core/base/alloc.h"
#include "core/collective/grad_buckets.h"
#include "layers/device_host.h"
#include "tests/testing.h"

#include <string.h>

/* Creates, and destroys on success. *untouched: the output is not set. */
typedef dt_status construct(bool *untouched, dt_error *err);

static dt_status host_device(bool *untouched, dt_error *err)
{
    dt_device *d = NULL;
    const dt_status status = dt_device_host_create(1, &d, err);
    *untouched = d == NULL;
    if (status == DT_OK)
        d->ops->destroy(d);
    return status;
}

static dt_status host_stream_and_event(bool *untouched, dt_error *err)
{
    dt_device *d = NULL;
    dt_stream *stream = NULL;
    dt_event *event = NULL;
    *untouched = true;
    dt_status status = dt_device_host_create(1, &d, err);
    if (status != DT_OK)
        return status;
    status = d->ops->stream_create(d, &stream, err);
    if (status == DT_OK)
        status = d->ops->event_create(d, false, &event, err);
    *untouched = event == NULL;
    d->ops->event_destroy(d, event);
    d->ops->stream_destroy(d, stream);
    d->ops->destroy(d);
    return status;
}

static dt_status grad_buckets(bool *untouched, dt_error *err)
{
    static float grads[48];
    static const dt_grad_part parts[] = {{0, 16, false}, {16, 16, false}, {32, 16, false}};
    static dt_comm comm = {.size = 1};
    dt_grad_buckets *b = NULL;
    const dt_status status = dt_grad_buckets_create(&comm, grads, 48, parts, 3, 64, DT_F32, &b, err);
    *untouched = b == NULL;
    if (status == DT_OK)
        dt_grad_buckets_destroy(b);
    return status;
}

static void survives(construct *create, const char *name)
{
    const int64_t before = dt_alloc_live_blocks();
    const int64_t most = 100000; /* allocations; a constructor that never succeeds fails, too */
    for (int64_t n = 1; n <= most; n++) {
        dt_error err = {0};
        bool untouched = false;
        dt_alloc_fail_after(n);
        const dt_status status = create(&untouched, &err);
        dt_alloc_fail_after(0);
        DT_CHECK_MSG(dt_alloc_live_blocks() == before, "%s leaks when allocation %lld fails", name,
                     (long long)n);
        if (status == DT_OK) {
            DT_CHECK_MSG(n > 1, "%s allocates nothing: its row tests nothing", name);
            return;
        }
        DT_REQUIRE_MSG(status == DT_ERR_MEMORY && err.status == DT_ERR_MEMORY,
                       "%s, allocation %lld: status %s, \"%s\"", name, (long long)n, dt_status_name(status),
                       err.message);
        DT_CHECK_MSG(strstr(err.message, "out of memory") != NULL, "%s, allocation %lld: \"%s\"", name,
                     (long long)n, err.message);
        DT_CHECK_MSG(untouched, "%s sets its output when allocation %lld fails", name, (long long)n);
    }
    DT_FAIL("%s does not succeed after %lld failed allocations", name, (long long)most);
}

static void constructors_survive_every_allocation_failing(void)
{
    survives(host_device, "host_device");
    survives(host_stream_and_event, "host_stream_and_event");
    survives(grad_buckets, "grad_buckets");
}

static const dt_test tests[] = {DT_TEST(constructors_survive_every_allocation_failing)};

DT_TEST_MAIN("core/oom", tests)
