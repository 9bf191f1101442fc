# benchmarks/: one program per question, built and not run by `make bench`. benchmarks/NAME is made of benchmarks/NAME.c.
BENCHMARKS =

EXTRA_PROGRAMS = $(BENCHMARKS)
CLEANFILES += $(EXTRA_PROGRAMS)

bench: $(BENCHMARKS)
.PHONY: bench
