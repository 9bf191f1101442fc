/* plan_page_internal.h: the sections of the page, and the words and numbers that they share. */
#ifndef DT_LAUNCH_ESTIMATE_PLAN_PAGE_INTERNAL_H
#define DT_LAUNCH_ESTIMATE_PLAN_PAGE_INTERNAL_H

#include "launch/estimate/choices.h"
#include "launch/show/html.h"
#include "launch/show/svg.h"

/* The two drawings of each chart: page.css shows one of them. */
typedef struct dt_page_form {
    const char *name; /* its class, and the end of its id */
    double width;
    bool is_narrow; /* for phones */
} dt_page_form;
enum { DT_PAGE_N_FORMS = 2 };
extern const dt_page_form dt_page_forms[DT_PAGE_N_FORMS];

/* For sentences: "on demand", "on spot", "on spot, then on demand". */
const char *dt_page_purchase(dt_purchase purchase);

/* The row's class in page.css: "on-demand", "spot", "mixed". */
const char *dt_page_purchase_class(dt_purchase purchase);
dt_marker dt_page_purchase_marker(dt_purchase purchase);

/* Texts in static storage: up to 16 of them may be in use at the same time. */
const char *dt_page_arch(const char *arch); /* "ResNet-50" for resnet50 */
const char *dt_page_number(double value);   /* "1,380", "0.56" */
const char *dt_page_count(double count);    /* "7", "1,281,167" */
const char *dt_page_usd(double usd);        /* "34.24", "1,208" */
const char *dt_page_hours(double hours);    /* "1.29" */
const char *dt_page_time(double hours);     /* "34 min", "1 h 17 min", "2 days 3 h", "104 days" */

/* "p4d.24xlarge", "4 x p4d.24xlarge": text from outside. In such storage, too. */
const char *dt_page_choice(const dt_plan_row *row);

/* "us-east-1a", or the region. */
const char *dt_page_place(const dt_plan_row *row);

/* One marker of a legend, with what it means. */
void dt_page_legend(dt_html *page, const char *classes, dt_marker marker, const char *text);

/* The row that a section about one choice is about: the best value, else the cheapest; only spot and mixed
 * ones if is_spot. NULL: none is possible. */
const dt_plan_row *dt_page_example(const dt_plan *plan, bool is_spot);

/* -- sections; without a possible row they add nothing --------------------------------------------------- */

/* Dollars against hours, and dollars by instance. DT_ERR_MEMORY. */
dt_status dt_page_cost(dt_html *page, const dt_plan *plan, dt_error *err);
dt_status dt_page_bars(dt_html *page, const dt_plan *plan, dt_error *err);

/* One simulated run on spot. DT_ERR_MEMORY. */
dt_status dt_page_timeline(dt_html *page, const dt_plan *plan, dt_error *err);

/* The way of an image through the machine. */
void dt_page_pipeline(dt_html *page, const dt_plan *plan);

/* What the dollars of the recommended choices are for. */
void dt_page_parts(dt_html *page, const dt_plan *plan);

/* All choices, how types scale, choices that are impossible, and where the figures come from. */
void dt_page_choices(dt_html *page, const dt_plan *plan);
void dt_page_scale(dt_html *page, const dt_plan *plan); /* --nodes */
void dt_page_excluded(dt_html *page, const dt_plan *plan);
void dt_page_sources(dt_html *page, const dt_plan *plan);

#endif
