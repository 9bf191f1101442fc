#include "config.h"

#include "launch/estimate/choices.h"

#include "core/base/alloc.h"
#include "core/base/units.h"
#include "launch/estimate/catalog_date.h"
#include "launch/estimate/choices_internal.h"
#include "launch/estimate/recommend.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REGIONS = 64 };

const char *dt_purchase_name(dt_purchase purchase)
{
    static const char *const names[] = {"on demand", "spot", "mixed"};
    return names[purchase];
}

void dt_plan_destroy(dt_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->n_notes; i++)
        dt_free(plan->notes[i]);
    dt_free(plan->rows);
    dt_free(plan);
}

void dt_plan_note(dt_plan *plan, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *copy = plan->n_notes < DT_PLAN_NOTES_MAX ? dt_strdup(text) : NULL;
    if (copy)
        plan->notes[plan->n_notes++] = copy;
}

/* -- regions --------------------------------------------------------------------------------------------- */

static bool is_listed(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Those that are asked for, or all that have a price. `regions` ends with NULL. */
static dt_status find_regions(const dt_plan_settings *s, const char *regions[MOST_REGIONS + 1], dt_error *err)
{
    int n = 0;
    for (int i = 0; s->regions && s->regions[i] && n < MOST_REGIONS; i++) {
        DT_TRY(dt_catalog_check_region(s->catalog, s->regions[i], "--regions", err));
        if (!is_listed(regions, n, s->regions[i]))
            regions[n++] = s->regions[i];
    }
    for (int i = 0; !s->regions && i < s->catalog->n_prices && n < MOST_REGIONS; i++)
        if (!is_listed(regions, n, s->catalog->prices[i].region))
            regions[n++] = s->catalog->prices[i].region;
    regions[n] = NULL;
    return DT_OK;
}

/* -- marks ----------------------------------------------------------------------------------------------- */

/* Dollars that differ by less than about 1 in 100,000 are the same: then the newer price comes first. */
static double round_usd(double usd)
{
    int exponent;
    const double mantissa = frexp(usd, &exponent);
    return ldexp(round(ldexp(mantissa, 17)), exponent - 17);
}

static int compare_rows(const void *a, const void *b)
{
    const dt_plan_row *x = a, *y = b;
    const bool x_out = x->excluded[0] != '\0', y_out = y->excluded[0] != '\0';
    if (x_out != y_out)
        return x_out - y_out;
    const double x_usd = round_usd(x->usd_mean), y_usd = round_usd(y->usd_mean);
    if (x_usd != y_usd)
        return (x_usd > y_usd) - (x_usd < y_usd);
    if (x->hours_mean != y->hours_mean)
        return (x->hours_mean > y->hours_mean) - (x->hours_mean < y->hours_mean);
    const int newer = x->price && y->price ? strcmp(y->price->date, x->price->date) : 0;
    if (newer != 0)
        return newer;
    return strcmp(x->instance->type, y->instance->type);
}

/* Rows are sorted by dollars: one is on the front if it is faster than all that are cheaper. */
static void mark_front(dt_plan *plan)
{
    double fastest = INFINITY;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        dt_plan_row *row = &plan->rows[i];
        row->is_front = row->hours_mean < fastest;
        fastest = fmin(fastest, row->hours_mean);
    }
}

/* Types that are being retired are not recommended, unless there is no other. */
static bool may_recommend(const dt_plan *plan, const dt_plan_row *row)
{
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (!plan->rows[i].instance->retiring.text)
            return !row->instance->retiring.text;
    return true;
}

static void mark_ends(dt_plan *plan)
{
    dt_plan_row *cheapest = NULL, *fastest = NULL;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        dt_plan_row *row = &plan->rows[i];
        if (!may_recommend(plan, row))
            continue;
        cheapest = cheapest ? cheapest : row;
        fastest = fastest && fastest->hours_mean <= row->hours_mean ? fastest : row;
    }
    if (cheapest)
        cheapest->is_cheapest = true;
    if (fastest)
        fastest->is_fastest = true;
}

/* The row that saves most hours for each dollar more than the cheapest costs. */
static void mark_best_value(dt_plan *plan)
{
    dt_plan_row *best = NULL;
    const dt_plan_row *cheapest = NULL;
    double most = 0;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        dt_plan_row *row = &plan->rows[i];
        if (row->is_cheapest)
            cheapest = best = row;
        if (!cheapest || !row->is_front || !may_recommend(plan, row))
            continue;
        const double more = row->usd_mean - cheapest->usd_mean;
        const double hours_a_dollar = more > 0 ? (cheapest->hours_mean - row->hours_mean) / more : 0;
        if (hours_a_dollar > most) {
            most = hours_a_dollar;
            best = row;
        }
    }
    if (best)
        best->is_best_value = true;
}

static void mark_limits(dt_plan *plan)
{
    const dt_plan_settings *s = &plan->settings;
    dt_plan_row *in_time = NULL, *in_budget = NULL;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        dt_plan_row *row = &plan->rows[i];
        row->meets_deadline = s->deadline_s <= 0 || row->hours_p95 * 3600 <= s->deadline_s;
        row->meets_budget = s->budget_usd <= 0 || row->usd_p95 <= s->budget_usd;
        if (!may_recommend(plan, row))
            continue;
        if (row->meets_deadline && !in_time)
            in_time = row;
        if (row->meets_budget && (!in_budget || row->hours_mean < in_budget->hours_mean))
            in_budget = row;
    }
    if (in_time && s->deadline_s > 0)
        in_time->is_cheapest_in_time = true;
    if (in_budget && s->budget_usd > 0)
        in_budget->is_fastest_in_budget = true;
}

static void mark(dt_plan *plan)
{
    qsort(plan->rows, (size_t)plan->n_rows, sizeof *plan->rows, compare_rows);
    while (plan->n_possible < plan->n_rows && !plan->rows[plan->n_possible].excluded[0])
        plan->n_possible++;
    mark_front(plan);
    mark_ends(plan);
    mark_best_value(plan);
    mark_limits(plan);
}

/* -- notes ----------------------------------------------------------------------------------------------- */

/* Whether a date is later than today, also where the day has begun sooner than in UTC. */
static bool is_to_come(const char *date, const char *today)
{
    int day, this_day;
    return dt_catalog_day(date, &day) && dt_catalog_day(today, &this_day) && day > this_day + 1;
}

static void note_prices(dt_plan *plan)
{
    const dt_price *oldest = NULL, *to_come = NULL;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_price *p = plan->rows[i].price;
        if (p && (!oldest || strcmp(p->date, oldest->date) < 0))
            oldest = p;
        if (p && !to_come && is_to_come(p->date, plan->settings.today))
            to_come = p;
    }
    if (to_come)
        dt_plan_note(plan, "WARNING: a price here is of %s, and today is %s: the date or the clock is wrong",
                     to_come->date, plan->settings.today);
    if (oldest == to_come)
        return;
    const int days = oldest ? dt_price_age_days(oldest, plan->settings.today) : 0;
    if (oldest && days > DT_PRICE_OLD_DAYS)
        dt_plan_note(plan,
                     "WARNING: the oldest price here is of %s, %d days ago; spot prices move by the hour: "
                     "--refresh-prices FILE asks AWS for newer ones, for --prices FILE",
                     oldest->date, days);
    else if (oldest)
        dt_plan_note(plan, "prices: the oldest here is of %s, %d day%s ago; spot prices move by the hour",
                     oldest->date, days, DT_PLURAL(days));
}

/* Where nothing can be chosen: why, by the first rows that say different things. */
static void note_none(dt_plan *plan)
{
    enum { MOST = 3 };
    char text[900] = "no choice is possible";
    const char *said[MOST];
    int n = 0;
    for (int64_t i = 0; i < plan->n_rows && n < MOST; i++) {
        const dt_plan_row *row = &plan->rows[i];
        if (is_listed(said, n, row->excluded))
            continue;
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s in %s: %s", n ? "; " : ": ", row->instance->type,
                 row->region, row->excluded);
        said[n++] = row->excluded;
    }
    dt_plan_note(plan, "%s", text);
}

static void note_all(dt_plan *plan)
{
    const dt_workload *w = &plan->work;
    const dt_plan_settings *s = &plan->settings;
    bool is_scaled = false, is_estimated = false;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_throughput *t = &plan->rows[i].throughput;
        is_scaled |= t->is_scaled;
        is_estimated |= t->rate->source->confidence == DT_CONFIDENCE_ESTIMATED;
    }
    if (plan->n_possible == 0)
        note_none(plan);
    note_prices(plan);
    if (w->data_is_elsewhere)
        dt_plan_note(plan,
                     "data: the folder of the configuration is not on this machine; %.0f image%s and %.0f GB "
                     "are assumed: --images and --data-bytes say other",
                     w->n_images, DT_PLURAL((int64_t)w->n_images), w->data_bytes / 1e9);
    if (s->interruptions)
        dt_plan_note(plan, "interruptions: %s%severy %.3g h on average; all nodes are lost together",
                     isdigit((unsigned char)s->interruptions->name[0]) ? "" : s->interruptions->name,
                     isdigit((unsigned char)s->interruptions->name[0]) ? "" : ", ", s->interruptions->mtti_h);
    if (is_scaled)
        dt_plan_note(
            plan,
            "images/s: where no source has any for %s in %s at this image size, those of ResNet-50 at "
            "224 pixels in the nearest precision, scaled by the bytes and FLOPs that an image needs "
            "(estimated)",
            w->arch, dt_dtype_name(w->precision));
    if (is_estimated)
        dt_plan_note(plan,
                     "images/s marked ~ are estimated from the GPU's bandwidth: nobody has published any");
}

/* -- all together ---------------------------------------------------------------------------------------- */

static dt_status add_type(dt_plan *plan, const dt_instance *instance, const char *const *regions,
                          dt_error *err)
{
    const int *counts = plan->settings.nodes;
    for (int i = 0; counts && counts[i]; i++)
        DT_TRY(dt_plan_add_rows(plan, instance, counts[i], regions, err));
    for (int nodes = 1; !counts && nodes <= plan->settings.max_nodes; nodes *= 2)
        DT_TRY(dt_plan_add_rows(plan, instance, nodes, regions, err));
    return DT_OK;
}

static dt_status add_types(dt_plan *plan, dt_error *err)
{
    const dt_plan_settings *s = &plan->settings;
    const char *regions[MOST_REGIONS + 1];
    DT_TRY(find_regions(s, regions, err));
    for (int i = 0; s->types && s->types[i]; i++) {
        const dt_instance *instance;
        DT_TRY(dt_catalog_get_instance(s->catalog, s->types[i], "--types", &instance, err));
        DT_TRY(add_type(plan, instance, regions, err));
    }
    for (int i = 0; !s->types && i < s->catalog->n_instances; i++)
        DT_TRY(add_type(plan, &s->catalog->instances[i], regions, err));
    return DT_OK;
}

dt_status dt_plan_create(const dt_plan_settings *settings, dt_plan **plan, dt_error *err)
{
    dt_plan *p = dt_calloc(1, sizeof *p);
    if (!p)
        return dt_fail_memory(err, sizeof *p, "the plan");
    p->settings = *settings;
    p->work = *settings->work;
    const dt_status status = add_types(p, err);
    if (status != DT_OK) {
        dt_plan_destroy(p);
        return status;
    }
    mark(p);
    note_all(p);
    dt_plan_recommend(p);
    *plan = p;
    return DT_OK;
}

int64_t dt_plan_cheapest_of(const dt_plan *plan, const dt_instance *instance)
{
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (plan->rows[i].instance == instance)
            return i;
    return -1;
}
