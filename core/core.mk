# core/: the interfaces and the training loop. It knows no library but libc, pthread and libm.
noinst_LIBRARIES += libdtcore.a
libdtcore_a_CPPFLAGS = $(DT_CPPFLAGS)
libdtcore_a_SOURCES = $(core_SOURCES)

core_SOURCES =
