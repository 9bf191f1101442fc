/* library.c: the table of api.h, filled with NCCL itself and the kernels of wire.cu. */
#include "config.h"

#include "comm/nccl/api.h"

#ifdef DT_WITH_NCCL

#    include "comm/nccl/wire.h"

#    include <cuda_runtime_api.h>
#    include <nccl.h>
#    include <string.h>

_Static_assert(sizeof(dt_nccl_id) == sizeof(ncclUniqueId), "the same bytes");
_Static_assert((int)DT_NCCL_SUCCESS == (int)ncclSuccess &&
                   (int)DT_NCCL_REMOTE_ERROR == (int)ncclRemoteError &&
                   (int)DT_NCCL_IN_PROGRESS == (int)ncclInProgress,
               "ncclResult_t");

static int version(int *out)
{
    return (int)ncclGetVersion(out);
}

static int unique_id(dt_nccl_id *id)
{
    ncclUniqueId made;
    memset(&made, 0, sizeof made);
    ncclResult_t result = ncclGetUniqueId(&made);
    memcpy(id, &made, sizeof *id);
    return (int)result;
}

static int init(void **handle, int size, const dt_nccl_id *id, int rank)
{
    ncclComm_t comm = NULL;
    ncclUniqueId copy;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0; /* calls return at once, so that comm/nccl can wait with a deadline */
    memcpy(&copy, id, sizeof copy);
    ncclResult_t result = ncclCommInitRankConfig(&comm, size, copy, rank, &config);
    *handle = comm;
    return (int)result;
}

static int async_error(void *handle, int *out)
{
    ncclResult_t result = ncclSuccess;
    int code = (int)ncclCommGetAsyncError(handle, &result);
    *out = (int)result;
    return code;
}

static int all_reduce(void *handle, const void *from, void *to, int64_t n, dt_dtype dtype, void *stream)
{
    ncclDataType_t type = dtype == DT_F16 ? ncclFloat16 : dtype == DT_BF16 ? ncclBfloat16 : ncclFloat32;
    return (int)ncclAllReduce(from, to, (size_t)n, type, ncclSum, handle, stream);
}

static int finalize(void *handle)
{
    return (int)ncclCommFinalize(handle);
}

static int destroy(void *handle)
{
    return (int)ncclCommDestroy(handle);
}

static int abort_comm(void *handle)
{
    return (int)ncclCommAbort(handle);
}

static const char *error_string(int result)
{
    return ncclGetErrorString((ncclResult_t)result);
}

static const char *last_error(void *handle)
{
    return ncclGetLastError(handle);
}

static int gpu_name(char *out, size_t out_bytes)
{
    int device = 0;
    cudaError_t code = cudaGetDevice(&device);
    if (code == cudaSuccess)
        code = cudaDeviceGetPCIBusId(out, (int)out_bytes, device);
    return (int)code;
}

const dt_nccl_api *dt_nccl_library(void)
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
    return &api;
}

#else

#    include <stddef.h>

const dt_nccl_api *dt_nccl_library(void)
{
    return NULL;
}

#endif
