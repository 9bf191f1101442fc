/* upload.h: bring batches to the device while it works on the one before. Where device memory is host memory,
 * nothing is copied.
 *
 *   dt_upload_next(&upload, source, &batch, err);
 *   ... enqueue what reads batch.pixels and batch.labels on the main stream ...
 *   dt_upload_used(&upload, err);
 *
 * There are two slots on the device, filled in turn by a stream of their own. A slot is written when the main
 * stream has passed what read it; the main stream waits for the slot before it goes on; the source's batch is
 * released when it has been copied. So at most two batches of a source are held, and the host is at most
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
    dt_event *used;   /* its readers are through */
    dt_source *source;
    dt_batch *batch; /* not yet released; NULL: none */
} dt_upload_slot;

typedef struct dt_upload {
    dt_comm *comm; /* borrowed, as the device */
    dt_device *device;
    bool is_host;
    int64_t n, size; /* what there is room for */
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

/* Room for batches of n images of size x size; destroy also after failure. destroy releases batches; the
 * streams must be idle, or lost. */
dt_status dt_upload_create(dt_upload *upload, dt_comm *comm, dt_device *device, int64_t n, int64_t size,
                           dt_error *err);
void dt_upload_destroy(dt_upload *upload);

/* The source's next batch; blocks until there is one, and until a slot is free. A batch of another size is
 * DT_ERR_INTERNAL. */
dt_status dt_upload_next(dt_upload *upload, dt_source *source, dt_uploaded *uploaded, dt_error *err);
/* All that reads the newest batch has been enqueued on the main stream. On the host: it has been read. */
dt_status dt_upload_used(dt_upload *upload, dt_error *err);
/* Wait until all batches are copied, and release them. */
dt_status dt_upload_flush(dt_upload *upload, dt_error *err);

#endif
