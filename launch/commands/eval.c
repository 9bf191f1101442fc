/* dtrain eval: loss, top-1 and top-5 of weights on the validation images. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/checkpoint/load.h"
#include "core/collective/agreement.h"
#include "core/collective/engines_build.h"
#include "core/training/evaluate.h"
#include "io/durable.h"
#include "io/metrics/progress.h"
#include "launch/checkpoints/reader.h"
#include "launch/checkpoints/weights.h"
#include "launch/commands/auto_batch.h"
#include "launch/commands/commands.h"
#include "launch/commands/stage_data.h"
#include "launch/show/console.h"
#include "launch/show/table.h"
#include "layers/registry.h"
#include "layers/resnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const dt_command_usage usage = {
    .name = "dtrain eval",
    .bit = DT_COMMAND_EVAL,
    .doc = "Evaluate weights on DIR/val/CLASS/*.jpg; every image is counted once, whatever the number of "
           "ranks.\n\n"
           "  dtrain eval --data imagenet --weights resnet50.safetensors\n"
           "  dtrain eval --data imagenet --weights runs/imagenet-resnet50\v--image-size, --eval-crop and "
           "--eval-resize are those of the training, if the weights name them. Prints one line: val_loss, "
           "top-1, top-5, n.",
};

typedef struct evaluation {
    const dt_session *session;
    dt_options options;
    dt_checkpoints checkpoints; /* has no folders if the weights are a file */
    bool has_ema; /* the checkpoint holds running averages, which are evaluated, as in training */
    dt_weights_info weights;
    dt_net *net;
    dt_source *val;
    dt_sink *progress;
} evaluation;

/* -- the weights ----------------------------------------------------------------------------------------- */

static bool is_checkpoint(const evaluation *e)
{
    return e->checkpoints.n_folders > 0;
}

/* Reads the newest manifest that is valid. Loading will check later whether the checkpoint is whole. */
static dt_status read_newest_manifest(const dt_checkpoints *g, dt_manifest *m, dt_error *err)
{
    int64_t *steps = dt_alloc(DT_CHECKPOINTS_MAX * sizeof *steps), n = 0;
    if (!steps)
        return dt_fail_memory(err, DT_CHECKPOINTS_MAX * sizeof *steps, "a list of checkpoints");
    dt_status status = dt_fail(err, DT_ERR_USAGE, "there is no checkpoint in %s", g->folders[0].path);
    for (int f = 0; f < g->n_folders && status != DT_OK; f++) {
        dt_status listed = dt_checkpoints_list(g, f, steps, &n, err);
        if (listed != DT_OK)
            status = listed;
        for (int64_t i = 0; i < n && status != DT_OK; i++)
            status = g->folders[f].store->ops->read_manifest(g->folders[f].store, steps[i], m, err);
    }
    dt_free(steps);
    return status;
}

static dt_status describe_checkpoint(evaluation *e, dt_error *err)
{
    dt_manifest m = {0};
    if (read_newest_manifest(&e->checkpoints, &m, err) != DT_OK)
        return dt_error_prefix(err, "--weights %s", e->options.weights);
    e->weights.n_classes = m.n_classes;
    e->weights.class_names = m.class_names;
    m.class_names = (dt_class_names){0}; /* e->weights owns it now */
    for (int64_t i = 0; i < m.n_tensors; i++)
        e->has_ema = e->has_ema || strncmp(m.tensors[i].name, "ema/", 4) == 0;
    snprintf(e->weights.arch, sizeof e->weights.arch, "%s", m.arch);
    e->weights.config_text = m.config_text;
    m.config_text = NULL; /* likewise */
    dt_manifest_clear(&m);
    return DT_OK;
}

/* Sets options that the user has not set to the training's values. */
static void use_training_options(evaluation *e)
{
    static const char *const names[] = {"image-size", "eval-crop", "eval-resize"};
    char value[DT_PATH_BYTES];
    dt_options *trained = dt_calloc(1, sizeof *trained);
    if (trained && e->weights.config_text &&
        dt_options_read_trained(e->weights.config_text, DT_COMMAND_EVAL | DT_COMMAND_TRAIN, trained, NULL) ==
            DT_OK) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            int row = dt_options_find(names[i], DT_COMMAND_EVAL);
            if (e->options.origin[row] != DT_ORIGIN_DEFAULT)
                continue;
            dt_option_format(trained, row, value, sizeof value);
            (void)dt_option_set(&e->options, row, value, DT_ORIGIN_TRAINING, names[i], NULL);
        }
    }
    dt_free(trained);
}

/* Refuses a size that the user gave and that is larger than the training's --eval-resize. */
static dt_status check_training_options(const dt_options *o, dt_error *err)
{
    const int row = dt_options_find("eval-resize", DT_COMMAND_EVAL);
    if (o->origin[row] != DT_ORIGIN_TRAINING || o->eval_resize <= 0 || o->eval_resize >= o->config.image_size)
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE,
                   "--image-size: %lld pixels are more than the training's --eval-resize, %lld: give "
                   "--eval-resize too",
                   (long long)o->config.image_size, (long long)o->eval_resize);
}

static dt_status describe_weights(evaluation *e, dt_error *err)
{
    dt_options *o = &e->options;
    if (dt_durable_is_folder(o->weights))
        DT_TRY(dt_checkpoints_open(o->weights, &e->checkpoints, err));
    if (is_checkpoint(e))
        DT_TRY(describe_checkpoint(e, err));
    else if (dt_weights_describe(o->weights, &e->weights, err) != DT_OK)
        return dt_error_prefix(err, "--weights");
    use_training_options(e);
    DT_TRY(check_training_options(o, err));
    if (strcmp(o->arch, "auto") != 0) {
        if (e->weights.arch[0] && strcmp(o->arch, e->weights.arch) != 0)
            return dt_fail(err, DT_ERR_USAGE, "--arch %s, but %s holds a %s", o->arch, o->weights,
                           e->weights.arch);
        return DT_OK;
    }
    if (!e->weights.arch[0])
        return dt_fail(err, DT_ERR_USAGE,
                       "--weights %s: none of the networks that dtrain knows has these tensors", o->weights);
    snprintf(o->arch, sizeof o->arch, "%s", e->weights.arch);
    return DT_OK;
}

/* -- parts ----------------------------------------------------------------------------------------------- */

/* The data's classes must be those that the weights know. In another order they get the weights' labels. */
static dt_status use_classes_of_weights(evaluation *e, const dt_session *s, dt_error *err)
{
    const char *weights = e->options.weights, *data = e->options.config.data;
    const int64_t n = e->weights.n_classes;
    bool moved = false;
    dt_source_info info = {0};
    e->val->ops->info(e->val, &info);
    const bool other_number = n > 0 && n != info.n_classes;
    dt_status status = dt_class_names_apply(&e->weights.class_names, e->val, &moved, err);
    if (status == DT_OK && other_number)
        return dt_fail(err, DT_ERR_USAGE, "%s knows %lld class%s, and %s/val has %lld", weights, (long long)n,
                       n == 1 ? "" : "es", data, (long long)info.n_classes);
    if (status != DT_OK && other_number)
        return dt_error_prefix(err, "%s knows %lld class%s, and %s/val has %lld", weights, (long long)n,
                               n == 1 ? "" : "es", data, (long long)info.n_classes);
    if (status != DT_OK)
        return dt_error_prefix(err, "%s cannot be evaluated on %s/val", weights, data);
    if (s->comm->rank == 0 && info.n_classes == 1)
        dt_log_warn(
            "%s/val has one class only, '%s': there is nothing to distinguish, and every accuracy is 100%%",
            data, e->val->ops->class_name(e->val, 0));
    if (s->comm->rank == 0 && e->weights.class_names.n == 0)
        dt_log_info("%s does not name its classes, which are taken for those of %s/val in byte order",
                    weights, data);
    if (s->comm->rank == 0 && moved)
        dt_log_info("the classes of %s/val get the labels that they have in %s, in another order", data,
                    weights);
    return DT_OK;
}

static dt_status open_source(evaluation *e, const dt_session *s, dt_error *err)
{
    DT_TRY(dt_session_source(s, &e->options, false, &e->val, err));
    return use_classes_of_weights(e, s, err);
}

static dt_status build_net(void *context, dt_error *err) /* a dt_engines_builder */
{
    evaluation *e = context;
    const dt_session *s = e->session;
    const dt_config *c = &e->options.config;
    dt_source_info info = {0};
    dt_net_spec spec;
    e->val->ops->info(e->val, &info);
    DT_TRY(dt_resnet_spec(e->options.arch, info.n_classes, &spec, err));
    /* A checkpoint holds the momentum too, so that only a net for training has its layout. */
    const dt_net_options options = {
        .batch = c->batch, .image_size = c->image_size, .training = is_checkpoint(e), .ema = e->has_ema};
    dt_status status = dt_net_create(&spec, dt_layer_registry(), s->kernels, &options, &e->net, err);
    dt_free(spec.layers);
    DT_TRY(status);
    return is_checkpoint(e) ? DT_OK : dt_weights_load(e->net, e->options.weights, DT_WEIGHTS_HEAD_SAME, err);
}

static dt_status accept_any(void *context, const dt_manifest *manifest, dt_error *err)
{
    (void)context;
    (void)manifest;
    (void)err;
    return DT_OK;
}

/* Collective. */
static dt_status load_checkpoint(evaluation *e, const dt_session *s, dt_error *err)
{
    dt_manifest m = {0};
    bool found = false;
    const dt_state_io io = dt_net_state_io(e->net);
    const dt_checkpoints *g = &e->checkpoints;
    const dt_checkpoint_location location = {
        .store = g->folders[0].store,
        .mirror = g->n_folders > 1 ? g->folders[1].store : NULL,
        .only_step = g->only_step >= 0 ? &g->only_step : NULL,
    };
    DT_TRY(dt_checkpoint_load(s->comm, &location, dt_net_state_layout(e->net), &io, accept_any, NULL, &m,
                              &found, err));
    if (s->comm->rank == 0 && found)
        dt_log_info("%s: the checkpoint of step %lld", e->options.weights, (long long)m.step);
    dt_manifest_clear(&m);
    if (!found)
        return dt_fail_shared(err, DT_ERR_USAGE, "--weights %s: there is no checkpoint in this folder",
                              e->options.weights);
    dt_status status = dt_net_weights_changed(e->net, err);
    if (status == DT_OK)
        status = dt_net_swap_ema(e->net, err);
    return dt_agree(s->comm, status, err);
}

static dt_status open_progress(evaluation *e, const dt_session *s, dt_error *err)
{
    if (s->comm->rank != 0)
        return DT_OK;
    const dt_progress_options options = {
        .terminal = dt_console_is_terminal(), .utf8 = dt_table_utf8(), .every_s = e->options.log_every_s};
    DT_TRY(dt_progress_create(stderr, &options, &e->progress, err));
    dt_console_set_progress(e->progress);
    return DT_OK;
}

static void close_progress(evaluation *e)
{
    dt_console_set_progress(NULL);
    if (e->progress)
        e->progress->ops->destroy(e->progress);
    e->progress = NULL;
}

static void close_all(evaluation *e)
{
    close_progress(e);
    if (e->val)
        e->val->ops->destroy(e->val);
    dt_net_destroy(e->net);
    dt_checkpoints_close(&e->checkpoints);
    dt_weights_info_clear(&e->weights);
}

/* -- the command ----------------------------------------------------------------------------------------- */

static dt_status print_result(const dt_metrics_eval *m, dt_error *err)
{
    printf("val_loss %.6f  top-1 %.4f  top-5 %.4f  n %lld\n", m->val_loss, m->val_top1, m->val_top5,
           (long long)m->n);
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot write the result");
}

static dt_status run(evaluation *e, dt_session *s, dt_error *err)
{
    const dt_config *c = &e->options.config;
    dt_metrics_eval m = {0};
    dt_status status = DT_OK;
    e->session = s;
    DT_TRY(dt_agree(s->comm, describe_weights(e, err), err));
    DT_TRY(dt_stage_data(s->comm, &e->options, err));
    DT_TRY(dt_auto_batch_resolve(s, &e->options, false, is_checkpoint(e), err));
    DT_TRY(dt_auto_batch_limit(s, &e->options, is_checkpoint(e), err));
    DT_TRY(dt_agree(s->comm, open_source(e, s, err), err));
    DT_TRY(dt_engines_build(s->comm, s->kernels, build_net, e, err));
    if (is_checkpoint(e))
        DT_TRY(load_checkpoint(e, s, err));
    DT_TRY(dt_agree(s->comm, open_progress(e, s, err), err));
    status = dt_evaluate(e->net, s->kernels, s->comm, e->val, c->batch, c->max_broken, NULL, &e->progress,
                         e->progress ? 1 : 0, &m, err);
    if (status == DT_ERR_NUMERIC)
        dt_error_prefix(err, "--weights %s", e->options.weights);
    DT_TRY(status);
    close_progress(e);
    if (s->comm->rank == 0) {
        dt_log_info("%s at %lld px on %s/val, %lld rank%s: %.1f s, %.0f images/s", e->options.arch,
                    (long long)c->image_size, c->data, (long long)s->comm->size,
                    s->comm->size == 1 ? "" : "s", m.elapsed_s, m.images_per_s);
        if (m.n_broken > 0)
            dt_log_warn("%lld of the %lld file%s in %s/val %s broken and left out; the log names them",
                        (long long)m.n_broken, (long long)(m.n + m.n_broken), DT_PLURAL(m.n + m.n_broken),
                        c->data, m.n_broken == 1 ? "is" : "are");
        status = print_result(&m, err);
    }
    return dt_agree(s->comm, status, err);
}

dt_status dt_command_eval(int argc, char **argv, dt_session *session, dt_error *err)
{
    static evaluation e; /* static, because it is large; a process runs one command */
    dt_error parse_error = {0};
    dt_status parsed = dt_options_parse(&usage, argc, argv, &e.options, &parse_error);
    DT_TRY(dt_session_open(&e.options, DT_COMMAND_EVAL, parsed, &parse_error, session, err));
    e.options.config.precision = session->kernels->dtype;
    dt_status status = run(&e, session, err);
    if (status == DT_ERR_USAGE)
        dt_options_locate(&e.options, DT_COMMAND_EVAL, err);
    close_all(&e);
    return status;
}
