/* upload.h: copies batches to the device while it works on the batch before. Where device memory is host
 * memory, nothing is copied.
 *
 *   dt_upload_create(&upload, comm, device, n, size, err);
 *   dt_upload_next(&upload, source, &batch, err);
 *   ... enqueue what reads batch.pixels and batch.labels on the main stream ...
 *   dt_upload_used(&upload, err);
 *
 * There are two slots on the device, filled in turn on a stream of their own. A slot is filled once the main
 * stream is done with what read it before. The main stream waits until the slot is filled. The source's batch
 * is released once it has been copied. So at most two batches of a source are held, and the host is at most
 * three batches ahead of the device.
 */
#ifndef DT_CORE_TRAINING_UPLOAD_H
#define DT_CORE_TRAINING_UPLOAD_H

#include "core/comm.h"
#include "core/source.h"

#define DT_UPLOAD_SLOTS 2

typedef struct dt_upload_slot {
    uint8_t *pixels; /* device memory; on the host the batch's own */
    int32_t *labels;
    dt_event *copied; /* the slot is filled */
    dt_event *used;   /* all that reads it is done */
    dt_source *source;
    dt_batch *batch; /* not released yet; NULL: none */
} dt_upload_slot;

typedef struct dt_upload {
    dt_comm *comm; /* borrowed, as the device */
    dt_device *device;
    bool is_host;
    int64_t n, size; /* of a batch: n images of size x size pixels */
    dt_stream *stream;
    dt_upload_slot slots[DT_UPLOAD_SLOTS];
    int64_t n_begun; /* batches; the newest is in slot (n_begun - 1) % DT_UPLOAD_SLOTS */
} dt_upload;

/* A batch on the device. */
typedef struct dt_uploaded {
    const uint8_t *pixels;
    const int32_t *labels;
    int slot;
    double wait_s; /* that the source took */
} dt_uploaded;

/* For batches of n images of size x size pixels, uint8 RGB, and their labels. Borrows comm and device; comm
 * may be NULL (core/collective/device_wait.h). DT_ERR_MEMORY, DT_ERR_DEVICE. Destroy the upload also after a
 * failure; destroy releases batches, and the streams must be idle, or the device lost. */
dt_status dt_upload_create(dt_upload *upload, dt_comm *comm, dt_device *device, int64_t n, int64_t size,
                           dt_error *err);
void dt_upload_destroy(dt_upload *upload);

/* Enqueue the copy of the source's next batch; blocks until the source has one and a slot is free. *uploaded
 * is valid for work that is enqueued on the main stream before dt_upload_used. DT_ERR_INTERNAL: a batch of
 * another size; or what the source returns. */
dt_status dt_upload_next(dt_upload *upload, dt_source *source, dt_uploaded *uploaded, dt_error *err);
/* Call when all that reads the newest batch has been enqueued on the main stream; on the host it has then
 * been read. */
dt_status dt_upload_used(dt_upload *upload, dt_error *err);
/* Wait until all batches are copied, and release them. */
dt_status dt_upload_flush(dt_upload *upload, dt_error *err);

#endif
