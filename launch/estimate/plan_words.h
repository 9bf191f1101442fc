/* plan_words.h: the words in which texts about a plan name rows, hours and dollars. Local. */
#ifndef DT_LAUNCH_ESTIMATE_PLAN_WORDS_H
#define DT_LAUNCH_ESTIMATE_PLAN_WORDS_H

#include "launch/estimate/choices.h"

/* Where a row runs: "p4d.24xlarge on spot in us-east-1a", "2 x g5.xlarge on demand in us-east-1". */
void dt_plan_row_describe(const dt_plan_row *row, char *out, size_t out_bytes);

/* "45 min", "6.7 h", "3.2 days"; "$11.30", "$1,230". */
void dt_plan_format_hours(double hours, char *out, size_t out_bytes);
void dt_plan_format_usd(double usd, char *out, size_t out_bytes);

#endif
