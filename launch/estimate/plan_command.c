#include "config.h"

#include "launch/estimate/plan_command.h"

#include "launch/estimate/plan_words.h"
#include "launch/show/shell.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RATED_LR 0.1 /* for RATED_BATCH images in a step, as --lr has it by default */
#define RATED_BATCH 256

/* A text that grows to the size of its buffer. */
typedef struct text {
    char *out;
    size_t bytes;
    bool is_full;
} text;

static void add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(text *t, const char *format, ...)
{
    const size_t used = strlen(t->out);
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(t->out + used, t->bytes - used, format, arguments);
    va_end(arguments);
    t->is_full |= n < 0 || (size_t)n >= t->bytes - used;
}

/* Adds a value as one word of a shell. */
static void add_word(text *t, const char *word)
{
    const size_t used = strlen(t->out);
    t->is_full |= !dt_shell_word(word, t->out + used, t->bytes - used);
}

/* A value that begins like an option follows a '='. */
static void add_option(text *t, const char *name, const char *value, bool is_flag)
{
    add(t, " --%s%s", name, is_flag || value[0] == '-' ? "=" : " ");
    add_word(t, value);
}

static dt_origin origin_of(const dt_options *o, const char *name)
{
    return o ? o->origin[dt_options_find(name, DT_COMMAND_PLAN)] : DT_ORIGIN_DEFAULT;
}

/* Adds the options of a training that the user gave on the command line. */
static void add_given(text *t, const dt_options *o)
{
    char value[DT_PATH_BYTES];
    for (int row = 0; o && row < dt_options_count(); row++) {
        const dt_option *option = dt_options_at(row);
        const bool is_training =
            (option->commands & DT_COMMAND_PLAN) && dt_options_find(option->name, DT_COMMAND_TRAIN) >= 0;
        const bool is_chosen =
            strcmp(option->name, "mtti") == 0 || (strcmp(option->name, "batch") == 0 && o->config.batch == 0);
        if (!is_training || is_chosen || o->origin[row] != DT_ORIGIN_COMMAND_LINE)
            continue;
        dt_option_format(o, row, value, sizeof value);
        add_option(t, option->name, value, !option->metavar);
    }
}

static int64_t global_batch(const dt_plan *plan, const dt_plan_row *row)
{
    return row->throughput.batch * plan->work.accumulate * row->instance->n_gpus * row->nodes;
}

/* --checkpoint-every auto on spot, unless the user has set another interval. */
static void add_checkpoints(text *t, const dt_plan *plan, const dt_plan_row *row)
{
    const dt_options *o = plan->settings.options;
    const bool is_spot = row->purchase != DT_PURCHASE_ON_DEMAND;
    const bool is_given = origin_of(o, "checkpoint-every") != DT_ORIGIN_DEFAULT;
    const dt_origin mtti = origin_of(o, "mtti");
    if (is_spot && !is_given)
        add(t, " --checkpoint-every auto");
    if (plan->work.checkpoint_every == DT_CHECKPOINT_AUTO && mtti != DT_ORIGIN_FILE &&
        (is_spot || (is_given && mtti == DT_ORIGIN_COMMAND_LINE)))
        add(t, " --mtti %.4g", plan->settings.interruptions->mtti_h);
}

/* Whether the command sets the learning rate: a file may have its own, or an optimizer with another one. */
static bool scales_lr(const dt_plan *plan)
{
    const dt_options *file = plan->settings.file_options;
    return !file || (file->origin[dt_options_find("lr", DT_COMMAND_TRAIN)] == DT_ORIGIN_DEFAULT &&
                     strcmp(file->config.optimizer, "sgd") == 0);
}

void dt_plan_command(const dt_plan *plan, const dt_plan_row *row, char *out, size_t out_bytes)
{
    const dt_options *o = plan->settings.options;
    text t = {out, out_bytes, false};
    out[0] = '\0';
    add(&t, "mpirun -np %d%s dtrain", row->instance->n_gpus * row->nodes,
        row->nodes > 1 ? " --hostfile HOSTS" : "");
    if (o && o->config_file[0])
        add_option(&t, "config", o->config_file, false);
    if (!o || !o->config.data[0])
        add(&t, " --data DIR");
    add_given(&t, o);
    if (plan->work.batch == 0)
        add(&t, " --batch %lld", (long long)row->throughput.batch);
    if (scales_lr(plan))
        add(&t, " --lr %.4g", RATED_LR / RATED_BATCH * (double)global_batch(plan, row));
    add_checkpoints(&t, plan, row);
    if (t.is_full)
        out[0] = '\0';
}

void dt_plan_cluster_command(const dt_plan *plan, const dt_plan_row *row, char *out, size_t out_bytes)
{
    const dt_options *o = plan->settings.options;
    text t = {out, out_bytes, false};
    out[0] = '\0';
    if (row->instance->retiring.text)
        return;
    add(&t, "dtrain cluster --region %s", row->region);
    if (row->zone)
        add(&t, " --zone %s", row->zone);
    add(&t, " --types %s --nodes %d --buy %s", row->instance->type, row->nodes,
        row->purchase == DT_PURCHASE_SPOT        ? "spot"
        : row->purchase == DT_PURCHASE_ON_DEMAND ? "on-demand"
                                                 : "both");
    if (plan->settings.budget_usd > 0)
        add(&t, " --budget %.15g", plan->settings.budget_usd);
    if (o && o->instances_file[0])
        add_option(&t, "instances", o->instances_file, false);
    if (o && o->prices_file[0])
        add_option(&t, "prices", o->prices_file, false);
    add(&t, " --bucket BUCKET --key KEY --create-network network.yaml");
    if (t.is_full)
        out[0] = '\0';
}

/* When a run that began on spot has to go on demand, and how. */
static void explain_change(text *t, const dt_plan *plan, const dt_plan_row *row)
{
    char left[32], latest[32];
    dt_plan_format_hours((row->run.work_s + row->run.startup_s) / 3600, left, sizeof left);
    dt_plan_format_hours((plan->settings.deadline_s - row->run.work_s - row->run.startup_s) / 3600, latest,
                         sizeof latest);
    add(t,
        "Begin on spot. All of the work and a start take %s on demand: a run that has got nowhere must "
        "change "
        "%s after its beginning, one that has done a part as much later. To change, stop it (kill -USR1 "
        "saves "
        "a checkpoint), and start the same command on demand with the same --out: it resumes. ",
        left, latest);
}

void dt_plan_command_explain(const dt_plan *plan, const dt_plan_row *row, char *out, size_t out_bytes)
{
    const dt_options *file = plan->settings.file_options;
    const long long batch = (long long)global_batch(plan, row);
    text t = {out, out_bytes, false};
    out[0] = '\0';
    if (scales_lr(plan))
        add(&t, "--lr is scaled to the global batch of %lld: %g for a batch of %d. ", batch, RATED_LR,
            RATED_BATCH);
    else if (file->origin[dt_options_find("lr", DT_COMMAND_TRAIN)] == DT_ORIGIN_FILE)
        add(&t, "The file's lr = %g stays as it is, for a global batch of %lld. ", file->config.lr, batch);
    else
        add(&t, "The learning rate stays that of %s, for a global batch of %lld. ", file->config.optimizer,
            batch);
    if (row->nodes > 1)
        add(&t, "HOSTS is a file with a line 'NAME slots=%d' for each of the %d nodes. ",
            row->instance->n_gpus, row->nodes);
    if (row->purchase == DT_PURCHASE_MIXED)
        explain_change(&t, plan, row);
}
