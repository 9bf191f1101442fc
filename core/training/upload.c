#include "core/training/upload.h"

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/collective/device_wait.h"

static dt_status create_slot(dt_upload *u, dt_upload_slot *slot, dt_error *err)
{
    const dt_device_ops *ops = u->device->ops;
    slot->pixels = ops->alloc(u->device, u->n * u->size * u->size * 3);
    slot->labels = ops->alloc(u->device, u->n * (int64_t)sizeof(int32_t));
    if (!slot->pixels || !slot->labels)
        return dt_fail(err, DT_ERR_MEMORY, "no device memory for a batch of %lld image%s of %lldx%lld",
                       (long long)u->n, DT_PLURAL(u->n), (long long)u->size, (long long)u->size);
    DT_TRY(ops->event_create(u->device, false, &slot->copied, err));
    return ops->event_create(u->device, false, &slot->used, err);
}

dt_status dt_upload_create(dt_upload *u, dt_comm *comm, dt_device *device, int64_t n, int64_t size,
                           dt_error *err)
{
    dt_device_info info = {0};
    device->ops->info(device, &info);
    *u = (dt_upload){.comm = comm, .device = device, .is_host = info.is_host, .n = n, .size = size};
    if (u->is_host)
        return DT_OK;
    DT_TRY(device->ops->stream_create(device, &u->stream, err));
    for (int i = 0; i < DT_UPLOAD_SLOTS; i++)
        DT_TRY(create_slot(u, &u->slots[i], err));
    return DT_OK;
}

/* The slot that is the i-th by age; 0 was filled first. Batches are released in order. */
static dt_upload_slot *oldest(dt_upload *u, int i)
{
    return &u->slots[(u->n_begun + i) % DT_UPLOAD_SLOTS];
}

static void release(dt_upload_slot *slot)
{
    if (slot->batch)
        slot->source->ops->release(slot->source, slot->batch);
    slot->batch = NULL;
}

void dt_upload_destroy(dt_upload *u)
{
    if (!u->device)
        return;
    const dt_device_ops *ops = u->device->ops;
    for (int i = 0; i < DT_UPLOAD_SLOTS; i++) {
        dt_upload_slot *slot = oldest(u, i);
        release(slot);
        if (u->is_host)
            continue;
        ops->free(u->device, slot->pixels);
        ops->free(u->device, slot->labels);
        ops->event_destroy(u->device, slot->copied);
        ops->event_destroy(u->device, slot->used);
    }
    if (!u->is_host)
        ops->stream_destroy(u->device, u->stream);
    *u = (dt_upload){0};
}

/* Release the batches that have been copied. */
static dt_status release_copied(dt_upload *u, dt_error *err)
{
    for (int i = 0; i < DT_UPLOAD_SLOTS; i++) {
        bool done = false;
        dt_upload_slot *slot = oldest(u, i);
        if (!slot->batch)
            continue;
        DT_TRY(u->device->ops->event_done(u->device, slot->copied, &done, err));
        if (!done)
            return DT_OK;
        release(slot);
    }
    return DT_OK;
}

/* Wait until the slot's last batch has been copied. Its copy waits on the device until the batch before it in
 * the slot is no longer used. */
static dt_status wait_for_slot(dt_upload *u, dt_upload_slot *slot, dt_error *err)
{
    if (slot->batch)
        DT_TRY(dt_device_wait(u->comm, u->device, slot->copied, err));
    release(slot);
    return release_copied(u, err);
}

static dt_status fill(dt_upload *u, dt_upload_slot *slot, dt_error *err)
{
    const dt_device_ops *ops = u->device->ops;
    const dt_batch *batch = slot->batch;
    if (u->n_begun >= DT_UPLOAD_SLOTS)
        DT_TRY(ops->stream_wait_event(u->device, u->stream, slot->used, err));
    DT_TRY(ops->copy(u->device, slot->pixels, batch->pixels, batch->n * batch->size * batch->size * 3,
                     DT_COPY_TO_DEVICE, u->stream, err));
    DT_TRY(ops->copy(u->device, slot->labels, batch->labels, batch->n * (int64_t)sizeof(int32_t),
                     DT_COPY_TO_DEVICE, u->stream, err));
    DT_TRY(ops->event_record(u->device, slot->copied, u->stream, err));
    return ops->stream_wait_event(u->device, NULL, slot->copied, err);
}

dt_status dt_upload_next(dt_upload *u, dt_source *source, dt_uploaded *uploaded, dt_error *err)
{
    const int index = (int)(u->n_begun % DT_UPLOAD_SLOTS);
    dt_upload_slot *slot = &u->slots[index];
    if (!u->is_host)
        DT_TRY(wait_for_slot(u, slot, err));
    dt_batch *batch = NULL;
    const double before = dt_clock_s();
    DT_TRY(source->ops->next(source, &batch, err));
    const double wait_s = dt_clock_s() - before;
    slot->source = source;
    slot->batch = batch;
    if (batch->n != u->n || batch->size != u->size)
        return dt_fail(err, DT_ERR_INTERNAL,
                       "a batch of %lld images of %lld pixels came where %lld of %lld were expected",
                       (long long)batch->n, (long long)batch->size, (long long)u->n, (long long)u->size);
    if (!u->is_host)
        DT_TRY(fill(u, slot, err));
    u->n_begun++;
    *uploaded = (dt_uploaded){.pixels = u->is_host ? batch->pixels : slot->pixels,
                              .labels = u->is_host ? batch->labels : slot->labels,
                              .slot = index,
                              .wait_s = wait_s};
    return DT_OK;
}

dt_status dt_upload_used(dt_upload *u, dt_error *err)
{
    dt_upload_slot *slot = &u->slots[(u->n_begun - 1) % DT_UPLOAD_SLOTS];
    if (!u->is_host)
        return u->device->ops->event_record(u->device, slot->used, NULL, err);
    release(slot);
    return DT_OK;
}

dt_status dt_upload_flush(dt_upload *u, dt_error *err)
{
    for (int i = 0; i < DT_UPLOAD_SLOTS; i++) {
        dt_upload_slot *slot = oldest(u, i);
        if (slot->batch && !u->is_host)
            DT_TRY(dt_device_wait(u->comm, u->device, slot->copied, err));
        release(slot);
    }
    return DT_OK;
}
