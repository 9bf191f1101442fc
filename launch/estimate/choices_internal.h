/* choices_internal.h: shared by choices.c and plan_rows.c. */
#ifndef DT_LAUNCH_ESTIMATE_CHOICES_INTERNAL_H
#define DT_LAUNCH_ESTIMATE_CHOICES_INTERNAL_H

#include "launch/estimate/choices.h"

/* Appends the rows of one type and number of nodes: on demand in each region, spot in each zone and, with a
 * deadline, both together. `regions` ends with NULL. DT_ERR_MEMORY. */
dt_status dt_plan_add_rows(dt_plan *plan, const dt_instance *instance, int nodes, const char *const *regions,
                           dt_error *err);

/* Adds a note; without memory, or beyond DT_PLAN_NOTES_MAX, it is left out. */
void dt_plan_note(dt_plan *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
