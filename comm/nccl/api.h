/* api.h: all of NCCL and CUDA that comm/nccl calls, so that tests can put something else in its place, and
 * the rest compiles anywhere.
 *
 * library.c fills it with NCCL itself and the kernels of wire.cu; tests/fakes/fake_nccl.c with sums over
 * sockets on a device that is a thread. Streams are what the device's `native_stream` gives: a cudaStream_t.
 */
#ifndef DT_COMM_NCCL_API_H
#define DT_COMM_NCCL_API_H

#include "core/tensor.h"

#include <stddef.h>

typedef struct dt_nccl_id {
    char bytes[128];
} dt_nccl_id;

/* ncclResult_t; those that are told apart. */
enum { DT_NCCL_SUCCESS = 0, DT_NCCL_REMOTE_ERROR = 6, DT_NCCL_IN_PROGRESS = 7 };

/* A count that the device adds 1 to when it gets to some point, and what the host sees of it. */
typedef struct dt_nccl_mark {
    uint32_t *count;         /* device memory */
    volatile uint32_t *seen; /* pinned host memory: the count, soon after */
} dt_nccl_mark;

typedef struct dt_nccl_api {
    /* -- NCCL; results as ncclResult_t ------------------------------------------------------------------- */
    int (*version)(int *version); /* 22809 for 2.28.9 */
    int (*unique_id)(dt_nccl_id *id);
    /* On the calling thread's current GPU, nonblocking: goes on until async_error is no longer
     * DT_NCCL_IN_PROGRESS. */
    int (*init)(void **handle, int size, const dt_nccl_id *id, int rank);
    int (*async_error)(void *handle, int *result);
    /* Sum of n values of F32, F16 or BF16; `to` may be `from`. When it returns DT_NCCL_IN_PROGRESS nothing
     * may be enqueued on the stream until async_error is no longer that. */
    int (*all_reduce)(void *handle, const void *from, void *to, int64_t n, dt_dtype dtype, void *stream);
    int (*finalize)(void *handle); /* nonblocking too */
    int (*destroy)(void *handle);
    int (*abort)(void *handle); /* ends kernels that wait for others; may be called from another thread */
    const char *(*error_string)(int result);
    const char *(*last_error)(void *handle); /* what NCCL last warned of; "" or NULL: nothing. handle may
                                                be NULL */

    /* -- the GPU ----------------------------------------------------------------------------------------- */
    /* Names the calling thread's current GPU on this host: "0000:0f:00.0". Not 0: failed. */
    int (*gpu_name)(char *out, size_t out_bytes);

    /* -- kernels (wire.cu), enqueued; 0, or a code for launch_error -------------------------------------- */
    /* to[i] = from[i] as F16 or BF16, rounded to nearest even; too large ones become infinite. `to` is
     * 16-byte aligned. The mark may have no count: NULL. It is set when the kernel begins. */
    int (*pack)(void *stream, const float *from, void *to, int64_t n, dt_dtype wire, dt_nccl_mark begun);
    int (*unpack)(void *stream, const void *from, float *to, int64_t n, dt_dtype wire, dt_nccl_mark done);
    int (*mark)(void *stream, dt_nccl_mark mark);
    const char *(*launch_error)(int code);
} dt_nccl_api;

/* NCCL; NULL where it is not built in. */
const dt_nccl_api *dt_nccl_library(void);

#endif
