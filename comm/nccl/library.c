/* library.c: the table of api.h, filled with NCCL itself and the kernels of wire.cu. */
#include "config.h"

#include "comm/nccl/api.h"

#ifdef DT_WITH_NCCL

#    include "comm/nccl/wire.h"
#    include "core/base/shared_library.h"

#    include <cuda_runtime_api.h>
#    include <nccl.h>
#    include <stdio.h>
#    include <string.h>

#    define TEXT_OF(x) #    x
#    define TEXT(x) TEXT_OF(x)

static const dt_shared_library library = {
    .name = "NCCL",
    .file = "libnccl.so." TEXT(NCCL_MAJOR),
    .wanted_by = "--comm nccl",
    .homes = (const char *const[]){"NCCL_HOME", "NCCL_ROOT", "EBROOTNCCL", NULL},
    .built_dir = DT_NCCL_DIR,
    .wheels = (const char *const[]){"nccl", NULL},
    .oldest = 21400}; /* the first with nonblocking communicators */

_Static_assert(sizeof(dt_nccl_id) == sizeof(ncclUniqueId), "the same bytes");
_Static_assert((int)DT_NCCL_SUCCESS == (int)ncclSuccess &&
                   (int)DT_NCCL_SYSTEM_ERROR == (int)ncclSystemError &&
                   (int)DT_NCCL_REMOTE_ERROR == (int)ncclRemoteError &&
                   (int)DT_NCCL_IN_PROGRESS == (int)ncclInProgress,
               "ncclResult_t");

/* NCCL's functions, found by find_functions. */
#    define FUNCTIONS(X)                                                                                     \
        X(ncclGetVersion)                                                                                    \
        X(ncclGetUniqueId)                                                                                   \
        X(ncclCommInitRankConfig)                                                                            \
        X(ncclCommGetAsyncError)                                                                             \
        X(ncclAllReduce)                                                                                     \
        X(ncclCommFinalize)                                                                                  \
        X(ncclCommDestroy)                                                                                   \
        X(ncclCommAbort)                                                                                     \
        X(ncclGetErrorString)                                                                                \
        X(ncclGetLastError)

#    define POINTER(function) __typeof__(function) *function;
static struct {
    FUNCTIONS(POINTER)
} opened;
static void *opened_handle; /* NULL: not open */

static int version(int *out)
{
    return (int)opened.ncclGetVersion(out);
}

static int unique_id(dt_nccl_id *id)
{
    ncclUniqueId made;
    memset(&made, 0, sizeof made);
    ncclResult_t result = opened.ncclGetUniqueId(&made);
    memcpy(id, &made, sizeof *id);
    return (int)result;
}

static int init(void **handle, int size, const dt_nccl_id *id, int rank, bool blocking)
{
    ncclComm_t comm = NULL;
    ncclUniqueId copy;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = blocking; /* 0: calls return at once, so that comm/nccl can wait with a deadline */
    memcpy(&copy, id, sizeof copy);
    ncclResult_t result = opened.ncclCommInitRankConfig(&comm, size, copy, rank, &config);
    *handle = comm;
    return (int)result;
}

static int async_error(void *handle, int *out)
{
    ncclResult_t result = ncclSuccess;
    int code = (int)opened.ncclCommGetAsyncError(handle, &result);
    *out = (int)result;
    return code;
}

static int all_reduce(void *handle, const void *from, void *to, int64_t n, dt_dtype dtype, void *stream)
{
    ncclDataType_t type = dtype == DT_F16 ? ncclFloat16 : dtype == DT_BF16 ? ncclBfloat16 : ncclFloat32;
    return (int)opened.ncclAllReduce(from, to, (size_t)n, type, ncclSum, handle, stream);
}

static int finalize(void *handle)
{
    return (int)opened.ncclCommFinalize(handle);
}

static int destroy(void *handle)
{
    return (int)opened.ncclCommDestroy(handle);
}

static int abort_comm(void *handle)
{
    return (int)opened.ncclCommAbort(handle);
}

static const char *error_string(int result)
{
    return opened.ncclGetErrorString((ncclResult_t)result);
}

static const char *last_error(void *handle)
{
    return opened.ncclGetLastError(handle);
}

static int gpu_name(char *out, size_t out_bytes)
{
    int device = 0;
    cudaError_t code = cudaGetDevice(&device);
    if (code == cudaSuccess)
        code = cudaDeviceGetPCIBusId(out, (int)out_bytes, device);
    return (int)code;
}

static dt_status find_functions(void *candidate, int64_t *number, dt_error *err)
{
    int found = 0;
    void *address = NULL;
#    define FIND(function)                                                                                   \
        DT_TRY(dt_shared_library_symbol(&library, candidate, #function, &address, err));                     \
        memcpy(&opened.function, &address, sizeof address);
    FUNCTIONS(FIND)
    (void)opened.ncclGetVersion(&found);
    *number = found;
    return DT_OK;
}

const dt_nccl_api *dt_nccl_library(dt_error *err)
{
    static const dt_nccl_api api = {.version = version,
                                    .unique_id = unique_id,
                                    .init = init,
                                    .async_error = async_error,
                                    .all_reduce = all_reduce,
                                    .finalize = finalize,
                                    .destroy = destroy,
                                    .abort = abort_comm,
                                    .error_string = error_string,
                                    .last_error = last_error,
                                    .gpu_name = gpu_name,
                                    .pack = dt_nccl_wire_pack,
                                    .unpack = dt_nccl_wire_unpack,
                                    .mark = dt_nccl_wire_mark,
                                    .launch_error = dt_nccl_wire_error};
    return dt_shared_library_load(&library, find_functions, &opened_handle, err) == DT_OK ? &api : NULL;
}

void dt_nccl_library_path(char *path, size_t path_bytes)
{
    snprintf(path, path_bytes, "%s", "");
    if (opened_handle)
        dt_shared_library_path(&library, opened_handle, path, path_bytes);
}

#else

#    include <stdio.h>

const dt_nccl_api *dt_nccl_library(dt_error *err)
{
    (void)dt_fail(err, DT_ERR_UNSUPPORTED, "this build has no communication over NCCL: " DT_WHY_NO_NCCL);
    return NULL;
}

void dt_nccl_library_path(char *path, size_t path_bytes)
{
    snprintf(path, path_bytes, "%s", "");
}

#endif
