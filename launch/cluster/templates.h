/* templates.h: the files of launch/deploy/parallelcluster that `dtrain cluster` writes, built in. Local. */
#ifndef DT_LAUNCH_CLUSTER_TEMPLATES_H
#define DT_LAUNCH_CLUSTER_TEMPLATES_H

/* The text of "network.yaml" or "bootstrap.sh"; NULL: there is no such file. Static storage. */
const char *dt_cluster_template(const char *name);

#endif
