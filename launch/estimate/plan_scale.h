/* plan_scale.h: how a type scales with the number of nodes, for --nodes: the cells of a table that the
 * console, Markdown and the page share. Local.
 *
 *   const dt_plan_row *rows[DT_SCALE_MOST];
 *   const int n = dt_plan_scale_rows(plan, instance, rows);
 *   dt_plan_scale_cells(rows[i], rows[0], text);
 */
#ifndef DT_LAUNCH_ESTIMATE_PLAN_SCALE_H
#define DT_LAUNCH_ESTIMATE_PLAN_SCALE_H

#include "launch/estimate/choices.h"

enum { DT_SCALE_COLUMNS = 9, DT_SCALE_MOST = 64, DT_SCALE_CELL = 24 };

extern const char *const dt_scale_headings[DT_SCALE_COLUMNS];

/* The cheapest row on demand of each number of nodes of a type, in their order. Returns how many. */
int dt_plan_scale_rows(const dt_plan *plan, const dt_instance *instance,
                       const dt_plan_row *found[DT_SCALE_MOST]);

/* The cells of a row; `smallest` has the fewest nodes. */
void dt_plan_scale_cells(const dt_plan_row *row, const dt_plan_row *smallest,
                         char text[DT_SCALE_COLUMNS][DT_SCALE_CELL]);

/* "g5.xlarge on demand, a batch of 256 per GPU, a start of 14 min". */
void dt_plan_scale_title(const dt_plan_row *row, char *out, size_t out_bytes);

/* A paragraph: what the columns are. The plan has a possible row. */
void dt_plan_scale_explain(const dt_plan *plan, char *out, size_t out_bytes);

#endif
