#include "core/training/step_results.h"

#include "core/base/alloc.h"
#include "core/collective/device_wait.h"

#include <math.h>

_Static_assert(DT_STEP_RING % DT_STEP_LAG == 0 && DT_STEP_RING >= 4 * DT_STEP_LAG,
               "the ring is whole blocks, and no record is overwritten before it is read");
_Static_assert(DT_STEP_MAX_RESULTS >= 3 * DT_STEP_LAG,
               "a drain finds up to two whole blocks and a partial one");

dt_status dt_step_results_create(dt_step_results_ring *r, dt_comm *comm, dt_device *device, dt_error *err)
{
    const int64_t bytes = DT_STEP_RING * (int64_t)sizeof(dt_step_record);
    dt_device_info info = {0};
    device->ops->info(device, &info);
    *r = (dt_step_results_ring){.comm = comm, .device = device, .is_host = info.is_host};
    r->records = device->ops->alloc(device, bytes);
    r->copies = r->is_host ? r->records : device->ops->host_alloc(device, bytes);
    if (!r->records || !r->copies)
        return dt_fail_memory(err, (size_t)bytes, "the steps' results");
    if (r->is_host)
        return DT_OK;
    for (int i = 0; i < DT_STEP_RING / DT_STEP_LAG; i++)
        DT_TRY(device->ops->event_create(device, false, &r->copied[i], err));
    return device->ops->event_create(device, false, &r->all, err);
}

void dt_step_results_destroy(dt_step_results_ring *r)
{
    if (!r->device)
        return;
    const dt_device_ops *ops = r->device->ops;
    for (int i = 0; i < DT_STEP_RING / DT_STEP_LAG && !r->is_host; i++)
        ops->event_destroy(r->device, r->copied[i]);
    if (!r->is_host) {
        ops->event_destroy(r->device, r->all);
        ops->host_free(r->device, r->copies);
    }
    ops->free(r->device, r->records);
    *r = (dt_step_results_ring){0};
}

/* Enqueue the copy of records [first, end), which lie in one block. */
static dt_status copy_block(dt_step_results_ring *r, int64_t first, int64_t end, dt_error *err)
{
    const int64_t at = first % DT_STEP_RING;
    return r->device->ops->copy(r->device, r->copies + at, r->records + at,
                                (end - first) * (int64_t)sizeof(dt_step_record), DT_COPY_TO_HOST, NULL, err);
}

static dt_event *event_of_block(dt_step_results_ring *r, int64_t first)
{
    return r->copied[first % DT_STEP_RING / DT_STEP_LAG];
}

dt_status dt_step_results_enqueued(dt_step_results_ring *r, const dt_step_result *known, dt_error *err)
{
    r->known[r->n_steps % DT_STEP_RING] = *known;
    r->n_steps++;
    if (r->is_host) {
        r->n_ready = r->n_steps;
        return DT_OK;
    }
    if (r->n_steps % DT_STEP_LAG != 0)
        return DT_OK;
    const int64_t block = r->n_steps - DT_STEP_LAG, before = block - DT_STEP_LAG;
    DT_TRY(copy_block(r, block, r->n_steps, err));
    DT_TRY(r->device->ops->event_record(r->device, event_of_block(r, block), NULL, err));
    if (before < 0 || r->n_ready >= block)
        return DT_OK;
    DT_TRY(dt_device_wait(r->comm, r->device, event_of_block(r, before), err));
    r->n_ready = block;
    return DT_OK;
}

/* Wait until the records of all steps are on the host. */
static dt_status drain_all(dt_step_results_ring *r, dt_error *err)
{
    const int64_t begun = r->n_steps / DT_STEP_LAG * DT_STEP_LAG;
    if (r->is_host)
        return DT_OK;
    if (r->n_steps > begun)
        DT_TRY(copy_block(r, begun, r->n_steps, err));
    DT_TRY(dt_device_wait_all(r->comm, r->device, r->all, err));
    r->n_ready = r->n_steps;
    return DT_OK;
}

static double mean(float sum, float n)
{
    return (double)sum / (double)n;
}

static dt_status read_one(dt_step_results_ring *r, dt_step_result *result, dt_error *err)
{
    const dt_step_record *record = &r->copies[r->n_read % DT_STEP_RING];
    *result = r->known[r->n_read % DT_STEP_RING];
    if (record->index != (int32_t)r->n_read)
        return dt_fail(err, DT_ERR_INTERNAL,
                       "the record of step %lld of this start was expected, and %d was found",
                       (long long)r->n_read, record->index);
    result->index = r->n_read;
    result->loss = mean(record->global.loss, record->global.n);
    result->top1 = mean(record->global.top1, record->global.n);
    result->local_loss = mean(record->local.loss, record->local.n);
    for (int i = 0; i < DT_N_VOTES; i++)
        result->votes[i] = lrintf(record->votes[i]);
    result->loss_scale = (double)record->loss_scale;
    result->n_skipped = record->n_skipped;
    result->skipped = record->n_skipped > r->n_skipped;
    r->n_skipped = record->n_skipped;
    r->n_read++;
    return DT_OK;
}

dt_status dt_step_results_pop(dt_step_results_ring *r, bool drain, dt_step_result *results, int64_t max,
                              int64_t *n, dt_error *err)
{
    *n = 0;
    if (drain)
        DT_TRY(drain_all(r, err));
    while (r->n_read < r->n_ready && *n < max) {
        DT_TRY(read_one(r, &results[*n], err));
        ++*n;
    }
    return DT_OK;
}
