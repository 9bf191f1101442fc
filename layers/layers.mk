# layers/: the layers and the compute backends (ref, cpu).
noinst_LIBRARIES += liblayers.a
layers_archives = liblayers.a
LAYERS_LIBS = $(ONEDNN_LIBS) $(OPENMP_CFLAGS)
layers_CPPFLAGS = $(DT_CPPFLAGS) $(ONEDNN_CFLAGS)
liblayers_a_CPPFLAGS = $(layers_CPPFLAGS)
liblayers_a_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
liblayers_a_SOURCES = $(layers_SOURCES)

layers_SOURCES =

layers_SOURCES += layers/add.c layers/batchnorm.c layers/conv.c layers/linear.c layers/pool.c layers/registry.c layers/registry.h \
	layers/resnet.c layers/resnet.h layers/softmax_loss.c

# The reference backend.
layers_SOURCES += layers/arithmetic.h layers/ref/kernels_ref.h layers/ref/ref_internal.h layers/ref/kernels_ref.c \
	layers/ref/batchnorm_ref.c layers/ref/conv_ref.c layers/ref/input_ref.c layers/ref/linear_ref.c \
	layers/ref/loss_ref.c layers/ref/matmul_ref.c layers/ref/optimizer_ref.c layers/ref/pool_ref.c \
	layers/ref/residual_ref.c

# Kernels compiled three times: for the baseline CPU (in liblayers.a, DT_SIMD_SUFFIX is baseline), AVX2 and AVX-512.
# Each file names its functions with the suffix; the caller picks by __builtin_cpu_supports at run time.
# layers_simd_SOURCES = layers/cpu/kernels_simd.c
layers_simd_SOURCES =

if BUILD_AVX2
noinst_LIBRARIES += liblayers_avx2.a
layers_archives += liblayers_avx2.a
liblayers_avx2_a_CPPFLAGS = $(layers_CPPFLAGS) -DDT_SIMD_SUFFIX=avx2
liblayers_avx2_a_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS) $(AVX2_CFLAGS)
liblayers_avx2_a_SOURCES = $(layers_simd_SOURCES)
endif
if BUILD_AVX512
noinst_LIBRARIES += liblayers_avx512.a
layers_archives += liblayers_avx512.a
liblayers_avx512_a_CPPFLAGS = $(layers_CPPFLAGS) -DDT_SIMD_SUFFIX=avx512
liblayers_avx512_a_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS) $(AVX512_CFLAGS)
liblayers_avx512_a_SOURCES = $(layers_simd_SOURCES)
endif
noinst_LIBRARIES += liblayers_baseline.a
layers_archives += liblayers_baseline.a
liblayers_baseline_a_CPPFLAGS = $(layers_CPPFLAGS) -DDT_SIMD_SUFFIX=baseline
liblayers_baseline_a_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
liblayers_baseline_a_SOURCES = $(layers_simd_SOURCES)
