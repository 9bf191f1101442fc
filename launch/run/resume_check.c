#include "launch/run/resume_check.h"

#include "core/base/alloc.h"
#include "launch/options/options.h"

#include <string.h>

static const char *form_name(dt_lars_form form)
{
    return form == DT_LARS_PAPER ? "paper" : "torch";
}

static dt_status compare(const dt_options *now, const dt_options *before, const dt_manifest *m,
                         bool *new_momentum, dt_error *err)
{
    const int row = dt_options_find("lars-form", DT_COMMAND_TRAIN);
    const bool is_older = before->origin[row] == DT_ORIGIN_DEFAULT; /* than the option */
    const dt_lars_form is = now->config.lars_form, was = is_older ? DT_LARS_TORCH : before->config.lars_form;
    *new_momentum = strcmp(now->config.optimizer, before->config.optimizer) != 0;
    if (*new_momentum || strcmp(now->config.optimizer, "lars") != 0 || is == was)
        return DT_OK;
    return dt_fail(
        err, DT_ERR_USAGE,
        "--lars-form: the checkpoint of step %lld was written with the form %s, whose momentum "
        "differs by the learning rate from that of the form %s: use --lars-form %s, another --out, "
        "or --resume never to start over",
        (long long)m->step, form_name(was), form_name(is), form_name(was));
}

dt_status dt_resume_check(void *context, const dt_manifest *manifest, bool *new_momentum, dt_error *err)
{
    dt_options *before = dt_calloc(1, sizeof *before);
    dt_status status = DT_OK;
    *new_momentum = false;
    if (!before)
        return dt_fail_memory(err, sizeof *before, "the checkpoint's options");
    dt_options_set_defaults(before, DT_COMMAND_TRAIN);
    if (manifest->config_text &&
        dt_options_read_trained(manifest->config_text, DT_COMMAND_TRAIN, before, NULL) == DT_OK)
        status = compare(context, before, manifest, new_momentum, err);
    dt_free(before);
    return status;
}
