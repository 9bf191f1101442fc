# layers/: the layers and the compute backends (ref, cpu, cuda).
noinst_LIBRARIES += liblayers.a
layers_archives = liblayers.a
LAYERS_LIBS = $(ONEDNN_LIBS) $(OPENMP_CFLAGS) $(CUDA_LIBS)
layers_CPPFLAGS = $(DT_CPPFLAGS) $(ONEDNN_CFLAGS) $(CUDA_CFLAGS) $(CUDNN_CFLAGS)
liblayers_a_CPPFLAGS = $(layers_CPPFLAGS)
liblayers_a_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
liblayers_a_SOURCES = $(layers_SOURCES)

layers_SOURCES =

layers_SOURCES += layers/add.c
layers_SOURCES += layers/batchnorm.c
layers_SOURCES += layers/conv.c
layers_SOURCES += layers/device_host.c
layers_SOURCES += layers/device_host.h
layers_SOURCES += layers/linear.c
layers_SOURCES += layers/loss_host.c
layers_SOURCES += layers/loss_host.h
layers_SOURCES += layers/pool.c
layers_SOURCES += layers/registry.c
layers_SOURCES += layers/registry.h
layers_SOURCES += layers/resnet.c
layers_SOURCES += layers/resnet.h
layers_SOURCES += layers/softmax_loss.c
layers_SOURCES += layers/step_host.c
layers_SOURCES += layers/step_host.h

# The reference backend.
layers_SOURCES += layers/arithmetic.h
layers_SOURCES += layers/half.h
layers_SOURCES += layers/ref/batchnorm_ref.c
layers_SOURCES += layers/ref/conv_ref.c
layers_SOURCES += layers/ref/input_ref.c
layers_SOURCES += layers/ref/kernels_ref.c
layers_SOURCES += layers/ref/kernels_ref.h
layers_SOURCES += layers/ref/linear_ref.c
layers_SOURCES += layers/ref/loss_ref.c
layers_SOURCES += layers/ref/matmul_ref.c
layers_SOURCES += layers/ref/optimizer_ref.c
layers_SOURCES += layers/ref/pool_ref.c
layers_SOURCES += layers/ref/ref_internal.h
layers_SOURCES += layers/ref/residual_ref.c

# The cpu backend.
EXTRA_DIST += layers/cpu/README.md
cpu_SOURCES =
cpu_SOURCES += layers/cpu/batchnorm_cpu.c
cpu_SOURCES += layers/cpu/conv_cpu.c
cpu_SOURCES += layers/cpu/conv_gemm.c
cpu_SOURCES += layers/cpu/conv_internal.h
cpu_SOURCES += layers/cpu/conv_run.c
cpu_SOURCES += layers/cpu/cpu_internal.h
cpu_SOURCES += layers/cpu/input_cpu.c
cpu_SOURCES += layers/cpu/kernels_cpu.c
cpu_SOURCES += layers/cpu/kernels_cpu.h
cpu_SOURCES += layers/cpu/linear_cpu.c
cpu_SOURCES += layers/cpu/loss_cpu.c
cpu_SOURCES += layers/cpu/onednn.c
cpu_SOURCES += layers/cpu/onednn.h
cpu_SOURCES += layers/cpu/onednn_desc.h
cpu_SOURCES += layers/cpu/optimizer_cpu.c
cpu_SOURCES += layers/cpu/planes_cpu.c
cpu_SOURCES += layers/cpu/pool_cpu.c
cpu_SOURCES += layers/cpu/residual_cpu.c
cpu_SOURCES += layers/cpu/simd.h
cpu_SOURCES += layers/cpu/team_cpu.c
cpu_SOURCES += layers/cpu/threads_cpu.c
cpu_SOURCES += layers/cpu/winograd.c
cpu_SOURCES += layers/cpu/winograd.h

# Its inner loops, compiled three times: for the baseline CPU, AVX2 and AVX-512. DT_SIMD_SUFFIX is part of every function's name;
# layers/cpu/kernels_cpu.c chooses a table of functions at run time. Vectors are passed only between inlined functions, so the ABI
# that -Wpsabi warns of does not matter.
layers_simd_SOURCES =
layers_simd_SOURCES += layers/cpu/simd.h
layers_simd_SOURCES += layers/cpu/simd_norm.c
layers_simd_SOURCES += layers/cpu/simd_pool.c
layers_simd_SOURCES += layers/cpu/simd_residual.c
layers_simd_SOURCES += layers/cpu/simd_table.c
layers_simd_SOURCES += layers/cpu/simd_update.c
layers_simd_SOURCES += layers/cpu/simd_vec.h
layers_simd_SOURCES += layers/cpu/simd_wgrad.c
layers_simd_SOURCES += layers/cpu/simd_winograd.c
layers_simd_SOURCES += layers/cpu/simd_winograd_block.h
layers_simd_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS) -Wno-psabi

if WITH_ONEDNN
layers_SOURCES += $(cpu_SOURCES)
if ONEDNN_3
layers_SOURCES += layers/cpu/onednn_desc3.c
else
layers_SOURCES += layers/cpu/onednn_desc2.c
endif
if BUILD_AVX2
noinst_LIBRARIES += liblayers_avx2.a
layers_archives += liblayers_avx2.a
liblayers_avx2_a_CPPFLAGS = $(layers_CPPFLAGS) -DDT_SIMD_SUFFIX=avx2
liblayers_avx2_a_CFLAGS = $(layers_simd_CFLAGS) $(AVX2_CFLAGS)
liblayers_avx2_a_SOURCES = $(layers_simd_SOURCES)
endif
if BUILD_AVX512
noinst_LIBRARIES += liblayers_avx512.a
layers_archives += liblayers_avx512.a
liblayers_avx512_a_CPPFLAGS = $(layers_CPPFLAGS) -DDT_SIMD_SUFFIX=avx512
liblayers_avx512_a_CFLAGS = $(layers_simd_CFLAGS) $(AVX512_CFLAGS)
liblayers_avx512_a_SOURCES = $(layers_simd_SOURCES)
endif
noinst_LIBRARIES += liblayers_baseline.a
layers_archives += liblayers_baseline.a
liblayers_baseline_a_CPPFLAGS = $(layers_CPPFLAGS) -DDT_SIMD_SUFFIX=baseline
liblayers_baseline_a_CFLAGS = $(layers_simd_CFLAGS)
liblayers_baseline_a_SOURCES = $(layers_simd_SOURCES)
endif
EXTRA_DIST += layers/README.md

# The part of the cuda backend that does not depend on CUDA.
layers_SOURCES += layers/cuda/conv_cuda.c
layers_SOURCES += layers/cuda/conv_join_backward_cuda.c
layers_SOURCES += layers/cuda/conv_join_cuda.c
layers_SOURCES += layers/cuda/conv_run_cuda.c
layers_SOURCES += layers/cuda/conv_stem_cuda.c
layers_SOURCES += layers/cuda/cuda_internal.h
layers_SOURCES += layers/cuda/fused_cuda.c
layers_SOURCES += layers/cuda/graph.c
layers_SOURCES += layers/cuda/graph.h
layers_SOURCES += layers/cuda/graph_build.c
layers_SOURCES += layers/cuda/graph_build.h
layers_SOURCES += layers/cuda/graph_conv.c
layers_SOURCES += layers/cuda/graph_conv.h
layers_SOURCES += layers/cuda/graph_residual.c
layers_SOURCES += layers/cuda/graph_residual.h
layers_SOURCES += layers/cuda/graph_residual_backward.c
layers_SOURCES += layers/cuda/graph_residual_backward.h
layers_SOURCES += layers/cuda/graph_sample.c
layers_SOURCES += layers/cuda/graph_sample.h
layers_SOURCES += layers/cuda/half_scales_cuda.c
layers_SOURCES += layers/cuda/kernels_cuda.c
layers_SOURCES += layers/cuda/kernels_cuda.h
layers_SOURCES += layers/cuda/launch.h
layers_SOURCES += layers/cuda/launch_count.c
layers_SOURCES += layers/cuda/linear_cuda.c
layers_SOURCES += layers/cuda/memory_cuda.c
layers_SOURCES += layers/cuda/operations_cuda.c
layers_SOURCES += layers/cuda/operations_cuda.h
layers_SOURCES += layers/cuda/plan_bench.c
layers_SOURCES += layers/cuda/plan_bench.h
layers_SOURCES += layers/cuda/plan_cache.c
layers_SOURCES += layers/cuda/plan_cache.h
layers_SOURCES += layers/cuda/plan_check.c
layers_SOURCES += layers/cuda/plan_check.h
layers_SOURCES += layers/cuda/plan_choose.c
layers_SOURCES += layers/cuda/plan_measure.c
layers_SOURCES += layers/cuda/plan_measure.h
layers_SOURCES += layers/cuda/plans_cuda.c
layers_SOURCES += layers/cuda/stem_blocks_cuda.c
layers_SOURCES += layers/cuda/values_cuda.c
# The part that depends on CUDA and cuDNN. Makefile.am has the rule for the kernels, *.cu.
cuda_SOURCES =
cuda_SOURCES += layers/cuda/average_pool.cu
cuda_SOURCES += layers/cuda/batchnorm.cu
cuda_SOURCES += layers/cuda/batchnorm_backward.cu
cuda_SOURCES += layers/cuda/input.cu
cuda_SOURCES += layers/cuda/linear.cu
cuda_SOURCES += layers/cuda/loss.cu
cuda_SOURCES += layers/cuda/max_pool.cu
cuda_SOURCES += layers/cuda/optimizer.cu
cuda_SOURCES += layers/cuda/residual.cu
cuda_SOURCES += layers/cuda/stem.cu
cuda_SOURCES += layers/cuda/step.cu
cuda_SOURCES += layers/cuda/sums_finish.cu
cuda_SOURCES += layers/cuda/values.cu
EXTRA_DIST += $(cuda_SOURCES) layers/cuda/kernel.cuh layers/cuda/norm.cuh
if WITH_CUDA
layers_SOURCES += $(cuda_SOURCES)
layers_SOURCES += layers/cuda/cudnn_engines.c
layers_SOURCES += layers/cuda/cudnn_engines.h
layers_SOURCES += layers/cuda/cudnn_graph.c
layers_SOURCES += layers/cuda/cudnn_graph.h
layers_SOURCES += layers/cuda/cudnn_library.c
layers_SOURCES += layers/cuda/cudnn_library.h
layers_SOURCES += layers/cuda/cudnn_runner.c
layers_SOURCES += layers/cuda/cudnn_runner.h
layers_SOURCES += layers/cuda/device_cuda.c
layers_SOURCES += layers/cuda/device_cuda.h
layers_SOURCES += layers/cuda/gpu_info_cuda.c
layers_SOURCES += layers/cuda/gpu_info_cuda.h
layers_SOURCES += layers/cuda/nvtx.c
layers_SOURCES += layers/cuda/nvtx.h
endif
EXTRA_DIST += layers/cuda/README.md
