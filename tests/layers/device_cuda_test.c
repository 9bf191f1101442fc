/* What layers/cuda/device_cuda.c asks of the CUDA runtime when it captures a step. The linker replaces the
 * runtime's functions by those below (--wrap). They model what CUDA documents for a captured kernel: it has
 * the priority of the stream that it was captured from, but a graph uses these priorities only if it was
 * instantiated with cudaGraphInstantiateFlagUseNodePriority. Otherwise every kernel runs with the priority of
 * the stream that the graph is launched into. */
#include "layers/cuda/device_cuda.h"
#include "tests/testing.h"

#include <cuda_runtime_api.h>

enum { LEAST = 0, GREATEST = -5 }; /* a smaller number is more urgent */

/* A stream is a pointer to its priority. */
static int priorities[4];
static int n_streams;
static unsigned long long instantiate_flags;
static cudaStream_t uploaded_into, launched_into;
static int a_graph, an_executable;

#define CUDA(name) __wrap_cuda##name

cudaError_t CUDA(GetDeviceCount)(int *n);
cudaError_t CUDA(DeviceGetAttribute)(int *value, enum cudaDeviceAttr which, int device);
cudaError_t CUDA(SetDevice)(int device);
cudaError_t CUDA(SetDeviceFlags)(unsigned flags);
cudaError_t CUDA(DeviceGetStreamPriorityRange)(int *least, int *greatest);
cudaError_t CUDA(StreamCreateWithPriority)(cudaStream_t *stream, unsigned flags, int priority);
cudaError_t CUDA(StreamDestroy)(cudaStream_t stream);
cudaError_t CUDA(StreamBeginCapture)(cudaStream_t stream, enum cudaStreamCaptureMode mode);
cudaError_t CUDA(StreamEndCapture)(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t CUDA(GraphInstantiate)(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t CUDA(GraphDestroy)(cudaGraph_t graph);
cudaError_t CUDA(GraphUpload)(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t CUDA(GraphLaunch)(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t CUDA(GraphExecDestroy)(cudaGraphExec_t executable);

cudaError_t CUDA(GetDeviceCount)(int *n)
{
    *n = 1;
    return cudaSuccess;
}

/* Compute capability 9.9: the PTX of every build runs on it. */
cudaError_t CUDA(DeviceGetAttribute)(int *value, enum cudaDeviceAttr which, int device)
{
    (void)which, (void)device;
    *value = 99;
    return cudaSuccess;
}

cudaError_t CUDA(SetDevice)(int device)
{
    (void)device;
    return cudaSuccess;
}

cudaError_t CUDA(SetDeviceFlags)(unsigned flags)
{
    (void)flags;
    return cudaSuccess;
}

cudaError_t CUDA(DeviceGetStreamPriorityRange)(int *least, int *greatest)
{
    *least = LEAST;
    *greatest = GREATEST;
    return cudaSuccess;
}

cudaError_t CUDA(StreamCreateWithPriority)(cudaStream_t *stream, unsigned flags, int priority)
{
    DT_CHECK_INT(flags, cudaStreamNonBlocking); /* others wait for CUDA's stream 0 */
    DT_REQUIRE(n_streams < (int)(sizeof priorities / sizeof *priorities));
    priorities[n_streams] = priority;
    *stream = (cudaStream_t)(void *)&priorities[n_streams++];
    return cudaSuccess;
}

cudaError_t CUDA(StreamDestroy)(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

cudaError_t CUDA(StreamBeginCapture)(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)stream;
    DT_CHECK_INT(mode, cudaStreamCaptureModeThreadLocal);
    return cudaSuccess;
}

cudaError_t CUDA(StreamEndCapture)(cudaStream_t stream, cudaGraph_t *graph)
{
    (void)stream;
    *graph = (cudaGraph_t)(void *)&a_graph;
    return cudaSuccess;
}

cudaError_t CUDA(GraphInstantiate)(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    (void)graph;
    instantiate_flags = flags;
    *executable = (cudaGraphExec_t)(void *)&an_executable;
    return cudaSuccess;
}

cudaError_t CUDA(GraphDestroy)(cudaGraph_t graph)
{
    (void)graph;
    return cudaSuccess;
}

cudaError_t CUDA(GraphUpload)(cudaGraphExec_t executable, cudaStream_t stream)
{
    (void)executable;
    uploaded_into = stream;
    return cudaSuccess;
}

cudaError_t CUDA(GraphLaunch)(cudaGraphExec_t executable, cudaStream_t stream)
{
    (void)executable;
    launched_into = stream;
    return cudaSuccess;
}

cudaError_t CUDA(GraphExecDestroy)(cudaGraphExec_t executable)
{
    (void)executable;
    return cudaSuccess;
}

static int priority_of(const void *stream)
{
    return *(const int *)stream;
}

/* The priority with which a kernel runs in the graph after it was captured from `stream`. */
static int priority_in_graph(const void *stream)
{
    const bool keeps_its_own = (instantiate_flags & cudaGraphInstantiateFlagUseNodePriority) != 0;
    return priority_of(keeps_its_own ? stream : (const void *)launched_into);
}

static void a_captured_step_keeps_the_priorities_of_its_streams(void)
{
    dt_device *gpu = NULL;
    dt_stream *sums = NULL;
    void *graph = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_device_cuda_create(0, 1, &gpu, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(gpu->ops->stream_create(gpu, &sums, &err) == DT_OK);
    const void *main_stream = gpu->ops->native_stream(gpu, NULL),
               *sums_stream = gpu->ops->native_stream(gpu, sums);
    DT_CHECK_INT(priority_of(main_stream), LEAST);
    DT_CHECK_INT(priority_of(sums_stream), GREATEST);

    DT_REQUIRE(gpu->ops->capture_begin(gpu, &err) == DT_OK);
    DT_REQUIRE(gpu->ops->capture_end(gpu, &graph, &err) == DT_OK);
    DT_REQUIRE(gpu->ops->graph_launch(gpu, graph, &err) == DT_OK);
    DT_CHECK(uploaded_into == main_stream && launched_into == main_stream);
    DT_CHECK_INT(priority_in_graph(main_stream), LEAST);
    DT_CHECK_INT(priority_in_graph(sums_stream), GREATEST);

    gpu->ops->graph_destroy(gpu, graph);
    gpu->ops->stream_destroy(gpu, sums);
    gpu->ops->destroy(gpu);
}

static const dt_test tests[] = {DT_TEST(a_captured_step_keeps_the_priorities_of_its_streams)};
DT_TEST_MAIN("layers/device_cuda", tests)
