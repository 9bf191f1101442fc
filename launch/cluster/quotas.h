/* quotas.h: the quotas that a cluster needs. AWS counts vCPUs of all running instances of some families; a
 * new account has 0 of those with GPUs, which is the commonest reason that nothing starts. Local. */
#ifndef DT_LAUNCH_CLUSTER_QUOTAS_H
#define DT_LAUNCH_CLUSTER_QUOTAS_H

#include "launch/cluster/cluster.h"

#include <stdio.h>

enum { DT_CLUSTER_MAX_QUOTAS = 2 * DT_CLUSTER_MAX_TYPES + 1 };

typedef struct dt_cluster_quota {
    const char *code, *name; /* "L-417A185B"; code NULL: it is not known which quota counts */
    const char *type;        /* the first that it counts for */
    bool is_spot;
    int vcpus; /* needed; 0: not known */
} dt_cluster_quota;

/* Writes each quota once, the head node's last; returns how many. */
int dt_cluster_list_quotas(const dt_cluster *cluster, dt_cluster_quota quotas[DT_CLUSTER_MAX_QUOTAS]);

/* Print a table, and the commands that ask AWS for more. DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_cluster_print_quotas(const dt_cluster *cluster, FILE *stream, dt_error *err);

#endif
