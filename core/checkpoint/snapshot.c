#include "core/checkpoint/snapshot.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/checkpoint/state_check.h"
#include "core/collective/device_wait.h"

#include <stdatomic.h>
#include <string.h>

#define POLL_S 0.5e-3 /* a copy to the host takes some milliseconds, after the steps before it */

/* Neighbouring tensors in one allocation of device memory, which are copied at once. */
typedef struct range {
    const void *allocation;
    const char *from;
    int64_t bytes, at; /* at: the offset in the copies, in bytes */
} range;

struct dt_snapshot {
    dt_comm *comm; /* borrowed, as all of these */
    const dt_state_layout *layout;
    dt_state_addresses addresses;
    const dt_device_ops *ops;
    bool is_host;
    int64_t first, n_elems; /* the share */
    range *ranges;          /* [n_tensors + 2] */
    int64_t n_ranges, bytes;

    char *host;    /* [bytes] pinned, if there is a device */
    char *staging; /* [bytes] device memory; NULL: none */
    dt_stream *side;
    dt_event *ready, *copied; /* the staging buffer is filled; the host memory is */
    bool pending;             /* enqueued, and not waited for yet */
    atomic_bool abandoned;
};

/* -- what is copied -------------------------------------------------------------------------------------- */

static bool is_in_share(const dt_snapshot *s, int64_t t)
{
    const dt_state_tensor *tensor = &s->layout->tensors[t];
    return s->n_elems > 0 && tensor->n_elems > 0 && tensor->first < s->first + s->n_elems &&
           s->first < tensor->first + tensor->n_elems;
}

static void add(dt_snapshot *s, const void *allocation, const void *from, int64_t bytes)
{
    for (int64_t i = 0; i < s->n_ranges; i++)
        if (s->ranges[i].allocation == allocation && s->ranges[i].from + s->ranges[i].bytes == from) {
            s->ranges[i].bytes += bytes;
            return;
        }
    s->ranges[s->n_ranges++] = (range){.allocation = allocation, .from = from, .bytes = bytes};
}

static void find_ranges(dt_snapshot *s)
{
    for (int64_t t = 0; t < s->layout->n_tensors; t++)
        if (is_in_share(s, t))
            add(s, s->addresses.tensors[t].vector, s->addresses.tensors[t].values,
                s->addresses.tensors[t].n_elems * (int64_t)sizeof(float));
    if (s->addresses.step_state)
        add(s, s->addresses.step_state, s->addresses.step_state, sizeof *s->addresses.step_state);
    if (s->addresses.loss)
        add(s, s->addresses.loss, s->addresses.loss, sizeof *s->addresses.loss);
    for (int64_t i = 0; i < s->n_ranges; i++) {
        s->ranges[i].at = s->bytes;
        s->bytes += (s->ranges[i].bytes + DT_ALIGNMENT - 1) / DT_ALIGNMENT * DT_ALIGNMENT;
    }
}

/* The address, in host memory, of the copy of what is at `address`. */
static const void *copy_of(const dt_snapshot *s, const void *address)
{
    for (int64_t i = 0; i < s->n_ranges; i++)
        if ((const char *)address >= s->ranges[i].from &&
            (const char *)address < s->ranges[i].from + s->ranges[i].bytes)
            return s->host + s->ranges[i].at + ((const char *)address - s->ranges[i].from);
    return NULL;
}

/* -- memory ---------------------------------------------------------------------------------------------- */

static dt_status create_memory(dt_snapshot *s, dt_error *err)
{
    dt_device *device = s->addresses.device;
    s->host = s->ops->host_alloc(device, s->bytes);
    if (!s->host)
        return dt_fail_memory(err, (size_t)s->bytes, "the snapshot that a checkpoint is written from");
    memset(s->host, 0, (size_t)s->bytes);
    if (s->is_host)
        return DT_OK;
    DT_TRY(s->ops->event_create(device, false, &s->copied, err));
    s->staging = s->ops->alloc(device, s->bytes);
    if (!s->staging) {
        dt_log_warn("checkpoints: the GPU has no memory for a copy of this rank's share of the state (%.1f "
                    "MB): the next step waits while it goes to the host",
                    (double)s->bytes / 1e6);
        return DT_OK;
    }
    DT_TRY(s->ops->event_create(device, false, &s->ready, err));
    return s->ops->stream_create(device, &s->side, err);
}

dt_status dt_snapshot_create(dt_comm *comm, const dt_state_layout *layout, const dt_state_io *io,
                             int64_t first, int64_t n_elems, dt_snapshot **snapshot, dt_error *err)
{
    dt_device_info info = {0};
    dt_status status = DT_OK;
    dt_snapshot *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the snapshot that a checkpoint is written from");
    *s = (dt_snapshot){.comm = comm,
                       .layout = layout,
                       .addresses = *io->addresses,
                       .ops = io->addresses->device->ops,
                       .first = first,
                       .n_elems = n_elems};
    s->ops->info(s->addresses.device, &info);
    s->is_host = info.is_host;
    s->ranges = dt_alloc((size_t)(layout->n_tensors + 2) * sizeof *s->ranges);
    if (!s->ranges) {
        status = dt_fail_memory(err, (size_t)layout->n_tensors * sizeof *s->ranges,
                                "the snapshot that a checkpoint is written from");
        goto fail;
    }
    find_ranges(s);
    DT_TRY_OR_FAIL(status, create_memory(s, err));
    *snapshot = s;
    return DT_OK;
fail:
    dt_snapshot_destroy(s);
    return status;
}

/* Wait for the main stream, and then for the side stream: both may still use the memory. */
static dt_status wait_for_streams(dt_snapshot *s, dt_error *err)
{
    dt_device *device = s->addresses.device;
    if (s->is_host || !s->copied)
        return DT_OK;
    if (!s->side)
        return dt_device_wait_all(s->comm, device, s->copied, err);
    DT_TRY(s->ops->event_record(device, s->ready, NULL, err));
    DT_TRY(s->ops->stream_wait_event(device, s->side, s->ready, err));
    DT_TRY(s->ops->event_record(device, s->copied, s->side, err));
    return dt_device_wait(s->comm, device, s->copied, err);
}

void dt_snapshot_destroy(dt_snapshot *s)
{
    dt_error ignored;
    if (!s)
        return;
    dt_device *device = s->addresses.device;
    if (!s->pending || wait_for_streams(s, &ignored) == DT_OK) {
        if (s->side)
            s->ops->stream_destroy(device, s->side);
        if (s->ready)
            s->ops->event_destroy(device, s->ready);
        if (s->copied)
            s->ops->event_destroy(device, s->copied);
        if (s->staging)
            s->ops->free(device, s->staging);
        s->ops->host_free(device, s->host);
    }
    dt_free(s->ranges);
    dt_free(s);
}

/* -- copying --------------------------------------------------------------------------------------------- */

static dt_status copy_ranges(dt_snapshot *s, char *to, dt_copy_kind kind, dt_error *err)
{
    for (int64_t i = 0; i < s->n_ranges; i++)
        DT_TRY(s->ops->copy(s->addresses.device, to + s->ranges[i].at, s->ranges[i].from, s->ranges[i].bytes,
                            kind, NULL, err));
    return DT_OK;
}

/* If no thread has waited for the last copy, it may still be on its way from the staging buffer, which this
 * copy overwrites. That does no harm: this copy overwrites the same host memory after it. */
static dt_status enqueue_staged(dt_snapshot *s, dt_error *err)
{
    dt_device *device = s->addresses.device;
    DT_TRY(copy_ranges(s, s->staging, DT_COPY_ON_DEVICE, err));
    DT_TRY(s->ops->event_record(device, s->ready, NULL, err));
    DT_TRY(s->ops->stream_wait_event(device, s->side, s->ready, err));
    DT_TRY(s->ops->copy(device, s->host, s->staging, s->bytes, DT_COPY_TO_HOST, s->side, err));
    return s->ops->event_record(device, s->copied, s->side, err);
}

dt_status dt_snapshot_enqueue(dt_snapshot *s, dt_error *err)
{
    s->pending = true;
    if (s->staging)
        return enqueue_staged(s, err);
    DT_TRY(copy_ranges(s, s->host, DT_COPY_TO_HOST, err));
    return s->is_host ? DT_OK : s->ops->event_record(s->addresses.device, s->copied, NULL, err);
}

/* -- reading --------------------------------------------------------------------------------------------- */

dt_status dt_snapshot_wait(dt_snapshot *s, dt_error *err)
{
    bool done = s->is_host;
    while (!done) {
        if (atomic_load(&s->abandoned))
            return dt_fail(
                err, DT_ERR_IO,
                "the copy of the state was still on its way from the GPU when the checkpoint was abandoned");
        DT_TRY(s->ops->event_done(s->addresses.device, s->copied, &done, err));
        if (!done)
            dt_clock_sleep_s(POLL_S);
    }
    s->pending = false;
    return DT_OK;
}

void dt_snapshot_abandon(dt_snapshot *s)
{
    atomic_store(&s->abandoned, true);
}

static dt_status get(void *context, int64_t t, float *canonical, dt_error *err)
{
    const dt_snapshot *s = context;
    const dt_state_tensor *tensor = &s->layout->tensors[t];
    if (!is_in_share(s, t))
        return DT_OK;
    dt_weights_to_canonical(&s->addresses.tensors[t].order, copy_of(s, s->addresses.tensors[t].values),
                            canonical);
    return dt_state_check(tensor->name, canonical, tensor->n_elems, err); /* it is in the caches now */
}

dt_state_io dt_snapshot_io(dt_snapshot *s)
{
    return (dt_state_io){.context = s, .get = get};
}

const dt_step_state *dt_snapshot_step_state(const dt_snapshot *s)
{
    return s->addresses.step_state ? copy_of(s, s->addresses.step_state) : NULL;
}

const dt_loss_sums *dt_snapshot_loss(const dt_snapshot *s)
{
    return s->addresses.loss ? copy_of(s, s->addresses.loss) : NULL;
}

dt_snapshot_memory dt_snapshot_get_memory(const dt_snapshot *s)
{
    return (dt_snapshot_memory){.host_bytes = s->bytes, .device_bytes = s->staging ? s->bytes : 0};
}
