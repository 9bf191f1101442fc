/* plan_file.h: what `dtrain cluster` takes from a plan that `dtrain plan --json` has printed.
 *
 *   dt_cluster_plan plan;
 *   DT_TRY(dt_cluster_plan_read("plan.json", DT_CLUSTER_CHOICE_AUTO, &plan, err));
 *   plan.region, plan.type, plan.nodes ...
 *
 * Local.
 */
#ifndef DT_LAUNCH_CLUSTER_PLAN_FILE_H
#define DT_LAUNCH_CLUSTER_PLAN_FILE_H

#include "launch/options/options.h"

/* One recommendation of a plan. */
typedef struct dt_cluster_plan {
    char title[64];            /* "Best value" */
    char type[64], region[64]; /* "p5.48xlarge", "us-east-1" */
    char zone[64];             /* "use1-az5"; "": any */
    int nodes;                 /* 1 to 512 */
    dt_buy_kind buy;           /* DT_BUY_BOTH for a plan that goes from spot to on demand */
    double usd_mean, usd_p95;  /* of the whole training */
    double hours_mean, hours_p95;
    char options[4096]; /* of the training, as words for a shell: " --data DIR --batch 256"; "": not known */
} dt_cluster_plan;

/* DT_ERR_USAGE: the file cannot be read, is no plan ("FILE:LINE: ..."), or does not have this recommendation;
 * the message lists those that it has. */
dt_status dt_cluster_plan_read(const char *path, dt_cluster_choice choice, dt_cluster_plan *plan,
                               dt_error *err);

#endif
