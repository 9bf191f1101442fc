# DT_CUDA_ARCH_LIST: reads --enable-cuda-archs. It comes first in configure.ac, so that a mistake in it is reported at once.
AC_DEFUN([DT_CUDA_ARCH_LIST], [
AC_ARG_ENABLE([cuda-archs],
  [AS_HELP_STRING([--enable-cuda-archs=LIST], [compile the CUDA kernels for these only, for example 80,90, to save time])], [],
  [enable_cuda_archs=])
AS_CASE([$enable_cuda_archs],
  [no], [enable_cuda_archs=],
  [*@<:@!0-9,@:>@*|,*|*,|*,,*],
  [AC_MSG_ERROR([--enable-cuda-archs=$enable_cuda_archs: give a list of numbers, for example 80,90])])
])

# DT_CUDA: CUDA, cuDNN, NCCL and nvcc, all optional. Without --with-cuda, CUDA's default folder is searched; cuDNN and NCCL
# are often inside it. Sets, as automake conditionals and (DT_WITH_...) in config.h:
#   WITH_CUDA          CUDA, cuDNN and an nvcc that works: the cuda backend is built
#   WITH_NCCL          that, and NCCL: communication between GPUs
#   HAVE_CUDA_HEADERS  CUDA's headers and a C++ compiler: the tests that run the kernels on the CPU are built
# and DT_NVCCFLAGS, DT_CUDA_ARCHS. The CUDA runtime is linked statically, and cuDNN and NCCL are opened when a GPU is used
# (core/base/shared_library.h), so that the program starts on machines without them. DT_CUDNN_DIR and DT_NCCL_DIR in config.h:
# the folders that were given, where they are looked for too.
AC_DEFUN([DT_CUDA], [
AC_ARG_VAR([NVCC], [CUDA's compiler; by default CUDA's bin/nvcc])
AC_ARG_VAR([NVCCFLAGS], [flags for it; by default -O3])
AS_IF([test -z "$with_cuda" && test -f /usr/local/cuda/include/cuda_runtime.h], [with_cuda=/usr/local/cuda])
AS_IF([test "x$with_cuda" = xno],
      [test -n "$with_cudnn" || { with_cudnn=no; dt_CUDNN_off_with=cuda; }
       test -n "$with_nccl" || { with_nccl=no; dt_NCCL_off_with=cuda; }])
AS_IF([test -z "$with_cudnn" && test -f "$with_cuda/include/cudnn.h"], [with_cudnn=$with_cuda])
AS_IF([test -z "$with_nccl" && test -f "$with_cuda/include/nccl.h"], [with_nccl=$with_cuda])
DT_LIBRARY([CUDA], [CUDA], [cuda], [], [cuda_runtime_api.h], [cudart_static], [cudaGetDeviceCount], [CUDART_VERSION], [], [],
           [the cuda backend], [-ldl -lrt -lpthread])
dt_why_no_cuda="CUDA was not found"
test "x$with_cuda" != xno || dt_why_no_cuda="turned off with --without-cuda"
dt_save_dt_CPPFLAGS=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $CUDA_CFLAGS"
DT_LIBRARY([CUDNN], [cuDNN], [cudnn], [], [cudnn.h], [cudnn], [cudnnBackendCreateDescriptor],
           [CUDNN_MAJOR.CUDNN_MINOR.CUDNN_PATCHLEVEL], [], [], [the cuda backend])
DT_LIBRARY([NCCL], [NCCL], [nccl], [], [nccl.h], [nccl], [ncclAllReduce], [NCCL_MAJOR.NCCL_MINOR.NCCL_PATCH], [], [],
           [communication between GPUs])
CPPFLAGS=$dt_save_dt_CPPFLAGS
# Our warnings do not apply to their headers.
AS_CASE([$CUDA_CFLAGS], [-I*], [CUDA_CFLAGS="-isystem ${CUDA_CFLAGS@%:@-I}"])
AS_CASE([$CUDNN_CFLAGS], [-I*], [CUDNN_CFLAGS="-isystem ${CUDNN_CFLAGS@%:@-I}"])
AS_CASE([$NCCL_CFLAGS], [-I*], [NCCL_CFLAGS="-isystem ${NCCL_CFLAGS@%:@-I}"])
DT_NVCC
DT_CUDA_HEADERS

dt_with_cuda=no
dt_with_nccl=no
AS_IF([test $dt_found_CUDA$dt_found_CUDNN$dt_found_NVCC = yesyesyes], [dt_with_cuda=yes])
AS_IF([test $dt_with_cuda$dt_found_NCCL = yesyes], [dt_with_nccl=yes])
AS_IF([test $dt_with_cuda = yes], [AC_DEFINE([DT_WITH_CUDA], [1], [Define to 1 if the cuda backend is built])
       AC_DEFINE_UNQUOTED([DT_CUDNN_DIR], ["$dt_CUDNN_dir"], [The folder of cuDNN that configure was given])
       CUDA_LIBS="$CUDA_LIBS -lstdc++"],
      [CUDA_LIBS=; CUDA_CFLAGS=; CUDNN_CFLAGS=
       DT_WHY_NOT([CUDA], [CUDA, cuDNN and nvcc], [cuda], [cuda backend])
       DT_NOTE([no --backend cuda: it needs CUDA, cuDNN and nvcc])])
AS_IF([test $dt_with_nccl = yes], [AC_DEFINE([DT_WITH_NCCL], [1], [Define to 1 if communication over NCCL is built])
       AC_DEFINE_UNQUOTED([DT_NCCL_DIR], ["$dt_NCCL_dir"], [The folder of NCCL that configure was given])],
      [NCCL_CFLAGS=
       DT_WHY_NOT([NCCL], [NCCL], [nccl], [communication over NCCL])
       AS_IF([test $dt_with_cuda = yes], [DT_NOTE([no --comm nccl: GPUs do not train together])])])
AM_CONDITIONAL([WITH_CUDA], [test $dt_with_cuda = yes])
# The kernels as nvcc compiled them, executed by tests/ptx. A sanitizer would check only the emulator.
AC_PATH_PROG([PYTHON3], [python3])
dt_with_ptx_tests=no
AS_IF([test $dt_with_cuda$dt_found_CUDA_HEADERS$dt_found_CUNIT$dt_sanitizer = yesyesyesnone && test -n "$PYTHON3"],
      [dt_with_ptx_tests=yes
       AC_DEFINE([DT_WITH_PTX_TESTS], [1], [Define to 1 if the tests run the kernels that nvcc compiled])])
AM_CONDITIONAL([WITH_PTX_TESTS], [test $dt_with_ptx_tests = yes])
AM_CONDITIONAL([WITH_NCCL], [test $dt_with_nccl = yes])
])

# DT_NVCC: the compiler of the kernels, and for which GPUs they are built.
AC_DEFUN([DT_NVCC], [
dt_found_NVCC=no
dt_nvcc_version=-
dt_why=
DT_CUDA_ARCHS=
DT_NVCCFLAGS=
AS_IF([test $dt_found_CUDA = yes], [
  AC_PATH_PROG([NVCC], [nvcc], [], [$with_cuda/bin:$PATH])
  AS_IF([test -n "$NVCC"], [dt_nvcc_version=`"$NVCC" --version 2>/dev/null | $SED -n 's/^.*release \(@<:@0-9.@:>@*\).*/\1/p'`])
  AS_CASE([$dt_nvcc_version],
          [-], [dt_why="there is no nvcc in $with_cuda/bin nor in PATH"],
          [1@<:@3-9@:>@.*|@<:@2-9@:>@@<:@0-9@:>@.*], [DT_CUDA_ARCHS="75 80 86 89 90 100"],
          [12.*], [DT_CUDA_ARCHS="70 75 80 86 89 90"],
          [dt_why="$NVCC is version $dt_nvcc_version; 12 or later is needed"])
], [dt_why=$dt_why_no_cuda])
AS_IF([test -n "$enable_cuda_archs"], [
  DT_CUDA_ARCHS=`AS_ECHO(["$enable_cuda_archs"]) | tr , ' '`])
AS_IF([test -z "$dt_why"], [
  # -fmad=false: as -ffp-contract=off for C; what an emulated kernel computes on the CPU is then what it computes on a GPU.
  DT_NVCCFLAGS="-std=c++17 -fmad=false -Xcompiler -Wall,-Wextra,-fno-exceptions"
  for dt_arch in $DT_CUDA_ARCHS; do
    DT_NVCCFLAGS="$DT_NVCCFLAGS -gencode arch=compute_$dt_arch,code=sm_$dt_arch"
  done
  # Also PTX of the newest, which the driver compiles for later GPUs.
  DT_NVCCFLAGS="$DT_NVCCFLAGS -gencode arch=compute_$dt_arch,code=compute_$dt_arch"
  AS_IF([test $dt_werror = yes], [DT_NVCCFLAGS="$DT_NVCCFLAGS -Werror all-warnings"])
  : ${NVCCFLAGS="-O3"}
  AC_MSG_CHECKING([whether $NVCC compiles for $DT_CUDA_ARCHS])
  AS_ECHO(["__global__ void k(float *p) { p@<:@threadIdx.x@:>@ = 1.0f; }
extern \"C\" void f(float *p) { k<<<1, 32>>>(p); }"]) >conftest.cu
  dt_save_LIBS=$LIBS
  LIBS="conftest_cu.o $CUDA_LIBS -lstdc++ $LIBS"
  AS_IF(["$NVCC" $DT_NVCCFLAGS $NVCCFLAGS -c conftest.cu -o conftest_cu.o >&AS_MESSAGE_LOG_FD 2>&1],
        [AC_LINK_IFELSE([AC_LANG_PROGRAM([[void f(float *p);]], [[f((float *)0);]])], [dt_found_NVCC=yes],
                        [dt_why="what $NVCC compiles does not link: see config.log"])],
        [dt_why="$NVCC does not compile: see config.log"])
  LIBS=$dt_save_LIBS
  rm -f conftest.cu conftest_cu.o
  AC_MSG_RESULT([$dt_found_NVCC])])
AS_IF([test $dt_found_NVCC = yes],
      [AC_DEFINE_UNQUOTED([DT_NVCC_VERSION], ["$dt_nvcc_version"], [The version of nvcc that compiled the kernels])
       AC_DEFINE_UNQUOTED([DT_CUDA_ARCHS], ["$DT_CUDA_ARCHS"], [Compute capabilities that the kernels are compiled for])
       dt_where="$NVCC, for sm_`AS_ECHO(["$DT_CUDA_ARCHS"]) | $SED 's/ / sm_/g'`"],
      [DT_CUDA_ARCHS=; dt_where=$dt_why])
DT_SUMMARY([nvcc], [$dt_found_NVCC], [$dt_nvcc_version], [$dt_where])
AC_SUBST([DT_NVCCFLAGS])
AC_SUBST([DT_CUDA_ARCHS])
])

# DT_CUDA_HEADERS: the half types of CUDA's headers work on the host, and with them the kernels, for the tests. EMULATED_LIBS: the libraries of C++.
AC_DEFUN([DT_CUDA_HEADERS], [
dt_found_CUDA_HEADERS=no
CUDA_HEADERS_CFLAGS=
EMULATED_LIBS=
AS_IF([test $dt_found_CUDA = yes], [
  CUDA_HEADERS_CFLAGS=$CUDA_CFLAGS
  AC_MSG_CHECKING([whether $CXX compiles the half types of CUDA's headers])
  AC_LANG_PUSH([C++])
  dt_save_CPPFLAGS=$CPPFLAGS
  CPPFLAGS="$CPPFLAGS $CUDA_HEADERS_CFLAGS"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <cuda_fp16.h>
#include <cuda_bf16.h>]], [[return (int)__half2float(__float2half(1.0f));]])], [dt_found_CUDA_HEADERS=yes; EMULATED_LIBS=-lstdc++])
  CPPFLAGS=$dt_save_CPPFLAGS
  AC_LANG_POP([C++])
  AC_MSG_RESULT([$dt_found_CUDA_HEADERS])])
AC_SUBST([CUDA_HEADERS_CFLAGS])
AC_SUBST([EMULATED_LIBS])
AM_CONDITIONAL([HAVE_CUDA_HEADERS], [test $dt_found_CUDA_HEADERS = yes])
])
