/* dtrain cluster: the files that make a cluster on AWS, what it costs, and the commands that follow. */
#include "config.h"

#include "core/base/alloc.h"
#include "launch/cluster/costs.h"
#include "launch/cluster/generated.h"
#include "launch/cluster/parallelcluster.h"
#include "launch/cluster/quotas.h"
#include "launch/cluster/steps.h"
#include "launch/cluster/templates.h"
#include "launch/commands/commands.h"
#include "launch/show/output.h"

#include <stdio.h>
#include <string.h>

static const dt_command_usage usage = {
    .name = "dtrain cluster",
    .bit = DT_COMMAND_CLUSTER,
    .doc =
        "Write the configuration of a cluster on AWS for ParallelCluster 3, with a queue of spot instances "
        "and one on demand, and say what it costs, which quotas it needs, and which commands come next. "
        "It starts nothing and asks no server.\n\n"
        "  dtrain plan --json >plan.json\n"
        "  dtrain cluster --plan plan.json --bucket BUCKET --key KEY --create-network network.yaml\n"
        "  dtrain cluster --region us-east-1 --types p4d.24xlarge,p4de.24xlarge --nodes 2 --bucket BUCKET "
        "--key KEY --subnet subnet-... --head-subnet subnet-...\v"
        "A file that was changed since dtrain wrote it is not replaced. launch/deploy/README.md has the "
        "whole "
        "way; launch/deploy/parallelcluster/README.md says why the configuration is as it is.",
};

/* A file to write. */
typedef struct output {
    const char *option; /* that named it */
    char path[DT_PATH_BYTES];
    char *text; /* with its checksum */
    dt_generated_state state;
} output;

enum { CONFIGURATION, BOOTSTRAP, NETWORK, N_OUTPUTS };

typedef struct work {
    dt_catalog *catalog;
    dt_cluster_plan plan;
    dt_cluster cluster;
    output outputs[N_OUTPUTS]; /* without a text: not written */
} work;

static const char *path_or_null(const char *path)
{
    return path[0] ? path : NULL;
}

static dt_status name_option(const char *option, dt_status status, dt_error *err)
{
    return status != DT_OK && err ? dt_error_prefix(err, "%s", option) : status;
}

static dt_status resolve(const dt_options *o, work *w, dt_error *err)
{
    DT_TRY(dt_catalog_load(path_or_null(o->instances_file), path_or_null(o->prices_file), NULL, &w->catalog,
                           err));
    if (o->plan_file[0])
        DT_TRY(name_option("--plan", dt_cluster_plan_read(o->plan_file, o->choice, &w->plan, err), err));
    else if (o->choice != DT_CLUSTER_CHOICE_AUTO)
        return dt_fail(err, DT_ERR_USAGE, "--choice: of which plan? --plan FILE names it");
    return dt_cluster_resolve(o, w->catalog, o->plan_file[0] ? &w->plan : NULL, &w->cluster, err);
}

/* The script lies beside the configuration. */
static dt_status name_outputs(const dt_options *o, work *w, dt_error *err)
{
    output *bootstrap = &w->outputs[BOOTSTRAP];
    const char *slash = strrchr(o->output, '/');
    const int folder = slash ? (int)(slash - o->output) + 1 : 0;
    const int n =
        snprintf(bootstrap->path, sizeof bootstrap->path, "%.*s%s", folder, o->output, DT_CLUSTER_BOOTSTRAP);
    if (n >= (int)sizeof bootstrap->path)
        return dt_fail(err, DT_ERR_USAGE, "--output: the path is too long");
    snprintf(w->outputs[CONFIGURATION].path, DT_PATH_BYTES, "%s", o->output);
    snprintf(w->outputs[NETWORK].path, DT_PATH_BYTES, "%s", o->create_network);
    w->outputs[CONFIGURATION].option = bootstrap->option = "--output";
    w->outputs[NETWORK].option = "--create-network";
    for (int i = 0; i < N_OUTPUTS; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(w->outputs[i].path, w->outputs[k].path) == 0)
                return dt_fail(err, DT_ERR_USAGE, "%s: %s is the name of another file that is written",
                               w->outputs[i].option, w->outputs[i].path);
    return DT_OK;
}

static dt_status make_texts(work *w, dt_error *err)
{
    char *configuration = NULL;
    DT_TRY(dt_parallelcluster_write(&w->cluster, &configuration, err));
    const dt_status status = dt_generated_add_checksum(configuration, &w->outputs[CONFIGURATION].text, err);
    dt_free(configuration);
    DT_TRY(status);
    DT_TRY(dt_generated_add_checksum(dt_cluster_template("bootstrap.sh"), &w->outputs[BOOTSTRAP].text, err));
    return w->cluster.creates_network ? dt_generated_add_checksum(dt_cluster_template("network.yaml"),
                                                                  &w->outputs[NETWORK].text, err)
                                      : DT_OK;
}

/* All are checked before the first is written. */
static dt_status write_outputs(work *w, dt_error *err)
{
    for (int i = 0; i < N_OUTPUTS; i++) {
        output *o = &w->outputs[i];
        if (!o->text)
            continue;
        DT_TRY(dt_generated_check(o->option, o->path, o->text, &o->state, err));
        if (o->state != DT_GENERATED_SAME)
            DT_TRY(dt_output_check_writable(o->option + 2, o->path, err));
    }
    for (int i = 0; i < N_OUTPUTS; i++) {
        const output *o = &w->outputs[i];
        if (o->text && o->state != DT_GENERATED_SAME)
            DT_TRY(dt_generated_write(o->option, o->path, o->text, err));
    }
    return DT_OK;
}

static void print_outputs(const work *w)
{
    static const char *const what[] = {
        [DT_GENERATED_NEW] = "written",
        [DT_GENERATED_SAME] = "as it was",
        [DT_GENERATED_REPLACED] = "replaced, since it was unchanged",
    };
    for (int i = 0; i < N_OUTPUTS; i++)
        if (w->outputs[i].text)
            dt_output_line(stdout, "%s: %s", w->outputs[i].path, what[w->outputs[i].state]);
}

static dt_status print(const dt_options *o, const work *w, dt_error *err)
{
    static dt_cluster_costs costs;
    char today[11];
    dt_catalog_today(today);
    dt_cluster_costs_add_up(&w->cluster, w->catalog, &costs);
    print_outputs(w);
    dt_output_line(stdout, "%s", "");
    DT_TRY(dt_cluster_print_costs(&w->cluster, &costs, today, stdout, err));
    dt_output_line(stdout, "%s", "");
    DT_TRY(dt_cluster_print_quotas(&w->cluster, stdout, err));
    dt_output_line(stdout, "%s", "");
    dt_cluster_print_notes(&w->cluster, stdout);
    dt_cluster_print_steps(&w->cluster, o, w->outputs[BOOTSTRAP].path, stdout);
    return fflush(stdout) == 0 && !ferror(stdout) ? DT_OK : dt_fail_errno(err, "cannot print the result");
}

static dt_status run(const dt_options *o, work *w, dt_error *err)
{
    DT_TRY(resolve(o, w, err));
    DT_TRY(name_outputs(o, w, err));
    DT_TRY(make_texts(w, err));
    DT_TRY(write_outputs(w, err));
    return print(o, w, err);
}

dt_status dt_command_cluster(int argc, char **argv, dt_session *session, dt_error *err)
{
    (void)session;
    dt_options *options = dt_alloc(sizeof *options);
    work *w = dt_calloc(1, sizeof *w);
    dt_status status = options && w ? dt_options_parse(&usage, argc, argv, options, err)
                                    : dt_fail_memory(err, sizeof *options, "the options");
    if (status == DT_OK) {
        status = run(options, w, err);
        if (status == DT_ERR_USAGE && err)
            status = dt_options_locate(options, DT_COMMAND_CLUSTER, err);
    }
    for (int i = 0; w && i < N_OUTPUTS; i++)
        dt_free(w->outputs[i].text);
    if (w)
        dt_catalog_free(w->catalog);
    dt_free(w);
    dt_free(options);
    return status;
}
