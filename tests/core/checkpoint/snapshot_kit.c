/* snapshot_kit.c: see snapshot_kit.h. */
#include "tests/core/checkpoint/snapshot_kit.h"

#include "tests/testing.h"

#include <string.h>

static dt_error err;

void snapshot_kit_init(snapshot_kit_state *s, dt_device *device)
{
    static const int64_t native[3] = {N_NATIVE, PADDED, N_NATIVE}, elems[3] = {N_FILTER, N_PLAIN, N_FILTER};
    int64_t first = 0;
    *s = (snapshot_kit_state){.device = device};
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

void snapshot_kit_clear(snapshot_kit_state *s)
{
    const dt_device_ops *ops = s->device->ops;
    for (int v = 0; v < 2; v++)
        ops->free(s->device, s->vectors[v]);
    ops->free(s->device, s->step_state);
    ops->free(s->device, s->loss);
    ops->host_free(s->device, s->host);
}

void snapshot_kit_enqueue_step(snapshot_kit_state *s, int which)
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
static const float *expected(snapshot_kit_state *s, int which)
{
    const float *values = (const float *)(const void *)(s->host + which * UPLOAD_BYTES);
    for (int t = 0; t < N_TENSORS; t++)
        dt_weights_to_canonical(&s->tensor_addresses[t].order,
                                values + t / 3 * N_VECTOR +
                                    (s->tensor_addresses[t].values - s->vectors[t / 3]),
                                s->canonical + s->tensors[t].first);
    return s->canonical;
}

void snapshot_kit_check(snapshot_kit_state *s, dt_snapshot *snapshot, int64_t first, int64_t n, int which)
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

dt_device *snapshot_kit_emulated(int64_t memory_bytes)
{
    dt_device *device = NULL;
    const dt_emulated_options options = {.memory_bytes = memory_bytes, .lazy = true, .capture = true};
    DT_REQUIRE(dt_device_emulated_create(&options, &device, &err) == DT_OK);
    return device;
}

void snapshot_kit_end(dt_device *device)
{
    dt_emulated_counts counts;
    dt_emulated_get_counts(device, &counts);
    DT_CHECK_INT(counts.live_bytes, 0);
    DT_CHECK_STR(dt_emulated_fault(device), "");
    device->ops->destroy(device);
}

dt_snapshot *snapshot_kit_create(snapshot_kit_state *s, int64_t first, int64_t n)
{
    dt_snapshot *snapshot = NULL;
    DT_REQUIRE_MSG(dt_snapshot_create(NULL, &s->layout, &s->io, first, n, &snapshot, &err) == DT_OK, "%s",
                   err.message);
    return snapshot;
}
