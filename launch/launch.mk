# launch/: the program. All but main.c is in liblaunch.a, so that tests link it.
noinst_LIBRARIES += liblaunch.a
LAUNCH_LIBS = $(LIBCONFIG_LIBS) $(HWLOC_LIBS)
liblaunch_a_SOURCES = $(launch_SOURCES)

bin_PROGRAMS += dtrain
dtrain_SOURCES = launch/main.c
dtrain_LDADD = $(our_archives) $(DT_EXTERNAL_LIBS)

launch_SOURCES =
launch_SOURCES += launch/table.c launch/table.h
