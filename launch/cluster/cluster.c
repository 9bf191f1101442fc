#include "config.h"

#include "launch/cluster/cluster.h"

#include "core/base/units.h"
#include "launch/cluster/address.h"
#include "launch/cluster/region.h"
#include "launch/estimate/zone.h"

#include <stdio.h>
#include <string.h>

static dt_status missing(const char *option, const char *what, dt_error *err)
{
    return dt_fail(err, DT_ERR_USAGE, "--%s is missing: %s", option, what);
}

/* -- types ----------------------------------------------------------------------------------------------- */

/* The compute capability that a GPU's kernels are compiled for; NULL: not known here. */
static const char *cuda_arch(const char *gpu)
{
    static const struct {
        const char *gpu, *arch;
    } known[] = {{"T4", "75"},   {"A100-40GB", "80"}, {"A100-80GB", "80"}, {"A10G", "86"}, {"L4", "89"},
                 {"L40S", "89"}, {"H100", "90"},      {"H200", "90"},      {"B200", "100"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].gpu, gpu) == 0)
            return known[i].arch;
    return NULL;
}

static void list_archs(dt_cluster *c)
{
    c->cuda_archs[0] = '\0';
    for (int i = 0; i < c->n_types; i++) {
        const char *arch = cuda_arch(c->types[i]->gpu);
        if (!arch) {
            c->cuda_archs[0] = '\0';
            return;
        }
        if (!strstr(c->cuda_archs, arch))
            snprintf(c->cuda_archs + strlen(c->cuda_archs), sizeof c->cuda_archs - strlen(c->cuda_archs),
                     "%s%s", c->cuda_archs[0] ? "," : "", arch);
    }
}

static dt_status check_type(const dt_instance *type, const char *what, dt_error *err)
{
    if (type->unsupported.text)
        return dt_fail(err, DT_ERR_USAGE, "%s: %s is not supported: %s", what, type->type,
                       type->unsupported.text);
    if (strcmp(type->gpu, "V100") == 0)
        return dt_fail(
            err, DT_ERR_USAGE,
            "%s: %s: ParallelCluster's images have no driver for its V100 GPUs: take g5, g6e or p4d", what,
            type->type);
    return DT_OK;
}

static bool has_efa(const dt_instance *type)
{
    return dt_figure_is_known(type->efa_interfaces) && type->efa_interfaces.value > 0;
}

/* EC2 gives any of the types, and a job has to suit each. */
static dt_status check_agreement(const dt_instance *a, const dt_instance *b, dt_error *err)
{
    static const char rule[] =
        "the types of one cluster must have the same vCPUs, GPUs and EFA; make two clusters";
    if (a->n_gpus != b->n_gpus)
        return dt_fail(err, DT_ERR_USAGE, "--types: %s has %d GPU%s and %s %d: %s", a->type, a->n_gpus,
                       DT_PLURAL(a->n_gpus), b->type, b->n_gpus, rule);
    if (a->vcpus.value != b->vcpus.value)
        return dt_fail(err, DT_ERR_USAGE, "--types: %s has %.0f vCPUs and %s %.0f: %s", a->type,
                       a->vcpus.value, b->type, b->vcpus.value, rule);
    if (has_efa(a) != has_efa(b))
        return dt_fail(err, DT_ERR_USAGE, "--types: %s has EFA and %s has not: %s",
                       has_efa(a) ? a->type : b->type, has_efa(a) ? b->type : a->type, rule);
    return DT_OK;
}

static dt_status add_type(dt_cluster *c, const dt_catalog *catalog, const char *name, const char *what,
                          dt_error *err)
{
    const dt_instance *type = NULL;
    DT_TRY(dt_catalog_get_instance(catalog, name, what, &type, err));
    for (int i = 0; i < c->n_types; i++)
        if (c->types[i] == type)
            return dt_fail(err, DT_ERR_USAGE, "%s: %s is there twice", what, name);
    if (c->n_types == DT_CLUSTER_MAX_TYPES)
        return dt_fail(err, DT_ERR_USAGE, "%s: more than %d types", what, DT_CLUSTER_MAX_TYPES);
    DT_TRY(check_type(type, what, err));
    if (c->n_types > 0)
        DT_TRY(check_agreement(c->types[0], type, err));
    c->types[c->n_types++] = type;
    return DT_OK;
}

static dt_status set_types(dt_cluster *c, const dt_options *o, const dt_catalog *catalog,
                           const dt_cluster_plan *plan, dt_error *err)
{
    char list[DT_PATH_BYTES];
    snprintf(list, sizeof list, "%s", o->types);
    if (!list[0] && !plan)
        return missing("types",
                       "the instance type of the nodes, such as --types p4d.24xlarge; or --plan FILE", err);
    if (!list[0])
        DT_TRY(add_type(c, catalog, plan->type, "--plan", err));
    char *rest = list[0] ? list : NULL;
    for (char *name = strsep(&rest, ","); name; name = strsep(&rest, ",")) {
        name += strspn(name, " ");
        name[strcspn(name, " ")] = '\0';
        if (!name[0])
            return dt_fail(err, DT_ERR_USAGE, "--types: a name is missing between commas");
        DT_TRY(add_type(c, catalog, name, "--types", err));
    }
    c->has_efa = has_efa(c->types[0]);
    c->has_nvme = true;
    for (int i = 0; i < c->n_types; i++)
        c->has_nvme = c->has_nvme && c->types[i]->nvme_gb.value > 0;
    list_archs(c);
    return DT_OK;
}

/* -- place ----------------------------------------------------------------------------------------------- */

static dt_status set_region(dt_cluster *c, const dt_options *o, const dt_catalog *catalog,
                            const dt_cluster_plan *plan, dt_error *err)
{
    if (!o->region[0] && !plan)
        return missing("region", "where the cluster is, such as --region us-east-1; or --plan FILE", err);
    c->region = o->region[0] ? o->region : plan->region;
    DT_TRY(dt_region_check(catalog, c->region, o->region[0] ? "--region" : "--plan", err));
    const bool suits =
        plan && strcmp(plan->region, c->region) == 0; /* a zone of the plan's is in its region */
    c->zone = o->zone[0] ? o->zone : suits ? plan->zone : "";
    if (c->zone[0] && (!strchr(c->zone, '-') || !dt_zone_is_in(c->zone, c->region)))
        return dt_fail(err, DT_ERR_USAGE, "%s: %s is not a zone of %s", o->zone[0] ? "--zone" : "--plan",
                       c->zone, c->region);
    return DT_OK;
}

static bool is_on_command_line(const dt_options *o, const char *name)
{
    return o->origin[dt_options_find(name, DT_COMMAND_CLUSTER)] == DT_ORIGIN_COMMAND_LINE;
}

static dt_status set_network(dt_cluster *c, const dt_options *o, dt_error *err)
{
    /* --subnet on the command line replaces create_network and zone of a configuration file, which the
     * command of dt_cluster_again repeats. */
    const bool replaces = is_on_command_line(o, "subnet") && !is_on_command_line(o, "create-network");
    c->creates_network = o->create_network[0] && !replaces;
    if (c->creates_network && (o->subnet[0] || o->head_subnet[0]))
        return dt_fail(err, DT_ERR_USAGE,
                       "--create-network and --%s exclude each other: the network has subnets",
                       o->subnet[0] ? "subnet" : "head-subnet");
    if (!c->creates_network && !o->subnet[0])
        return missing("subnet",
                       "a private subnet for the nodes, --subnet subnet-...; --create-network network.yaml "
                       "makes one",
                       err);
    if (!c->creates_network && o->zone[0] && (!replaces || is_on_command_line(o, "zone")))
        return dt_fail(err, DT_ERR_USAGE,
                       "--zone is for --create-network: the zone of --subnet is what it is");
    c->subnet = c->creates_network ? DT_CLUSTER_NO_SUBNET : o->subnet;
    c->head_subnet = c->creates_network  ? DT_CLUSTER_NO_HEAD_SUBNET
                     : o->head_subnet[0] ? o->head_subnet
                                         : o->subnet;
    DT_TRY(dt_check_subnet(c->subnet, "--subnet", err));
    return dt_check_subnet(c->head_subnet, "--head-subnet", err);
}

static dt_status set_storage(dt_cluster *c, const dt_options *o, dt_error *err)
{
    enum { SMALLEST = 1200, STEP = 2400 };
    const long long gb = o->fsx_gb, below = gb / STEP * STEP;
    c->shared_gb = o->shared_gb;
    c->fsx_gb = o->fsx_gb;
    if (gb == 0 || gb == SMALLEST || gb % STEP == 0)
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE,
                   "--fsx-gb: %lld: FSx for Lustre has 1200 GiB or a multiple of 2400; the next is %lld", gb,
                   gb < SMALLEST ? (long long)SMALLEST : below + STEP);
}

static void set_source(dt_cluster *c, const dt_options *o)
{
    if (o->source[0])
        snprintf(c->source, sizeof c->source, "%s", o->source);
    else
        snprintf(c->source, sizeof c->source, "s3://%s/dtrain/dtrain-%s.tar.xz", c->bucket, PACKAGE_VERSION);
}

/* What has a form of its own. */
static dt_status check_texts(const dt_cluster *c, dt_error *err)
{
    if (!c->bucket[0])
        return missing("bucket", "the S3 bucket with the images", err);
    if (!c->key[0])
        return missing("key", "the name of an EC2 key pair in the region, to log in with", err);
    DT_TRY(dt_check_bucket(c->bucket, "--bucket", err));
    DT_TRY(dt_check_key(c->key, "--key", err));
    DT_TRY(dt_check_cluster_name(c->name, "--name", err));
    DT_TRY(dt_check_head_type(c->head_type, "--head-type", err));
    DT_TRY(dt_check_cidr(c->ssh_from, "--ssh-from", err));
    return dt_check_source(c->source, c->bucket, "--source", err);
}

dt_status dt_cluster_resolve(const dt_options *options, const dt_catalog *catalog,
                             const dt_cluster_plan *plan, dt_cluster *cluster, dt_error *err)
{
    const dt_options *o = options;
    dt_cluster c = {.name = o->cluster_name,
                    .bucket = o->bucket,
                    .key = o->key,
                    .head_type = o->head_type,
                    .ssh_from = o->ssh_from,
                    .plan = plan,
                    .budget_usd = o->budget_usd};
    DT_TRY(set_region(&c, o, catalog, plan, err));
    DT_TRY(set_types(&c, o, catalog, plan, err));
    DT_TRY(set_network(&c, o, err));
    DT_TRY(set_storage(&c, o, err));
    set_source(&c, o);
    DT_TRY(check_texts(&c, err));
    c.n_nodes = o->cluster_nodes > 0 ? (int)o->cluster_nodes : plan ? plan->nodes : 1;
    const dt_buy_kind buy = o->buy != DT_BUY_AUTO ? o->buy : plan ? plan->buy : DT_BUY_BOTH;
    c.has_spot = buy != DT_BUY_ON_DEMAND;
    c.has_on_demand = buy != DT_BUY_SPOT;
    if (plan && c.budget_usd == 0)
        c.budget_usd = plan->usd_p95;
    *cluster = c;
    return DT_OK;
}
