# DT_CUDA: CUDA, cuDNN and NCCL, all optional: found or not, said in the summary and in config.h (HAVE_CUDA, HAVE_CUDNN, HAVE_NCCL).
# Nothing is linked with them yet. CUDA's usual place is tried when --with-cuda does not name one; cuDNN and NCCL often live inside it.
AC_DEFUN([DT_CUDA], [
AS_IF([test -z "$with_cuda" && test -f /usr/local/cuda/include/cuda_runtime.h], [with_cuda=/usr/local/cuda])
AS_IF([test "x$with_cuda" = xno], [: ${with_cudnn=no} ${with_nccl=no}])
AS_IF([test -z "$with_cudnn" && test -f "$with_cuda/include/cudnn.h"], [with_cudnn=$with_cuda])
AS_IF([test -z "$with_nccl" && test -f "$with_cuda/include/nccl.h"], [with_nccl=$with_cuda])
DT_LIBRARY([CUDA], [CUDA], [cuda], [], [cuda_runtime_api.h], [cudart], [cudaGetDeviceCount], [CUDART_VERSION], [], [],
           [the CUDA backend])
dt_save_dt_CPPFLAGS=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $CUDA_CFLAGS"
DT_LIBRARY([CUDNN], [cuDNN], [cudnn], [], [cudnn.h], [cudnn], [cudnnBackendCreateDescriptor],
           [CUDNN_MAJOR.CUDNN_MINOR.CUDNN_PATCHLEVEL], [], [], [the CUDA backend])
DT_LIBRARY([NCCL], [NCCL], [nccl], [], [nccl.h], [nccl], [ncclAllReduce], [NCCL_MAJOR.NCCL_MINOR.NCCL_PATCH], [], [],
           [communication between GPUs])
CPPFLAGS=$dt_save_dt_CPPFLAGS
])
