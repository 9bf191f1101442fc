/* cluster.h: a cluster that `dtrain cluster` describes: what the options, a plan and the catalog make of it,
 * all checked. The configuration (parallelcluster.h), the costs (costs.h), the quotas (quotas.h) and the next
 * commands (steps.h) are made from it.
 *
 *   dt_cluster cluster;
 *   DT_TRY(dt_cluster_resolve(options, catalog, plan, &cluster, err));
 *
 * Local.
 */
#ifndef DT_LAUNCH_CLUSTER_CLUSTER_H
#define DT_LAUNCH_CLUSTER_CLUSTER_H

#include "launch/cluster/plan_file.h"
#include "launch/estimate/catalog.h"
#include "launch/options/options.h"

enum {
    DT_CLUSTER_MAX_TYPES = 8,
    DT_CLUSTER_NODE_ROOT_GB = 100,
    DT_CLUSTER_HEAD_ROOT_GB = 60 /* estimated: the image */
};

/* Placeholders with the form of a subnet's id, which no subnet has: until the network exists. */
#define DT_CLUSTER_NO_SUBNET "subnet-0privatesubnet000"
#define DT_CLUSTER_NO_HEAD_SUBNET "subnet-0publicsubnet0000"

typedef struct dt_cluster {
    const char *name, *region, *bucket, *key, *head_type, *ssh_from; /* borrowed, as all texts here */
    const char *zone; /* "": any. With a network to create: where it will be; else what the plan says */
    const dt_instance *types[DT_CLUSTER_MAX_TYPES]; /* the catalog's; they agree in vCPUs, GPUs and EFA */
    int n_types;
    int n_nodes;                  /* of each queue, at most */
    bool has_spot, has_on_demand; /* queues; one or both */
    bool has_efa, has_nvme;       /* of all types */
    bool creates_network;         /* the subnets are placeholders */
    const char *subnet, *head_subnet;
    int64_t shared_gb, fsx_gb; /* GiB; fsx_gb 0: none */
    double budget_usd;         /* 0: no tag */
    char source[DT_PATH_BYTES];
    char cuda_archs[64];         /* "80,90"; "": not known, all */
    const dt_cluster_plan *plan; /* NULL: none */
} dt_cluster;

/* `plan` may be NULL. Options, catalog and plan are borrowed by *cluster. DT_ERR_USAGE: a value is missing,
 * is not what it should be, or does not go with the others; the message begins with the option. */
dt_status dt_cluster_resolve(const dt_options *options, const dt_catalog *catalog,
                             const dt_cluster_plan *plan, dt_cluster *cluster, dt_error *err);

#endif
