#include "config.h"

#include "layers/cuda/cudnn_library.h"

#include "core/base/shared_library.h"

#include <cudnn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static const dt_shared_library library = {
    .name = "cuDNN",
    .file = "libcudnn.so." TEXT(CUDNN_MAJOR),
    .wanted_by = "the cuda backend",
    .homes = (const char *const[]){"CUDNN_HOME", "CUDNN_ROOT", "EBROOTCUDNN", NULL},
    .built_dir = DT_CUDNN_DIR,
    .wheels = (const char *const[]){"cudnn", NULL},
    .oldest = 90000}; /* the first whose graphs are those of cuDNN 9 */

/* The functions that layers/cuda calls. */
#define FUNCTIONS(X)                                                                                         \
    X(cudnnGetVersion)                                                                                       \
    X(cudnnGetCudartVersion)                                                                                 \
    X(cudnnGetErrorString)                                                                                   \
    X(cudnnGetLastErrorString)                                                                               \
    X(cudnnCreate)                                                                                           \
    X(cudnnDestroy)                                                                                          \
    X(cudnnSetStream)                                                                                        \
    X(cudnnBackendCreateDescriptor)                                                                          \
    X(cudnnBackendDestroyDescriptor)                                                                         \
    X(cudnnBackendFinalize)                                                                                  \
    X(cudnnBackendSetAttribute)                                                                              \
    X(cudnnBackendGetAttribute)                                                                              \
    X(cudnnBackendExecute)

#define POINTER(function) __typeof__(function) *function;
static struct {
    FUNCTIONS(POINTER)
} opened;
static void *handle; /* NULL: not open */

static dt_status find_functions(void *candidate, int64_t *version, dt_error *err)
{
    void *address = NULL;
#define FIND(function)                                                                                       \
    DT_TRY(dt_shared_library_symbol(&library, candidate, #function, &address, err));                         \
    memcpy(&opened.function, &address, sizeof address);
    FUNCTIONS(FIND)
    *version = (int64_t)opened.cudnnGetVersion();
    return DT_OK;
}

/* cuDNN loads CUDA's run-time compiler, 50 MB, for every graph that it inspects, and unloads it again. Keep
 * the library loaded, so that loading it again costs nothing: all plans of a ResNet-50 then take a second
 * instead of half a minute. If it is not found, planning is only slower. */
static void hold_compiler(void)
{
    char file[32];
    void *compiler = NULL;
    snprintf(file, sizeof file, "libnvrtc.so.%zu", opened.cudnnGetCudartVersion() / 1000);
    const dt_shared_library nvrtc = {.name = "NVRTC",
                                     .file = file,
                                     .wanted_by = "cuDNN",
                                     .homes = (const char *const[]){"CUDA_HOME", NULL},
                                     .built_dir = DT_CUDNN_DIR,
                                     .wheels = (const char *const[]){"cuda_nvrtc", "cu13", NULL}};
    (void)dt_shared_library_open(&nvrtc, &compiler, NULL);
}

dt_status dt_cudnn_library_open(dt_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    DT_TRY(dt_shared_library_load(&library, find_functions, &handle, err));
    pthread_once(&once, hold_compiler);
    return DT_OK;
}

void dt_cudnn_library_describe(char *version, size_t version_bytes, char *path, size_t path_bytes)
{
    snprintf(version, version_bytes, "none");
    snprintf(path, path_bytes, "%s", "");
    if (!handle)
        return;
    dt_shared_library_version((int64_t)cudnnGetVersion(), version, version_bytes);
    dt_shared_library_path(&library, handle, path, path_bytes);
}

/* -- cuDNN's functions ----------------------------------------------------------------------------------- */

/* Not visible outside of the program: the libraries that cuDNN opens call cuDNN's own. */
#pragma GCC visibility push(hidden)

size_t cudnnGetVersion(void)
{
    return opened.cudnnGetVersion();
}

size_t cudnnGetCudartVersion(void)
{
    return opened.cudnnGetCudartVersion();
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return opened.cudnnGetErrorString(status);
}

void cudnnGetLastErrorString(char *message, size_t max_size)
{
    opened.cudnnGetLastErrorString(message, max_size);
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *created)
{
    return opened.cudnnCreate(created);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t destroyed)
{
    return opened.cudnnDestroy(destroyed);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
    return opened.cudnnSetStream(h, stream);
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made)
{
    return opened.cudnnBackendCreateDescriptor(type, made);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor)
{
    return opened.cudnnBackendDestroyDescriptor(descriptor);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    return opened.cudnnBackendFinalize(descriptor);
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *elements)
{
    return opened.cudnnBackendSetAttribute(descriptor, name, type, n, elements);
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                       int64_t requested, int64_t *n, void *elements)
{
    return opened.cudnnBackendGetAttribute(descriptor, name, type, requested, n, elements);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    return opened.cudnnBackendExecute(h, plan, pack);
}

#pragma GCC visibility pop
