# launch/: the program. All but main.c is in liblaunch.a, so that tests link it.
noinst_LIBRARIES += liblaunch.a
LAUNCH_LIBS = $(LIBCONFIG_LIBS) $(JANSSON_LIBS) $(CURL_LIBS) $(MPI_LIBS)
liblaunch_a_SOURCES = $(launch_SOURCES)

bin_PROGRAMS += dtrain
dtrain_SOURCES = launch/main.c
dtrain_LDADD = $(our_archives) $(DT_EXTERNAL_LIBS)

launch_SOURCES =
EXTRA_DIST += launch/README.md
launch_SOURCES += launch/table.c launch/table.h
launch_SOURCES += launch/affinity.c launch/affinity.h launch/binding.c launch/binding.h
launch_SOURCES += launch/backends.c launch/backends.h
launch_SOURCES += launch/checkpoint_folders.c launch/checkpoint_folders.h
launch_SOURCES += launch/commands.h launch/demo_data.c launch/eval.c launch/export.c launch/info.c launch/inspect.c launch/train.c
launch_SOURCES += launch/computed_by.c launch/computed_by.h
launch_SOURCES += launch/console.c launch/console.h
launch_SOURCES += launch/generation_check.c launch/generation_check.h launch/generation_diff.c launch/generation_diff.h
launch_SOURCES += launch/generations.c launch/generations.h
launch_SOURCES += launch/gpu_file.c launch/gpu_file.h
launch_SOURCES += launch/batch.c launch/batch.h launch/fit.c launch/fit.h
launch_SOURCES += launch/profile.c launch/profile.h
launch_SOURCES += launch/machine.c launch/machine.h
launch_SOURCES += launch/duration.c launch/duration.h launch/events.c launch/events.h launch/http.c launch/http.h launch/slurm.c launch/slurm.h
launch_SOURCES += launch/spot.c launch/spot.h
launch_SOURCES += launch/openmp.c launch/openmp.h
launch_SOURCES += launch/options.c launch/options.h launch/options_file.c launch/options_parse.c
launch_SOURCES += launch/paper_device.c launch/paper_device.h launch/plans.c launch/plans.h
launch_SOURCES += launch/ranks.c launch/ranks.h
launch_SOURCES += launch/run_folder.c launch/run_folder.h
launch_SOURCES += launch/run_lock.c launch/run_lock.h
launch_SOURCES += launch/session.c launch/session.h
launch_SOURCES += launch/signals.c launch/signals.h
launch_SOURCES += launch/suggest.c launch/suggest.h
launch_SOURCES += launch/weights.c launch/weights.h

# GPUs that are described by files: built into the program, and installed as examples for others.
gpu_files = layers/cuda/devices/a100-40gb.json layers/cuda/devices/a100-80gb.json layers/cuda/devices/a10g.json layers/cuda/devices/h100.json \
	layers/cuda/devices/h200.json layers/cuda/devices/l4.json layers/cuda/devices/t4.json
devicesdir = $(pkgdatadir)/devices
dist_devices_DATA = $(gpu_files)
BUILT_SOURCES += launch/gpu_files.inc
CLEANFILES += launch/gpu_files.inc
launch/gpu_files.inc: $(gpu_files)
	$(AM_V_GEN)$(MKDIR_P) launch && for name in $(gpu_files); do \
	  file=$(srcdir)/$$name; base=$${name##*/}; \
	  echo "{\"$${base%.json}\","; $(SED) 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$file; echo '},'; \
	done >$@-t && mv $@-t $@
# Before the first build, when no dependencies are known yet, too.
launch/gpu_file.$(OBJEXT): launch/gpu_files.inc
