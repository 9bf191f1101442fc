# benchmarks/: one program per question, built and not run by `make bench`. benchmarks/NAME is made of benchmarks/NAME.c.
BENCHMARKS = benchmarks/step_bench benchmarks/loader_bench benchmarks/all_reduce_bench benchmarks/checkpoint_bench
if WITH_ONEDNN
BENCHMARKS += benchmarks/conv_bench
else
EXTRA_DIST += benchmarks/conv_bench.c
endif

EXTRA_PROGRAMS = $(BENCHMARKS)
CLEANFILES += $(EXTRA_PROGRAMS)

bench: $(BENCHMARKS)
.PHONY: bench
EXTRA_DIST += benchmarks/README.md benchmarks/compare.sh benchmarks/compare_checkpoint.sh benchmarks/compare_loader.sh benchmarks/compare_saving.sh benchmarks/compare_step.sh \
	benchmarks/peers/torch_checkpoint.py benchmarks/peers/torch_loader.py benchmarks/peers/torch_step.py
