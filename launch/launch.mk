# launch/: the program. All but main.c is in liblaunch.a, so that tests link it.
noinst_LIBRARIES += liblaunch.a
LAUNCH_LIBS = $(LIBCONFIG_LIBS) $(JANSSON_LIBS) $(CURL_LIBS) $(EXPAT_LIBS) $(HWLOC_LIBS) $(MPI_LIBS)
liblaunch_a_SOURCES = $(launch_SOURCES)

bin_PROGRAMS += dtrain
dtrain_SOURCES = launch/main.c
dtrain_LDADD = $(our_archives) $(DT_EXTERNAL_LIBS)

launch_SOURCES =
launch_SOURCES += launch/checkpoints/check.c
launch_SOURCES += launch/checkpoints/check.h
launch_SOURCES += launch/checkpoints/diff.c
launch_SOURCES += launch/checkpoints/diff.h
launch_SOURCES += launch/checkpoints/reader.c
launch_SOURCES += launch/checkpoints/reader.h
launch_SOURCES += launch/checkpoints/verify.c
launch_SOURCES += launch/checkpoints/verify.h
launch_SOURCES += launch/checkpoints/weights.c
launch_SOURCES += launch/checkpoints/weights.h
launch_SOURCES += launch/checkpoints/weights_export.c
launch_SOURCES += launch/checkpoints/weights_internal.h
launch_SOURCES += launch/cloud/aws_check.c
launch_SOURCES += launch/cloud/aws_check.h
launch_SOURCES += launch/cloud/aws_credentials.c
launch_SOURCES += launch/cloud/aws_credentials.h
launch_SOURCES += launch/cloud/aws_credentials_find.c
launch_SOURCES += launch/cloud/aws_endpoints.c
launch_SOURCES += launch/cloud/aws_endpoints.h
launch_SOURCES += launch/cloud/aws_environment.h
launch_SOURCES += launch/cloud/aws_error.c
launch_SOURCES += launch/cloud/aws_error.h
launch_SOURCES += launch/cloud/aws_prices.c
launch_SOURCES += launch/cloud/aws_prices.h
launch_SOURCES += launch/cloud/aws_profile.c
launch_SOURCES += launch/cloud/aws_profile.h
launch_SOURCES += launch/cloud/aws_renewal.c
launch_SOURCES += launch/cloud/aws_renewal.h
launch_SOURCES += launch/cloud/aws_request.c
launch_SOURCES += launch/cloud/aws_request.h
launch_SOURCES += launch/cloud/aws_service.c
launch_SOURCES += launch/cloud/aws_service.h
launch_SOURCES += launch/cloud/aws_settings.c
launch_SOURCES += launch/cloud/aws_settings.h
launch_SOURCES += launch/cloud/aws_zones.c
launch_SOURCES += launch/cloud/aws_zones.h
launch_SOURCES += launch/cloud/download.c
launch_SOURCES += launch/cloud/download.h
launch_SOURCES += launch/cloud/http.c
launch_SOURCES += launch/cloud/http.h
launch_SOURCES += launch/cloud/object_checksum.c
launch_SOURCES += launch/cloud/object_checksum.h
launch_SOURCES += launch/cloud/s3.c
launch_SOURCES += launch/cloud/s3.h
launch_SOURCES += launch/cloud/s3_address.c
launch_SOURCES += launch/cloud/s3_address.h
launch_SOURCES += launch/cloud/s3_error.c
launch_SOURCES += launch/cloud/s3_error.h
launch_SOURCES += launch/cloud/s3_internal.h
launch_SOURCES += launch/cloud/s3_list.c
launch_SOURCES += launch/cloud/s3_page.c
launch_SOURCES += launch/cloud/s3_page.h
launch_SOURCES += launch/cloud/s3_signature.c
launch_SOURCES += launch/cloud/s3_signature.h
launch_SOURCES += launch/cloud/sha256.c
launch_SOURCES += launch/cloud/sha256.h
launch_SOURCES += launch/cloud/spot_notice.c
launch_SOURCES += launch/cloud/spot_notice.h
launch_SOURCES += launch/cloud/transfer_answer.c
launch_SOURCES += launch/cloud/transfer_answer.h
launch_SOURCES += launch/cloud/transfer_judge.c
launch_SOURCES += launch/cloud/transfer_queue.h
launch_SOURCES += launch/cloud/transfer_slot.c
launch_SOURCES += launch/cloud/transfer_slot.h
launch_SOURCES += launch/cloud/transfer_wait.c
launch_SOURCES += launch/cloud/transfer_wait.h
launch_SOURCES += launch/cloud/transfer_width.c
launch_SOURCES += launch/cloud/transfer_width.h
launch_SOURCES += launch/cloud/transfers.c
launch_SOURCES += launch/cloud/transfers.h
launch_SOURCES += launch/cloud/transfers_none.c
launch_SOURCES += launch/cloud/xml.c
launch_SOURCES += launch/cloud/xml.h
launch_SOURCES += launch/cluster/address.c
launch_SOURCES += launch/cluster/address.h
launch_SOURCES += launch/cluster/cluster.c
launch_SOURCES += launch/cluster/cluster.h
launch_SOURCES += launch/cluster/costs.c
launch_SOURCES += launch/cluster/costs.h
launch_SOURCES += launch/cluster/generated.c
launch_SOURCES += launch/cluster/generated.h
launch_SOURCES += launch/cluster/parallelcluster.c
launch_SOURCES += launch/cluster/parallelcluster.h
launch_SOURCES += launch/cluster/plan_file.c
launch_SOURCES += launch/cluster/plan_file.h
launch_SOURCES += launch/cluster/quotas.c
launch_SOURCES += launch/cluster/quotas.h
launch_SOURCES += launch/cluster/region.c
launch_SOURCES += launch/cluster/region.h
launch_SOURCES += launch/cluster/steps.c
launch_SOURCES += launch/cluster/steps.h
launch_SOURCES += launch/cluster/templates.c
launch_SOURCES += launch/cluster/templates.h
launch_SOURCES += launch/cluster/yaml.c
launch_SOURCES += launch/cluster/yaml.h
launch_SOURCES += launch/commands/auto_batch.c
launch_SOURCES += launch/commands/auto_batch.h
launch_SOURCES += launch/commands/bench.c
launch_SOURCES += launch/commands/bench_images.c
launch_SOURCES += launch/commands/bench_images.h
launch_SOURCES += launch/commands/bench_input.c
launch_SOURCES += launch/commands/bench_measure.h
launch_SOURCES += launch/commands/bench_meter.c
launch_SOURCES += launch/commands/bench_meter.h
launch_SOURCES += launch/commands/bench_parts.c
launch_SOURCES += launch/commands/bench_parts.h
launch_SOURCES += launch/commands/bench_report.c
launch_SOURCES += launch/commands/bench_report.h
launch_SOURCES += launch/commands/bench_training.c
launch_SOURCES += launch/commands/cluster.c
launch_SOURCES += launch/commands/commands.h
launch_SOURCES += launch/commands/demo_data.c
launch_SOURCES += launch/commands/eval.c
launch_SOURCES += launch/commands/export.c
launch_SOURCES += launch/commands/info.c
launch_SOURCES += launch/commands/init_weights.c
launch_SOURCES += launch/commands/init_weights.h
launch_SOURCES += launch/commands/inspect.c
launch_SOURCES += launch/commands/inspect_engines.c
launch_SOURCES += launch/commands/inspect_engines.h
launch_SOURCES += launch/commands/plan.c
launch_SOURCES += launch/commands/plan_aws.h
launch_SOURCES += launch/commands/plan_check.c
launch_SOURCES += launch/commands/plan_here.c
launch_SOURCES += launch/commands/plan_here.h
launch_SOURCES += launch/commands/plan_json.c
launch_SOURCES += launch/commands/plan_output.h
launch_SOURCES += launch/commands/plan_refresh.c
launch_SOURCES += launch/commands/plan_scale.c
launch_SOURCES += launch/commands/plan_table.c
launch_SOURCES += launch/commands/rank_table.c
launch_SOURCES += launch/commands/rank_table.h
launch_SOURCES += launch/commands/run_log.c
launch_SOURCES += launch/commands/run_log.h
launch_SOURCES += launch/commands/session.c
launch_SOURCES += launch/commands/session.h
launch_SOURCES += launch/commands/train.c
launch_SOURCES += launch/commands/where.c
launch_SOURCES += launch/estimate/catalog.c
launch_SOURCES += launch/estimate/catalog.h
launch_SOURCES += launch/estimate/catalog_build.c
launch_SOURCES += launch/estimate/catalog_build.h
launch_SOURCES += launch/estimate/catalog_date.c
launch_SOURCES += launch/estimate/catalog_date.h
launch_SOURCES += launch/estimate/catalog_instances.c
launch_SOURCES += launch/estimate/catalog_load.c
launch_SOURCES += launch/estimate/catalog_machine.c
launch_SOURCES += launch/estimate/catalog_prices.c
launch_SOURCES += launch/estimate/catalog_rates.c
launch_SOURCES += launch/estimate/catalog_read.c
launch_SOURCES += launch/estimate/catalog_write.c
launch_SOURCES += launch/estimate/choices.c
launch_SOURCES += launch/estimate/choices.h
launch_SOURCES += launch/estimate/choices_internal.h
launch_SOURCES += launch/estimate/cost.c
launch_SOURCES += launch/estimate/cost.h
launch_SOURCES += launch/estimate/data_files.c
launch_SOURCES += launch/estimate/data_files.h
launch_SOURCES += launch/estimate/gpu_spec.c
launch_SOURCES += launch/estimate/gpu_spec.h
launch_SOURCES += launch/estimate/here.c
launch_SOURCES += launch/estimate/here.h
launch_SOURCES += launch/estimate/interruption_times.c
launch_SOURCES += launch/estimate/interruptions.c
launch_SOURCES += launch/estimate/interruptions.h
launch_SOURCES += launch/estimate/json_reader.c
launch_SOURCES += launch/estimate/json_reader.h
launch_SOURCES += launch/estimate/memory.c
launch_SOURCES += launch/estimate/memory.h
launch_SOURCES += launch/estimate/offline_device.c
launch_SOURCES += launch/estimate/offline_device.h
launch_SOURCES += launch/estimate/plan_command.c
launch_SOURCES += launch/estimate/plan_command.h
launch_SOURCES += launch/estimate/plan_page.c
launch_SOURCES += launch/estimate/plan_page.h
launch_SOURCES += launch/estimate/plan_page_bars.c
launch_SOURCES += launch/estimate/plan_page_cost.c
launch_SOURCES += launch/estimate/plan_page_internal.h
launch_SOURCES += launch/estimate/plan_page_run.c
launch_SOURCES += launch/estimate/plan_page_stages.c
launch_SOURCES += launch/estimate/plan_page_tables.c
launch_SOURCES += launch/estimate/plan_page_words.c
launch_SOURCES += launch/estimate/plan_rows.c
launch_SOURCES += launch/estimate/plan_scale.c
launch_SOURCES += launch/estimate/plan_scale.h
launch_SOURCES += launch/estimate/plan_words.c
launch_SOURCES += launch/estimate/plan_words.h
launch_SOURCES += launch/estimate/recommend.c
launch_SOURCES += launch/estimate/recommend.h
launch_SOURCES += launch/estimate/roofline.c
launch_SOURCES += launch/estimate/roofline.h
launch_SOURCES += launch/estimate/seed_table.c
launch_SOURCES += launch/estimate/seed_table.h
launch_SOURCES += launch/estimate/step_model.c
launch_SOURCES += launch/estimate/step_model.h
launch_SOURCES += launch/estimate/step_trace.c
launch_SOURCES += launch/estimate/step_trace.h
launch_SOURCES += launch/estimate/throughput.c
launch_SOURCES += launch/estimate/throughput.h
launch_SOURCES += launch/estimate/trace_runner.c
launch_SOURCES += launch/estimate/trace_runner.h
launch_SOURCES += launch/estimate/workload.c
launch_SOURCES += launch/estimate/workload.h
launch_SOURCES += launch/estimate/zone.c
launch_SOURCES += launch/estimate/zone.h
launch_SOURCES += launch/hardware/affinity.c
launch_SOURCES += launch/hardware/affinity.h
launch_SOURCES += launch/hardware/backends.c
launch_SOURCES += launch/hardware/backends.h
launch_SOURCES += launch/hardware/binding.c
launch_SOURCES += launch/hardware/binding.h
launch_SOURCES += launch/hardware/cgroup.c
launch_SOURCES += launch/hardware/cgroup.h
launch_SOURCES += launch/hardware/computed_by.c
launch_SOURCES += launch/hardware/computed_by.h
launch_SOURCES += launch/hardware/machine.c
launch_SOURCES += launch/hardware/machine.h
launch_SOURCES += launch/hardware/openmp.c
launch_SOURCES += launch/hardware/openmp.h
launch_SOURCES += launch/hardware/placement.c
launch_SOURCES += launch/hardware/placement.h
launch_SOURCES += launch/hardware/settings.c
launch_SOURCES += launch/hardware/settings.h
launch_SOURCES += launch/hardware/team.c
launch_SOURCES += launch/hardware/team.h
launch_SOURCES += launch/hardware/topology.c
launch_SOURCES += launch/hardware/topology.h
launch_SOURCES += launch/hardware/transports.c
launch_SOURCES += launch/hardware/transports.h
launch_SOURCES += launch/options/check.c
launch_SOURCES += launch/options/defaults.c
launch_SOURCES += launch/options/duration.c
launch_SOURCES += launch/options/duration.h
launch_SOURCES += launch/options/file.c
launch_SOURCES += launch/options/file_slips.c
launch_SOURCES += launch/options/file_slips.h
launch_SOURCES += launch/options/options.h
launch_SOURCES += launch/options/parse.c
launch_SOURCES += launch/options/suggest.c
launch_SOURCES += launch/options/suggest.h
launch_SOURCES += launch/options/table.c
launch_SOURCES += launch/options/table_cloud.h
launch_SOURCES += launch/options/value.c
launch_SOURCES += launch/run/checkpoint_folders.c
launch_SOURCES += launch/run/checkpoint_folders.h
launch_SOURCES += launch/run/job.c
launch_SOURCES += launch/run/job.h
launch_SOURCES += launch/run/lock_owner.c
launch_SOURCES += launch/run/lock_owner.h
launch_SOURCES += launch/run/resume_check.c
launch_SOURCES += launch/run/resume_check.h
launch_SOURCES += launch/run/run_engines.c
launch_SOURCES += launch/run/run_engines.h
launch_SOURCES += launch/run/run_folder.c
launch_SOURCES += launch/run/run_folder.h
launch_SOURCES += launch/run/run_lock.c
launch_SOURCES += launch/run/run_lock.h
launch_SOURCES += launch/show/axis.c
launch_SOURCES += launch/show/axis.h
launch_SOURCES += launch/show/console.c
launch_SOURCES += launch/show/console.h
launch_SOURCES += launch/show/html.c
launch_SOURCES += launch/show/html.h
launch_SOURCES += launch/show/labels.c
launch_SOURCES += launch/show/labels.h
launch_SOURCES += launch/show/layer_times.c
launch_SOURCES += launch/show/layer_times.h
launch_SOURCES += launch/show/output.c
launch_SOURCES += launch/show/output.h
launch_SOURCES += launch/show/shell.c
launch_SOURCES += launch/show/shell.h
launch_SOURCES += launch/show/svg.c
launch_SOURCES += launch/show/svg.h
launch_SOURCES += launch/show/table.c
launch_SOURCES += launch/show/table.h
launch_SOURCES += launch/stop/events.c
launch_SOURCES += launch/stop/events.h
launch_SOURCES += launch/stop/exit_report.c
launch_SOURCES += launch/stop/exit_report.h
launch_SOURCES += launch/stop/signals.c
launch_SOURCES += launch/stop/signals.h
launch_SOURCES += launch/stop/slurm_limit.c
launch_SOURCES += launch/stop/slurm_limit.h
launch_SOURCES += launch/stop/start_watch.c
launch_SOURCES += launch/stop/start_watch.h

EXTRA_DIST += launch/README.md
EXTRA_DIST += launch/estimate/README.md

# GPUs that are described by files: built into the program, and installed as examples for others.
gpu_files =
gpu_files += layers/cuda/devices/a100-40gb.json
gpu_files += layers/cuda/devices/a100-80gb.json
gpu_files += layers/cuda/devices/a10g.json
gpu_files += layers/cuda/devices/h100.json
gpu_files += layers/cuda/devices/h200.json
gpu_files += layers/cuda/devices/l4.json
gpu_files += layers/cuda/devices/t4.json
devicesdir = $(pkgdatadir)/devices
dist_devices_DATA = $(gpu_files)
BUILT_SOURCES += launch/estimate/gpu_specs.inc
CLEANFILES += launch/estimate/gpu_specs.inc
launch/estimate/gpu_specs.inc: $(gpu_files)
	$(AM_V_GEN)$(MKDIR_P) launch/estimate && for name in $(gpu_files); do \
	  file=$(srcdir)/$$name; base=$${name##*/}; \
	  echo "{\"$${base%.json}\","; $(SED) 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$file; echo '},'; \
	done >$@-t && mv $@-t $@
# Before the first build, when no dependencies are known yet, too.
launch/estimate/gpu_spec.$(OBJEXT): launch/estimate/gpu_specs.inc

# The style of HTML pages, as a string literal.
EXTRA_DIST += launch/show/page.css
BUILT_SOURCES += launch/show/page_css.inc
CLEANFILES += launch/show/page_css.inc
launch/show/page_css.inc: launch/show/page.css
	$(AM_V_GEN)$(MKDIR_P) launch/show && \
	  $(SED) 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $(srcdir)/launch/show/page.css >$@-t && mv $@-t $@
launch/show/html.$(OBJEXT): launch/show/page_css.inc

# The data of `dtrain plan`: built into the program, and installed for users to copy and change.
data_files =
data_files += launch/estimate/data/instances.json
data_files += launch/estimate/data/prices.json
data_files += launch/estimate/data/rates.json
dist_pkgdata_DATA = $(data_files)
BUILT_SOURCES += launch/estimate/data_files.inc
CLEANFILES += launch/estimate/data_files.inc
launch/estimate/data_files.inc: $(data_files)
	$(AM_V_GEN)$(MKDIR_P) launch/estimate && for name in $(data_files); do \
	  file=$(srcdir)/$$name; \
	  echo "{\"$${name##*/}\","; $(SED) 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$file; echo '},'; \
	done >$@-t && mv $@-t $@
launch/estimate/data_files.$(OBJEXT): launch/estimate/data_files.inc

# Published traces of spot instances: built into the program, and installed to be read.
dist_pkgdata_DATA += launch/estimate/data/traces.json
BUILT_SOURCES += launch/estimate/traces.inc
CLEANFILES += launch/estimate/traces.inc
launch/estimate/traces.inc: launch/estimate/data/traces.json
	$(AM_V_GEN)$(MKDIR_P) launch/estimate && \
	  $(SED) 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $(srcdir)/launch/estimate/data/traces.json >$@-t && mv $@-t $@
launch/estimate/interruption_times.$(OBJEXT): launch/estimate/traces.inc

# What `dtrain cluster` writes as it is: built into the program, and installed with the reasons.
cluster_templates =
cluster_templates += launch/deploy/parallelcluster/bootstrap.sh
cluster_templates += launch/deploy/parallelcluster/network.yaml
BUILT_SOURCES += launch/cluster/templates.inc
CLEANFILES += launch/cluster/templates.inc
launch/cluster/templates.inc: $(cluster_templates)
	$(AM_V_GEN)$(MKDIR_P) launch/cluster && for name in $(cluster_templates); do \
	  file=$(srcdir)/$$name; \
	  echo "{\"$${name##*/}\","; $(SED) 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$file; echo '},'; \
	done >$@-t && mv $@-t $@
launch/cluster/templates.$(OBJEXT): launch/cluster/templates.inc
