/* device.h: the door to a processor's memory and its queues of work.
 *
 *   dt_device *d = ...;                            from core/model/device_host.h or layers/cuda
 *   float *x = d->ops->alloc(d, bytes);            device memory
 *   d->ops->copy(d, x, host_x, bytes, DT_COPY_TO_DEVICE, NULL, err);
 *   d->ops->stream_wait(d, NULL, err);
 *
 * The host implements it too (copies are memcpy, streams do everything at once), so that the training loop is one
 * piece of code. No function here is collective. Errors of asynchronous work appear at the next wait.
 */
#ifndef DT_CORE_DEVICE_H
#define DT_CORE_DEVICE_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dt_device dt_device;
typedef struct dt_stream dt_stream; /* a queue of work, in order; NULL is the device's main stream */
typedef struct dt_event dt_event;   /* a mark in a stream */

typedef enum dt_copy_kind { DT_COPY_TO_DEVICE, DT_COPY_TO_HOST, DT_COPY_ON_DEVICE } dt_copy_kind;

typedef struct dt_device_info {
    char name[128];        /* "AMD EPYC, 2 threads", "NVIDIA H200" */
    int64_t memory_bytes;  /* of the device as a whole; 0 if not known */
    int64_t n_threads;     /* compute threads this rank uses; 0 on a GPU */
    bool is_host;          /* device memory is host memory: no copy is needed to look at it */
} dt_device_info;

typedef struct dt_device_ops {
    const char *name; /* "host", "cuda" */
    void (*destroy)(dt_device *device);

    /* Device memory, aligned to DT_ALIGNMENT at least, and host memory that the device copies from fastest (pinned).
     * NULL when there is none left. */
    void *(*alloc)(dt_device *device, int64_t bytes);
    void (*free)(dt_device *device, void *p);
    void *(*host_alloc)(dt_device *device, int64_t bytes);
    void (*host_free)(dt_device *device, void *p);

    /* Enqueue on a stream; returns at once on a GPU. */
    dt_status (*copy)(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind, dt_stream *stream, dt_error *err);
    dt_status (*zero)(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err);

    dt_status (*stream_create)(dt_device *device, dt_stream **stream, dt_error *err);
    void (*stream_destroy)(dt_device *device, dt_stream *stream);
    dt_status (*stream_wait)(dt_device *device, dt_stream *stream, dt_error *err); /* blocks the host until it is idle */
    dt_status (*event_create)(dt_device *device, dt_event **event, dt_error *err);
    void (*event_destroy)(dt_device *device, dt_event *event);
    dt_status (*event_record)(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err);
    dt_status (*stream_wait_event)(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err); /* on the device */

    /* Record what is enqueued on the main stream between begin and end, and run it again as a whole. NULL: not supported
     * (the host): the trainer then enqueues every step anew. */
    dt_status (*capture_begin)(dt_device *device, dt_error *err);
    dt_status (*capture_end)(dt_device *device, void **graph, dt_error *err);
    dt_status (*graph_launch)(dt_device *device, void *graph, dt_error *err);
    void (*graph_destroy)(dt_device *device, void *graph);

    void (*info)(dt_device *device, dt_device_info *info);
} dt_device_ops;

/* Implementations begin with this. */
struct dt_device {
    const dt_device_ops *ops;
};

#endif
