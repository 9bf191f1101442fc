/* api.h: a table of all functions of NCCL and CUDA that comm/nccl calls. Tests can replace it, and everything
 * but library.c compiles without NCCL.
 *
 * library.c fills it with NCCL itself and the kernels of wire.cu. tests/fakes/fake_nccl.c fills it with sums
 * over sockets, on a device whose streams are threads. A stream is what the device's `native_stream` returns:
 * a cudaStream_t.
 */
#ifndef DT_COMM_NCCL_API_H
#define DT_COMM_NCCL_API_H

#include "core/base/error.h"
#include "core/tensor.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct dt_nccl_id {
    char bytes[128];
} dt_nccl_id;

/* Values of ncclResult_t that comm/nccl distinguishes. */
enum { DT_NCCL_SUCCESS = 0, DT_NCCL_SYSTEM_ERROR = 2, DT_NCCL_REMOTE_ERROR = 6, DT_NCCL_IN_PROGRESS = 7 };

/* A count that the device increments when it reaches a point of its stream, for the host to poll. */
typedef struct dt_nccl_mark {
    uint32_t *count;         /* device memory; NULL: no mark */
    volatile uint32_t *seen; /* pinned host memory: the device copies the count here */
} dt_nccl_mark;

typedef struct dt_nccl_api {
    /* -- NCCL; results as ncclResult_t ------------------------------------------------------------------- */
    int (*version)(int *version); /* 22809 for 2.28.9 */
    int (*unique_id)(dt_nccl_id *id);
    /* Create a communicator on the calling thread's current GPU. It is ready when async_error no longer gives
     * DT_NCCL_IN_PROGRESS. `blocking`: it is ready when the call returns, and so is the work of each later
     * call; nothing gives DT_NCCL_IN_PROGRESS. */
    int (*init)(void **handle, int size, const dt_nccl_id *id, int rank, bool blocking);
    int (*async_error)(void *handle, int *result);
    /* Enqueue the sum of n values of F32, F16 or BF16 (device memory); `to` may be `from`. After
     * DT_NCCL_IN_PROGRESS the caller must enqueue nothing on the stream until async_error gives something
     * else. */
    int (*all_reduce)(void *handle, const void *from, void *to, int64_t n, dt_dtype dtype, void *stream);
    int (*finalize)(void *handle); /* waits for all ranks, as init does */
    int (*destroy)(void *handle);
    /* End kernels that wait for other ranks, and free the communicator. Any thread may call it. */
    int (*abort)(void *handle);
    const char *(*error_string)(int result);
    /* The text of NCCL's last warning; "" or NULL: none. handle may be NULL. */
    const char *(*last_error)(void *handle);

    /* -- the GPU ----------------------------------------------------------------------------------------- */
    /* Write the PCI address of the calling thread's current GPU: "0000:0f:00.0". Returns 0 on success. */
    int (*gpu_name)(char *out, size_t out_bytes);

    /* -- kernels (wire.cu); they return 0 or a code for launch_error ------------------------------------- */
    /* Enqueue to[i] = from[i] as F16 or BF16, rounded to nearest even; values that are too large become
     * infinite. `to` is 16-byte aligned. The kernel increments the mark when it begins. */
    int (*pack)(void *stream, const float *from, void *to, int64_t n, dt_dtype wire, dt_nccl_mark begun);
    int (*unpack)(void *stream, const void *from, float *to, int64_t n, dt_dtype wire, dt_nccl_mark done);
    int (*mark)(void *stream, dt_nccl_mark mark);
    const char *(*launch_error)(int code);
} dt_nccl_api;

/* NCCL itself, opened at the first call: the program is not linked with it. NULL: this build has no NCCL, or
 * none is found, or it does not load or is too old; the error is then DT_ERR_UNSUPPORTED (see
 * core/base/shared_library.h). Any thread may call it. */
const dt_nccl_api *dt_nccl_library(dt_error *err);

/* Write the path of the open library; "" if it is not open. */
void dt_nccl_library_path(char *path, size_t path_bytes);

#endif
