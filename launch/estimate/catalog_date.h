/* catalog_date.h: dates as texts, "2026-11-30", as the planner's data have them. */
#ifndef DT_LAUNCH_ESTIMATE_CATALOG_DATE_H
#define DT_LAUNCH_ESTIMATE_CATALOG_DATE_H

#include <stdbool.h>

/* Whether the text is a day, a month or a year of the calendar: "2026-11-30", "2026-11" or "2026". */
bool dt_catalog_is_date(const char *text);

/* Whether it is a day; then *day counts the days since 1970-01-01. */
bool dt_catalog_day(const char *text, int *day);

#endif
