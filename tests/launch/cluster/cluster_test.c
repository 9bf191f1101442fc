/* What the options, the catalog and a plan make of a cluster, and what is refused. */
#include "launch/cluster/cluster.h"
#include "tests/launch/cluster/cluster_kit.h"
#include "tests/testing.h"

#include <string.h>

void dt_test_set_up(void)
{
    cluster_kit_open();
}

void dt_test_tear_down(void)
{
    cluster_kit_close();
}

static dt_error err;
static const dt_cluster_plan planned = {.title = "Best value",
                                        .type = "p5.48xlarge",
                                        .region = "us-east-2",
                                        .zone = "use2-az3",
                                        .nodes = 4,
                                        .buy = DT_BUY_SPOT,
                                        .usd_p95 = 16.97};

static void check_refused(const char *message, const char *const *words)
{
    dt_cluster cluster;
    DT_CHECK_INT(cluster_kit_resolve(words, NULL, &cluster, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, message);
}
#define REFUSED(message, ...) check_refused(message, (const char *const[]){__VA_ARGS__, NULL})

static void defaults_are_both_queues_of_one_node(void)
{
    const dt_cluster c = CLUSTER("--types", "g5.xlarge");
    DT_CHECK_STR(c.name, "dtrain");
    DT_CHECK_STR(c.region, "us-east-1");
    DT_CHECK_STR(c.zone, "");
    DT_CHECK_INT(c.n_types, 1);
    DT_CHECK_STR(c.types[0]->type, "g5.xlarge");
    DT_CHECK_INT(c.n_nodes, 1);
    DT_CHECK(c.has_spot && c.has_on_demand && c.has_nvme && !c.has_efa && !c.creates_network);
    DT_CHECK_STR(c.subnet, "subnet-0123456789abcdef0");
    DT_CHECK_STR(c.head_subnet, "subnet-00000000");
    DT_CHECK_STR(c.cuda_archs, "86");
    DT_CHECK_CONTAINS(c.source, "s3://images/dtrain/dtrain-");
    DT_CHECK_CLOSE(c.budget_usd, 0, 0);
}

static void types_that_agree_make_one_cluster(void)
{
    dt_cluster c = CLUSTER("--types", "p4d.24xlarge, p4de.24xlarge", "--nodes", "2", "--buy", "spot");
    DT_CHECK_INT(c.n_types, 2);
    DT_CHECK_STR(c.types[1]->type, "p4de.24xlarge");
    DT_CHECK(c.has_efa && c.has_spot && !c.has_on_demand);
    DT_CHECK_STR(c.cuda_archs, "80");
    DT_CHECK_INT(c.n_nodes, 2);
    c = CLUSTER("--types", "g5.48xlarge,g6.48xlarge,g6e.48xlarge", "--buy", "on-demand");
    DT_CHECK_STR(c.cuda_archs, "86,89");
    DT_CHECK(!c.has_spot && c.has_on_demand);
}

static void types_that_differ_are_refused(void)
{
    REFUSED("--types: p4d.24xlarge has 8 GPUs and g5.xlarge 1: the types of one cluster must have the same "
            "vCPUs, "
            "GPUs and EFA; make two clusters",
            "--types", "p4d.24xlarge,g5.xlarge");
    REFUSED(
        "--types: g5.xlarge has 4 vCPUs and g5.2xlarge 8: the types of one cluster must have the same vCPUs, "
        "GPUs and EFA; make two clusters",
        "--types", "g5.xlarge,g5.2xlarge");
    REFUSED("--types: g5.xlarge is there twice", "--types", "g5.xlarge,g5.xlarge");
    REFUSED("--types: a name is missing between commas", "--types", "g5.xlarge,,g6.xlarge");
    REFUSED("--types: there is no instance type 'p4d.24xlarg'; did you mean 'p4d.24xlarge'?", "--types",
            "p4d.24xlarg");
    REFUSED(
        "--types is missing: the instance type of the nodes, such as --types p4d.24xlarge; or --plan FILE",
        "--nodes", "2");
}

static void types_that_cannot_be_used_are_refused_with_the_reason(void)
{
    dt_cluster c;
    const char *const trn1[] = {"--types", "trn1.32xlarge", NULL};
    DT_CHECK_INT(cluster_kit_resolve(trn1, NULL, &c, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "--types: trn1.32xlarge is not supported: Trainium needs Neuron");
    REFUSED(
        "--types: p3.2xlarge: ParallelCluster's images have no driver for its V100 GPUs: take g5, g6e or p4d",
        "--types", "p3.2xlarge");
    REFUSED("--types: p3dn.24xlarge: ParallelCluster's images have no driver for its V100 GPUs: take g5, g6e "
            "or p4d",
            "--types", "p3dn.24xlarge");
}

static void regions_and_zones_are_checked(void)
{
    REFUSED("--region: there is no region 'us-est-1'; did you mean 'us-east-1'?", "--types", "g5.xlarge",
            "--region", "us-est-1");
    REFUSED("--region: there is no region 'moon' in dtrain's list; a newer one needs a price in the file of "
            "--prices",
            "--types", "g5.xlarge", "--region", "moon");
    REFUSED("--zone is for --create-network: the zone of --subnet is what it is", "--types", "g5.xlarge",
            "--zone", "use1-az1");
    const dt_cluster c =
        CLUSTER("--types", "g5.xlarge", "--region", "eu-north-1"); /* no price is known there */
    DT_CHECK_STR(c.region, "eu-north-1");
}

static void names_and_addresses_must_have_their_form(void)
{
    REFUSED("--bucket: 's3://images/x' is an address; give the bucket's name alone: --bucket images",
            "--types", "g5.xlarge", "--bucket", "s3://images/x");
    REFUSED("--bucket: 'My_Images' cannot be a bucket's name: 3 to 63 lower-case letters, digits, dots and "
            "hyphens",
            "--types", "g5.xlarge", "--bucket", "My_Images");
    REFUSED("--key: '/home/me/.ssh/me.pem' is a file; give the key pair's name in EC2: --key me", "--types",
            "g5.xlarge", "--key", "/home/me/.ssh/me.pem");
    REFUSED("--key: 'me.pem' is a file; give the key pair's name in EC2: --key me", "--types", "g5.xlarge",
            "--key", "me.pem");
    REFUSED("--name: '2nd' cannot be a cluster's name: a letter, then at most 59 letters, digits and hyphens",
            "--types", "g5.xlarge", "--name", "2nd");
    REFUSED("--subnet: 'subnet-1,subnet-2' is not the id of one subnet, such as subnet-0123456789abcdef0",
            "--types", "g5.xlarge", "--subnet", "subnet-1,subnet-2");
    REFUSED("--ssh-from: '1.2.3.4' is not a range of addresses, such as 203.0.113.7/32 (one) or 0.0.0.0/0",
            "--types", "g5.xlarge", "--ssh-from", "1.2.3.4");
    REFUSED("--ssh-from: '1.2.3.4/33' is not a range of addresses, such as 203.0.113.7/32 (one) or 0.0.0.0/0",
            "--types", "g5.xlarge", "--ssh-from", "1.2.3.4/33");
    REFUSED("--head-type: 'c6i' is no instance type, such as c6i.xlarge", "--types", "g5.xlarge",
            "--head-type", "c6i");
    REFUSED("--head-type: c7gn.xlarge has a processor of Arm's; the head node builds dtrain for the nodes, "
            "which are "
            "x86-64: take c6i, m6i or the like",
            "--types", "g5.xlarge", "--head-type", "c7gn.xlarge");
    REFUSED("--source: 's3://other/a.tar.xz' is in another bucket; the cluster can read images alone",
            "--types", "g5.xlarge", "--source", "s3://other/a.tar.xz");
    REFUSED(
        "--source: 'dtrain.tar.xz' is no archive, s3://images/....tar.xz or https://....tar.xz, and no git "
        "repository, https://....git",
        "--types", "g5.xlarge", "--source", "dtrain.tar.xz");
    (void)CLUSTER("--types", "g5.xlarge", "--head-type", "g4dn.xlarge", "--source", "https://host/dtrain.git",
                  "--ssh-from", "203.0.113.7/32", "--key", "my key's");
}

static void fsx_has_the_sizes_that_exist(void)
{
    REFUSED("--fsx-gb: 1000: FSx for Lustre has 1200 GiB or a multiple of 2400; the next is 1200", "--types",
            "g5.xlarge", "--fsx-gb", "1000");
    REFUSED("--fsx-gb: 3000: FSx for Lustre has 1200 GiB or a multiple of 2400; the next is 4800", "--types",
            "g5.xlarge", "--fsx-gb", "3000");
    DT_CHECK_INT(CLUSTER("--types", "g5.xlarge", "--fsx-gb", "1200").fsx_gb, 1200);
    DT_CHECK_INT(CLUSTER("--types", "g5.xlarge", "--fsx-gb", "7200").fsx_gb, 7200);
}

static void a_plan_fills_in_what_is_not_given(void)
{
    dt_cluster c = PLANNED_CLUSTER(&planned, "--region", "us-east-2");
    DT_CHECK_STR(c.types[0]->type, "p5.48xlarge");
    DT_CHECK_INT(c.n_nodes, 4);
    DT_CHECK(c.has_spot && !c.has_on_demand);
    DT_CHECK_STR(c.zone, "use2-az3");
    DT_CHECK_CLOSE(c.budget_usd, 16.97, 1e-9);
    c = PLANNED_CLUSTER(&planned, "--types", "p5en.48xlarge", "--nodes", "2", "--buy", "both", "--budget",
                        "50");
    DT_CHECK_STR(c.region, "us-east-1");
    DT_CHECK_STR(c.zone, ""); /* the plan's zone is in another region */
    DT_CHECK_STR(c.types[0]->type, "p5en.48xlarge");
    DT_CHECK_INT(c.n_nodes, 2);
    DT_CHECK(c.has_spot && c.has_on_demand);
    DT_CHECK_CLOSE(c.budget_usd, 50, 1e-9);
}

static void a_network_to_create_has_placeholders(void)
{
    dt_cluster c;
    static const char *const both[] = {"--types", "g5.xlarge", "--create-network", "n.yaml", NULL};
    DT_CHECK_INT(cluster_kit_resolve(both, NULL, &c, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, "--create-network and --subnet exclude each other: the network has subnets");
    cluster_kit_options.subnet[0] = cluster_kit_options.head_subnet[0] = '\0';
    DT_REQUIRE_MSG(dt_cluster_resolve(&cluster_kit_options, cluster_kit_catalog, NULL, &c, &err) == DT_OK,
                   "%s", err.message);
    DT_CHECK(c.creates_network);
    DT_CHECK_STR(c.subnet, DT_CLUSTER_NO_SUBNET);
    DT_CHECK_INT(strlen(c.subnet), 7 + 17); /* of the form that ParallelCluster's schema accepts */
    DT_CHECK_INT(strlen(c.head_subnet), 7 + 17);
    strcpy(cluster_kit_options.zone, "usw2-az1");
    DT_CHECK_INT(dt_cluster_resolve(&cluster_kit_options, cluster_kit_catalog, NULL, &c, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, "--zone: usw2-az1 is not a zone of us-east-1");
    strcpy(cluster_kit_options.zone, "a");
    DT_CHECK_INT(dt_cluster_resolve(&cluster_kit_options, cluster_kit_catalog, NULL, &c, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, "--zone: a is not a zone of us-east-1");
    strcpy(cluster_kit_options.zone, "us-east-1b");
    DT_CHECK_INT(dt_cluster_resolve(&cluster_kit_options, cluster_kit_catalog, NULL, &c, &err), DT_OK);
    cluster_kit_options.create_network[0] = cluster_kit_options.zone[0] = '\0';
    DT_CHECK_INT(dt_cluster_resolve(&cluster_kit_options, cluster_kit_catalog, NULL, &c, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "--subnet is missing: a private subnet for the nodes");
}

static const dt_test tests[] = {
    DT_TEST(defaults_are_both_queues_of_one_node),
    DT_TEST(types_that_agree_make_one_cluster),
    DT_TEST(types_that_differ_are_refused),
    DT_TEST(types_that_cannot_be_used_are_refused_with_the_reason),
    DT_TEST(regions_and_zones_are_checked),
    DT_TEST(names_and_addresses_must_have_their_form),
    DT_TEST(fsx_has_the_sizes_that_exist),
    DT_TEST(a_plan_fills_in_what_is_not_given),
    DT_TEST(a_network_to_create_has_placeholders),
};
DT_TEST_MAIN("launch/cluster/cluster", tests)
