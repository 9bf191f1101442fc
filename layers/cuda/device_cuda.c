#include "layers/cuda/device_cuda.h"

#include "core/base/alloc.h"
#include "layers/cuda/gpu_info_cuda.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>

typedef struct cuda_device {
    dt_device base;
    int ordinal;
    cudaStream_t main; /* core's NULL stream; not CUDA's stream 0, which waits for all others */
    int urgent;        /* priority of the other streams, so that copies and collectives run between two
                          kernels of the main stream */
} cuda_device;

/* -- errors ---------------------------------------------------------------------------------------------- */

static dt_status failed(cudaError_t e, const char *what, dt_error *err)
{
    if (e == cudaErrorMemoryAllocation)
        return dt_fail(err, DT_ERR_MEMORY, "CUDA: %s: there is not enough memory on the GPU", what);
    return dt_fail(err, DT_ERR_DEVICE, "CUDA: %s: %s (%s)", what, cudaGetErrorString(e), cudaGetErrorName(e));
}

#define CUDA_TRY(call, what)                                                                                 \
    do {                                                                                                     \
        cudaError_t cuda_try_e = (call);                                                                     \
        if (cuda_try_e != cudaSuccess)                                                                       \
            return failed(cuda_try_e, what, err);                                                            \
    } while (0)

/* Make the device current for the calling thread. CUDA keeps the current device per thread, and loaders and
 * writers have threads of their own. */
static const cuda_device *use(dt_device *device)
{
    static _Thread_local int current = -1;
    const cuda_device *d = (const cuda_device *)device;
    if (current != d->ordinal && cudaSetDevice(d->ordinal) == cudaSuccess)
        current = d->ordinal;
    return d;
}

static cudaStream_t stream_of(const cuda_device *d, dt_stream *stream)
{
    return stream ? (cudaStream_t)(void *)stream : d->main;
}

/* -- memory ---------------------------------------------------------------------------------------------- */

static void *cuda_alloc(dt_device *device, int64_t bytes)
{
    void *p = NULL;
    (void)use(device);
    if (bytes < 0)
        return NULL;
    cudaError_t e = cudaMalloc(&p, bytes > 0 ? (size_t)bytes : 1);
    dt_cuda_forget((int)e);
    return e == cudaSuccess ? p : NULL;
}

static void cuda_free(dt_device *device, void *p)
{
    (void)use(device);
    dt_cuda_forget((int)cudaFree(p));
}

static void *cuda_host_alloc(dt_device *device, int64_t bytes)
{
    void *p = NULL;
    (void)use(device);
    if (bytes < 0)
        return NULL;
    cudaError_t e = cudaHostAlloc(&p, bytes > 0 ? (size_t)bytes : 1, cudaHostAllocDefault);
    dt_cuda_forget((int)e);
    return e == cudaSuccess ? p : NULL;
}

static void cuda_host_free(dt_device *device, void *p)
{
    (void)use(device);
    dt_cuda_forget((int)cudaFreeHost(p));
}

static int64_t cuda_memory_free(dt_device *device)
{
    size_t free_bytes = 0, total_bytes = 0;
    (void)use(device);
    dt_cuda_forget((int)cudaMemGetInfo(&free_bytes, &total_bytes));
    return (int64_t)free_bytes;
}

static dt_status cuda_copy(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                           dt_stream *stream, dt_error *err)
{
    static const enum cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                                cudaMemcpyDeviceToDevice};
    const cuda_device *d = use(device);
    if (bytes < 0)
        return dt_fail(err, DT_ERR_INTERNAL, "CUDA: a copy of %lld bytes", (long long)bytes);
    if (bytes > 0 && dst != src)
        CUDA_TRY(cudaMemcpyAsync(dst, src, (size_t)bytes, kinds[kind], stream_of(d, stream)), "a copy");
    return DT_OK;
}

static dt_status cuda_zero(dt_device *device, void *dst, int64_t bytes, dt_stream *stream, dt_error *err)
{
    const cuda_device *d = use(device);
    if (bytes < 0)
        return dt_fail(err, DT_ERR_INTERNAL, "CUDA: %lld bytes to zero", (long long)bytes);
    if (bytes > 0)
        CUDA_TRY(cudaMemsetAsync(dst, 0, (size_t)bytes, stream_of(d, stream)), "zeroing memory");
    return DT_OK;
}

/* -- streams and events ---------------------------------------------------------------------------------- */

static dt_status cuda_stream_create(dt_device *device, dt_stream **stream, dt_error *err)
{
    const cuda_device *d = use(device);
    cudaStream_t made = NULL;
    CUDA_TRY(cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, d->urgent), "making a stream");
    *stream = (dt_stream *)(void *)made;
    return DT_OK;
}

static void cuda_stream_destroy(dt_device *device, dt_stream *stream)
{
    (void)use(device);
    if (stream)
        dt_cuda_forget((int)cudaStreamDestroy((cudaStream_t)(void *)stream));
}

static dt_status cuda_stream_wait(dt_device *device, dt_stream *stream, dt_error *err)
{
    CUDA_TRY(cudaStreamSynchronize(stream_of(use(device), stream)), "waiting for the work enqueued before");
    return DT_OK;
}

static void *cuda_native_stream(dt_device *device, dt_stream *stream)
{
    return stream_of((const cuda_device *)device, stream);
}

static dt_status cuda_event_create(dt_device *device, bool timed, dt_event **event, dt_error *err)
{
    cudaEvent_t made = NULL;
    (void)use(device);
    CUDA_TRY(cudaEventCreateWithFlags(&made, cudaEventBlockingSync | (timed ? 0 : cudaEventDisableTiming)),
             "making an event");
    *event = (dt_event *)(void *)made;
    return DT_OK;
}

static void cuda_event_destroy(dt_device *device, dt_event *event)
{
    (void)use(device);
    if (event)
        dt_cuda_forget((int)cudaEventDestroy((cudaEvent_t)(void *)event));
}

static dt_status cuda_event_record(dt_device *device, dt_event *event, dt_stream *stream, dt_error *err)
{
    CUDA_TRY(cudaEventRecord((cudaEvent_t)(void *)event, stream_of(use(device), stream)),
             "recording an event");
    return DT_OK;
}

static dt_status cuda_stream_wait_event(dt_device *device, dt_stream *stream, dt_event *event, dt_error *err)
{
    CUDA_TRY(cudaStreamWaitEvent(stream_of(use(device), stream), (cudaEvent_t)(void *)event, 0),
             "a stream waiting for an event");
    return DT_OK;
}

static dt_status cuda_event_done(dt_device *device, dt_event *event, bool *done, dt_error *err)
{
    (void)use(device);
    cudaError_t e = cudaEventQuery((cudaEvent_t)(void *)event);
    if (e != cudaSuccess && e != cudaErrorNotReady)
        return failed(e, "the work enqueued before", err);
    dt_cuda_forget((int)e);
    *done = e == cudaSuccess;
    return DT_OK;
}

static dt_status cuda_event_elapsed_ms(dt_device *device, dt_event *from, dt_event *to, double *ms,
                                       dt_error *err)
{
    float elapsed = 0.0f;
    (void)use(device);
    CUDA_TRY(cudaEventElapsedTime(&elapsed, (cudaEvent_t)(void *)from, (cudaEvent_t)(void *)to),
             "the time between two events");
    *ms = (double)elapsed;
    return DT_OK;
}

/* -- graphs ---------------------------------------------------------------------------------------------- */

/* Thread-local capture: what loaders and writers do at the same time on their own streams neither joins the
 * graph nor invalidates it. */
static dt_status cuda_capture_begin(dt_device *device, dt_error *err)
{
    CUDA_TRY(cudaStreamBeginCapture(use(device)->main, cudaStreamCaptureModeThreadLocal),
             "beginning to capture a graph");
    return DT_OK;
}

static dt_status cuda_capture_end(dt_device *device, void **graph, dt_error *err)
{
    const cuda_device *d = use(device);
    cudaGraph_t captured = NULL;
    cudaGraphExec_t executable = NULL;
    cudaError_t e = cudaStreamEndCapture(d->main, &captured);
    if (e != cudaSuccess) {
        dt_cuda_forget((int)e);
        return failed(e, "capturing a graph", err);
    }
    /* Each kernel keeps the priority of the stream that it was captured from. */
    e = cudaGraphInstantiate(&executable, captured, cudaGraphInstantiateFlagUseNodePriority);
    dt_cuda_forget((int)cudaGraphDestroy(captured));
    if (e != cudaSuccess)
        return failed(e, "making a captured graph executable", err);
    e = cudaGraphUpload(executable, d->main);
    if (e != cudaSuccess) {
        (void)cudaGraphExecDestroy(executable);
        return failed(e, "uploading a graph to the GPU", err);
    }
    *graph = executable;
    return DT_OK;
}

static dt_status cuda_graph_launch(dt_device *device, void *graph, dt_error *err)
{
    CUDA_TRY(cudaGraphLaunch((cudaGraphExec_t)graph, use(device)->main), "launching a graph");
    return DT_OK;
}

static void cuda_graph_destroy(dt_device *device, void *graph)
{
    (void)use(device);
    if (graph)
        dt_cuda_forget((int)cudaGraphExecDestroy((cudaGraphExec_t)graph));
}

static void cuda_info(dt_device *device, dt_device_info *info)
{
    dt_cuda_gpu_info(use(device)->ordinal, info);
}

/* -- open and close -------------------------------------------------------------------------------------- */

static dt_status choose(int local_rank, int local_size, int *ordinal, dt_error *err)
{
    char why[200];
    const int n = dt_device_cuda_count(why, sizeof why);
    if (n == 0)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s", why);
    /* A launcher that binds GPUs to tasks makes only the rank's own GPU visible. */
    *ordinal = n == 1 && getenv("CUDA_VISIBLE_DEVICES") ? 0 : local_rank;
    if (*ordinal >= n)
        return dt_fail(err, DT_ERR_USAGE,
                       "%d ranks on this host, but %d GPU%s: start as many ranks as there are GPUs, or use "
                       "--backend cpu",
                       local_size, n, n == 1 ? "" : "s");
    return dt_cuda_check_built_for(*ordinal, err);
}

void dt_device_cuda_address(int local_rank, int local_size, char *address, size_t address_bytes)
{
    int ordinal = 0;
    address[0] = '\0';
    if (choose(local_rank, local_size, &ordinal, NULL) != DT_OK)
        return;
    cudaError_t e = cudaDeviceGetPCIBusId(address, (int)address_bytes, ordinal);
    dt_cuda_forget((int)e);
    if (e != cudaSuccess)
        address[0] = '\0';
}

static void cuda_destroy(dt_device *device)
{
    cuda_device *d = (cuda_device *)device;
    if (!d)
        return;
    (void)use(device);
    if (d->main)
        dt_cuda_forget((int)cudaStreamDestroy(d->main));
    dt_free(d);
}

static const dt_device_ops cuda_ops = {
    .name = "cuda",
    .destroy = cuda_destroy,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .host_alloc = cuda_host_alloc,
    .host_free = cuda_host_free,
    .memory_free = cuda_memory_free,
    .copy = cuda_copy,
    .zero = cuda_zero,
    .stream_create = cuda_stream_create,
    .stream_destroy = cuda_stream_destroy,
    .stream_wait = cuda_stream_wait,
    .native_stream = cuda_native_stream,
    .event_create = cuda_event_create,
    .event_destroy = cuda_event_destroy,
    .event_record = cuda_event_record,
    .stream_wait_event = cuda_stream_wait_event,
    .event_done = cuda_event_done,
    .event_elapsed_ms = cuda_event_elapsed_ms,
    .capture_begin = cuda_capture_begin,
    .capture_end = cuda_capture_end,
    .graph_launch = cuda_graph_launch,
    .graph_destroy = cuda_graph_destroy,
    .info = cuda_info,
};

static dt_status open_gpu(cuda_device *d, dt_error *err)
{
    int least = 0;
    CUDA_TRY(cudaSetDevice(d->ordinal), "selecting the GPU");
    /* A waiting thread sleeps and leaves its core to threads that decode images. CUDA refuses this where a
     * context exists already, which does no harm. */
    dt_cuda_forget((int)cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync));
    CUDA_TRY(cudaDeviceGetStreamPriorityRange(&least, &d->urgent), "the priorities of streams");
    CUDA_TRY(cudaStreamCreateWithPriority(&d->main, cudaStreamNonBlocking, least), "making the main stream");
    return DT_OK;
}

dt_status dt_device_cuda_create(int local_rank, int local_size, dt_device **device, dt_error *err)
{
    int ordinal = 0;
    DT_TRY(choose(local_rank, local_size, &ordinal, err));
    cuda_device *d = dt_calloc(1, sizeof *d);
    if (!d)
        return dt_fail_memory(err, sizeof *d, "the CUDA device");
    d->base.ops = &cuda_ops;
    d->ordinal = ordinal;
    dt_status status = open_gpu(d, err);
    if (status == DT_OK)
        *device = &d->base;
    else
        cuda_destroy(&d->base);
    return status;
}
