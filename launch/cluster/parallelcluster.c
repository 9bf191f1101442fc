#include "config.h"

#include "launch/cluster/parallelcluster.h"

#include "launch/cluster/region.h"
#include "launch/cluster/yaml.h"

#include <stdio.h>
#include <string.h>

enum {
    REQUEUE_EXIT = 75,
    KILL_WAIT_S = 60,
    IDLE_MINUTES = 5,
    LOG_DAYS = 14,
    BOOTSTRAP_S = 3600,
    NAME_BYTES = 26
};

/* gb 0: as large as the image. */
static void add_root_volume(dt_yaml *y, int gb)
{
    dt_yaml_open(y, "RootVolume");
    if (gb > 0)
        dt_yaml_number(y, "Size", gb);
    dt_yaml_text(y, "VolumeType", "gp3");
    dt_yaml_flag(y, "Encrypted", true);
    dt_yaml_close(y);
}

/* That bucket alone, and only to read it. */
static void add_bucket(dt_yaml *y, const dt_cluster *c)
{
    dt_yaml_open(y, "S3Access");
    dt_yaml_item(y);
    dt_yaml_text(y, "BucketName", c->bucket);
    dt_yaml_flag(y, "EnableWriteAccess", false);
    dt_yaml_close(y);
    dt_yaml_close(y);
}

static void add_head_node(dt_yaml *y, const dt_cluster *c)
{
    char text[DT_PATH_BYTES];
    dt_yaml_open(y, "HeadNode");
    dt_yaml_text(y, "InstanceType", c->head_type);
    dt_yaml_open(y, "Networking");
    dt_yaml_text(y, "SubnetId", c->head_subnet);
    dt_yaml_close(y);
    dt_yaml_open(y, "Ssh");
    dt_yaml_text(y, "KeyName", c->key);
    dt_yaml_text(y, "AllowedIps", c->ssh_from);
    dt_yaml_close(y);
    dt_yaml_open(y, "LocalStorage");
    add_root_volume(y, 0);
    dt_yaml_close(y);
    dt_yaml_comment(
        y, "Builds dtrain once, into /shared. The nodes run no script: one that fails or is slow would");
    dt_yaml_comment(y, "end ten starts later in protected mode, in which the queue starts no more nodes.");
    dt_yaml_open(y, "CustomActions");
    dt_yaml_open(y, "OnNodeConfigured");
    snprintf(text, sizeof text, "s3://%s/dtrain/%s", c->bucket, DT_CLUSTER_BOOTSTRAP);
    dt_yaml_text(y, "Script", text);
    dt_yaml_open(y, "Args");
    dt_yaml_item_text(y, c->source);
    dt_yaml_item_text(y, c->cuda_archs[0] ? c->cuda_archs : "all");
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_open(y, "Iam");
    add_bucket(y, c);
    if (strcmp(c->subnet, c->head_subnet) == 0) {
        dt_yaml_comment(y,
                        "The head node is in the nodes' private subnet: Session Manager reaches it there.");
        dt_yaml_open(y, "AdditionalIamPolicies");
        dt_yaml_item(y);
        snprintf(text, sizeof text, "arn:%s:iam::aws:policy/AmazonSSMManagedInstanceCore",
                 dt_region_partition(c->region));
        dt_yaml_text(y, "Policy", text);
        dt_yaml_close(y);
        dt_yaml_close(y);
    }
    dt_yaml_close(y);
    dt_yaml_close(y);
}

/* Lower-case letters, digits and hyphens, at most 25: "p4d-24xlarge". */
static void compute_resource_name(const dt_cluster *c, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s", c->n_types == 1 ? c->types[0]->type : "mixed");
    for (char *s = out; *s; s++)
        if (*s == '.')
            *s = '-';
}

static void add_compute_resource(dt_yaml *y, const dt_cluster *c)
{
    char name[NAME_BYTES];
    compute_resource_name(c, name);
    dt_yaml_open(y, "ComputeResources");
    dt_yaml_item(y);
    dt_yaml_text(y, "Name", name);
    dt_yaml_open(y, "Instances");
    for (int i = 0; i < c->n_types; i++) {
        dt_yaml_item(y);
        dt_yaml_text(y, "InstanceType", c->types[i]->type);
        dt_yaml_close(y);
    }
    dt_yaml_close(y);
    dt_yaml_number(y, "MinCount", 0);
    dt_yaml_number(y, "MaxCount", c->n_nodes);
    if (c->has_efa) {
        dt_yaml_open(y, "Efa");
        dt_yaml_flag(y, "Enabled", true);
        dt_yaml_close(y);
    }
    dt_yaml_close(y);
    dt_yaml_close(y);
}

/* A placement group makes capacity scarcer: only nodes on demand that speak over EFA get one. With several
 * types it finds hardly any. */
static bool has_placement_group(const dt_cluster *c, bool is_spot)
{
    return !is_spot && c->has_efa && c->n_nodes > 1 && c->n_types == 1;
}

static void add_queue(dt_yaml *y, const dt_cluster *c, bool is_spot)
{
    dt_yaml_item(y);
    dt_yaml_text(y, "Name", is_spot ? DT_CLUSTER_SPOT_QUEUE : DT_CLUSTER_ON_DEMAND_QUEUE);
    dt_yaml_text(y, "CapacityType", is_spot ? "SPOT" : "ONDEMAND");
    dt_yaml_text(y, "AllocationStrategy", is_spot ? "price-capacity-optimized" : "lowest-price");
    dt_yaml_comment(
        y, "A job has whole nodes. sbatch's --exclusive would end in BadConstraints after a lost node.");
    dt_yaml_flag(y, "JobExclusiveAllocation", true);
    dt_yaml_open(y, "Networking");
    dt_yaml_open(y, "SubnetIds");
    dt_yaml_item_text(y, c->subnet);
    dt_yaml_close(y);
    dt_yaml_open(y, "PlacementGroup");
    dt_yaml_flag(y, "Enabled", has_placement_group(c, is_spot));
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_open(y, "ComputeSettings");
    dt_yaml_open(y, "LocalStorage");
    add_root_volume(y, DT_CLUSTER_NODE_ROOT_GB);
    if (c->has_nvme) {
        dt_yaml_open(y, "EphemeralVolume");
        dt_yaml_text(y, "MountDir", "/scratch");
        dt_yaml_close(y);
    }
    dt_yaml_close(y);
    dt_yaml_close(y);
    add_compute_resource(y, c);
    dt_yaml_open(y, "Iam");
    add_bucket(y, c);
    dt_yaml_close(y);
    dt_yaml_close(y);
}

static void add_scheduling(dt_yaml *y, const dt_cluster *c)
{
    dt_yaml_open(y, "Scheduling");
    dt_yaml_text(y, "Scheduler", "slurm");
    dt_yaml_comment(y, "All nodes of a job start, or none is paid for. This holds in one subnet.");
    dt_yaml_text(y, "ScalingStrategy", "all-or-nothing");
    dt_yaml_open(y, "SlurmSettings");
    dt_yaml_number(y, "ScaledownIdletime", IDLE_MINUTES);
    dt_yaml_text(y, "QueueUpdateStrategy", "DRAIN");
    dt_yaml_flag(y, "EnableMemoryBasedScheduling", false);
    dt_yaml_open(y, "CustomSlurmSettings");
    dt_yaml_item(y);
    dt_yaml_number(y, "RequeueExit", REQUEUE_EXIT);
    dt_yaml_close(y);
    dt_yaml_item(y);
    dt_yaml_number(y, "KillWait", KILL_WAIT_S);
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_open(y, "SlurmQueues");
    if (c->has_spot)
        add_queue(y, c, true);
    if (c->has_on_demand)
        add_queue(y, c, false);
    dt_yaml_close(y);
    dt_yaml_close(y);
}

static void add_storage(dt_yaml *y, const dt_cluster *c)
{
    dt_yaml_open(y, "SharedStorage");
    dt_yaml_item(y);
    dt_yaml_text(y, "Name", "shared");
    dt_yaml_text(y, "MountDir", "/shared");
    dt_yaml_text(y, "StorageType", "Ebs");
    dt_yaml_open(y, "EbsSettings");
    dt_yaml_text(y, "VolumeType", "gp3");
    dt_yaml_number(y, "Size", c->shared_gb);
    dt_yaml_flag(y, "Encrypted", true);
    dt_yaml_comment(y, "The checkpoints outlive the cluster.");
    dt_yaml_text(y, "DeletionPolicy", "Snapshot");
    dt_yaml_close(y);
    dt_yaml_close(y);
    if (c->fsx_gb > 0) {
        dt_yaml_item(y);
        dt_yaml_text(y, "Name", "fsx");
        dt_yaml_text(y, "MountDir", "/fsx");
        dt_yaml_text(y, "StorageType", "FsxLustre");
        dt_yaml_open(y, "FsxLustreSettings");
        dt_yaml_text(y, "DeploymentType", "SCRATCH_2");
        dt_yaml_number(y, "StorageCapacity", c->fsx_gb);
        dt_yaml_text(y, "DeletionPolicy", "Delete");
        dt_yaml_close(y);
        dt_yaml_close(y);
    }
    dt_yaml_close(y);
}

static void add_monitoring(dt_yaml *y)
{
    dt_yaml_open(y, "Monitoring");
    dt_yaml_open(y, "Logs");
    dt_yaml_open(y, "CloudWatch");
    dt_yaml_number(y, "RetentionInDays", LOG_DAYS);
    dt_yaml_text(y, "DeletionPolicy", "Delete");
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_open(y, "Dashboards");
    dt_yaml_open(y, "CloudWatch");
    dt_yaml_flag(y, "Enabled", false);
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_close(y);
}

/* AWS Budgets and the bill can filter by these once they are activated as cost allocation tags. */
static void add_tags(dt_yaml *y, const dt_cluster *c)
{
    char usd[32];
    dt_yaml_open(y, "Tags");
    dt_yaml_item(y);
    dt_yaml_text(y, "Key", "project");
    dt_yaml_text(y, "Value", "dtrain");
    dt_yaml_close(y);
    if (c->budget_usd > 0) {
        snprintf(usd, sizeof usd, "%.2f", c->budget_usd);
        dt_yaml_item(y);
        dt_yaml_text(y, "Key", "budget-usd");
        dt_yaml_text(y, "Value", usd);
        dt_yaml_close(y);
    }
    dt_yaml_close(y);
}

static void add_timeouts(dt_yaml *y)
{
    dt_yaml_comment(y, "Seconds for the build; by default 1800.");
    dt_yaml_open(y, "DevSettings");
    dt_yaml_open(y, "Timeouts");
    dt_yaml_number(y, "HeadNodeBootstrapTimeout", BOOTSTRAP_S);
    dt_yaml_close(y);
    dt_yaml_close(y);
}

static void add_head_comment(dt_yaml *y, const dt_cluster *c)
{
    dt_yaml_comment(y,
                    "AWS ParallelCluster 3, for dtrain. The README beside network.yaml gives the reasons:");
    dt_yaml_comment(y, "share/dtrain/parallelcluster/README.md.");
    if (c->creates_network) {
        dt_yaml_comment(y, "The subnets do not exist yet: " DT_CLUSTER_NO_SUBNET " and");
        dt_yaml_comment(y, DT_CLUSTER_NO_HEAD_SUBNET " stand for them. dtrain cluster has printed the");
        dt_yaml_comment(y, "commands that make them and put their ids here.");
    }
}

dt_status dt_parallelcluster_write(const dt_cluster *cluster, char **text, dt_error *err)
{
    dt_yaml *y = NULL;
    DT_TRY(dt_yaml_create(&y, err));
    add_head_comment(y, cluster);
    dt_yaml_text(y, "Region", cluster->region);
    dt_yaml_open(y, "Image");
    dt_yaml_text(y, "Os", "ubuntu2404");
    dt_yaml_close(y);
    dt_yaml_open(y, "Imds");
    dt_yaml_text(y, "ImdsSupport", "v2.0");
    dt_yaml_close(y);
    add_head_node(y, cluster);
    add_scheduling(y, cluster);
    add_storage(y, cluster);
    add_monitoring(y);
    add_tags(y, cluster);
    add_timeouts(y);
    const dt_status status = dt_yaml_finish(y, text, err);
    dt_yaml_destroy(y);
    return status;
}
