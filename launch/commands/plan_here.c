#include "config.h"

#include "launch/commands/plan_here.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "launch/estimate/here.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <string.h>

/* Operations of an image of `arch` at one size. */
static dt_status count_flops(const dt_options *options, const char *arch, int64_t image_size, double *flops,
                             dt_error *err)
{
    dt_workload work;
    dt_options *o = dt_alloc(sizeof *o);
    if (!o)
        return dt_fail_memory(err, sizeof *o, "the options");
    *o = *options;
    o->config.data[0] = '\0';
    o->config.n_resize = 0;
    o->config.image_size = image_size;
    snprintf(o->arch, sizeof o->arch, "%s", arch);
    const dt_status status = dt_workload_read(o, &work, err);
    dt_free(o);
    if (status == DT_OK)
        *flops = work.sizes[0].flops;
    return status;
}

/* --precision auto: what was measured. */
static void choose_precision(const dt_measured_machine *m, dt_options *o)
{
    const int row = dt_options_find("precision", DT_COMMAND_PLAN);
    if (o->precision == DT_PRECISION_AUTO)
        (void)dt_option_set(o, row, m->precision, o->origin[row], "--precision", NULL);
}

static dt_status estimate(const dt_options *options, const dt_measured_machine *m, dt_workload *work,
                          dt_here *here, dt_error *err)
{
    double measured = 0, evaluated = 0;
    dt_options *o = dt_alloc(sizeof *o);
    if (!o)
        return dt_fail_memory(err, sizeof *o, "the options");
    *o = *options;
    if (m->precision)
        choose_precision(m, o);
    dt_status status = dt_workload_read(o, work, err);
    if (status == DT_OK && m->arch)
        status = count_flops(o, m->arch, m->image_size, &measured, err);
    if (status == DT_OK)
        status = count_flops(o, o->arch, o->config.image_size, &evaluated, err);
    const dt_here_query query = {.machine = m,
                                 .work = work,
                                 .config = &o->config,
                                 .measured_flops = measured,
                                 .evaluated_flops = evaluated};
    if (status == DT_OK)
        status = dt_here_estimate(&query, here, err);
    dt_free(o);
    return status;
}

/* -- the table ------------------------------------------------------------------------------------------- */

static void add_time(dt_table *t, const char *name, double seconds, const char *of)
{
    char time[32];
    dt_clock_format(seconds, time, sizeof time);
    dt_table_add_pair(t, name, "%s%s%s", time, of[0] ? ": " : "", of);
}

static void add_parts(dt_table *t, const dt_workload *w, const dt_here *h)
{
    char of[160];
    add_time(t, "start", h->start_s, "from the command to the first step");
    const long long n_images = (long long)(h->batch * w->accumulate * h->n_ranks);
    snprintf(of, sizeof of, "%lld step%s of %lld image%s at %.*f images/s", (long long)h->n_steps,
             DT_PLURAL(h->n_steps), n_images, DT_PLURAL(n_images), h->images_s < 10 ? 2 : 0, h->images_s);
    add_time(t, "training", h->train_s, of);
    snprintf(of, sizeof of, "%.0f of %.0f image%s%s", w->n_evaluations, w->n_val_images,
             DT_PLURAL((int64_t)w->n_val_images), h->evaluates_by_guess ? ", not measured" : "");
    add_time(t, "evaluations", h->evaluate_s, of);
    snprintf(of, sizeof of, "%lld, that delay the steps, and the last", (long long)h->n_checkpoints);
    add_time(t, "checkpoints", h->checkpoints_s, of);
}

static dt_status print_table(const dt_measured_machine *m, const dt_workload *w, const dt_here *h,
                             FILE *stream, dt_error *err)
{
    dt_table *t = NULL;
    DT_TRY(dt_table_create((const char *const[]){"here", "figure"}, 2, &t, err));
    dt_table_add_pair(t, "machine", "%s", m->start_s.source->text);
    dt_table_add_pair(t, "measured", "%s: %s at %d pixels, %s, --batch %d, %d rank%s",
                      m->start_s.source->date, m->arch, m->image_size, m->precision, m->batch, m->n_ranks,
                      DT_PLURAL(m->n_ranks));
    if (h->is_scaled)
        dt_table_add_pair(t, "estimated", "%s at %lld pixels from that, by operations", w->arch,
                          (long long)w->image_size);
    if (h->batch != m->batch)
        dt_table_add_pair(t, "estimated", "another --batch than %d was not measured", m->batch);
    dt_status status = dt_table_add_rule(t, err);
    add_parts(t, w, h);
    if (status == DT_OK)
        status = dt_table_add_rule(t, err);
    add_time(t, "all", h->total_s, "");
    if (h->usd > 0)
        dt_table_add_pair(t, "price", "%.2f USD", h->usd);
    add_time(t, "+ each stop", h->stop_s, "with a notice: a checkpoint, and another start");
    add_time(t, "+ each kill", h->kill_s, "half of the steps between checkpoints, another start");
    if (status == DT_OK)
        status = dt_table_print(t, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(t);
    return status;
}

/* -- JSON ------------------------------------------------------------------------------------------------ */

static dt_status print_json(const dt_measured_machine *m, const dt_here *h, FILE *stream, dt_error *err)
{
    json_t *root =
        json_pack("{s:{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b}}",
                  "here", "machine", m->name, "gpu", m->gpu, "measured", m->start_s.source->date, "ranks",
                  (json_int_t)h->n_ranks, "batch", (json_int_t)h->batch, "steps", (json_int_t)h->n_steps,
                  "checkpoints", (json_int_t)h->n_checkpoints, "images_s", h->images_s, "start_s", h->start_s,
                  "train_s", h->train_s, "evaluate_s", h->evaluate_s, "checkpoints_s", h->checkpoints_s,
                  "total_s", h->total_s, "stop_s", h->stop_s, "kill_s", h->kill_s, "is_scaled", h->is_scaled);
    const dt_status status = dt_output_json(root, stream, err);
    json_decref(root);
    return status;
}

/* What is of a plan for EC2. */
static dt_status check_options(const dt_options *o, dt_error *err)
{
    static const char *const names[] = {"types",    "regions", "max-nodes", "nodes",
                                        "deadline", "budget",  "startup",   "assume",
                                        "markdown", "html",    "check",     "refresh-prices"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (o->origin[dt_options_find(names[i], DT_COMMAND_PLAN)] == DT_ORIGIN_COMMAND_LINE)
            return dt_fail(err, DT_ERR_USAGE, "--%s is not for --here, which plans for one machine",
                           names[i]);
    return DT_OK;
}

dt_status dt_plan_here(const dt_options *options, const dt_catalog *catalog, FILE *stream, dt_error *err)
{
    const dt_measured_machine *m = catalog->machine;
    dt_workload work;
    dt_here here;
    DT_TRY(check_options(options, err));
    if (!m)
        return dt_fail(err, DT_ERR_USAGE,
                       "--here: no machine was measured: run dtrain bench --output FILE, and name the file "
                       "with --rates");
    DT_TRY(estimate(options, m, &work, &here, err));
    DT_TRY(options->json ? print_json(m, &here, stream, err) : print_table(m, &work, &here, stream, err));
    return fflush(stream) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the plan");
}
