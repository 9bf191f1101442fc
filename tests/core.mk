# Tests of core/. A test program is one line: CORE_TESTS += tests/core/NAME_test (from tests/core/NAME_test.c).
CORE_TESTS += tests/core/testing_test
CORE_TESTS += tests/core/alloc_test
CORE_TESTS += tests/core/clock_test
CORE_TESTS += tests/core/computed_by_test
CORE_TESTS += tests/core/device_host_test
CORE_TESTS += tests/core/error_test
CORE_TESTS += tests/core/fault_test
CORE_TESTS += tests/core/log_test
CORE_TESTS += tests/core/oom_test
CORE_TESTS += tests/core/rng_test
CORE_TESTS += tests/core/schedule_test
TESTS_TSAN += tests/core/alloc_test tests/core/fault_test tests/core/log_test
CORE_TESTS += tests/core/trainer_test tests/core/trainer_events_test tests/core/trainer_lag_test tests/core/trainer_options_test
fakes_SOURCES += tests/fakes/fake_comm.c tests/fakes/fake_comm.h tests/fakes/fake_source.c tests/fakes/fake_source.h \
	tests/fakes/fake_store.c tests/fakes/fake_store.h tests/fakes/lagging_comm.c tests/fakes/lagging_comm.h tests/fakes/lagging_kernels.c \
	tests/fakes/lagging_kernels.h tests/fakes/trainer_job.c tests/fakes/trainer_job.h
CORE_TESTS += tests/core/memory_plan_test
CORE_TESTS += tests/core/agreement_test tests/core/grad_buckets_test
TESTS_TSAN += tests/core/agreement_test tests/core/grad_buckets_test
CORE_TESTS += tests/core/save_interval_test
CORE_TESTS += tests/core/checkpoint_load_test
TESTS_TSAN += tests/core/checkpoint_load_test
fakes_SOURCES += tests/fakes/fake_shelf.c tests/fakes/fake_shelf.h tests/fakes/fleet.c tests/fakes/fleet.h tests/fakes/save_checkpoint.c \
	tests/fakes/save_checkpoint.h
CORE_TESTS += tests/core/snapshot_test tests/core/weights_order_test
TESTS_TSAN += tests/core/snapshot_test
CORE_TESTS += tests/core/checkpoint_random_test
CORE_TESTS += tests/core/writer_test tests/core/trainer_mirror_test
TESTS_TSAN += tests/core/writer_test tests/io/shard_copy_test
