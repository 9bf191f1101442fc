/* device.h: interface to the memory and the work queues of a processor: a GPU or the host.
 *
 *   dt_device *d = ...;                            from layers/device_host.h or layers/cuda
 *   float *x = d->ops->alloc(d, bytes);            device memory
 *   d->ops->copy(d, x, host_x, bytes, DT_COPY_TO_DEVICE, NULL, err);
 *   d->ops->stream_wait(d, NULL, err);
 *
 * The host is a device, too: its copies are memcpy, and its streams complete all work at once. So there is
 * one training loop for both. No function is collective. The next wait returns the errors of asynchronous
 * work.
 *
 * Threads: every function may be called from any thread, also while another thread captures; work on a stream
 * that is not part of the capture neither joins nor disturbs it. One thread at a time enqueues on a stream,
 * records its events and waits for it. Another thread may call event_done after it has learnt, under a lock
 * or the like, that the event is recorded.
 *
 * Errors: DT_ERR_DEVICE; DT_ERR_MEMORY from functions that create. All pointers of type dt_stream may be
 * NULL: the main stream.
 */
#ifndef DT_CORE_DEVICE_H
#define DT_CORE_DEVICE_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dt_device dt_device;
typedef struct dt_stream dt_stream; /* a queue whose work runs in order; NULL is the device's main stream */
typedef struct dt_event dt_event;   /* a mark in a stream, to wait for and to measure time with */

typedef enum dt_copy_kind { DT_COPY_TO_DEVICE, DT_COPY_TO_HOST, DT_COPY_ON_DEVICE } dt_copy_kind;

typedef struct dt_device_info {
    char name[128];               /* "AMD EPYC, 2 threads", "NVIDIA H200" */
    int64_t memory_bytes;         /* of the whole device; 0: unknown */
    int64_t n_threads;            /* compute threads of this rank; 0 on a GPU */
    bool is_host;                 /* device memory is host memory: the host can read and write it */
    int64_t multiprocessors;      /* 0: not a GPU */
    double bandwidth_bytes_per_s; /* of its memory, by the data sheet; 0: unknown */
    double compute_flops;         /* per second, dense FP16 products with FP32 sums, by the data sheet; 0:
                                     unknown */
    char driver[64];              /* "CUDA driver 13.0, runtime 13.0"; "": none */
} dt_device_info;

typedef struct dt_device_ops {
    const char *name; /* "host", "cuda" */
    void (*destroy)(dt_device *device);

    /* alloc: device memory, aligned to DT_ALIGNMENT at least. host_alloc: host memory that the device copies
     * fastest (pinned). NULL when there is not enough left. free and host_free accept NULL. */
    void *(*alloc)(dt_device *device, int64_t bytes);
    void (*free)(dt_device *device, void *p);
    void *(*host_alloc)(dt_device *device, int64_t bytes);
    void (*host_free)(dt_device *device, void *p);
    int64_t (*memory_free)(dt_device *device); /* about how many bytes alloc can still return; 0: unknown */

    /* Enqueue on a stream; on a GPU, returns at once. The caller leaves the host memory of a copy alone until
     * the stream has done it. Can be captured. */
    dt_status (*copy)(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                      dt_stream *stream, dt_error *err);
    dt_status (*zero)(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err);

    dt_status (*stream_create)(dt_device *device, dt_stream **stream, dt_error *err);
    void (*stream_destroy)(dt_device *device, dt_stream *stream);
    /* Block the calling thread until the stream has done all its work. */
    dt_status (*stream_wait)(dt_device *device, dt_stream *stream, dt_error *err);
    /* Native handle, for libraries: a cudaStream_t; NULL on the host. */
    void *(*native_stream)(dt_device *device, dt_stream *stream);
    /* timed: event_elapsed_ms may be called with it. event_destroy and stream_destroy accept NULL. */
    dt_status (*event_create)(dt_device *device, bool timed, dt_event **event, dt_error *err);
    void (*event_destroy)(dt_device *device, dt_event *event);
    dt_status (*event_record)(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err);
    /* Later work of the stream waits, on the device, for the event. Does not block the calling thread. */
    dt_status (*stream_wait_event)(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err);
    /* Whether the event's stream has reached it; true if it was never recorded. Does not block. */
    dt_status (*event_done)(dt_device *device, dt_event *event, bool *done, dt_error *err);
    /* Milliseconds between two events that are timed and done. */
    dt_status (*event_elapsed_ms)(dt_device *device, dt_event *from, dt_event *to, double *ms, dt_error *err);

    /* Capture the work that is enqueued between begin and end on the main stream, and on streams that join it
     * by events; graph_launch then runs all of it. No call between begin and end may block the thread. NULL
     * on the host, which cannot capture: the trainer then enqueues the work of each step. */
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
