/* dtrain [train]: creates the parts of a training, runs it, and exports the weights. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/base/waits.h"
#include "core/collective/agreement.h"
#include "core/collective/engines_build.h"
#include "core/model/net.h"
#include "core/training/trainer.h"
#include "io/metrics/jsonl.h"
#include "io/metrics/progress.h"
#include "io/source/demo.h"
#include "io/source/loader.h"
#include "launch/checkpoints/weights.h"
#include "launch/commands/auto_batch.h"
#include "launch/commands/commands.h"
#include "launch/commands/init_weights.h"
#include "launch/commands/run_log.h"
#include "launch/commands/stage_data.h"
#include "launch/hardware/computed_by.h"
#include "launch/options/duration.h"
#include "launch/run/checkpoint_folders.h"
#include "launch/run/resume_check.h"
#include "launch/run/run_engines.h"
#include "launch/run/run_folder.h"
#include "launch/show/console.h"
#include "launch/show/layer_times.h"
#include "launch/show/output.h"
#include "launch/show/table.h"
#include "launch/stop/events.h"
#include "layers/registry.h"
#include "layers/resnet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEMO_FOLDER "demo-data"

/* Steps before the first one that --profile measures: they touch memory for the first time, start threads and
 * try algorithms. */
#define PROFILE_WARMUP 3

static const dt_command_usage usage = {
    .name = "dtrain",
    .bit = DT_COMMAND_TRAIN,
    .doc = "Train a ResNet on a folder of images, on one machine or with mpirun on many.\n\n"
           "  dtrain --data imagenet --arch resnet50\n"
           "  mpirun -np 16 dtrain --config imagenet.conf\n\n"
           "Without --config it reads ./dtrain.conf, if there is one. Where nothing names data, it trains "
           "the built-in demo."
           "\v" DT_COMMANDS_DOC "\n\n"
           "Exit codes: 0 done; 1 an error that a restart would repeat; 2 wrong usage, or a time limit that "
           "is too short; 75 stopped on request (SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, a time "
           "limit, a spot notice) with a checkpoint or before the first step, or another rank was lost: the "
           "same command goes on; 130 ended at once by a second SIGINT.",
};

#define MAX_SINKS 4

typedef struct training {
    const dt_session *session;
    dt_options options; /* config.data is set to the demo's folder in a demo */
    dt_run_folder folder;
    dt_run_locks locks; /* those that this rank holds: of the folder, and of the checkpoints' folders */
    char *config_text;
    dt_net *net;
    dt_source *train, *val;
    dt_checkpoint_folders checkpoints;
    dt_events *events;
    dt_sink *sinks[MAX_SINKS]; /* parts.n_sinks of them: progress, metrics.jsonl */
    dt_computed_by computed_by;
    dt_trainer_parts parts;
    dt_profile *profile;
    dt_memory_estimate memory;
    dt_weights_head init_head; /* what becomes of the classifier in the file of --init */
    int64_t first_step;
    char resumes_by[160]; /* for parts.resumes_by */
} training;

static bool trains_the_demo(const dt_options *o)
{
    return !o->config.data[0] && o->input == DT_INPUT_LOADER;
}

/* -- parts ----------------------------------------------------------------------------------------------- */

/* Rank 0 checks the path of --export and writes the demo's images. */
static dt_status prepare_data(training *t, const dt_session *s, dt_error *err)
{
    const dt_options *o = &t->options;
    dt_status status = DT_OK;
    if (s->comm->rank == 0 && o->export_to[0])
        status = dt_output_check_writable("export", o->export_to, err);
    if (status == DT_OK && s->comm->rank == 0 && trains_the_demo(o))
        status = dt_demo_data_write(DEMO_FOLDER, err);
    DT_TRY(dt_agree(s->comm, status, err));
    DT_TRY(dt_stage_data(s->comm, &t->options, err));
    if (trains_the_demo(o))
        snprintf(t->options.config.data, sizeof t->options.config.data, "%s", DEMO_FOLDER);
    return DT_OK;
}

/* Collective. With --resume never: a restart of the batch job that began the run resumes it. Says what
 * resumes this run after a stop, since the same command would begin again. */
static dt_status resolve_resume(training *t, const dt_session *s, dt_error *err)
{
    dt_config *c = &t->options.config;
    dt_job job;
    dt_job_read(&job);
    snprintf(t->resumes_by, sizeof t->resumes_by, "the same command");
    if (c->resume != DT_RESUME_NEVER || dt_run_log_only_measures(&t->options))
        return DT_OK;
    if (job.name[0])
        snprintf(t->resumes_by, sizeof t->resumes_by,
                 "a restart of %s, or the same command with --resume auto,", job.name);
    else
        snprintf(t->resumes_by, sizeof t->resumes_by, "the same command with --resume auto");
    int64_t is_restart = s->comm->rank == 0 && dt_run_folder_is_restart(&t->folder, &job);
    DT_TRY(s->comm->ops->broadcast(s->comm, &is_restart, sizeof is_restart, 0, err));
    if (!is_restart)
        return DT_OK;
    c->resume = DT_RESUME_AUTO;
    if (s->comm->rank == 0)
        dt_log_info("--resume never began the run in %s in %s, which has been restarted: resuming it",
                    t->options.out, job.name);
    return DT_OK;
}

/* Called after the images were found and the net was built, so that a start that fails creates no folder and
 * leaves an older run where it is. */
static dt_status open_run_folder(training *t, const dt_session *s, dt_error *err)
{
    if (s->comm->rank != 0 || dt_run_log_only_measures(&t->options))
        return DT_OK;
    dt_status status = dt_run_folder_open(&t->options, t->config_text, s->comm, &t->folder, err);
    t->locks.locks[0] = t->folder.lock;
    return status;
}

static dt_status open_sources(training *t, const dt_session *s, dt_error *err)
{
    /* The number of classes is not known yet; it changes the estimate by a few MB. The check comes before the
     * loader allocates its buffers. */
    enum { ABOUT_1000_CLASSES = 1000 };
    const dt_options *o = &t->options;
    const dt_config *c = &o->config;
    DT_TRY(dt_auto_batch_resolve(s, &t->options, true, true, err));
    DT_TRY(
        dt_agree(s->comm, dt_auto_batch_check(s, o, ABOUT_1000_CLASSES, true, true, &t->memory, err), err));
    dt_status status = dt_session_source(s, o, true, &t->train, err);
    if (status == DT_OK && !dt_run_log_only_measures(o) && dt_loader_has_validation(c->data))
        status = dt_session_source(s, o, false, &t->val, err);
    if (status == DT_OK && t->val && s->comm->rank == 0)
        status = dt_loader_log_shared(t->train, t->val, err);
    DT_TRY(dt_agree(s->comm, status, err));
    if (!t->val && s->comm->rank == 0 && !dt_run_log_only_measures(o))
        dt_log_warn("there is no %s/val: nothing will be evaluated", c->data);
    return DT_OK;
}

static dt_status build_net(void *context, dt_error *err) /* a dt_engines_builder */
{
    training *t = context;
    const dt_session *s = t->session;
    const dt_options *o = &t->options;
    const dt_config *c = &o->config;
    dt_source_info info = {0};
    dt_net_spec spec;
    t->train->ops->info(t->train, &info);
    DT_TRY(dt_resnet_spec(o->arch, info.n_classes, &spec, err));
    const dt_net_options options = {
        .batch = c->batch, .image_size = c->image_size, .training = true, .ema = c->ema_decay > 0.0};
    dt_status status = dt_net_create(&spec, dt_layer_registry(), s->kernels, &options, &t->net, err);
    dt_free(spec.layers);
    DT_TRY(status);
    dt_backend_name_layers(&s->backend, t->net);
    DT_TRY(dt_net_init(t->net, c->seed, o->zero_init_gamma, err));
    if (!o->init[0] || s->comm->rank != 0) /* the trainer broadcasts */
        return DT_OK;
    status = dt_weights_load(t->net, o->init, t->init_head, err);
    return status == DT_OK ? DT_OK : dt_error_prefix(err, "--init");
}

static dt_status open_sinks(training *t, const dt_session *s, dt_error *err)
{
    if (s->comm->rank != 0)
        return DT_OK;
    const dt_progress_options options = {
        .terminal = dt_console_is_terminal(), .utf8 = dt_table_utf8(), .every_s = t->options.log_every_s};
    int64_t *n = &t->parts.n_sinks;
    DT_TRY(dt_progress_create(stderr, &options, &t->sinks[*n], err));
    dt_console_set_progress(t->sinks[(*n)++]);
    if (dt_run_log_only_measures(&t->options))
        return DT_OK;
    DT_TRY(dt_jsonl_create(t->folder.metrics, &t->sinks[*n], err));
    (*n)++;
    return DT_OK;
}

static dt_status open_events(training *t, const dt_session *s, dt_error *err)
{
    const dt_events_options options = {.start_s = s->start_s,
                                       .time_limit_s = t->options.time_limit_s,
                                       .polls_slurm = s->comm->rank == 0,
                                       .polls_spot = s->comm->local_rank == 0,
                                       .guard = &t->locks.recent,
                                       .spot = t->options.spot,
                                       .imds_endpoint = t->options.imds_endpoint,
                                       .watch = s->watch};
    return dt_events_create(&options, &t->events, err);
}

/* With --profile, limits the training to the warm-up and the measured steps. */
static dt_status begin_profile(training *t, const dt_session *s, dt_error *err)
{
    dt_options *o = &t->options;
    dt_config *c = &o->config;
    if (o->profile_steps == 0)
        return DT_OK;
    c->steps = PROFILE_WARMUP + o->profile_steps;
    c->no_graph = true; /* layers inside a captured graph cannot be timed */
    return dt_profile_create(t->net, s->device, PROFILE_WARMUP * c->accumulate,
                             o->profile_steps * c->accumulate, &t->profile, err);
}

static dt_status print_profile(const training *t, const dt_session *s, dt_error *err)
{
    dt_profile_summary summary;
    if (!t->profile)
        return DT_OK;
    dt_status status = dt_profile_finish(t->profile, &summary, err);
    if (status == DT_OK && s->comm->rank == 0)
        status = dt_layer_times_print(&summary, t->options.config.batch, stdout, err);
    return dt_agree(s->comm, status, err);
}

/* The trainer calls this after it has loaded the checkpoint, if there is one. Only now config.conf is
 * replaced: a checkpoint that does not suit the options leaves the folder as it was. */
static void resumed(void *context, int64_t step)
{
    training *t = context;
    dt_error err = {0};
    t->first_step = step;
    if (t->parts.comm->rank == 0 && !dt_run_log_only_measures(&t->options) &&
        dt_run_folder_commit(&t->options, &t->folder, step > 0, &err) != DT_OK)
        dt_log_error("%s", err.message);
}

/* Collective, before a part of the start that may take long: leave if some rank is asked to stop. */
static dt_status begin_part(const dt_session *s, const char *doing, dt_error *err)
{
    DT_TRY(dt_agree(s->comm, dt_waits_check(doing, err), err));
    dt_waits_begin("%s", doing);
    return DT_OK;
}

static dt_status assemble(training *t, dt_session *s, dt_error *err)
{
    DT_TRY(begin_part(s, "preparing the data", err));
    DT_TRY(prepare_data(t, s, err));
    DT_TRY(begin_part(s, "listing the images", err));
    DT_TRY(open_sources(t, s, err));
    DT_TRY(dt_init_weights_match(s, &t->options, t->train, t->val, &t->init_head, err));
    DT_TRY(begin_part(s, "building the net", err));
    dt_run_engines_read(&t->options, t->folder.checkpoints, s->comm, s->kernels);
    DT_TRY(dt_engines_build(s->comm, s->kernels, build_net, t, err));
    DT_TRY(dt_agree(s->comm, begin_profile(t, s, err), err));
    DT_TRY(begin_part(s, "opening the run's folder", err));
    DT_TRY(resolve_resume(t, s, err));
    DT_TRY(dt_agree(s->comm, open_run_folder(t, s, err), err));
    DT_TRY(begin_part(s, "opening the checkpoints", err));
    if (!dt_run_log_only_measures(&t->options))
        DT_TRY(dt_checkpoint_folders_open(&t->options, t->folder.checkpoints, s->comm, &t->locks,
                                          &t->checkpoints, err));
    DT_TRY(dt_agree(s->comm, open_events(t, s, err), err));
    DT_TRY(dt_agree(s->comm, open_sinks(t, s, err), err));
    if (t->options.config.resume == DT_RESUME_NEVER && !dt_run_log_only_measures(&t->options))
        DT_TRY(dt_checkpoint_folders_put_aside(&t->checkpoints, s->comm, err));
    t->parts.config = &t->options.config;
    t->parts.config_text = t->config_text;
    t->parts.arch = t->options.arch;
    dt_computed_by_collect(&s->backend, s->comm, &t->computed_by);
    t->parts.computed_by = &t->computed_by;
    t->parts.kernels = s->kernels;
    t->parts.net = t->net;
    t->parts.comm = s->comm;
    t->parts.train = t->train;
    t->parts.val = t->val;
    t->parts.store = t->checkpoints.store;
    t->parts.mirror = t->checkpoints.mirror;
    t->parts.per_host = t->checkpoints.per_host;
    t->parts.guard = &t->locks.recent;
    t->parts.events = t->events;
    t->parts.sinks = t->sinks;
    t->parts.resumes_by = t->resumes_by;
    t->parts.accepts = dt_resume_check;
    t->parts.accepts_context = &t->options;
    t->parts.resumed = resumed;
    t->parts.resumed_context = t;
    return DT_OK;
}

static void disassemble(training *t)
{
    dt_console_set_progress(NULL);
    while (t->parts.n_sinks > 0) {
        dt_sink *sink = t->sinks[--t->parts.n_sinks];
        sink->ops->destroy(sink);
    }
    if (t->train)
        t->train->ops->destroy(t->train);
    if (t->val)
        t->val->ops->destroy(t->val);
    dt_profile_destroy(t->profile);
    dt_net_destroy(t->net);
    dt_run_locks_init(&t->locks); /* the next call frees them */
    dt_checkpoint_folders_close(&t->checkpoints);
    if (t->events)
        t->events->ops->destroy(t->events);
    dt_free(t->config_text);
}

/* -- the command ----------------------------------------------------------------------------------------- */

static dt_status export_weights(training *t, const dt_session *s, int64_t steps, dt_error *err)
{
    const dt_options *o = &t->options;
    const dt_config *c = &o->config;
    dt_status status = DT_OK;
    dt_error ignored;
    dt_class_names class_names = {0};
    if (s->comm->rank == 0) {
        char for_evaluation[DT_WEIGHTS_CONFIG_BYTES];
        dt_weights_config_text(o, for_evaluation);
        const dt_weights_export_options options = {.arch = o->arch,
                                                   .config_text = for_evaluation,
                                                   .class_names = &class_names,
                                                   .n_batches = steps * c->accumulate};
        const dt_state_io io = dt_net_state_io(t->net);
        status = dt_guard_check(&t->locks.now, err);
        if (status == DT_OK)
            status = dt_class_names_of_source(t->train, &class_names, err);
        if (status == DT_OK)
            status = dt_net_swap_ema(t->net, err); /* export what evaluations have used */
        if (status == DT_OK) {
            status = dt_weights_export(dt_net_state_layout(t->net), &io, o->export_to, &options, err);
            (void)dt_net_swap_ema(t->net,
                                  &ignored); /* the file is there, or not, whatever becomes of the net */
        }
        if (status == DT_OK)
            dt_log_info("the weights are in %s", o->export_to);
        dt_class_names_clear(&class_names);
    }
    return dt_agree(s->comm, status, err);
}

/* Collective, when all steps are done. `status` and *err: whether that ended with an error, such as a last
 * checkpoint that was not written. Every output is tried, whatever became of the others; the first error is
 * returned, and later ones are logged. */
static dt_status write_results(training *t, const dt_session *s, int64_t steps, dt_status status,
                               dt_error *err)
{
    dt_error why = {0};
    dt_status next = t->options.export_to[0] ? export_weights(t, s, steps, &why) : DT_OK;
    status = dt_first_error(s->comm, status, err, next, &why);
    if (next != DT_OK && !why.shared)
        return status;
    next = print_profile(t, s, &why);
    return dt_first_error(s->comm, status, err, next, &why);
}

static dt_status run(training *t, dt_session *s, dt_error *err)
{
    const dt_options *o = &t->options;
    bool is_demo = trains_the_demo(o);
    dt_metrics_end result = {0};
    t->session = s;
    if (s->comm->rank == 0 && is_demo && o->config_file[0])
        dt_log_info("no --data, and %s names no data: training the built-in demo, handwritten digits",
                    o->config_file);
    else if (s->comm->rank == 0 && is_demo)
        dt_log_info("no --data and no ./dtrain.conf: training the built-in demo, handwritten digits");
    DT_TRY(assemble(t, s, err));
    DT_TRY(dt_session_show(s, &t->options, DT_COMMAND_TRAIN, err));
    if (s->comm->rank == 0)
        dt_run_log_start(&(dt_run_log){.options = o,
                                       .session = s,
                                       .net = t->net,
                                       .train = t->train,
                                       .val = t->val,
                                       .memory = &t->memory});
    dt_waits_begin("loading the checkpoint and comparing the ranks");
    dt_status status = dt_trainer_run(&t->parts, &result, err);
    if (!result.all_done)
        return status;
    if (s->comm->rank == 0 && result.steps == t->first_step)
        dt_log_info(
            "there was nothing left to do: step %lld, the last, was done before; --resume never starts over",
            (long long)result.steps);
    status = write_results(t, s, result.steps, status, err);
    if (status == DT_OK && s->comm->rank == 0 && !dt_run_log_only_measures(o))
        dt_run_log_end(o, is_demo);
    return status;
}

/* A start that hangs ends at the time limit, too. */
static void limit_start(const training *t, const dt_session *s)
{
    char limit[32], option[64];
    if (t->options.time_limit_s <= 0.0)
        return;
    dt_duration_format(t->options.time_limit_s, limit, sizeof limit);
    snprintf(option, sizeof option, "the time limit of %s", limit);
    dt_start_watch_set_limit(s->watch, option, s->start_s + t->options.time_limit_s);
}

dt_status dt_command_train(int argc, char **argv, dt_session *session, dt_error *err)
{
    static training t; /* static, because it is large; a process runs one command */
    dt_error parse_error = {0};
    dt_status parsed = dt_options_parse(&usage, argc, argv, &t.options, &parse_error);
    if (parsed == DT_OK)
        limit_start(&t, session);
    DT_TRY(dt_session_open(&t.options, DT_COMMAND_TRAIN, parsed, &parse_error, session, err));
    t.options.config.precision = session->kernels->dtype;
    dt_run_folder_name(t.options.out, &t.folder);
    dt_run_locks_init(&t.locks);
    dt_status status =
        dt_options_write(&t.options, DT_COMMAND_TRAIN,
                         "dtrain " PACKAGE_VERSION
                         ": the options of this run. dtrain --config FILE --resume never does it again, "
                         "--resume auto goes on with it",
                         &t.config_text, err);
    status = dt_agree(session->comm, status, err);
    if (status == DT_OK)
        status = run(&t, session, err);
    if (status == DT_ERR_USAGE)
        dt_options_locate(&t.options, DT_COMMAND_TRAIN, err);
    if (status == DT_ERR_PEER)
        dt_fail(err, status, "%s; %s goes on from the newest checkpoint", err->message,
                t.resumes_by[0] ? t.resumes_by : "the same command");
    if (!dt_comm_device_is_lost(session->comm, status)) /* else main.c makes all leave at once */
        disassemble(&t);
    if (session->comm->rank == 0)
        dt_run_folder_close(&t.folder);
    return status;
}
