/* dtrain plan: which EC2 instances train, for how long, at what price. */
#include "config.h"

#include "core/base/alloc.h"
#include "launch/commands/commands.h"
#include "launch/commands/plan_aws.h"
#include "launch/commands/plan_here.h"
#include "launch/commands/plan_output.h"
#include "launch/estimate/plan_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 128, MOST_NODES = 512, N_RUNS = 10000 };

static const dt_command_usage usage = {
    .name = "dtrain plan",
    .bit = DT_COMMAND_PLAN,
    .doc =
        "Show which EC2 instances can do a training, for how long, and what it costs, on demand and on spot. "
        "Without options: ResNet-50, 90 epochs of ImageNet-1K. Nothing is started; only --refresh-prices and "
        "--check ask AWS.\n\n"
        "  dtrain plan --config imagenet.conf --deadline 12h\n"
        "  dtrain plan --types p4d.24xlarge,p5.48xlarge --max-nodes 4 --epochs 16\v"
        "launch/estimate/README.md has the model and its sources, and the format of --json.",
};

/* Names in a list with commas: points into `text`, which it changes. */
static dt_status split(char *text, const char *option, const char *names[MOST_NAMES + 1], dt_error *err)
{
    int n = 0;
    char *rest = text[0] ? text : NULL;
    for (char *name = strsep(&rest, ","); name; name = strsep(&rest, ",")) {
        name += strspn(name, " ");
        name[strcspn(name, " ")] = '\0';
        if (!name[0])
            return dt_fail(err, DT_ERR_USAGE, "%s: a name is missing between commas", option);
        if (n == MOST_NAMES)
            return dt_fail(err, DT_ERR_USAGE, "%s: more than %d names", option, MOST_NAMES);
        names[n++] = name;
    }
    names[n] = NULL;
    return DT_OK;
}

static const char *path_or_null(const char *path)
{
    return path[0] ? path : NULL;
}

static dt_status print_plan(const dt_options *o, const dt_plan *plan, dt_error *err)
{
    if (o->assume == DT_ASSUME_SEED)
        return dt_plan_print_seed(plan, stdout, err);
    if (o->json)
        return dt_plan_print_json(plan, stdout, err);
    DT_TRY(o->markdown ? dt_plan_print_markdown(plan, stdout, err) : dt_plan_print_table(plan, stdout, err));
    return o->nodes[0] ? dt_plan_print_scale(plan, o->markdown, stdout, err) : DT_OK;
}

/* Adds what a row needs of the account; a mixed one needs both kinds of instances. */
static void add_wanted(const dt_plan_row *r, dt_plan_wanted *wanted, int *n)
{
    dt_plan_wanted w = {.type = r->instance->type,
                        .region = r->region,
                        .zone = r->zone,
                        .n_nodes = r->nodes,
                        .n_vcpus = (int)r->instance->vcpus.value};
    for (int is_spot = 1; is_spot >= 0; is_spot--)
        if (r->purchase == DT_PURCHASE_MIXED || is_spot == (r->purchase == DT_PURCHASE_SPOT)) {
            w.is_spot = is_spot;
            wanted[(*n)++] = w;
        }
}

/* Asks AWS about the choices that are recommended; where stdout has a format of its own, prints on stderr. */
static dt_status check_account(const dt_options *o, const dt_plan *plan, dt_error *err)
{
    dt_plan_wanted wanted[2 * DT_RECOMMENDATIONS_MAX];
    int n = 0;
    for (int i = 0; i < plan->n_recommendations; i++) {
        const int64_t row = plan->recommendations[i].row;
        bool is_new = row >= 0;
        for (int k = 0; k < i && is_new; k++)
            is_new = plan->recommendations[k].row != row;
        if (is_new)
            add_wanted(&plan->rows[row], wanted, &n);
    }
    return dt_plan_check_account(wanted, n, o->json || o->markdown ? stderr : stdout, err);
}

/* What the settings point to. */
typedef struct planning {
    dt_options *file_options;  /* as a training reads --config; NULL without */
    int nodes[MOST_NAMES + 1]; /* ended by 0; none: by --max-nodes */
    dt_options *options;
    dt_catalog *catalog;
    dt_workload work;
    dt_interruptions interruptions;
    const char *types[MOST_NAMES + 1], *regions[MOST_NAMES + 1];
} planning;

/* Puts the option before a message that names its file but no line: "--prices x.json: No such file". */
static dt_status name_option(const dt_options *o, dt_status status, dt_error *err)
{
    const struct {
        const char *option, *path;
    } files[] = {
        {"--instances", o->instances_file}, {"--prices", o->prices_file}, {"--rates", o->rates_file}};
    for (size_t i = 0; i < sizeof files / sizeof *files && err; i++) {
        const size_t n = strlen(files[i].path);
        if (n > 0 && strncmp(err->message, files[i].path, n) == 0 && strncmp(err->message + n, ": ", 2) == 0)
            return dt_fail(err, status, "%s %s", files[i].option, err->message);
    }
    return status;
}

/* --nodes: numbers with commas. */
static dt_status read_nodes(planning *p, dt_error *err)
{
    const char *names[MOST_NAMES + 1];
    DT_TRY(split(p->options->nodes, "--nodes", names, err));
    for (int i = 0; names[i]; i++) {
        char *end;
        const long n = strtol(names[i], &end, 10);
        if (*end || n < 1 || n > MOST_NODES)
            return dt_fail(err, DT_ERR_USAGE, "--nodes: '%s' is not a number from 1 to %d", names[i],
                           MOST_NODES);
        p->nodes[i] = (int)n;
    }
    return DT_OK;
}

static dt_status load(planning *p, dt_error *err)
{
    dt_options *o = p->options;
    const dt_status status = dt_catalog_load(path_or_null(o->instances_file), path_or_null(o->prices_file),
                                             path_or_null(o->rates_file), &p->catalog, err);
    if (status != DT_OK)
        return name_option(o, status, err);
    DT_TRY(read_nodes(p, err));
    DT_TRY(split(o->types, "--types", p->types, err));
    return split(o->regions, "--regions", p->regions, err);
}

/* Reads --config as the command that is recommended will, for the options that a plan does not have. */
static dt_status read_file_options(planning *p, dt_error *err)
{
    const char *path = p->options->config_file;
    if (!path[0])
        return DT_OK;
    p->file_options = dt_alloc(sizeof *p->file_options);
    if (!p->file_options)
        return dt_fail_memory(err, sizeof *p->file_options, "the options");
    dt_options_set_defaults(p->file_options, DT_COMMAND_TRAIN);
    const dt_status status = dt_options_read_file(path, DT_COMMAND_TRAIN, p->file_options, err);
    return status == DT_ERR_USAGE && err
               ? dt_fail(err, status, "%s; a training would refuse this file", err->message)
               : status;
}

static dt_status check_deadline(const dt_options *o, dt_error *err)
{
    enum { LEAST_S = 60 };
    if (o->deadline_s <= 0 || o->deadline_s >= LEAST_S)
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE,
                   "--deadline: %g is %g seconds, in which no instance starts; for hours write %gh",
                   o->deadline_s, o->deadline_s, o->deadline_s);
}

/* That table is of one training and of its own types. */
static dt_status check_seed(const dt_options *o, dt_error *err)
{
    static const char *const fixed[] = {"data", "images", "data-bytes", "image-size", "resize-schedule",
                                        "arch", "epochs", "types",      "nodes",      "max-nodes"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && o->assume == DT_ASSUME_SEED; i++) {
        char value[DT_PATH_BYTES];
        const int row = dt_options_find(fixed[i], DT_COMMAND_PLAN);
        dt_option_format(o, row, value, sizeof value);
        if (strcmp(value, dt_options_at(row)->by_default) != 0)
            return dt_fail(
                err, DT_ERR_USAGE,
                "--%s: the table of --assume seed is of ResNet-50, 90 epochs of ImageNet-1K and its "
                "own five types: leave the option out",
                fixed[i]);
    }
    return DT_OK;
}

static dt_status make_plan(planning *p, dt_plan **plan, dt_error *err)
{
    const dt_options *o = p->options;
    DT_TRY(check_deadline(o, err));
    DT_TRY(check_seed(o, err));
    DT_TRY(read_file_options(p, err));
    DT_TRY(dt_interruptions_set(o->config.mtti_h, &p->interruptions, err));
    DT_TRY(dt_workload_read(o, &p->work, err));
    dt_plan_settings settings = {.catalog = p->catalog,
                                 .work = &p->work,
                                 .interruptions = &p->interruptions,
                                 .options = o,
                                 .file_options = p->file_options,
                                 .types = p->types[0] ? p->types : NULL,
                                 .regions = p->regions[0] ? p->regions : NULL,
                                 .nodes = p->nodes[0] ? p->nodes : NULL,
                                 .max_nodes = (int)o->max_nodes,
                                 .deadline_s = o->deadline_s,
                                 .budget_usd = o->budget_usd,
                                 .n_runs = N_RUNS,
                                 .seed = 1};
    dt_assumptions_default(&settings.assumptions);
    settings.assumptions.startup_s = o->startup_s;
    dt_catalog_today(settings.today);
    return dt_plan_create(&settings, plan, err);
}

/* Refuses options that would have no effect. A configuration file may hold them for other commands. */
static dt_status check_options(const dt_options *o, dt_error *err)
{
    static const char *const of_plans[] = {"json",   "markdown", "html",   "nodes",  "max-nodes", "deadline",
                                           "budget", "startup",  "assume", "images", "data-bytes"};
    const int max_nodes = dt_options_find("max-nodes", DT_COMMAND_PLAN);
    if (o->nodes[0] && o->origin[max_nodes] == DT_ORIGIN_COMMAND_LINE)
        return dt_fail(err, DT_ERR_USAGE, "--nodes and --max-nodes exclude each other");
    for (size_t i = 0; o->refresh_prices[0] && i < sizeof of_plans / sizeof *of_plans; i++)
        if (o->origin[dt_options_find(of_plans[i], DT_COMMAND_PLAN)] == DT_ORIGIN_COMMAND_LINE)
            return dt_fail(err, DT_ERR_USAGE, "--%s is not for --refresh-prices, which makes no plan",
                           of_plans[i]);
    return DT_OK;
}

static dt_status run(planning *p, dt_plan **plan, dt_error *err)
{
    const dt_options *o = p->options;
    if (o->check && (o->here || o->refresh_prices[0]))
        return dt_fail(err, DT_ERR_USAGE, "--check: asks about choices among instances, and %s makes none",
                       o->here ? "--here" : "--refresh-prices");
    DT_TRY(check_options(o, err));
    DT_TRY(load(p, err));
    if (o->here)
        return dt_plan_here(o, p->catalog, stdout, err);
    if (o->refresh_prices[0])
        return dt_plan_refresh_prices(p->catalog, p->types[0] ? p->types : NULL,
                                      p->regions[0] ? p->regions : NULL, o->refresh_prices, err);
    DT_TRY(make_plan(p, plan, err));
    const dt_status saved = o->html[0] ? dt_plan_page_save(*plan, o->html, err) : DT_OK;
    if (saved != DT_OK)
        return err ? dt_error_prefix(err, "--html") : saved;
    DT_TRY(print_plan(o, *plan, err));
    if ((*plan)->n_possible == 0 && o->assume != DT_ASSUME_SEED)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "no choice is possible: the plan says why");
    return o->check ? check_account(o, *plan, err) : DT_OK;
}

dt_status dt_command_plan(int argc, char **argv, dt_session *session, dt_error *err)
{
    (void)session;
    dt_options *options = dt_alloc(sizeof *options);
    planning *p = dt_calloc(1, sizeof *p);
    dt_plan *plan = NULL;
    dt_status status = options && p ? dt_options_parse(&usage, argc, argv, options, err)
                                    : dt_fail_memory(err, sizeof *options, "the options");
    if (status == DT_OK) {
        p->options = options;
        status = run(p, &plan, err);
        if (status == DT_ERR_USAGE && err)
            status = dt_options_locate(options, DT_COMMAND_PLAN, err);
    }
    dt_plan_destroy(plan);
    if (p) {
        dt_catalog_free(p->catalog);
        dt_free(p->file_options);
    }
    dt_free(p);
    dt_free(options);
    return status;
}
