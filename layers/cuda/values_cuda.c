/* values_cuda.c: the flat vectors: a mirror of the values in 16 bits, weight gradients before they are in
 * float32, the update, and a step's beginning and end.
 *
 * cuDNN reads FP16 weights and writes FP16 weight gradients next to FP16 activations. The mirror costs 2
 * bytes per weight; the update writes it while the value is in a register. Weight gradients have a vector of
 * the same layout. gradients_complete converts all that graphs have written since its last call in one
 * launch: once per bucket where ranks add up gradients, else once per micro-batch. A launch costs 2 us, and a
 * step of ResNet-50 has 53 such gradients. Gradients outside of the bound vector (in tests) and sums of FP32
 * gradients pass through ck->weights and have a launch each. */
#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"

dt_status dt_cuda_weights(dt_cuda_kernels *ck, const float *w, int64_t n_elems, void **data, dt_error *err)
{
    if (!ck->is_half) {
        *data = (void *)(uintptr_t)w; /* graphs only read it */
        return DT_OK;
    }
    if (ck->mirror && w >= ck->values && w + n_elems <= ck->values + ck->n_values) {
        *data = (uint16_t *)ck->mirror + (w - ck->values);
        return DT_OK;
    }
    *data = ck->weights.data;
    DT_CUDA_LAUNCH("weights in 16 bits", dt_cuda_values_cast(ck->stream, w, n_elems, ck->base.dtype, *data));
    return DT_OK;
}

/* -- weight gradients ------------------------------------------------------------------------------------ */

/* The place of a gradient in half_grads, or NULL. */
static uint16_t *half_grads_of(const dt_cuda_kernels *ck, const float *grads, int64_t n_elems)
{
    const bool is_bound = ck->half_grads && grads >= ck->grads && grads + n_elems <= ck->grads + ck->n_values;
    return is_bound ? ck->half_grads + (grads - ck->grads) : NULL;
}

void *dt_cuda_gradient_target(dt_cuda_kernels *ck, float *grads, int64_t n_elems, bool accumulate)
{
    uint16_t *half = half_grads_of(ck, grads, n_elems);
    if (half)
        return half;
    return ck->is_half || accumulate ? (void *)ck->weights.data : grads;
}

static dt_status store(dt_cuda_kernels *ck, const dt_cuda_gradient *gradients, int64_t n, dt_error *err)
{
    DT_CUDA_LAUNCH("gradients_store", dt_cuda_gradients_store(ck->stream, ck->base.dtype, gradients, n));
    return DT_OK;
}

dt_status dt_cuda_gradient_finish(dt_cuda_kernels *ck, const void *target, int64_t n_elems, float *grads,
                                  bool accumulate, dt_error *err)
{
    const dt_cuda_gradient gradient = {.from = target, .to = grads, .n = n_elems, .accumulate = accumulate};
    if (target == grads)
        return DT_OK;
    if (target != half_grads_of(ck, grads, n_elems))
        return store(ck, &gradient, 1, err);
    if (ck->n_incomplete == DT_CUDA_MAX_GRADIENTS)
        DT_TRY(dt_cuda_gradients_complete(&ck->base, err));
    ck->incomplete[ck->n_incomplete++] = gradient;
    return DT_OK;
}

dt_status dt_cuda_gradients_complete(dt_kernels *k, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    const int64_t n = ck->n_incomplete;
    ck->n_incomplete = 0;
    return n > 0 ? store(ck, ck->incomplete, n, err) : DT_OK;
}

/* -- the flat vectors in 16 bits ------------------------------------------------------------------------- */

void dt_cuda_values_release(dt_cuda_kernels *ck)
{
    dt_device *device = ck->base.device;
    if (ck->mirror)
        device->ops->free(device, ck->mirror);
    if (ck->half_grads)
        device->ops->free(device, ck->half_grads);
    ck->mirror = NULL;
    ck->half_grads = NULL;
    ck->n_incomplete = 0;
}

int64_t dt_cuda_values_bytes(const dt_cuda_kernels *ck)
{
    const int n_vectors = (ck->mirror ? 1 : 0) + (ck->half_grads ? 1 : 0);
    return n_vectors * ck->n_values * (int64_t)sizeof(uint16_t);
}

dt_status dt_cuda_values_bind(dt_kernels *k, const float *values, const float *grads, int64_t n_elems,
                              dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    const int64_t bytes = n_elems * (int64_t)sizeof(uint16_t);
    dt_cuda_values_release(ck);
    ck->values = values;
    ck->grads = grads;
    ck->n_values = values ? n_elems : 0;
    if (!values || !ck->is_half)
        return DT_OK;
    ck->mirror = k->device->ops->alloc(k->device, bytes);
    if (grads)
        ck->half_grads = k->device->ops->alloc(k->device, bytes);
    if (!ck->mirror || (grads && !ck->half_grads))
        return dt_fail(err, DT_ERR_MEMORY,
                       "the GPU has no memory for %lld bytes for weights%s in 16 bits: use a smaller --batch",
                       (long long)(grads ? 2 * bytes : bytes), grads ? " and gradients" : "");
    return DT_OK;
}

dt_status dt_cuda_values_changed(dt_kernels *k, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    if (ck->mirror)
        DT_CUDA_LAUNCH("values_cast",
                       dt_cuda_values_cast(ck->stream, ck->values, ck->n_values, k->dtype, ck->mirror));
    return DT_OK;
}

/* -- the update ------------------------------------------------------------------------------------------ */

struct dt_optimizer {
    dt_optimizer_desc desc;
    int64_t n_chunks, n_segments;
    bool any_lars;
    dt_cuda_chunk *chunks; /* device memory */
    void *scratch;
};

void dt_cuda_optimizer_destroy(dt_kernels *k, dt_optimizer *optimizer)
{
    if (!optimizer)
        return;
    k->device->ops->free(k->device, optimizer->chunks);
    k->device->ops->free(k->device, optimizer->scratch);
    dt_free(optimizer);
}

static dt_status upload_chunks(dt_kernels *k, dt_optimizer *optimizer, const dt_update_segment *segments,
                               dt_error *err)
{
    dt_device *device = k->device;
    int64_t bytes = optimizer->n_chunks * (int64_t)sizeof(dt_cuda_chunk);
    int64_t scratch_bytes = dt_cuda_optimizer_scratch_bytes(optimizer->n_chunks, optimizer->n_segments);
    dt_cuda_chunk *host = dt_alloc((size_t)bytes);
    if (!host)
        return dt_fail_memory(err, (size_t)bytes, "the optimizer's table");
    (void)dt_cuda_optimizer_chunks(segments, optimizer->n_segments, host);
    optimizer->chunks = device->ops->alloc(device, bytes);
    optimizer->scratch = device->ops->alloc(device, scratch_bytes);
    dt_status status = DT_OK;
    if (!optimizer->chunks || !optimizer->scratch)
        status = dt_fail(err, DT_ERR_MEMORY, "the GPU has no memory for %lld bytes for the optimizer",
                         (long long)(bytes + scratch_bytes));
    if (status == DT_OK)
        status = device->ops->copy(device, optimizer->chunks, host, bytes, DT_COPY_TO_DEVICE, NULL, err);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, err);
    dt_free(host);
    return status;
}

dt_status dt_cuda_optimizer_create(dt_kernels *k, const dt_optimizer_desc *desc,
                                   const dt_update_segment *segments, int64_t n_segments,
                                   dt_optimizer **optimizer, dt_error *err)
{
    dt_optimizer *made = dt_calloc(1, sizeof *made);
    if (!made)
        return dt_fail_memory(err, sizeof *made, "the optimizer");
    made->desc = *desc;
    made->n_segments = n_segments;
    made->n_chunks = dt_cuda_optimizer_chunks(segments, n_segments, NULL);
    for (int64_t i = 0; i < n_segments; i++)
        made->any_lars = made->any_lars || segments[i].rule == DT_UPDATE_LARS;
    dt_status status = upload_chunks(k, made, segments, err);
    if (status != DT_OK) {
        dt_cuda_optimizer_destroy(k, made);
        return status;
    }
    *optimizer = made;
    return DT_OK;
}

dt_status dt_cuda_optimizer_update(dt_kernels *k, dt_optimizer *optimizer, const dt_optimizer_vectors *v,
                                   const dt_step_inputs *inputs, dt_step_state *state, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    const dt_cuda_optimizer_call call = {.desc = &optimizer->desc,
                                         .chunks = optimizer->chunks,
                                         .n_chunks = optimizer->n_chunks,
                                         .n_segments = optimizer->n_segments,
                                         .scratch = optimizer->scratch,
                                         .mirror_dtype = k->dtype,
                                         .mirror = v->values == ck->values ? ck->mirror : NULL,
                                         .v = v,
                                         .inputs = inputs,
                                         .state = state,
                                         .any_lars = optimizer->any_lars};
    DT_CUDA_LAUNCH("optimizer_step", dt_cuda_optimizer_step(ck->stream, &call));
    return DT_OK;
}

/* -- a step's beginning and end -------------------------------------------------------------------------- */

dt_status dt_cuda_begin_step(dt_kernels *k, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                             int64_t n_step_floats, dt_error *err)
{
    DT_CUDA_LAUNCH("step_begin", dt_cuda_step_begin(dt_cuda(k)->stream, in, loss, votes, n_step_floats));
    return DT_OK;
}

dt_status dt_cuda_record_step(dt_kernels *k, dt_step_state *state, const dt_loss_sums *global,
                              const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                              int64_t n_ring, dt_error *err)
{
    DT_CUDA_LAUNCH("step_record",
                   dt_cuda_step_record(dt_cuda(k)->stream, state, global, local, votes, ring, n_ring));
    return DT_OK;
}
