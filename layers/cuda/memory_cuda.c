/* memory_cuda.c: blocks of device memory, and import and export of activations (slow and blocking, for
 * tests). */
#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"
#include "layers/half.h"

dt_status dt_cuda_reserve(dt_cuda_kernels *ck, dt_cuda_block *block, int64_t bytes, const char *what,
                          dt_error *err)
{
    dt_device *device = ck->base.device;
    if (bytes <= block->bytes)
        return DT_OK;
    if (ck->plan_only) {
        block->bytes = bytes;
        return DT_OK;
    }
    /* Enqueued work may still use the old block, and free waits for it. Free it first, so that both blocks
     * need not fit at once. */
    device->ops->free(device, block->data);
    *block = (dt_cuda_block){0};
    char *data = device->ops->alloc(device, bytes);
    if (!data)
        return dt_fail(err, DT_ERR_MEMORY,
                       "the GPU has no memory for %lld bytes for %s: use a smaller --batch", (long long)bytes,
                       what);
    *block = (dt_cuda_block){.data = data, .bytes = bytes};
    return DT_OK;
}

void dt_cuda_release(dt_cuda_kernels *ck, dt_cuda_block *block)
{
    if (block->data)
        ck->base.device->ops->free(ck->base.device, block->data);
    *block = (dt_cuda_block){0};
}

/* -- copies through the host ----------------------------------------------------------------------------- */

static dt_status upload(dt_cuda_kernels *ck, void *device_data, const void *host, int64_t bytes,
                        dt_error *err)
{
    dt_device *device = ck->base.device;
    DT_TRY(device->ops->copy(device, device_data, host, bytes, DT_COPY_TO_DEVICE, NULL, err));
    return device->ops->stream_wait(device, NULL, err);
}

static dt_status download(dt_cuda_kernels *ck, const void *device_data, void *host, int64_t bytes,
                          dt_error *err)
{
    dt_device *device = ck->base.device;
    DT_TRY(device->ops->copy(device, host, device_data, bytes, DT_COPY_TO_HOST, NULL, err));
    return device->ops->stream_wait(device, NULL, err);
}

/* -- activations: NCHW float32 on the host, NHWC of the dtype on the device ------------------------------ */

int64_t dt_cuda_tensor_bytes(dt_kernels *k, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const int64_t elems = dt_cuda_channels(c, h, w) * h * w;
    const bool is_image = dt_cuda(k)->is_half && dt_cuda_channels(c, h, w) != c;
    const int64_t blocks = is_image ? dt_cuda_stem_image_elems(h, w) : 0;
    return n * (elems > blocks ? elems : blocks) * dt_cuda_elem_bytes(dt_cuda(k));
}

/* The index of an element in memory; -1: it has none. */
static int64_t position(const dt_cuda_stem *stem, const dt_tensor *t, int64_t n, int64_t c, int64_t i)
{
    if (stem)
        return dt_cuda_stem_position(stem, n, c, i / t->w, i % t->w);
    return (n * t->h * t->w + i) * dt_cuda_channels(t->c, t->h, t->w) + c;
}

static void put(void *memory, int64_t at, dt_dtype dtype, float v)
{
    if (dtype == DT_F16)
        ((uint16_t *)memory)[at] = dt_half_from_float(v);
    else if (dtype == DT_BF16)
        ((uint16_t *)memory)[at] = dt_bfloat_from_float(v);
    else
        ((float *)memory)[at] = v;
}

static float get(const void *memory, int64_t at, dt_dtype dtype)
{
    if (dtype == DT_F16)
        return dt_half_to_float(((const uint16_t *)memory)[at]);
    if (dtype == DT_BF16)
        return dt_bfloat_to_float(((const uint16_t *)memory)[at]);
    return ((const float *)memory)[at];
}

dt_status dt_cuda_tensor_import(dt_kernels *k, const float *nchw, const dt_tensor *t, dt_error *err)
{
    const dt_cuda_stem *stem = dt_cuda_stem_find(dt_cuda(k), t->n, t->c, t->h, t->w);
    int64_t pixels = t->h * t->w, bytes = dt_cuda_tensor_bytes(k, t->n, t->c, t->h, t->w);
    void *host = dt_calloc(1, (size_t)bytes);
    if (!host)
        return dt_fail_memory(err, (size_t)bytes, "a tensor that is copied to the GPU");
    for (int64_t n = 0; n < t->n; n++)
        for (int64_t c = 0; c < t->c; c++)
            for (int64_t i = 0; i < pixels; i++) {
                const int64_t at = position(stem, t, n, c, i);
                if (at >= 0)
                    put(host, at, k->dtype, nchw[(n * t->c + c) * pixels + i]);
            }
    dt_status status = upload(dt_cuda(k), t->data, host, bytes, err);
    dt_free(host);
    return status;
}

dt_status dt_cuda_tensor_export(dt_kernels *k, const dt_tensor *t, float *nchw, dt_error *err)
{
    const dt_cuda_stem *stem = dt_cuda_stem_find(dt_cuda(k), t->n, t->c, t->h, t->w);
    int64_t pixels = t->h * t->w, bytes = dt_cuda_tensor_bytes(k, t->n, t->c, t->h, t->w);
    void *host = dt_alloc((size_t)bytes);
    if (!host)
        return dt_fail_memory(err, (size_t)bytes, "a tensor that is copied from the GPU");
    dt_status status = download(dt_cuda(k), t->data, host, bytes, err);
    for (int64_t n = 0; n < t->n && status == DT_OK; n++)
        for (int64_t c = 0; c < t->c; c++)
            for (int64_t i = 0; i < pixels; i++) {
                const int64_t at = position(stem, t, n, c, i);
                nchw[(n * t->c + c) * pixels + i] = at < 0 ? 0.0f : get(host, at, k->dtype);
            }
    dt_free(host);
    return status;
}
