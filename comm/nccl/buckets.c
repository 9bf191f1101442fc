/* buckets.c: sums of gradients, on a second stream.
 *
 *   main stream     ... backward | ready ........ backward goes on ........ | wait for done | optimizer
 *   NCCL's stream                wait for ready | begun, pack | NCCL | done, unpack | done
 *
 * With a 16-bit wire a kernel rounds the values into a buffer, NCCL sums the buffer, and another kernel
 * widens the sums. These kernels also increment the marks (begun, done). One buffer is enough because the
 * stream runs in order. Starting a sum and waiting for it never waits for the device, and allocates nothing.
 */
#include "comm/nccl/internal.h"

#include "core/base/alloc.h"

#include <string.h>

enum { WIRE_ELEM_BYTES = 2 };

/* -- memory ---------------------------------------------------------------------------------------------- */

dt_status dt_nccl_buckets_create(dt_comm_nccl *c, dt_error *err)
{
    dt_device *d = c->device;
    const int64_t seen_bytes = DT_NCCL_BUCKETS * (int64_t)sizeof *c->seen,
                  counts_bytes = DT_NCCL_BUCKETS * 2 * (int64_t)sizeof *c->counts;
    DT_TRY(d->ops->stream_create(d, &c->stream, err));
    c->native = d->ops->native_stream(d, c->stream);
    for (int i = 0; i < DT_NCCL_BUCKETS; i++) {
        DT_TRY(d->ops->event_create(d, false, &c->requests[i].ready, err));
        DT_TRY(d->ops->event_create(d, false, &c->requests[i].done, err));
    }
    c->wire = d->ops->alloc(d, c->wire_bytes);
    c->counts = d->ops->alloc(d, counts_bytes);
    c->seen = d->ops->host_alloc(d, seen_bytes);
    if (!c->wire || !c->counts || !c->seen)
        return dt_fail_memory(err, (size_t)(c->wire_bytes + counts_bytes + seen_bytes), "NCCL's buffers");
    memset((void *)c->seen, 0, (size_t)seen_bytes);
    return d->ops->zero(d, c->counts, counts_bytes, c->stream, err);
}

void dt_nccl_buckets_destroy(dt_comm_nccl *c)
{
    const dt_device_ops *d = c->device->ops;
    for (int i = 0; i < DT_NCCL_BUCKETS; i++) {
        if (c->requests[i].ready)
            d->event_destroy(c->device, c->requests[i].ready);
        if (c->requests[i].done)
            d->event_destroy(c->device, c->requests[i].done);
    }
    if (c->stream)
        d->stream_destroy(c->device, c->stream);
    d->free(c->device, c->wire);
    d->free(c->device, c->counts);
    d->host_free(c->device, c->seen);
}

/* -- sums ------------------------------------------------------------------------------------------------ */

static dt_status launched(int code, const dt_comm_nccl *c, const char *what, dt_error *err)
{
    return code == 0 ? DT_OK
                     : dt_fail(err, DT_ERR_DEVICE, "gradients: %s: %s", what, c->api->launch_error(code));
}

static dt_status sum_f32(dt_comm_nccl *c, float *buffer, int64_t n, const dt_position *position,
                         dt_nccl_mark begun, dt_nccl_mark done, dt_error *err)
{
    DT_TRY(launched(c->api->mark(c->native, begun), c, "mark", err));
    DT_TRY(dt_nccl_check_fired(c, err));
    DT_TRY(dt_nccl_wait_ready(c, c->api->all_reduce(c->handle, buffer, buffer, n, DT_F32, c->native),
                              position, "ncclAllReduce", err));
    return launched(c->api->mark(c->native, done), c, "mark", err);
}

static dt_status sum_16_bit(dt_comm_nccl *c, float *buffer, int64_t n, dt_dtype wire,
                            const dt_position *position, dt_nccl_mark begun, dt_nccl_mark done, dt_error *err)
{
    const dt_nccl_mark none = {NULL, NULL};
    const int64_t most = c->wire_bytes / WIRE_ELEM_BYTES;
    for (int64_t at = 0; at < n; at += most) {
        const int64_t piece = n - at < most ? n - at : most;
        DT_TRY(launched(c->api->pack(c->native, buffer + at, c->wire, piece, wire, at == 0 ? begun : none), c,
                        "pack", err));
        DT_TRY(dt_nccl_check_fired(c, err));
        DT_TRY(dt_nccl_wait_ready(c, c->api->all_reduce(c->handle, c->wire, c->wire, piece, wire, c->native),
                                  position, "ncclAllReduce", err));
        DT_TRY(launched(
            c->api->unpack(c->native, c->wire, buffer + at, piece, wire, at + piece == n ? done : none), c,
            "unpack", err));
    }
    return DT_OK;
}

/* Acquire a free request for the next bucket. A start with no open request is the first bucket of a step. */
static dt_status acquire_request(dt_comm_nccl *c, int64_t bytes, dt_comm_request **request, dt_error *err)
{
    int i = 0;
    while (i < DT_NCCL_BUCKETS && c->requests[i].open)
        i++;
    if (c->n_open == 0)
        c->n_started = 0;
    if (i == DT_NCCL_BUCKETS || c->n_started == DT_NCCL_BUCKETS)
        return dt_fail(err, DT_ERR_INTERNAL, "gradients: more than %d sums are under way", DT_NCCL_BUCKETS);
    c->bucket_bytes[c->n_started] = bytes;
    if (c->first_step == 0)
        c->first_step = c->head.step > 0 ? c->head.step : 1;
    *request = &c->requests[i];
    return DT_OK;
}

dt_status dt_nccl_all_reduce_start(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                   dt_comm_request **request, dt_error *err)
{
    dt_comm_nccl *c = (dt_comm_nccl *)comm;
    const dt_device_ops *d = c->device->ops;
    dt_comm_request *r = NULL;
    if (wire != DT_F32 && wire != DT_F16 && wire != DT_BF16)
        return dt_fail(err, DT_ERR_INTERNAL, "gradients: cannot be sent as %s", dt_dtype_name(wire));
    DT_TRY(dt_nccl_usable(c, "gradients", "comm.start", err));
    const int64_t bytes = n * (wire == DT_F32 ? (int64_t)sizeof(float) : WIRE_ELEM_BYTES);
    DT_TRY(acquire_request(c, bytes, &r, err));
    const int bucket = c->n_started;
    const int64_t step = c->head.step > c->first_step ? c->head.step : c->first_step;
    const dt_position position = {.kind = DT_POSITION_BUCKET,
                                  .number = dt_nccl_number_of(step - c->first_step + 1, bucket),
                                  .bytes = bytes,
                                  .step = step,
                                  .bucket = bucket};
    const dt_nccl_mark begun = {&c->counts[2 * bucket], &c->seen[bucket].begun},
                       done = {&c->counts[2 * bucket + 1], &c->seen[bucket].done};
    DT_TRY(d->event_record(c->device, r->ready, NULL, err));
    DT_TRY(d->stream_wait_event(c->device, c->stream, r->ready, err));
    if (n > 0)
        DT_TRY(wire == DT_F32 ? sum_f32(c, buffer, n, &position, begun, done, err)
                              : sum_16_bit(c, buffer, n, wire, &position, begun, done, err));
    DT_TRY(d->event_record(c->device, r->done, c->stream, err));
    r->open = true;
    c->n_open++;
    c->n_started++;
    *request = r;
    return DT_OK;
}

dt_status dt_nccl_wait(dt_comm *comm, dt_comm_request *request, dt_error *err)
{
    dt_comm_nccl *c = (dt_comm_nccl *)comm;
    if (!request || !request->open)
        return dt_fail(err, DT_ERR_INTERNAL, "gradients: wait for a request that is not under way");
    DT_TRY(dt_nccl_usable(c, "gradients", "comm.wait", err));
    DT_TRY(c->device->ops->stream_wait_event(c->device, NULL, request->done, err));
    request->open = false;
    c->n_open--;
    return DT_OK;
}
