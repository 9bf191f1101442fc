/* The configuration of ParallelCluster: one as a whole, and what each choice changes in it. */
#include "launch/cluster/parallelcluster.h"
#include "tests/launch/cluster/cluster_kit.h"
#include "tests/testing.h"

#include "core/base/alloc.h"

#include <stdio.h>
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
static char text[16384];

/* Writes the configuration of a cluster into `text`. */
static void write_text(const dt_cluster *cluster)
{
    char *written = NULL;
    DT_REQUIRE_MSG(dt_parallelcluster_write(cluster, &written, &err) == DT_OK, "%s", err.message);
    snprintf(text, sizeof text, "%s", written);
    dt_free(written);
}
#define WRITE(...)                                                                                           \
    do {                                                                                                     \
        const dt_cluster written_ = CLUSTER(__VA_ARGS__);                                                    \
        write_text(&written_);                                                                               \
    } while (0)

static int count(const char *part)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, part)) != NULL; s++)
        n++;
    return n;
}

static const char one_queue[] =
    "# AWS ParallelCluster 3, for dtrain. The README beside network.yaml gives the reasons:\n"
    "# share/dtrain/parallelcluster/README.md.\n"
    "Region: us-east-1\n"
    "Image:\n"
    "  Os: ubuntu2404\n"
    "Imds:\n"
    "  ImdsSupport: v2.0\n"
    "HeadNode:\n"
    "  InstanceType: c6i.xlarge\n"
    "  Networking:\n"
    "    SubnetId: subnet-00000000\n"
    "  Ssh:\n"
    "    KeyName: me\n"
    "    AllowedIps: \"203.0.113.7/32\"\n"
    "  LocalStorage:\n"
    "    RootVolume:\n"
    "      VolumeType: gp3\n"
    "      Encrypted: true\n"
    "  # Builds dtrain once, into /shared. The nodes run no script: one that fails or is slow would\n"
    "  # end ten starts later in protected mode, in which the queue starts no more nodes.\n"
    "  CustomActions:\n"
    "    OnNodeConfigured:\n"
    "      Script: s3://images/dtrain/dtrain-bootstrap.sh\n"
    "      Args:\n"
    "        - https://host/dtrain.git\n"
    "        - \"80\"\n"
    "  Iam:\n"
    "    S3Access:\n"
    "      - BucketName: images\n"
    "        EnableWriteAccess: false\n"
    "Scheduling:\n"
    "  Scheduler: slurm\n"
    "  # All nodes of a job start, or none is paid for. This holds in one subnet.\n"
    "  ScalingStrategy: all-or-nothing\n"
    "  SlurmSettings:\n"
    "    ScaledownIdletime: 5\n"
    "    QueueUpdateStrategy: DRAIN\n"
    "    EnableMemoryBasedScheduling: false\n"
    "    CustomSlurmSettings:\n"
    "      - RequeueExit: 75\n"
    "      - KillWait: 60\n"
    "  SlurmQueues:\n"
    "    - Name: spot\n"
    "      CapacityType: SPOT\n"
    "      AllocationStrategy: price-capacity-optimized\n"
    "      # A job has whole nodes. sbatch's --exclusive would end in BadConstraints after a lost node.\n"
    "      JobExclusiveAllocation: true\n"
    "      Networking:\n"
    "        SubnetIds:\n"
    "          - subnet-0123456789abcdef0\n"
    "        PlacementGroup:\n"
    "          Enabled: false\n"
    "      ComputeSettings:\n"
    "        LocalStorage:\n"
    "          RootVolume:\n"
    "            Size: 100\n"
    "            VolumeType: gp3\n"
    "            Encrypted: true\n"
    "          EphemeralVolume:\n"
    "            MountDir: /scratch\n"
    "      ComputeResources:\n"
    "        - Name: p4d-24xlarge\n"
    "          Instances:\n"
    "            - InstanceType: p4d.24xlarge\n"
    "          MinCount: 0\n"
    "          MaxCount: 2\n"
    "          Efa:\n"
    "            Enabled: true\n"
    "      Iam:\n"
    "        S3Access:\n"
    "          - BucketName: images\n"
    "            EnableWriteAccess: false\n"
    "SharedStorage:\n"
    "  - Name: shared\n"
    "    MountDir: /shared\n"
    "    StorageType: Ebs\n"
    "    EbsSettings:\n"
    "      VolumeType: gp3\n"
    "      Size: 100\n"
    "      Encrypted: true\n"
    "      # The checkpoints outlive the cluster.\n"
    "      DeletionPolicy: Snapshot\n"
    "Monitoring:\n"
    "  Logs:\n"
    "    CloudWatch:\n"
    "      RetentionInDays: 14\n"
    "      DeletionPolicy: Delete\n"
    "  Dashboards:\n"
    "    CloudWatch:\n"
    "      Enabled: false\n"
    "Tags:\n"
    "  - Key: project\n"
    "    Value: dtrain\n"
    "  - Key: budget-usd\n"
    "    Value: \"50.00\"\n"
    "# Seconds for the build; by default 1800.\n"
    "DevSettings:\n"
    "  Timeouts:\n"
    "    HeadNodeBootstrapTimeout: 3600\n";

static void one_queue_is_as_expected(void)
{
    WRITE("--types", "p4d.24xlarge", "--nodes", "2", "--buy", "spot", "--ssh-from", "203.0.113.7/32",
          "--budget", "50", "--source", "https://host/dtrain.git");
    DT_CHECK_STR(text, one_queue);
}

static void both_queues_differ_in_what_they_buy(void)
{
    WRITE("--types", "p4d.24xlarge", "--nodes", "2");
    DT_CHECK(strstr(text, "- Name: spot\n") < strstr(text, "- Name: ondemand\n"));
    DT_CHECK_INT(count("CapacityType: SPOT\n"), 1);
    DT_CHECK_INT(count("CapacityType: ONDEMAND\n"), 1);
    DT_CHECK_INT(count("AllocationStrategy: lowest-price\n"), 1);
    DT_CHECK_INT(count("JobExclusiveAllocation: true\n"), 2);
    DT_CHECK_INT(count("MaxCount: 2\n"), 2);
    DT_CHECK_INT(count("budget-usd"), 0);
    WRITE("--types", "p4d.24xlarge", "--buy", "on-demand");
    DT_CHECK_INT(count("spot"), 0);
    DT_CHECK_INT(count("- Name: ondemand\n"), 1);
}

/* How many placement groups there are, in all queues. */
static int placement_groups(void)
{
    return count("PlacementGroup:\n          Enabled: true\n");
}

static void placement_groups_are_for_nodes_on_demand_that_need_one(void)
{
    WRITE("--types", "p5.48xlarge", "--nodes", "2");
    DT_CHECK_INT(placement_groups(), 1);
    DT_CHECK_INT(count("PlacementGroup:\n"),
                 2); /* the other is turned off explicitly, as ParallelCluster wants */
    DT_CHECK(strstr(text, "Enabled: true\n      ComputeSettings") > strstr(text, "- Name: ondemand\n"));
    WRITE("--types", "p5.48xlarge", "--nodes", "1");
    DT_CHECK_INT(placement_groups(), 0);
    WRITE("--types", "p4d.24xlarge,p4de.24xlarge", "--nodes", "2");
    DT_CHECK_INT(placement_groups(), 0);
    WRITE("--types", "g5.xlarge", "--nodes", "2");
    DT_CHECK_INT(placement_groups(), 0);
}

static void efa_and_scratch_are_where_the_types_have_them(void)
{
    WRITE("--types", "g6e.xlarge");
    DT_CHECK_INT(count("Efa:\n"), 0);
    DT_CHECK_INT(count("MountDir: /scratch\n"), 2);
    WRITE("--types", "g6e.48xlarge");
    DT_CHECK_INT(count("Efa:\n"), 2);
}

static void several_types_share_a_compute_resource(void)
{
    WRITE("--types", "p4d.24xlarge,p4de.24xlarge", "--buy", "spot");
    DT_CHECK_CONTAINS(
        text, "        - Name: mixed\n          Instances:\n            - InstanceType: p4d.24xlarge\n"
              "            - InstanceType: p4de.24xlarge\n          MinCount: 0\n");
    WRITE("--types", "p6-b200.48xlarge");
    DT_CHECK_CONTAINS(text, "- Name: p6-b200-48xlarge\n");
    DT_CHECK_CONTAINS(text, "- \"100\"\n");
}

static void options_choose_sizes_and_places(void)
{
    WRITE("--types", "g5.xlarge", "--fsx-gb", "2400", "--shared-gb", "250", "--head-type", "m6i.large",
          "--key", "my \"key\"");
    DT_CHECK_CONTAINS(text, "InstanceType: m6i.large\n");
    DT_CHECK_CONTAINS(text, "KeyName: \"my \\\"key\\\"\"\n");
    DT_CHECK_CONTAINS(text, "      Size: 250\n");
    DT_CHECK_CONTAINS(
        text, "  - Name: fsx\n    MountDir: /fsx\n    StorageType: FsxLustre\n    FsxLustreSettings:\n"
              "      DeploymentType: SCRATCH_2\n      StorageCapacity: 2400\n");
    WRITE("--types", "g5.xlarge");
    DT_CHECK_INT(count("FsxLustre"), 0);
}

static void a_head_node_in_a_private_subnet_is_reached_by_session_manager(void)
{
    WRITE("--types", "g5.xlarge", "--head-subnet", "subnet-0123456789abcdef0", "--region", "us-gov-west-1");
    DT_CHECK_CONTAINS(text, "- Policy: arn:aws-us-gov:iam::aws:policy/AmazonSSMManagedInstanceCore\n");
    WRITE("--types", "g5.xlarge");
    DT_CHECK_INT(count("Policy: arn"), 0);
}

static const dt_test tests[] = {
    DT_TEST(one_queue_is_as_expected),
    DT_TEST(both_queues_differ_in_what_they_buy),
    DT_TEST(placement_groups_are_for_nodes_on_demand_that_need_one),
    DT_TEST(efa_and_scratch_are_where_the_types_have_them),
    DT_TEST(several_types_share_a_compute_resource),
    DT_TEST(options_choose_sizes_and_places),
    DT_TEST(a_head_node_in_a_private_subnet_is_reached_by_session_manager),
};
DT_TEST_MAIN("launch/cluster/parallelcluster", tests)
