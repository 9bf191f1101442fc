/* steps.h: the commands that follow `dtrain cluster`, to copy into a shell. Local.
 *
 *   dt_cluster_print_steps(&cluster, options, "dtrain-bootstrap.sh", stdout);
 *
 * Errors stay in the stream.
 */
#ifndef DT_LAUNCH_CLUSTER_STEPS_H
#define DT_LAUNCH_CLUSTER_STEPS_H

#include "launch/cluster/cluster.h"

#include <stdio.h>

/* With a network that is still to be made: its stack, this same command with its subnets, and what comes
 * then. Else: the upload, the cluster, the job. `bootstrap` is the path of the script. */
void dt_cluster_print_steps(const dt_cluster *cluster, const dt_options *options, const char *bootstrap,
                            FILE *stream);

/* What a user of this cluster has to know. */
void dt_cluster_print_notes(const dt_cluster *cluster, FILE *stream);

/* Writes this same command with the subnets of the network's stack in place of --create-network and --zone.
 * Returns false if it does not fit. */
bool dt_cluster_again(const dt_cluster *cluster, const dt_options *options, char *out, size_t bytes);

#endif
