/* choices.h: every way to run a training: types x regions x zones x nodes x on demand or spot, each with
 * its time and its dollars. The table, the JSON, the Markdown and the page of `dtrain plan` show a dt_plan
 * and nothing else.
 *
 *   dt_plan *plan;
 *   DT_TRY(dt_plan_create(&settings, &plan, err));
 *   for (int64_t i = 0; i < plan->n_rows; i++) plan->rows[i] ...        cheapest first; excluded rows last
 *   dt_plan_destroy(plan);
 *
 * Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_CHOICES_H
#define DT_LAUNCH_ESTIMATE_CHOICES_H

#include "launch/estimate/catalog.h"
#include "launch/estimate/interruptions.h"
#include "launch/estimate/throughput.h"
#include "launch/estimate/workload.h"

typedef enum dt_purchase {
    DT_PURCHASE_ON_DEMAND,
    DT_PURCHASE_SPOT,
    DT_PURCHASE_MIXED /* spot, and on demand from the last moment at which --deadline still holds */
} dt_purchase;
const char *dt_purchase_name(dt_purchase purchase); /* "on demand", "spot", "mixed" */

/* What dollars are for; each a mean, in USD. They add up to usd_mean. */
typedef enum dt_cost_part {
    DT_COST_TRAINING, /* instances while they train and evaluate, also work that is done twice */
    DT_COST_STARTUP,  /* instances while they boot, stage and tune, all starts together */
    DT_COST_STORAGE,  /* EBS volumes */
    DT_COST_HEAD_NODE,
    DT_COST_REQUESTS, /* S3 */
    DT_N_COST_PARTS
} dt_cost_part;
const char *dt_cost_part_name(
    dt_cost_part part); /* "training", "start-up", "storage", "head node", "requests" */

typedef struct dt_plan_row {
    const dt_instance *instance; /* the catalog's; borrowed */
    const char *region;          /* "us-east-1"; borrowed */
    const char *zone;            /* "us-east-1a"; NULL: any (on demand) */
    int nodes;
    dt_purchase purchase;
    const dt_price
        *price; /* USD an hour and node: of spot for SPOT and MIXED; NULL if it is excluded for that */
    const dt_price *on_demand_price; /* for MIXED and ON_DEMAND; may be NULL for SPOT */
    dt_throughput throughput;
    double hours_mean, hours_p95; /* from the first instance to the end; the same where nothing interrupts */
    double usd_mean, usd_p95;
    double usd_part[DT_N_COST_PARTS];
    double train_hours, startup_hours; /* means; startup: of all starts */
    double wait_hours;                 /* mean: unpaid */
    dt_spot_run run;         /* as simulated; also for dt_spot_timeline. work_s and startup_s for all rows */
    dt_spot_outcome outcome; /* zero for ON_DEMAND */
    bool is_front;           /* no other possible row is both cheaper and faster (means) */
    bool is_cheapest, is_fastest, is_best_value;
    bool is_cheapest_in_time;          /* before --deadline, by the 95th percentile of the hours */
    bool is_fastest_in_budget;         /* by the 95th percentile of the dollars */
    bool meets_deadline, meets_budget; /* true without one */
    char excluded
        [256]; /* "": possible; else why not. Excluded rows have no hours and no dollars, and are never
                           on the front */
} dt_plan_row;

typedef struct dt_plan_settings {
    const dt_catalog *catalog; /* borrowed by the plan */
    const dt_workload *work;   /* copied */
    dt_assumptions assumptions;
    const dt_interruptions *interruptions; /* borrowed by the plan */
    const dt_options *options;             /* that commands repeat, borrowed; NULL: none was given */
    const dt_options *file_options; /* as a training reads options->config_file, borrowed; NULL: none */
    const char *const *types;       /* ended by NULL; NULL: all */
    const char *const *regions;     /* ended by NULL; NULL: all */
    const int *nodes;               /* counts to try, ended by 0; NULL: by max_nodes */
    int max_nodes;                  /* counts are 1, 2, 4, ... up to this; >= 1 */
    double deadline_s;              /* 0: none */
    double budget_usd;              /* 0: none */
    int64_t n_runs;                 /* of each simulation: 10,000 */
    uint64_t seed;
    char today[11]; /* "2026-11-30", for the age of prices */
} dt_plan_settings;

#define DT_PLAN_NOTES_MAX 16

/* A recommendation: a row and a paragraph of plain words. */
typedef struct dt_recommendation {
    char title[48];     /* "Cheapest", "Fastest", "Cheapest in 12 h", "Fastest for $50.00", "Best value" */
    int64_t row;        /* index in rows; -1: there is none, and `text` says why and what is nearest */
    char text[2400];    /* why this, what it assumes, what would change it */
    char command[8192]; /* the training; "" for row -1 */
    char cluster[8192]; /* the `dtrain cluster` command that makes a cluster for it; "" for row -1, and for a
                           type that ParallelCluster does not start */
} dt_recommendation;
#define DT_RECOMMENDATIONS_MAX 5

typedef struct dt_plan {
    dt_plan_settings settings;
    dt_workload work;
    dt_plan_row *rows; /* possible ones first, by usd_mean; then excluded ones */
    int64_t n_rows, n_possible;
    dt_recommendation recommendations[DT_RECOMMENDATIONS_MAX];
    int n_recommendations;
    char *notes[DT_PLAN_NOTES_MAX]; /* what the figures assume, and warnings: old prices, estimated rates */
    int n_notes;
} dt_plan;

/* DT_ERR_USAGE: an unknown type or region, with a suggestion; no type is left. DT_ERR_MEMORY. A plan whose
 * rows are all excluded is no error; its first note says why. */
dt_status dt_plan_create(const dt_plan_settings *settings, dt_plan **plan, dt_error *err);
void dt_plan_destroy(dt_plan *plan); /* NULL is fine */

/* The row that best stands for a type in a chart of one bar a type: its cheapest possible row; -1: none. */
int64_t dt_plan_cheapest_of(const dt_plan *plan, const dt_instance *instance);

#endif
