#include "tests/launch/cluster/cluster_kit.h"

#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_WORDS = 64 };

dt_catalog *cluster_kit_catalog;
dt_options cluster_kit_options;

void cluster_kit_open(void)
{
    dt_error err;
    if (dt_catalog_load(NULL, NULL, NULL, &cluster_kit_catalog, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

void cluster_kit_close(void)
{
    dt_catalog_free(cluster_kit_catalog);
    cluster_kit_catalog = NULL;
}

dt_status cluster_kit_resolve(const char *const *words, const dt_cluster_plan *plan, dt_cluster *cluster,
                              dt_error *err)
{
    static const dt_command_usage usage = {.name = "dtrain cluster", .bit = DT_COMMAND_CLUSTER};
    static const char *const first[] = {"--region",      "us-east-1",
                                        "--bucket",      "images",
                                        "--key",         "me",
                                        "--subnet",      "subnet-0123456789abcdef0",
                                        "--head-subnet", "subnet-00000000"};
    const char *all[MOST_WORDS + 1];
    int n = 0;
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        all[n++] = first[i];
    for (int i = 0; words[i] && n < MOST_WORDS; i++)
        all[n++] = words[i];
    all[n] = NULL;
    DT_TRY(options_kit_parse(&usage, all, &cluster_kit_options, err));
    return dt_cluster_resolve(&cluster_kit_options, cluster_kit_catalog, plan, cluster, err);
}

dt_cluster cluster_kit_make(const dt_cluster_plan *plan, const char *const *words)
{
    dt_error err = {.message = ""};
    dt_cluster cluster = {.name = NULL};
    DT_REQUIRE_MSG(cluster_kit_resolve(words, plan, &cluster, &err) == DT_OK, "%s", err.message);
    return cluster;
}
