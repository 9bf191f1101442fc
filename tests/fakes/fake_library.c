/* A shared library in place of cuDNN's and NCCL's (libcudnn.so.9, libnccl.so.2): it has the functions that
 * dtrain looks up, and no arithmetic. FAKE_CUDNN_VERSION and FAKE_NCCL_VERSION are the versions that it
 * gives. */
#include <stddef.h>
#include <stdlib.h>

size_t cudnnGetVersion(void);
size_t cudnnGetVersion(void)
{
    const char *version = getenv("FAKE_CUDNN_VERSION");
    return version ? (size_t)atol(version) : 0;
}

int ncclGetVersion(int *version);
int ncclGetVersion(int *version)
{
    const char *given = getenv("FAKE_NCCL_VERSION");
    *version = given ? atoi(given) : 0;
    return 0;
}

#define NOTHING(name)                                                                                        \
    int name(void);                                                                                          \
    int name(void)                                                                                           \
    {                                                                                                        \
        return 0;                                                                                            \
    }
NOTHING(cudnnGetCudartVersion)
NOTHING(cudnnGetErrorString)
NOTHING(cudnnGetLastErrorString)
NOTHING(cudnnCreate)
NOTHING(cudnnDestroy)
NOTHING(cudnnSetStream)
NOTHING(cudnnBackendCreateDescriptor)
NOTHING(cudnnBackendDestroyDescriptor)
NOTHING(cudnnBackendFinalize)
NOTHING(cudnnBackendSetAttribute)
NOTHING(cudnnBackendGetAttribute)
NOTHING(cudnnBackendExecute)
NOTHING(ncclGetUniqueId)
NOTHING(ncclCommInitRankConfig)
NOTHING(ncclCommGetAsyncError)
NOTHING(ncclAllReduce)
NOTHING(ncclCommFinalize)
NOTHING(ncclCommDestroy)
NOTHING(ncclCommAbort)
NOTHING(ncclGetErrorString)
NOTHING(ncclGetLastError)
