# core/: the interfaces and the training loop. It knows no library but libc, pthread and libm.
noinst_LIBRARIES += libdtcore.a
libdtcore_a_CPPFLAGS = $(DT_CPPFLAGS)
libdtcore_a_SOURCES = $(core_SOURCES)

core_SOURCES =
core_SOURCES += core/base/alloc.c core/base/alloc.h
core_SOURCES += core/base/clock.c core/base/clock.h
core_SOURCES += core/base/computed_by.c core/base/computed_by.h
core_SOURCES += core/base/error.c core/base/error.h
core_SOURCES += core/base/fault.c core/base/fault.h
core_SOURCES += core/base/large_copy.c core/base/large_copy.h
core_SOURCES += core/base/log.c core/base/log.h
core_SOURCES += core/base/rng.c core/base/rng.h
core_SOURCES += core/base/units.h
core_SOURCES += core/model/device_host.c core/model/device_host.h
core_SOURCES += core/model/tensor.c core/model/tensor.h
core_SOURCES += core/training/config.h
core_SOURCES += core/training/schedule.c core/training/schedule.h
core_SOURCES += core/comm.h core/device.h core/events.h core/kernels.h core/layer.h core/metrics.h core/source.h core/store.h
core_SOURCES += core/model/memory_plan.c core/model/memory_plan.h
core_SOURCES += core/model/net.c core/model/net.h core/model/net_build.c core/model/net_internal.h core/model/net_params.c core/model/net_state.c core/model/state_places.h
core_SOURCES += core/model/weights_order.c core/model/weights_order.h
core_SOURCES += core/training/device_wait.c core/training/device_wait.h
core_SOURCES += core/training/evaluate.c core/training/evaluate.h
core_SOURCES += core/training/step.c core/training/step.h core/training/step_results.c core/training/step_results.h
core_SOURCES += core/training/trainer.c core/training/trainer.h core/training/trainer_internal.h core/training/trainer_start.c core/training/trainer_state.c \
	core/training/trainer_tell.c
core_SOURCES += core/training/upload.c core/training/upload.h
core_SOURCES += core/training/votes.h
core_SOURCES += core/training/checkpoint_load.c core/training/checkpoint_find.c core/training/checkpoint_locate.c core/training/checkpoint_read.c \
	core/training/checkpoint_internal.h
core_SOURCES += core/training/checkpoint.h core/training/manifest.c core/training/saver.c core/training/saver.h core/training/writer.c core/training/writer.h core/training/mirror.c core/training/mirror.h core/training/snapshot.c core/training/snapshot.h
core_SOURCES += core/training/save_interval.c core/training/save_interval.h
core_SOURCES += core/training/agreement.c core/training/agreement.h
core_SOURCES += core/training/grad_buckets.c core/training/grad_buckets.h
EXTRA_DIST += core/README.md
core_SOURCES += core/training/profile.c core/training/profile.h
core_SOURCES += core/training/trainer_events.c core/training/trainer_mirror.c core/training/trainer_save.c
