/* device.h: the door to a processor's memory and its queues of work.
 *
 *   dt_device *d = ...;                            from layers/device_host.h or layers/cuda
 *   float *x = d->ops->alloc(d, bytes);            device memory
 *   d->ops->copy(d, x, host_x, bytes, DT_COPY_TO_DEVICE, NULL, err);
 *   d->ops->stream_wait(d, NULL, err);
 *
 * The host implements it too (copies are memcpy, streams do everything at once), so that the training loop is
 * one piece of code. No function here is collective. Errors of asynchronous work appear at the next wait.
 *
 * Threads. Every function may be called from any thread, also while another one captures: what is enqueued on
 * a stream that is not part of the capture neither joins it nor spoils it. Each stream has one thread at a
 * time that enqueues on it or waits for it, and only that one records its events; event_done may be asked by
 * another, once it has been told (by a lock, or the like) that the event is recorded.
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
    char name[128];               /* "AMD EPYC, 2 threads", "NVIDIA H200" */
    int64_t memory_bytes;         /* of the device as a whole; 0 if not known */
    int64_t n_threads;            /* compute threads this rank uses; 0 on a GPU */
    bool is_host;                 /* device memory is host memory: no copy is needed to look at it */
    int64_t multiprocessors;      /* 0: not a GPU */
    double bandwidth_bytes_per_s; /* of its memory, on paper; 0: unknown */
    double compute_flops;         /* dense FP16 products with FP32 sums, on paper; 0: unknown */
    char driver[64];              /* "CUDA driver 13.0, runtime 13.0"; "": none */
} dt_device_info;

typedef struct dt_device_ops {
    const char *name; /* "host", "cuda" */
    void (*destroy)(dt_device *device);

    /* Device memory, aligned to DT_ALIGNMENT at least, and host memory that the device copies from fastest
     * (pinned). NULL when there is none left. */
    void *(*alloc)(dt_device *device, int64_t bytes);
    void (*free)(dt_device *device, void *p);
    void *(*host_alloc)(dt_device *device, int64_t bytes);
    void (*host_free)(dt_device *device, void *p);
    int64_t (*memory_free)(dt_device *device); /* bytes that alloc can still give, about; 0: unknown */

    /* Enqueue on a stream; returns at once on a GPU. Host memory of an asynchronous copy is the device's
     * until the stream has passed it. Can be captured. */
    dt_status (*copy)(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                      dt_stream *stream, dt_error *err);
    dt_status (*zero)(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err);

    dt_status (*stream_create)(dt_device *device, dt_stream **stream, dt_error *err);
    void (*stream_destroy)(dt_device *device, dt_stream *stream);
    /* blocks the host until it is idle */
    dt_status (*stream_wait)(dt_device *device, dt_stream *stream, dt_error *err);
    /* as libraries know it: a cudaStream_t. NULL: not for them (the host) */
    void *(*native_stream)(dt_device *device, dt_stream *stream);
    /* timed: for event_elapsed_ms */
    dt_status (*event_create)(dt_device *device, bool timed, dt_event **event, dt_error *err);
    void (*event_destroy)(dt_device *device, dt_event *event);
    dt_status (*event_record)(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err);
    /* on the device */
    dt_status (*stream_wait_event)(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err);
    /* never blocks; one never recorded is done */
    dt_status (*event_done)(dt_device *device, dt_event *event, bool *done, dt_error *err);
    /* both timed and done */
    dt_status (*event_elapsed_ms)(dt_device *device, dt_event *from, dt_event *to, double *ms, dt_error *err);

    /* Record what is enqueued on the main stream between begin and end, and on streams that join it by
     * events, and run it again as a whole. Nothing that waits on the host may happen in between. NULL: not
     * supported (the host): the trainer then enqueues every step anew. */
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
