/* Checks values against each other, and values whose form a row of the table cannot describe. */
#include "config.h"

#include "launch/options/options.h"

#include <stdlib.h>
#include <string.h>

static dt_status bad_resize(const dt_options *options, const char *why, dt_error *err)
{
    return dt_fail(err, DT_ERR_USAGE, "--resize-schedule: %s: %s; for example 160:0,192:0.6,224:0.85",
                   options->resize_schedule, why);
}

dt_status dt_options_parse_resize(dt_options *options, dt_error *err)
{
    dt_config *c = &options->config;
    const char *at = options->resize_schedule;
    c->n_resize = 0;
    memset(c->resize, 0, sizeof c->resize);
    while (*at) {
        char *end;
        long long size = strtoll(at, &end, 10);
        if (end == at || *end != ':')
            return bad_resize(options, "expected is a list of SIZE:SHARE with commas", err);
        at = end + 1;
        double share = strtod(at, &end);
        if (end == at || (*end != ',' && *end != '\0') || (*end == ',' && end[1] == '\0'))
            return bad_resize(options, "expected is a list of SIZE:SHARE with commas", err);
        at = *end == ',' ? end + 1 : end;
        if (c->n_resize == DT_RESIZE_MAX)
            return bad_resize(options, "there are more than 16 sizes", err);
        if (size < 16 || size > 2048)
            return bad_resize(options, "a size is 16 to 2048 pixels", err);
        if (!(share >= 0 && share < 1))
            return bad_resize(options, "a share of the epochs is at least 0 and less than 1", err);
        if (c->n_resize == 0 && share > 0)
            return bad_resize(options, "the first share must be 0, where the training begins", err);
        if (c->n_resize > 0 && share <= c->resize[c->n_resize - 1].share)
            return bad_resize(options, "shares must ascend", err);
        c->resize[c->n_resize++] = (dt_resize_point){.image_size = size, .share = share};
    }
    return DT_OK;
}

static dt_status bad_step_epochs(const dt_options *options, const char *why, dt_error *err)
{
    return dt_fail(err, DT_ERR_USAGE, "--step-epochs: %s: %s; for example 30,60,80", options->step_epochs,
                   why);
}

dt_status dt_options_parse_step_epochs(dt_options *options, dt_error *err)
{
    dt_config *c = &options->config;
    const char *at = options->step_epochs;
    c->n_step_epochs = 0;
    memset(c->step_epochs, 0, sizeof c->step_epochs);
    if (!*at)
        return DT_OK;
    for (;;) {
        char *end;
        const size_t length = strcspn(at, ",");
        const double epoch = strtod(at, &end);
        /* also refuses what else strtod reads: "nan", "inf", "0x1e", white space */
        if (length == 0 || end != at + length || strspn(at, "0123456789.eE+-") < length)
            return bad_step_epochs(options, "expected is a list of epochs with commas", err);
        if (c->n_step_epochs == DT_STEP_EPOCHS_MAX)
            return bad_step_epochs(options, "there are more than 32 epochs", err);
        if (!(epoch > 0 && epoch < (double)c->epochs))
            return dt_fail(err, DT_ERR_USAGE,
                           "--step-epochs: %s: an epoch is more than 0 and less than --epochs, %lld",
                           options->step_epochs, (long long)c->epochs);
        if (c->n_step_epochs > 0 && epoch <= c->step_epochs[c->n_step_epochs - 1])
            return bad_step_epochs(options, "epochs must ascend", err);
        c->step_epochs[c->n_step_epochs++] = epoch;
        if (!at[length])
            return DT_OK;
        at += length + 1;
    }
}

/* Refuses an option that does not count, if it has another value than its default. (Those from the file where
 * the command line decides have their defaults: defaults.c.) */
static dt_status check_counts(const dt_options *options, int row, dt_error *err)
{
    char value[DT_PATH_BYTES], of_value[DT_PATH_BYTES];
    const dt_option *o = dt_options_at(row);
    dt_option_format(options, row, value, sizeof value);
    if (dt_option_counts(options, row) || strcmp(value, o->by_default) == 0)
        return DT_OK;
    dt_option_format(options, dt_options_find(o->of, DT_COMMAND_TRAIN), of_value, sizeof of_value);
    if (!o->of_value)
        return dt_fail(err, DT_ERR_USAGE, "--%s is for --%s, which is %s", o->name, o->of, of_value);
    return dt_fail(err, DT_ERR_USAGE, "--%s: %s is for --%s %s, and the %s is %s", o->name, value, o->of,
                   o->of_value, o->of, of_value);
}

static dt_status check_schedule(const dt_options *options, dt_error *err)
{
    const dt_config *c = &options->config;
    if (c->warmup_epochs > (double)c->epochs)
        return dt_fail(err, DT_ERR_USAGE, "--warmup-epochs: %g is more than --epochs %lld", c->warmup_epochs,
                       (long long)c->epochs);
    for (int row = 0; row < dt_options_count(); row++)
        if (dt_options_at(row)->commands & DT_COMMAND_TRAIN)
            DT_TRY(check_counts(options, row, err));
    if (c->n_step_epochs > 0 && c->step_epochs[0] < c->warmup_epochs && c->schedule == DT_SCHEDULE_STEP)
        return dt_fail(
            err, DT_ERR_USAGE,
            "--step-epochs: %g is inside the warm-up: it counts from the start of the training, and "
            "--warmup-epochs is %g",
            c->step_epochs[0], c->warmup_epochs);
    return DT_OK;
}

static dt_status check_plan(const dt_options *options, dt_error *err)
{
    if (options->json && options->markdown)
        return dt_fail(err, DT_ERR_USAGE, "--json and --markdown exclude each other");
    if (options->assume == DT_ASSUME_SEED && (options->json || options->markdown || options->html[0]))
        return dt_fail(err, DT_ERR_USAGE,
                       "--assume seed prints a table: leave --json, --markdown and --html out");
    return DT_OK;
}

dt_status dt_options_check(const dt_options *options, unsigned command, dt_error *err)
{
    const dt_config *c = &options->config;
    const int data = dt_options_find("data", command);
    if (!command)
        return DT_OK;
    if (data >= 0 && options->origin[data] == DT_ORIGIN_FILE && !c->data[0])
        return dt_fail(err, DT_ERR_USAGE, "data: the value is empty; name a folder, or leave the line out");
    if (command == DT_COMMAND_EVAL && !options->weights[0])
        return dt_fail(err, DT_ERR_USAGE,
                       "--weights is missing: what to evaluate, a .safetensors file or a run's folder");
    if (command == DT_COMMAND_EVAL && !c->data[0])
        return dt_fail(err, DT_ERR_USAGE,
                       "--data is missing: the folder with val/CLASS/*.jpg to evaluate on");
    if (command == DT_COMMAND_INFO && options->plans != (options->device[0] != '\0'))
        return dt_fail(err, DT_ERR_USAGE, "--plans and --device belong together: --plans --device h200");
    if (command == DT_COMMAND_INFO && options->plans && options->json)
        return dt_fail(err, DT_ERR_USAGE, "--json does not go with --plans, which prints tables only");
    if (command == DT_COMMAND_INFO && options->plans && c->batch == 0)
        return dt_fail(err, DT_ERR_USAGE, "--batch: --plans needs a number");
    if (command == DT_COMMAND_PLAN)
        return check_plan(options, err);
    if (command != DT_COMMAND_TRAIN)
        return DT_OK;
    DT_TRY(check_schedule(options, err));
    if (options->eval_resize > 0 && options->eval_resize < c->image_size)
        return dt_fail(err, DT_ERR_USAGE, "--eval-resize: %lld pixels are less than --image-size %lld",
                       (long long)options->eval_resize, (long long)c->image_size);
    if (c->nesterov && c->momentum <= 0)
        return dt_fail(err, DT_ERR_USAGE, "--nesterov needs a --momentum above 0");
#ifndef HAVE_CURL
    if (options->spot == DT_SPOT_IMDS)
        return dt_fail(
            err, DT_ERR_USAGE,
            "--spot imds: this build has no libcurl: install libcurl4-openssl-dev (Debian, Ubuntu) or "
            "libcurl-devel (Amazon Linux, Fedora) and configure again, or use --spot off");
#endif
    if (strncmp(options->imds_endpoint, "http://", 7) != 0 || !options->imds_endpoint[7])
        return dt_fail(err, DT_ERR_USAGE, "--imds-endpoint: '%s' does not begin with http:// and a host",
                       options->imds_endpoint);
    if (options->profile_steps > 0 && c->n_resize > 1)
        return dt_fail(err, DT_ERR_USAGE, "--profile measures one size: leave --resize-schedule out");
    return DT_OK;
}
