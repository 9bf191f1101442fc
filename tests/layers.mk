# Tests of layers/. A test program is one line: LAYERS_TESTS += tests/layers/NAME_test (from tests/layers/NAME_test.c).
LAYERS_TESTS += tests/layers/device_host_test
LAYERS_TESTS += tests/layers/half_test
LAYERS_TESTS += tests/layers/conv_input_test
LAYERS_TESTS += tests/layers/net_test
if WITH_ONEDNN
LAYERS_TESTS += tests/layers/cpu_against_ref_test
LAYERS_TESTS += tests/layers/cpu_avx2_test
LAYERS_TESTS += tests/layers/cpu_create_test
LAYERS_TESTS += tests/layers/cpu_optimizer_test
LAYERS_TESTS += tests/layers/cpu_sse41_test
LAYERS_TESTS += tests/layers/cpu_step_test
LAYERS_TESTS += tests/layers/cpu_team_test
LAYERS_TESTS += tests/layers/cpu_threads_test
LAYERS_TESTS += tests/layers/winograd_test
fakes_SOURCES += tests/cpu_cases.c
fakes_SOURCES += tests/cpu_cases.h
EXTRA_DIST += tests/layers/no_cpu_test.c
else
LAYERS_TESTS += tests/layers/no_cpu_test
EXTRA_DIST += tests/layers/cpu_against_ref_test.c
EXTRA_DIST += tests/layers/cpu_avx2_test.c
EXTRA_DIST += tests/layers/cpu_create_test.c
EXTRA_DIST += tests/layers/cpu_optimizer_test.c
EXTRA_DIST += tests/layers/cpu_sse41_test.c
EXTRA_DIST += tests/layers/cpu_step_test.c
EXTRA_DIST += tests/layers/cpu_team_test.c
EXTRA_DIST += tests/layers/cpu_threads_test.c
EXTRA_DIST += tests/layers/winograd_test.c
endif
LAYERS_TESTS += tests/layers/backend_cases_test
LAYERS_TESTS += tests/layers/mixed_precision_test
LAYERS_TESTS += tests/layers/net_hooks_test
LAYERS_TESTS += tests/layers/ref_conv_gradients_test
LAYERS_TESTS += tests/layers/ref_create_test
LAYERS_TESTS += tests/layers/ref_gradients_test
LAYERS_TESTS += tests/layers/ref_half_test
LAYERS_TESTS += tests/layers/ref_loss_test
LAYERS_TESTS += tests/layers/ref_operations_test
LAYERS_TESTS += tests/layers/ref_optimizer_test
LAYERS_TESTS += tests/layers/ref_tf32_test
LAYERS_TESTS += tests/layers/resnet_test
# Compare the operations of two backends: tests/backend_cases.h.
fakes_SOURCES += tests/backend_cases.c
fakes_SOURCES += tests/backend_cases.h
fakes_SOURCES += tests/backend_cases_conv.c
fakes_SOURCES += tests/backend_cases_ends.c
fakes_SOURCES += tests/backend_cases_join.c
fakes_SOURCES += tests/backend_cases_join_forward.c
fakes_SOURCES += tests/backend_cases_norm.c
fakes_SOURCES += tests/backend_cases_update.c
fakes_SOURCES += tests/backend_kit.c
fakes_SOURCES += tests/backend_kit.h
fakes_SOURCES += tests/backend_kit_acts.c
fakes_SOURCES += tests/backend_kit_conv.c
fakes_SOURCES += tests/gradients.c
fakes_SOURCES += tests/gradients.h
fakes_SOURCES += tests/naive.c
fakes_SOURCES += tests/naive.h
# The cuda backend's graphs.
LAYERS_TESTS += tests/layers/cuda_graph_test
LAYERS_TESTS += tests/layers/cuda_plan_bench_test
LAYERS_TESTS += tests/layers/cuda_plan_cache_test
LAYERS_TESTS += tests/layers/cuda_plan_run_test
LAYERS_TESTS += tests/layers/cuda_plans_test
# The CUDA runtime's functions are replaced.
if WITH_CUDA
LAYERS_TESTS += tests/layers/device_cuda_test
tests_layers_device_cuda_test_LDFLAGS = $(AM_LDFLAGS)
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaGetDeviceCount
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaDeviceGetAttribute
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaSetDevice
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaSetDeviceFlags
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaDeviceGetStreamPriorityRange
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaStreamCreateWithPriority
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaStreamDestroy
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaStreamBeginCapture
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaStreamEndCapture
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaGraphInstantiate
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaGraphDestroy
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaGraphUpload
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaGraphLaunch
tests_layers_device_cuda_test_LDFLAGS += -Wl,--wrap=cudaGraphExecDestroy
endif
EXTRA_DIST += tests/layers/device_cuda_test.c
fakes_SOURCES += tests/resnet_convs.c
fakes_SOURCES += tests/resnet_convs.h
# A GPU in host memory: tests/emulated/.
fakes_SOURCES += tests/emulated/device_emulated.c
fakes_SOURCES += tests/emulated/device_emulated.h
fakes_SOURCES += tests/emulated/device_internal.h
fakes_SOURCES += tests/emulated/faulty_engines.c
fakes_SOURCES += tests/emulated/faulty_engines.h
fakes_SOURCES += tests/emulated/gpu_emulated.c
fakes_SOURCES += tests/emulated/gpu_emulated.h
fakes_SOURCES += tests/emulated/graph_interpreter.c
fakes_SOURCES += tests/emulated/graph_interpreter.h
fakes_SOURCES += tests/emulated/interpreter_internal.h
fakes_SOURCES += tests/emulated/interpreter_memory.c
fakes_SOURCES += tests/emulated/interpreter_ops.c
fakes_SOURCES += tests/emulated/memory_emulated.c
fakes_SOURCES += tests/emulated/streams_emulated.c
fakes_SOURCES += tests/emulated/training_kit.c
fakes_SOURCES += tests/emulated/training_kit.h
fakes_SOURCES += tests/emulated/tensor_pair.c
fakes_SOURCES += tests/emulated/tensor_pair.h
LAYERS_TESTS += tests/emulated/device_test
LAYERS_TESTS += tests/emulated/interpreter_test
LAYERS_TESTS += tests/emulated/plan_check_test

# The cuda backend's kernels on the CPU. A test program that runs them needs emulated_ldflags and a dependency on tests/libemulated.a. The archive is
# linked whole, so that its functions are found before those that nvcc compiled from the same files.
emulator_SOURCES =
emulator_SOURCES += tests/emulator/cuda_emulator.h
emulator_SOURCES += tests/emulator/emulator.c
emulator_SOURCES += tests/emulator/emulator.h
emulator_SOURCES += tests/emulator/fiber.c
emulator_SOURCES += tests/emulator/fiber.h
emulator_SOURCES += tests/emulator/queue.c
emulator_SOURCES += tests/emulator/translated.c
emulator_SOURCES += tests/emulator/translated.h
emulator_SOURCES += tests/ptx/machine.h
EXTRA_DIST += tests/emulator/planted.cu
EXTRA_DIST += tests/emulator/planted.h
EXTRA_DIST += tests/emulator/samples.cu
EXTRA_DIST += tests/emulator/samples.h
PROGRAM_TESTS += tests/emulated/torch_test.sh
EXTRA_DIST += tests/emulated/torch_compare.py
torch_dump_SOURCES =
torch_dump_SOURCES += tests/emulated/torch_dump.c
torch_dump_SOURCES += tests/emulated/torch_dump.h
torch_dump_SOURCES += tests/emulated/torch_dump_graphs.c
torch_dump_SOURCES += tests/emulated/torch_dump_kernels.c
if HAVE_CUDA_HEADERS
check_LIBRARIES += tests/libemulated.a
tests_libemulated_a_SOURCES = $(emulator_SOURCES)
tests_libemulated_a_LIBADD = $(cuda_SOURCES:.cu=.emulated)
tests_libemulated_a_DEPENDENCIES = $(tests_libemulated_a_LIBADD)
emulated_ldflags = $(AM_LDFLAGS) -Wl,--whole-archive,tests/libemulated.a,--no-whole-archive
LAYERS_TESTS += tests/emulator/emulator_test
LAYERS_TESTS += tests/layers/cuda_fused_test
LAYERS_TESTS += tests/layers/cuda_grids_test
LAYERS_TESTS += tests/layers/cuda_kernels_test
LAYERS_TESTS += tests/layers/cuda_launchers_test
tests_emulator_emulator_test_LDADD = tests/emulator/samples.emulated tests/libemulated.a $(LDADD)
# It plans and launches nothing; these are the kernels of a build without nvcc.
tests_layers_cuda_fused_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_layers_cuda_fused_test_DEPENDENCIES = tests/libemulated.a
tests_layers_cuda_grids_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_layers_cuda_grids_test_DEPENDENCIES = tests/libemulated.a
tests_layers_cuda_kernels_test_LDADD = tests/emulator/planted.emulated $(LDADD)
tests_layers_cuda_kernels_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_layers_cuda_kernels_test_DEPENDENCIES = tests/libemulated.a
tests_layers_cuda_launchers_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_layers_cuda_launchers_test_DEPENDENCIES = tests/libemulated.a
# The whole backend on the CPU: tests/emulated/gpu_emulated.h.
LAYERS_TESTS += tests/emulated/cases_test
LAYERS_TESTS += tests/emulated/create_test
LAYERS_TESTS += tests/emulated/join_test
LAYERS_TESTS += tests/emulated/engines_test
LAYERS_TESTS += tests/emulated/fused_times_test
LAYERS_TESTS += tests/emulated/gradients_test
LAYERS_TESTS += tests/emulated/nan_test
LAYERS_TESTS += tests/emulated/rejection_test
LAYERS_TESTS += tests/emulated/stem_test
LAYERS_TESTS += tests/emulated/trainer_test
LAYERS_TESTS += tests/emulated/training_test
tests_emulated_cases_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_cases_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_create_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_create_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_engines_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_engines_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_fused_times_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_fused_times_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_gradients_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_gradients_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_nan_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_nan_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_rejection_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_rejection_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_join_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_join_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_stem_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_stem_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_trainer_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_trainer_test_DEPENDENCIES = tests/libemulated.a
tests_emulated_training_test_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_training_test_DEPENDENCIES = tests/libemulated.a
# Beside PyTorch.
UNIT_HELPERS += tests/emulated/torch_dump
tests_emulated_torch_dump_SOURCES = $(torch_dump_SOURCES)
tests_emulated_torch_dump_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_emulated_torch_dump_DEPENDENCIES = tests/libemulated.a
EXTRA_DIST += tests/emulated/no_headers_test.c
else
EXTRA_DIST += $(torch_dump_SOURCES)
LAYERS_TESTS += tests/emulated/no_headers_test
EXTRA_DIST += tests/emulated/cases_test.c
EXTRA_DIST += tests/emulated/create_test.c
EXTRA_DIST += tests/emulated/engines_test.c
EXTRA_DIST += tests/emulated/fused_times_test.c
EXTRA_DIST += tests/emulated/gradients_test.c
EXTRA_DIST += tests/emulated/nan_test.c
EXTRA_DIST += tests/emulated/rejection_test.c
EXTRA_DIST += tests/emulated/join_test.c
EXTRA_DIST += tests/emulated/stem_test.c
EXTRA_DIST += tests/emulated/trainer_test.c
EXTRA_DIST += tests/emulated/training_test.c
EXTRA_DIST += $(emulator_SOURCES) tests/layers/cuda_fused_test.c tests/layers/cuda_grids_test.c tests/layers/cuda_kernels_test.c tests/layers/cuda_launchers_test.c tests/emulator/emulator_test.c
endif
LAYERS_TESTS += tests/layers/profile_test

# On a real GPU.
fakes_SOURCES += tests/gpu/fused_bench.c
fakes_SOURCES += tests/gpu/fused_bench.h
fakes_SOURCES += tests/gpu/fused_counts.c
fakes_SOURCES += tests/gpu/fused_counts.h
fakes_SOURCES += tests/gpu/fused_times.c
fakes_SOURCES += tests/gpu/fused_times.h
fakes_SOURCES += tests/gpu/kept_convs.c
fakes_SOURCES += tests/gpu/kept_convs.h
fakes_SOURCES += tests/gpu/side_runner.c
fakes_SOURCES += tests/gpu/side_runner.h
if WITH_CUDA
LAYERS_TESTS += tests/gpu/gpu_test
TEST_HELPERS += tests/gpu/fused_main
endif
EXTRA_DIST += tests/gpu/fused_main.c
EXTRA_DIST += tests/gpu/gpu_test.c
