/* upload.h: bring a batch to the device. Where device memory is host memory, nothing is copied. */
#ifndef DT_CORE_TRAINING_UPLOAD_H
#define DT_CORE_TRAINING_UPLOAD_H

#include "core/device.h"
#include "core/source.h"

typedef struct dt_upload {
    dt_device *device; /* borrowed */
    bool is_host;
    uint8_t *pixels; /* device memory of its own; NULL on the host */
    int32_t *labels;
    int64_t n, size; /* what there is room for */
} dt_upload;

/* Room for batches of n images of size x size; destroy also after failure. */
dt_status dt_upload_create(dt_upload *upload, dt_device *device, int64_t n, int64_t size, dt_error *err);
void dt_upload_destroy(dt_upload *upload);

/* *pixels and *labels point to the batch in device memory. Enqueued on the main stream: before the batch is released, that
 * stream has to be waited for (the host does it at once). A batch of another size is DT_ERR_INTERNAL. */
dt_status dt_upload_batch(dt_upload *upload, const dt_batch *batch, const uint8_t **pixels, const int32_t **labels, dt_error *err);

#endif
