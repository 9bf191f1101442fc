#include "config.h"

#include "launch/cluster/steps.h"

#include "launch/cluster/parallelcluster.h"
#include "launch/show/output.h"
#include "launch/show/shell.h"
#include "launch/show/table.h"

#include <stdarg.h>
#include <string.h>

enum { INDENT = 5, COMMAND_BYTES = 16384 };

/* A command that grows to the size of its buffer. */
typedef struct command {
    char *out;
    size_t bytes;
    bool fits;
} command;

static void add(command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(command *c, const char *format, ...)
{
    const size_t used = strlen(c->out);
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(c->out + used, c->bytes - used, format, arguments);
    va_end(arguments);
    c->fits = c->fits && n >= 0 && (size_t)n < c->bytes - used;
}

static void add_word(command *c, const char *word)
{
    const size_t used = strlen(c->out);
    c->fits = dt_shell_word(word, c->out + used, c->bytes - used) && c->fits;
}

/* The options as they were given, but for those that the network's stack answers. */
static void add_given(command *c, const dt_options *o)
{
    static const char *const answered[] = {"create-network", "zone", "subnet", "head-subnet"};
    char value[DT_PATH_BYTES];
    if (o->config_file[0]) {
        add(c, " --config ");
        add_word(c, o->config_file);
    }
    for (int row = 0; row < dt_options_count(); row++) {
        const dt_option *option = dt_options_at(row);
        bool is_answered = false;
        for (size_t i = 0; i < sizeof answered / sizeof answered[0]; i++)
            is_answered = is_answered || strcmp(option->name, answered[i]) == 0;
        if (!(option->commands & DT_COMMAND_CLUSTER) || is_answered ||
            o->origin[row] != DT_ORIGIN_COMMAND_LINE)
            continue;
        dt_option_format(o, row, value, sizeof value);
        add(c, " --%s%s", option->name, value[0] == '-' ? "=" : " ");
        add_word(c, value);
    }
}

bool dt_cluster_again(const dt_cluster *cluster, const dt_options *options, char *out, size_t bytes)
{
    command c = {out, bytes, bytes > 0};
    out[0] = '\0';
    add(&c, "dtrain cluster");
    add_given(&c, options);
    add(&c,
        " $(aws cloudformation describe-stacks --region %s --stack-name %s-network --output text --query "
        "'Stacks[0].Outputs[?OutputKey==`Options`].OutputValue')",
        cluster->region, cluster->name);
    return c.fits;
}

/* -- the notes ------------------------------------------------------------------------------------------- */

static void print_note(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print_note(FILE *stream, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dt_output_paragraph(stream, text, dt_table_columns(stream), 0);
}

/* Of two types with other GPUs; NULL: all have the same. */
static const dt_instance *other_gpu(const dt_cluster *c)
{
    for (int i = 1; i < c->n_types; i++)
        if (strcmp(c->types[i]->gpu, c->types[0]->gpu) != 0)
            return c->types[i];
    return NULL;
}

void dt_cluster_print_notes(const dt_cluster *cluster, FILE *stream)
{
    const dt_cluster *c = cluster;
    const dt_instance *first = c->types[0], *other = other_gpu(c);
    if (other)
        print_note(stream,
                   "%s has %s GPUs and %s %s: a batch must fit into both, and a training that goes on with "
                   "the other "
                   "ends with other bits.",
                   first->type, first->gpu, other->type, other->gpu);
    if (c->has_efa && first->efa_interfaces.value > 1 && !c->creates_network)
        print_note(stream,
                   "%s has several network cards: ParallelCluster refuses %s if it gives public addresses.",
                   first->type, c->subnet);
    if (strcmp(c->subnet, c->head_subnet) == 0)
        print_note(stream,
                   "The head node is in the nodes' subnet: log in through a VPN, or with Session Manager; "
                   "--head-subnet names a public one.");
    else if (strcmp(c->ssh_from, "0.0.0.0/0") == 0)
        print_note(stream,
                   "The head node accepts logins with the key from everywhere; --ssh-from limits that.");
    if (c->budget_usd > 0)
        print_note(
            stream,
            "The tags project and budget-usd (%.2f) count in AWS Budgets once they are activated as cost "
            "allocation tags; they limit nothing.",
            c->budget_usd);
}

/* -- the steps ------------------------------------------------------------------------------------------- */

static void print_step(FILE *stream, int number, const char *what, const char *text)
{
    dt_output_line(stream, "  %d. %s", number, what);
    dt_shell_print(stream, text, dt_table_columns(stream), INDENT);
}

/* "us-east-1a" is a name, "use1-az4" an id. */
static bool is_zone_id(const dt_cluster *c)
{
    return strncmp(c->zone, c->region, strlen(c->region)) != 0;
}

static void print_network(const dt_cluster *cluster, const dt_options *options, FILE *stream)
{
    static char text[COMMAND_BYTES];
    command c = {text, sizeof text, true};
    text[0] = '\0';
    add(&c, "aws cloudformation deploy --region %s --stack-name %s-network --template-file ", cluster->region,
        cluster->name);
    add_word(&c, options->create_network);
    if (cluster->zone[0])
        add(&c, " --parameter-overrides %s=%s", is_zone_id(cluster) ? "ZoneId" : "Zone", cluster->zone);
    print_step(stream, 1, "Make the network (two minutes; a NAT gateway costs from then on):", text);
    if (dt_cluster_again(cluster, options, text, sizeof text))
        print_step(stream, 2, "Put its subnets into the configuration:", text);
    dt_output_line(stream, "  3. What that prints: the upload, the cluster, the job.");
}

static void add_upload(command *c, const dt_cluster *cluster, const char *bootstrap)
{
    char archive[128];
    add(c, "aws s3 cp ");
    add_word(c, bootstrap);
    add(c, " s3://%s/dtrain/", cluster->bucket);
    snprintf(archive, sizeof archive, "dtrain-%s.tar.xz", PACKAGE_VERSION);
    const size_t n = strlen(cluster->source), m = strlen(archive);
    const bool is_ours = n > m && strcmp(cluster->source + n - m, archive) == 0;
    if (strncmp(cluster->source, "s3://", 5) == 0 && is_ours) {
        add(c, " && aws s3 cp %s ", archive);
        add_word(c, cluster->source);
    }
}

/* The plan's training. Its data are in the bucket, unless the plan names a folder. */
static void add_job(command *c, const dt_cluster *cluster)
{
    static const char unnamed[] = " --data DIR";
    const char *options = cluster->plan && cluster->plan->options[0] ? cluster->plan->options : unnamed;
    const char *data = strstr(options, unnamed);
    const int n_gpus = cluster->types[0]->n_gpus;
    add(c,
        "sbatch --partition %s --nodes %d --ntasks-per-node %d --gpus-per-node %d "
        "/shared/dtrain/share/dtrain/slurm/dtrain.sbatch",
        cluster->has_spot ? DT_CLUSTER_SPOT_QUEUE : DT_CLUSTER_ON_DEMAND_QUEUE, cluster->n_nodes, n_gpus,
        n_gpus);
    if (data)
        add(c, "%.*s --data s3://%s/imagenet%s", (int)(data - options), options, cluster->bucket,
            data + strlen(unnamed));
    else
        add(c, "%s", options);
}

static void print_cluster(const dt_cluster *cluster, const dt_options *options, const char *bootstrap,
                          FILE *stream)
{
    static char text[COMMAND_BYTES];
    char key[512];
    const bool has_archive = strncmp(cluster->source, "s3://", 5) == 0;
    command c = {text, sizeof text, true};
    text[0] = '\0';
    add_upload(&c, cluster, bootstrap);
    print_step(stream, 1,
               has_archive
                   ? "Upload the script, and the archive, which make dist writes into build/; copy it here:"
                   : "Upload the script:",
               text);
    text[0] = '\0';
    add(&c, "pcluster create-cluster --region %s --cluster-name %s --cluster-configuration ", cluster->region,
        cluster->name);
    add_word(&c, options->output);
    print_step(stream, 2,
               "Make the cluster, which builds dtrain (20 minutes; pcluster list-clusters):", text);
    text[0] = '\0';
    snprintf(key, sizeof key, "%s.pem", cluster->key);
    add(&c, "pcluster ssh --region %s --cluster-name %s -i ~/.ssh/", cluster->region, cluster->name);
    add_word(&c, key);
    print_step(stream, 3, "Log in, and start the training:", text);
    text[0] = '\0';
    add(&c, "cd /shared/runs");
    dt_shell_print(stream, text, dt_table_columns(stream), INDENT);
    text[0] = '\0';
    add_job(&c, cluster);
    dt_shell_print(stream, text, dt_table_columns(stream), INDENT);
}

void dt_cluster_print_steps(const dt_cluster *cluster, const dt_options *options, const char *bootstrap,
                            FILE *stream)
{
    dt_output_line(stream, "Next:");
    if (cluster->creates_network)
        print_network(cluster, options, stream);
    else
        print_cluster(cluster, options, bootstrap, stream);
}
