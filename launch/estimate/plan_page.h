/* plan_page.h: `dtrain plan --html FILE`: a plan as one page to hand on, with charts (show/html.h).
 *
 *   DT_TRY(dt_plan_page_save(plan, "plan.html", err));
 */
#ifndef DT_LAUNCH_ESTIMATE_PLAN_PAGE_H
#define DT_LAUNCH_ESTIMATE_PLAN_PAGE_H

#include "launch/estimate/choices.h"

/* Write the page to a file, which it replaces. A plan without a possible row gives a page that says why.
 * Local; blocks. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_plan_page_save(const dt_plan *plan, const char *path, dt_error *err);

#endif
