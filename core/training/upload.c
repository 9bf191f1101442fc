#include "core/training/upload.h"

dt_status dt_upload_create(dt_upload *upload, dt_device *device, int64_t n, int64_t size, dt_error *err)
{
    dt_device_info info = {0};
    device->ops->info(device, &info);
    *upload = (dt_upload){.device = device, .is_host = info.is_host, .n = n, .size = size};
    if (info.is_host)
        return DT_OK;
    upload->pixels = device->ops->alloc(device, n * size * size * 3);
    upload->labels = device->ops->alloc(device, n * (int64_t)sizeof(int32_t));
    if (!upload->pixels || !upload->labels)
        return dt_fail(err, DT_ERR_MEMORY, "no device memory for a batch of %lld images of %lldx%lld", (long long)n, (long long)size, (long long)size);
    return DT_OK;
}

void dt_upload_destroy(dt_upload *upload)
{
    if (!upload->device || upload->is_host)
        return;
    upload->device->ops->free(upload->device, upload->pixels);
    upload->device->ops->free(upload->device, upload->labels);
    *upload = (dt_upload){0};
}

dt_status dt_upload_batch(dt_upload *upload, const dt_batch *batch, const uint8_t **pixels, const int32_t **labels, dt_error *err)
{
    dt_device *device = upload->device;
    if (batch->n != upload->n || batch->size != upload->size)
        return dt_fail(err, DT_ERR_INTERNAL, "a batch of %lld images of %lld pixels came where %lld of %lld were expected", (long long)batch->n,
                       (long long)batch->size, (long long)upload->n, (long long)upload->size);
    if (upload->is_host) {
        *pixels = batch->pixels;
        *labels = batch->labels;
        return DT_OK;
    }
    DT_TRY(device->ops->copy(device, upload->pixels, batch->pixels, batch->n * batch->size * batch->size * 3, DT_COPY_TO_DEVICE, NULL, err));
    DT_TRY(device->ops->copy(device, upload->labels, batch->labels, batch->n * (int64_t)sizeof(int32_t), DT_COPY_TO_DEVICE, NULL, err));
    *pixels = upload->pixels;
    *labels = upload->labels;
    return DT_OK;
}
