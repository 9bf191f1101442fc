# tests/: how tests are built and run. Which tests there are: tests/FOLDER.mk.
#
#   make check          all tests; the long cases are skipped
#   make check-long     all tests, long cases too
#   make check-asan     all test programs (not scripts) under AddressSanitizer and UBSan, in build-asan/
#   make check-tsan     TESTS_TSAN under ThreadSanitizer, in build-tsan/
#   make check-parts    tests/program/parts_test.sh, also the cases that compile: builds without oneDNN, libcurl, CUDA, NCCL, CUnit
#   make check-clang    the whole tree compiled by clang, and TESTS_CLANG, in build-clang/
#   make check-aarch64  cross-compiled, in build-aarch64/, run by qemu-user, and compared with this build
#   make check-slurm    tests/program/slurm_test.sh, whose cases need Slurm
#   make check-mpich    TESTS_MPICH with MPICH in place of the MPI that was configured, in build-mpich/
#   make check-cloud    TESTS_CLOUD, beside AWS's own tools, which it installs in build-cloud/venv by pip: tests/cloud/
#   make check-one T=core/base/rng_test              one of them, without linking the others: tests/check-one
#   make check-one T=core/base/rng_test CASE=NAME    those of its cases whose names contain NAME

# Test programs, FOLDER/NAME_test made of FOLDER/NAME_test.c, link all archives; the linker drops what they do not use.
CORE_TESTS = tests/testing_test
LAYERS_TESTS =
COMM_TESTS =
IO_TESTS =
LAUNCH_TESTS =
# Scripts, NAME_test.sh.
PROGRAM_TESTS =
# Files that they read.
PROGRAM_FILES =
# What `make check-tsan` runs: tests with threads and without OpenMP, whose library ThreadSanitizer does not instrument.
TESTS_TSAN = tests/testing_test tests/program/harness_test.sh
# What `make check-clang` runs: oneDNN with clang's OpenMP, and one test or two of each folder.
TESTS_CLANG = tests/comm/mpi_test.sh
if WITH_CUNIT
TESTS_CLANG += tests/core/base/rng_test
TESTS_CLANG += tests/core/training/trainer_test
TESTS_CLANG += tests/io/source/resize_test
TESTS_CLANG += tests/io/store/hdf5_store_faults_test
TESTS_CLANG += tests/io/store/hdf5_store_test
if WITH_ONEDNN
TESTS_CLANG += tests/layers/cpu_create_test
TESTS_CLANG += tests/layers/cpu_sse41_test
TESTS_CLANG += tests/layers/cpu_step_test
endif
if HAVE_CUDA_HEADERS
TESTS_CLANG += tests/emulator/emulator_test
endif
endif
# What `make check-mpich` runs: tests that depend on the MPI library or on its launcher.
TESTS_MPICH =
TESTS_MPICH += tests/comm/mpi_test.sh
TESTS_MPICH += tests/comm/self_test
TESTS_MPICH += tests/launch/hardware/binding_test
TESTS_MPICH += tests/launch/hardware/transports_test
TESTS_MPICH += tests/program/dtrain_run_test.sh
TESTS_MPICH += tests/program/harness_test.sh
TESTS_MPICH += tests/program/launchers_test.sh
TESTS_MPICH += tests/program/learning_test.sh
TESTS_MPICH += tests/program/lost_peer_test.sh
# What `make check-cloud` runs.
TESTS_CLOUD =
# Implementations of core's interfaces for tests, and other code that tests share.
fakes_SOURCES =
# Other files that scripts read, and that make builds for them.
check_DATA =
# Like check_PROGRAMS, for programs that scripts start: those without tests/testing.h, and those with it.
TEST_HELPERS =
UNIT_HELPERS =
# Of tests that record system calls or let them fail.
call_script = tests/calls.c tests/calls.h tests/call_script.c tests/call_script.h

include $(top_srcdir)/tests/core.mk
include $(top_srcdir)/tests/layers.mk
include $(top_srcdir)/tests/comm.mk
include $(top_srcdir)/tests/io.mk
include $(top_srcdir)/tests/launch.mk
include $(top_srcdir)/tests/program.mk
include $(top_srcdir)/tests/ptx.mk
include $(top_srcdir)/tests/cloud.mk

UNIT_TESTS = $(CORE_TESTS) $(LAYERS_TESTS) $(COMM_TESTS) $(IO_TESTS) $(LAUNCH_TESTS)
if WITH_CUNIT
check_PROGRAMS = $(UNIT_TESTS) $(UNIT_HELPERS) $(TEST_HELPERS)
TESTS = $(UNIT_TESTS) $(PROGRAM_TESTS)
tests_libtesting_a_SOURCES = tests/testing.c tests/testing.h $(fakes_SOURCES)
else
# These programs do not link the fakes that need tests/testing.c.
check_PROGRAMS = $(TEST_HELPERS)
TESTS = tests/program/no_cunit_test.sh $(PROGRAM_TESTS)
tests_libtesting_a_SOURCES = tests/testing.h $(fakes_SOURCES)
EXTRA_DIST += $(UNIT_TESTS:=.c)
endif
EXTRA_DIST += tests/program/no_cunit_test.sh
EXTRA_DIST += $(PROGRAM_TESTS) $(TESTS_CLOUD) tests/README.md tests/check-one tests/driver tests/suggest tests/lib.sh tests/mpi.sh tests/ranks $(PROGRAM_FILES) tests/sanitizer/lsan.supp tests/sanitizer/tsan.supp \
	tests/cross/aarch64.sh tests/cross/same_test.sh

check_LIBRARIES += tests/libtesting.a
tests_libtesting_a_CPPFLAGS = $(DT_CPPFLAGS) $(CUNIT_CFLAGS) -DDT_TEST_TOP_SRCDIR='"$(abs_top_srcdir)"' \
	-DDT_TEST_MPIRUN='"$(MPIRUN)"'
AM_CPPFLAGS += $(CUNIT_CFLAGS)
LDADD = tests/libtesting.a $(our_archives) $(CUNIT_LIBS) $(DT_EXTERNAL_LIBS) $(EMULATED_LIBS)

TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = bash
LOG_DRIVER = bash $(top_srcdir)/tests/driver $(SHELL) $(top_srcdir)/autotools/build-aux/test-driver
SH_LOG_DRIVER = $(LOG_DRIVER)

AM_TESTS_ENVIRONMENT = \
	DTRAIN='$(abs_top_builddir)/dtrain'; export DTRAIN; \
	TOP_SRCDIR='$(abs_top_srcdir)'; export TOP_SRCDIR; \
	TOP_BUILDDIR='$(abs_top_builddir)'; export TOP_BUILDDIR; \
	MPIRUN='$(MPIRUN)'; export MPIRUN; \
	OMP_WAIT_POLICY=passive; export OMP_WAIT_POLICY; \
	LINK='$(CC) $(CFLAGS) $(DT_SANITIZER_CFLAGS) $(LDFLAGS)'; export LINK; \
	$(SANITIZER_ENVIRONMENT)

SANITIZER_ENVIRONMENT =
# fast_unwind_on_malloc=0: the libraries have no frame pointers, and a leak's stack would be wrong.
# allocator_may_return_null=1: tests allocate more memory than there is, and expect NULL.
if ASAN
SANITIZER_ENVIRONMENT += \
	LSAN_OPTIONS='suppressions=$(abs_top_srcdir)/tests/sanitizer/lsan.supp:print_suppressions=0'; export LSAN_OPTIONS; \
	ASAN_OPTIONS=fast_unwind_on_malloc=0:allocator_may_return_null=1; export ASAN_OPTIONS; \
	UBSAN_OPTIONS=print_stacktrace=1; export UBSAN_OPTIONS; \
	DTRAIN_TEST_SLOWER=4; export DTRAIN_TEST_SLOWER;
endif
if TSAN
SANITIZER_ENVIRONMENT += \
	TSAN_OPTIONS='suppressions=$(abs_top_srcdir)/tests/sanitizer/tsan.supp:halt_on_error=1:allocator_may_return_null=1'; export TSAN_OPTIONS; \
	OMP_NUM_THREADS=1; export OMP_NUM_THREADS; \
	DTRAIN_TEST_SLOWER=10; export DTRAIN_TEST_SLOWER;
endif

# Builds all tests without running them.
check-programs: $(check_PROGRAMS) $(check_LIBRARIES) $(check_DATA)

check-one:
	+@$(AM_TESTS_ENVIRONMENT) T='$(T)' CASE='$(CASE)' UNIT_TESTS='$(UNIT_TESTS)' PROGRAM_TESTS='$(PROGRAM_TESTS) $(TESTS_CLOUD)' \
	  PROGRAMS='$(check_PROGRAMS) $(check_DATA)' BUILD='$(MAKE) $(AM_MAKEFLAGS) --no-print-directory' bash '$(srcdir)/tests/check-one'

check-long:
	DTRAIN_TEST_LONG=1 $(MAKE) $(AM_MAKEFLAGS) check

check-asan:
	@$(configure_in_subfolder) build-asan --enable-sanitizer=address,undefined $(one_cuda_arch)
	$(MAKE) -C build-asan check TESTS='$(UNIT_TESTS)'

check-tsan:
	@$(configure_in_subfolder) build-tsan --enable-sanitizer=thread $(one_cuda_arch)
	$(MAKE) -C build-tsan check TESTS='$(TESTS_TSAN)'

# nvcc uses GCC, so CUDA kernels are compiled for the CPU only.
check-clang:
	@$(configure_in_subfolder) build-clang CC=clang CXX=clang++ CFLAGS=-O1 NVCC=/bin/false --enable-werror
	$(MAKE) -C build-clang bench
	$(MAKE) -C build-clang check TESTS='$(TESTS_CLANG)'

# Writes a log and a result where .ci/run reads them.
check-parts:
	@$(MKDIR_P) build-parts/tests
	@$(AM_TESTS_ENVIRONMENT) DTRAIN_TEST_PARTS=1 $(LOG_DRIVER) --test-name parts_test \
	  --log-file build-parts/tests/parts_test.log --trs-file build-parts/tests/parts_test.trs --color-tests no \
	  -- $(SH_LOG_COMPILER) $(abs_top_srcdir)/tests/program/parts_test.sh
	@cat build-parts/tests/parts_test.log
	@grep -q '^:test-result: PASS' build-parts/tests/parts_test.trs

# DTRAIN_CLOUD_VENV=DIR keeps the packages in DIR for the next build folder. Where they cannot be installed, the tests are skipped with that reason.
# Writes logs and results where .ci/run reads them.
check-cloud: all tests/program/aws_job
	@$(MKDIR_P) build-cloud/tests
	-@bash '$(abs_top_srcdir)/tests/cloud/venv.sh' "$${DTRAIN_CLOUD_VENV:-build-cloud/venv}"
	@$(AM_TESTS_ENVIRONMENT) failed=0; \
	for test in $(TESTS_CLOUD); do \
	  results=build-cloud/tests/`basename $$test .sh`; \
	  $(LOG_DRIVER) --test-name $$test --log-file $$results.log --trs-file $$results.trs --color-tests no \
	    -- $(SH_LOG_COMPILER) '$(abs_top_srcdir)'/$$test; \
	  cat $$results.log; \
	  grep -qE '^:test-result: (PASS|SKIP)' $$results.trs || failed=1; \
	done; \
	exit $$failed

# It reads this build's program and sample_dump.
check-aarch64: all tests/io/source/sample_dump
	@TOP_SRCDIR='$(abs_top_srcdir)' TOP_BUILDDIR='$(abs_top_builddir)' bash '$(srcdir)/tests/cross/aarch64.sh'

check-slurm:
	+@DTRAIN_TEST_LONG=1 $(MAKE) $(AM_MAKEFLAGS) --no-print-directory check-one T=program/slurm_test

# Debian's names; elsewhere: make check-mpich MPICH_CC=/usr/lib64/mpich/bin/mpicc MPICH_RUN=/usr/lib64/mpich/bin/mpiexec
MPICH_CC = mpicc.mpich
MPICH_RUN = mpiexec.mpich
check-mpich:
	@if ! command -v $(MPICH_CC) >/dev/null || ! command -v $(MPICH_RUN) >/dev/null; then \
	  echo 'skipped: there is no $(MPICH_CC) or no $(MPICH_RUN) here: autotools/install-packages mpich'; \
	else \
	  ($(configure_in_subfolder) build-mpich --without-cuda MPICC=$(MPICH_CC) MPIRUN=$(MPICH_RUN)) && \
	  $(MAKE) $(AM_MAKEFLAGS) -C build-mpich check check_PROGRAMS='$(PROGRAMS_MPICH)' TESTS='$(TESTS_MPICH)'; \
	fi
# The programs of these tests, and those that the scripts start.
PROGRAMS_MPICH = tests/comm/self_test tests/launch/hardware/transports_test tests/launch/hardware/binding_test tests/comm/mpi_cases tests/comm/mpi_failures \
	tests/program/planted_failures tests/program/planted_ranks tests/program/chaos_job

# nvcc is slow, and these builds do not run what it compiles.
one_cuda_arch = --enable-cuda-archs=80
AM_DISTCHECK_CONFIGURE_FLAGS = $(one_cuda_arch)

# configure_in_subfolder FOLDER OPTIONS: the same configuration as here, and OPTIONS; once.
configure_in_subfolder = \
	sub () { \
	  test ! -f "$$1/Makefile" || return 0; \
	  if test -f '$(abs_top_srcdir)/config.status'; then \
	    echo 'make $@ wants a source folder that is not configured itself: make distclean, then configure in build/' >&2; \
	    return 1; \
	  fi; \
	  same=`./config.status --config` && $(MKDIR_P) "$$1" && cd "$$1" && \
	    shift && eval "'$(abs_top_srcdir)/configure' $$same $$*"; \
	}; sub

# Format, spelling and scripts of the sources, built or not.
format format-check spell-check shell-check:
	@'$(srcdir)/.ci/style' $@

clean-local:
	rm -rf build-asan build-tsan build-clang build-parts build-aarch64 build-mpich

.PHONY: check-programs check-one check-long check-asan check-tsan check-clang check-parts check-aarch64 check-cloud check-mpich check-slurm \
	format format-check spell-check shell-check
