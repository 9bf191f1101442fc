/* recommend.h: which rows of a plan to choose, and why, in plain words. Local. */
#ifndef DT_LAUNCH_ESTIMATE_RECOMMEND_H
#define DT_LAUNCH_ESTIMATE_RECOMMEND_H

#include "launch/estimate/choices.h"

/* Fills plan->recommendations from the marks of its rows. */
void dt_plan_recommend(dt_plan *plan);

/* Where a row runs: "p4d.24xlarge on spot in us-east-1a", "2 x g5.xlarge on demand in us-east-1". */
void dt_plan_row_describe(const dt_plan_row *row, char *out, size_t out_bytes);

/* "45 min", "6.7 h", "3.2 days"; "$11.30", "$1,230". */
void dt_plan_format_hours(double hours, char *out, size_t out_bytes);
void dt_plan_format_usd(double usd, char *out, size_t out_bytes);

#endif
