# Tests of comm/. COMM_TESTS += tests/comm/NAME_test adds the test program of tests/comm/NAME_test.c.
PROGRAM_TESTS += tests/comm/mpi_test.sh
PROGRAM_TESTS += tests/comm/multi_host_test.sh
UNIT_HELPERS += tests/comm/mpi_cases
TEST_HELPERS += tests/comm/mpi_failures
COMM_TESTS += tests/comm/deadline_clock_test
COMM_TESTS += tests/comm/deadline_test
COMM_TESTS += tests/comm/efa_test
COMM_TESTS += tests/comm/fake_comm_test
COMM_TESTS += tests/comm/mpi_local_test
COMM_TESTS += tests/comm/nccl_environment_test
COMM_TESTS += tests/comm/nccl_local_test
COMM_TESTS += tests/comm/nccl_network_test
COMM_TESTS += tests/comm/self_test
COMM_TESTS += tests/comm/wire_error_test
tests_comm_deadline_clock_test_LDFLAGS = $(fake_clock_flags)
TESTS_TSAN += tests/comm/fake_comm_test

# comm/nccl with a fake device, whose streams are threads, and a fake NCCL over sockets.
fakes_SOURCES += tests/fakes/fake_gpu.c
fakes_SOURCES += tests/fakes/fake_gpu.h
fakes_SOURCES += tests/fakes/fake_gpu_internal.h
fakes_SOURCES += tests/fakes/fake_gpu_streams.c
fakes_SOURCES += tests/fakes/fake_nccl.c
fakes_SOURCES += tests/fakes/fake_nccl.h
fakes_SOURCES += tests/fakes/fake_nccl_emulated.c
fakes_SOURCES += tests/fakes/fake_nccl_emulated.h
fakes_SOURCES += tests/fakes/fake_nccl_internal.h
fakes_SOURCES += tests/fakes/fake_nccl_kernels.c
TEST_HELPERS += tests/comm/nccl_failures
UNIT_HELPERS += tests/comm/nccl_bits_cases
UNIT_HELPERS += tests/comm/nccl_efa_cases
UNIT_HELPERS += tests/comm/nccl_training
# Run by itself it has one rank, also under the sanitizers. nccl_test.sh runs it with more.
COMM_TESTS += tests/comm/nccl_cases
TESTS_TSAN += tests/comm/nccl_cases
PROGRAM_TESTS += tests/comm/nccl_test.sh

# The kernels of comm/nccl, emulated on the CPU (tests/layers.mk).
if HAVE_CUDA_HEADERS
COMM_TESTS += tests/comm/nccl_wire_test
tests_comm_nccl_wire_test_LDADD = comm/nccl/wire.emulated tests/libemulated.a $(LDADD)
endif

# comm/nccl with NCCL itself, where there is a GPU.
PROGRAM_TESTS += tests/comm/nccl_gpu_test.sh
if WITH_NCCL
UNIT_HELPERS += tests/comm/nccl_gpu_cases
else
EXTRA_DIST += tests/comm/nccl_gpu_cases.c
endif

# Ranks on emulated GPUs.
if HAVE_CUDA_HEADERS
UNIT_HELPERS += tests/comm/nccl_emulated
tests_comm_nccl_emulated_LDADD = comm/nccl/wire.emulated $(LDADD)
tests_comm_nccl_emulated_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_comm_nccl_emulated_DEPENDENCIES = tests/libemulated.a
else
EXTRA_DIST += tests/comm/nccl_emulated.c
endif
