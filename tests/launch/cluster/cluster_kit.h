/* cluster_kit.h: clusters from options given as text, for the tests of launch/cluster/. */
#ifndef DTRAIN_TESTS_LAUNCH_CLUSTER_KIT_H
#define DTRAIN_TESTS_LAUNCH_CLUSTER_KIT_H

#include "launch/cluster/cluster.h"

extern dt_catalog *cluster_kit_catalog; /* the built-in data, from cluster_kit_open on */
extern dt_options cluster_kit_options;  /* of the last cluster_kit_resolve */

void cluster_kit_open(void); /* for dt_test_set_up */
void cluster_kit_close(void);

/* Parses these words, which end with NULL, after "--region us-east-1 --bucket images --key me --subnet
 * subnet-0123456789abcdef0 --head-subnet subnet-00000000", and resolves them. */
dt_status cluster_kit_resolve(const char *const *words, const dt_cluster_plan *plan, dt_cluster *cluster,
                              dt_error *err);

/* Fails the test unless these words make a cluster. */
dt_cluster cluster_kit_make(const dt_cluster_plan *plan, const char *const *words);
#define CLUSTER(...) cluster_kit_make(NULL, (const char *const[]){__VA_ARGS__, NULL})
#define PLANNED_CLUSTER(plan, ...) cluster_kit_make(plan, (const char *const[]){__VA_ARGS__, NULL})

#endif
