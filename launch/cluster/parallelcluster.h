/* parallelcluster.h: the configuration of AWS ParallelCluster 3 for a cluster. Local.
 *
 *   char *text = NULL;
 *   DT_TRY(dt_parallelcluster_write(&cluster, &text, err));
 *   dt_free(text);
 *
 * launch/deploy/parallelcluster/README.md gives the reason for each setting.
 */
#ifndef DT_LAUNCH_CLUSTER_PARALLELCLUSTER_H
#define DT_LAUNCH_CLUSTER_PARALLELCLUSTER_H

#include "launch/cluster/cluster.h"

#define DT_CLUSTER_SPOT_QUEUE "spot"
#define DT_CLUSTER_ON_DEMAND_QUEUE "ondemand"
#define DT_CLUSTER_BOOTSTRAP                                                                                 \
    "dtrain-bootstrap.sh" /* the script that the head node runs, in the bucket's dtrain/ */

/* The text, YAML. The caller frees it with dt_free. DT_ERR_MEMORY. */
dt_status dt_parallelcluster_write(const dt_cluster *cluster, char **text, dt_error *err);

#endif
