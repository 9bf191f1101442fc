# benchmarks/: one program per question, built and not run by `make bench`. benchmarks/NAME is made of benchmarks/NAME.c; ranks_bench is dtrain itself.
BENCHMARKS =
BENCHMARKS += benchmarks/all_reduce_bench
BENCHMARKS += benchmarks/checkpoint_bench
BENCHMARKS += benchmarks/loader_bench
BENCHMARKS += benchmarks/ranks_bench
BENCHMARKS += benchmarks/step_bench
if WITH_ONEDNN
BENCHMARKS += benchmarks/conv_bench
else
EXTRA_DIST += benchmarks/conv_bench.c
endif

benchmarks_ranks_bench_SOURCES = launch/main.c benchmarks/ranks_bench.c tests/program/small_net.c
benchmarks_ranks_bench_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=dt_resnet_spec,--wrap=dt_backend_create,--wrap=dt_transport_create,--wrap=dt_net_forward

EXTRA_PROGRAMS = $(BENCHMARKS)
CLEANFILES += $(EXTRA_PROGRAMS)

bench: $(BENCHMARKS)
.PHONY: bench
EXTRA_DIST += benchmarks/README.md
EXTRA_DIST += benchmarks/RESULTS.md
EXTRA_DIST += benchmarks/compare.sh
EXTRA_DIST += benchmarks/compare_checkpoint.sh
EXTRA_DIST += benchmarks/compare_loader.sh
EXTRA_DIST += benchmarks/compare_saving.sh
EXTRA_DIST += benchmarks/compare_stage.sh
EXTRA_DIST += benchmarks/compare_step.sh
EXTRA_DIST += benchmarks/measure_ranks.sh
EXTRA_DIST += benchmarks/plan_against_run.sh
EXTRA_DIST += benchmarks/peers/s3_files.py
EXTRA_DIST += benchmarks/peers/torch_checkpoint.py
EXTRA_DIST += benchmarks/peers/torch_loader.py
EXTRA_DIST += benchmarks/peers/torch_step.py
