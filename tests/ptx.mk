# tests/ptx/: the kernels as nvcc compiled them, executed by the tests of tests/layers.mk and tests/comm.mk (tests/README.md).
PROGRAM_TESTS += tests/ptx/ptx_test.sh
PROGRAM_FILES += tests/ptx/kernel_report.py
PROGRAM_FILES += tests/ptx/ptx_instructions.py
PROGRAM_FILES += tests/ptx/ptx_text.py
PROGRAM_FILES += tests/ptx/translate.py
ptx_library_SOURCES =
ptx_library_SOURCES += tests/ptx/library.c
ptx_library_SOURCES += tests/ptx/library.h
ptx_library_SOURCES += tests/ptx/races.c
ptx_library_SOURCES += tests/ptx/races.h
ptx_library_SOURCES += tests/ptx/semantics.h
EXTRA_DIST += $(ptx_library_SOURCES) tests/ptx/faults.cu tests/ptx/faults.h

# x.ptx90 is nvcc's PTX of x.cu for sm_90, x.translated90 the object that tests/ptx/translate.py and the C compiler make of it: -O1, because -O2
# compiles twice as long and runs no faster.
SUFFIXES += .ptx80 .ptx90 .translated80 .translated90
PTX = $(AM_V_NVCC)$(MKDIR_P) $(@D) && $(NVCC) $(DT_CPPFLAGS) -std=c++17 -fmad=false $(NVCCFLAGS) -MD -MP -MT $@ -MF $@.d -ptx -o $@ $<
PTX_CC = $(CC) $(DT_CPPFLAGS) -std=gnu11 -O1 -ffp-contract=off -fPIC -fvisibility=hidden
TRANSLATED = $(AM_V_GEN)PYTHONDONTWRITEBYTECODE=1 $(PYTHON3) $(srcdir)/tests/ptx/translate.py $< $<.c && $(PTX_CC) -w -c -o $@ $<.c
-include $(wildcard layers/cuda/*.ptx*.d comm/nccl/*.ptx*.d tests/ptx/*.d)
.cu.ptx80:
	$(PTX) -arch=compute_80
.cu.ptx90:
	$(PTX) -arch=compute_90
.ptx80.translated80:
	$(TRANSLATED)
.ptx90.translated90:
	$(TRANSLATED)

translator = tests/ptx/ptx_instructions.py tests/ptx/ptx_text.py tests/ptx/translate.py tests/ptx/library.h tests/ptx/machine.h tests/ptx/semantics.h
translated_sources = $(cuda_SOURCES) comm/nccl/wire.cu
translated80 = $(translated_sources:.cu=.translated80)
translated90 = $(translated_sources:.cu=.translated90)
$(translated80) $(translated90) tests/ptx/faults.translated90: $(translator)
# make would remove the PTX, as a file between two others.
.SECONDARY: $(translated_sources:.cu=.ptx80) $(translated_sources:.cu=.ptx90) tests/ptx/faults.ptx90
LINK_TRANSLATED = $(AM_V_CCLD)$(MKDIR_P) $(@D) && $(PTX_CC) $(DT_WARNING_CFLAGS) -shared -o $@ $(filter %.c %.translated80 %.translated90,$^) -lm
tests/ptx/sm_80.so: $(translated80) $(ptx_library_SOURCES)
	$(LINK_TRANSLATED)
tests/ptx/sm_90.so: $(translated90) $(ptx_library_SOURCES)
	$(LINK_TRANSLATED)
tests/ptx/faults.so: tests/ptx/faults.translated90 $(ptx_library_SOURCES)
	$(LINK_TRANSLATED)
if WITH_PTX_TESTS
check_DATA += tests/ptx/sm_90.so
check_DATA += tests/ptx/faults.so
check_DATA += $(if $(DTRAIN_TEST_LONG),tests/ptx/sm_80.so)
UNIT_HELPERS += tests/ptx/faults_cases
UNIT_HELPERS += tests/ptx/traffic
tests_ptx_faults_cases_LDADD = tests/ptx/faults.emulated tests/libemulated.a $(LDADD)
tests_ptx_traffic_LDADD = comm/nccl/wire.emulated $(LDADD)
tests_ptx_traffic_LDFLAGS = $(emulated_ldflags)
EXTRA_tests_ptx_traffic_DEPENDENCIES = tests/libemulated.a
# A table of the kernels: registers, occupancy, bytes moved, instructions. Of the build only errors are printed.
kernel-report-files: all $(translated_sources:.cu=.ptx80) tests/ptx/sm_90.so tests/ptx/traffic
kernel-report:
	@$(MAKE) kernel-report-files >/dev/null
	@for arch in 80 90; do \
	  PTXAS='$(dir $(NVCC))ptxas' $(PYTHON3) '$(srcdir)/tests/ptx/kernel_report.py' $$arch || exit 1; \
	done
else
EXTRA_DIST += tests/ptx/faults_cases.c tests/ptx/traffic.c
kernel-report:
	@echo 'kernel-report: this build has no PTX: it needs nvcc, CUDA headers, CUnit, python3, and no sanitizer' >&2; exit 1
endif
CLEANFILES += tests/ptx/*.so
CLEANFILES += layers/cuda/*.ptx80* layers/cuda/*.ptx90* comm/nccl/*.ptx80* comm/nccl/*.ptx90* tests/ptx/*.ptx90*
CLEANFILES += layers/cuda/*.translated80 layers/cuda/*.translated90 comm/nccl/*.translated80 comm/nccl/*.translated90 tests/ptx/*.translated90
CLEANFILES += tests/ptx/*.emulated tests/ptx/*.d
.PHONY: kernel-report kernel-report-files
