# core/: the interfaces and the training loop. It knows no library but libc, pthread and libm.
noinst_LIBRARIES += libdtcore.a
libdtcore_a_CPPFLAGS = $(DT_CPPFLAGS)
libdtcore_a_SOURCES = $(core_SOURCES)

core_SOURCES =
core_SOURCES += core/base/alloc.c core/base/alloc.h
core_SOURCES += core/base/clock.c core/base/clock.h
core_SOURCES += core/base/error.c core/base/error.h
core_SOURCES += core/base/fault.c core/base/fault.h
core_SOURCES += core/base/log.c core/base/log.h
core_SOURCES += core/base/queue.c core/base/queue.h
core_SOURCES += core/base/rng.c core/base/rng.h
core_SOURCES += core/model/device_host.c core/model/device_host.h
core_SOURCES += core/model/tensor.c core/model/tensor.h
core_SOURCES += core/training/config.h
core_SOURCES += core/training/schedule.c core/training/schedule.h
