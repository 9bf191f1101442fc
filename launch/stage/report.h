/* report.h: what a copy says: what it is about to do, how far it is, what it has done and what that cost.
 */
#ifndef DT_LAUNCH_STAGE_REPORT_H
#define DT_LAUNCH_STAGE_REPORT_H

#include "core/metrics.h"
#include "launch/stage/names.h"
#include "launch/stage/plan.h"
#include "launch/stage/share.h"
#include "launch/stage/stage.h"

/* Which objects' paths are not their keys: a line in the log, and all of them in
 * FOLDER/.dtrain-stage/names. For the node that has made the names. */
void dt_stage_report_names(const char *folder, const dt_stage_listing *list,
                           const dt_stage_name_changes *changes);

/* What will be copied, and whether that is slow by its nature. `name`: the source's. */
void dt_stage_report_plan(const dt_stage_options *options, const char *name, const dt_stage_listing *list,
                          const dt_stage_plan *plan, int n_nodes, bool is_s3);

/* One line at the end, "copied 144.0 GB ...", in `text`. */
void dt_stage_report_result(const dt_stage_options *options, const dt_stage_result *result, char *text,
                            size_t bytes);

/* Dollars that S3 asks for requests in us-east-1. */
double dt_stage_request_usd(int64_t lists, int64_t gets_and_heads);

/* The progress line: rank 0's. */
typedef struct dt_stage_meter {
    dt_sink *sink;
    int64_t total;
    double older_s, newer_s; /* two moments, of which the rate of the last seconds is computed */
    int64_t older_bytes, newer_bytes;
} dt_stage_meter;

/* DT_ERR_MEMORY. */
dt_status dt_stage_meter_open(dt_stage_meter *meter, int64_t total, double log_every_s, dt_error *err);
/* A line that cannot be printed ends no copy. */
void dt_stage_meter_show(dt_stage_meter *meter, int64_t done);
void dt_stage_meter_close(dt_stage_meter *meter); /* a zeroed one is fine */

#endif
