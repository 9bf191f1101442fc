#include "config.h"

#include "launch/estimate/recommend.h"

#include "core/base/units.h"
#include "launch/estimate/plan_command.h"
#include "launch/estimate/plan_words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A text that grows to the size of its buffer. */
typedef struct text {
    char *out;
    size_t bytes;
} text;

static void add(const text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(const text *t, const char *format, ...)
{
    const size_t used = strlen(t->out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->out + used, t->bytes - used, format, arguments);
    va_end(arguments);
}

static void add_result(const text *t, const dt_plan_row *row)
{
    char where[128], usd[32], usd_p95[32], hours[32], hours_p95[32];
    dt_plan_row_describe(row, where, sizeof where);
    dt_plan_format_usd(row->usd_mean, usd, sizeof usd);
    dt_plan_format_usd(row->usd_p95, usd_p95, sizeof usd_p95);
    dt_plan_format_hours(row->hours_mean, hours, sizeof hours);
    dt_plan_format_hours(row->hours_p95, hours_p95, sizeof hours_p95);
    add(t, "%s: %s", where, usd);
    if (row->purchase == DT_PURCHASE_ON_DEMAND)
        add(t, ", done after %s. ", hours);
    else
        add(t, " on average and at most %s in 95 of 100 runs, done after %s (95 of 100: %s). ", usd_p95,
            hours, hours_p95);
    if (row->hours_mean > row->hours_p95 || row->usd_mean > row->usd_p95)
        add(t, "A few runs that are interrupted lift the average above what 95 of 100 need. ");
}

static void add_limit(const text *t, const dt_plan_row *row)
{
    const dt_throughput *p = &row->throughput;
    add(t, "It trains %.0f images/s, limited by %s%s", p->images_s, p->limit == DT_STAGE_GPU ? "the " : "",
        dt_stage_name(p->limit));
    if (isfinite(p->without_limit_images_s))
        add(t, "; the next limit is %s%s at %.0f images/s", p->next_limit == DT_STAGE_GPU ? "the " : "",
            dt_stage_name(p->next_limit), p->without_limit_images_s);
    add(t, ". ");
}

static void add_assumptions(const text *t, const dt_plan *plan, const dt_plan_row *row)
{
    const dt_throughput *p = &row->throughput;
    add(t, "Assumed: %s images/s of %s (%s, %s)%s; %.0f min from a start to full speed",
        dt_confidence_name(p->rate->source->confidence), p->rate->gpu, p->rate->software,
        p->rate->source->date, p->is_scaled ? ", scaled to this network, size and precision" : "",
        p->startup_s / 60);
    if (row->purchase != DT_PURCHASE_ON_DEMAND && p->restart_s < p->startup_s)
        add(t, ", and %.0f min after an interruption, since the volume is filled once", p->restart_s / 60);
    add(t, "; $%.4g an hour of %s", row->price->usd_h, row->price->date);
    if (row->purchase != DT_PURCHASE_ON_DEMAND)
        add(t, "; interruptions every %.3g h", plan->settings.interruptions->mtti_h);
    if (row->purchase == DT_PURCHASE_MIXED && row->outcome.switches > 0)
        add(t, "; %.0f%% of the runs go on demand, after %.1f h on average", 100 * row->outcome.switches,
            row->outcome.switch_s_mean / 3600);
    add(t, ". ");
    const char *retiring = row->instance->retiring.text;
    if (retiring)
        add(t, "This type is %s%s. ",
            strncmp(retiring, "being retired", 13) == 0 ? "" : "being retired: ", retiring);
}

/* The cheapest other row that another price pays: the same type elsewhere, or another type. */
static const dt_plan_row *next_choice(const dt_plan *plan, int64_t row)
{
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (i != row && plan->rows[i].price != plan->rows[row].price &&
            !plan->rows[i].instance->retiring.text)
            return &plan->rows[i];
    return NULL;
}

/* Dollars that grow with row->price: a mixed row's hours on demand have a price of their own. */
static double usd_of_price(const dt_plan_row *row)
{
    return row->purchase == DT_PURCHASE_ON_DEMAND
               ? row->usd_part[DT_COST_TRAINING] + row->usd_part[DT_COST_STARTUP]
               : row->price->usd_h * row->nodes * row->outcome.paid_s_mean / 3600;
}

static void add_what_changes_cost(const text *t, const dt_plan *plan, int64_t index)
{
    const dt_plan_row *row = &plan->rows[index], *next = next_choice(plan, index);
    char where[128], usd[32];
    const double part = usd_of_price(row);
    if (!next || !(part > 0))
        return;
    const double break_even = row->price->usd_h * (1 + (next->usd_mean - row->usd_mean) / part);
    dt_plan_row_describe(next, where, sizeof where);
    dt_plan_format_usd(next->usd_mean, usd, sizeof usd);
    add(t, "Above $%.4g an hour %s would be cheaper (%s). ", break_even, where, usd);
}

/* What a shorter or a longer run changes: a start costs the same. */
static void add_share_of_start(const text *t, const dt_plan_row *row)
{
    const double share = row->startup_hours / (row->startup_hours + row->train_hours);
    if (share > 0.15)
        add(t,
            "Starts are %.0f%% of what is paid: for a shorter training a smaller type may be better, for a "
            "longer one larger types gain. ",
            100 * share);
}

static void add_against(const text *t, const dt_plan_row *row, const dt_plan_row *cheapest)
{
    char usd[32], hours[32];
    if (row == cheapest)
        return;
    dt_plan_format_usd(fabs(row->usd_mean - cheapest->usd_mean), usd, sizeof usd);
    dt_plan_format_hours(fabs(cheapest->hours_mean - row->hours_mean), hours, sizeof hours);
    add(t, "Against the cheapest choice it costs %s more and is done %s %s. ", usd, hours,
        row->hours_mean <= cheapest->hours_mean ? "sooner" : "later");
}

/* -- recommendations ------------------------------------------------------------------------------------- */

static dt_recommendation *begin(dt_plan *plan, const char *title)
{
    dt_recommendation *r = &plan->recommendations[plan->n_recommendations++];
    *r = (dt_recommendation){.row = -1};
    snprintf(r->title, sizeof r->title, "%s", title);
    return r;
}

static int64_t find(const dt_plan *plan, size_t mark)
{
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (*(const bool *)((const char *)&plan->rows[i] + mark))
            return i;
    return -1;
}

static void recommend(dt_plan *plan, const char *title, int64_t index)
{
    dt_recommendation *r = begin(plan, title);
    const dt_plan_row *row = &plan->rows[index];
    const text t = {r->text, sizeof r->text};
    r->row = index;
    add_result(&t, row);
    add_limit(&t, row);
    add_assumptions(&t, plan, row);
    if (row->is_cheapest)
        add_what_changes_cost(&t, plan, index);
    else
        add_against(&t, row, &plan->rows[find(plan, offsetof(dt_plan_row, is_cheapest))]);
    add_share_of_start(&t, row);
    dt_plan_command_explain(plan, row, r->text + strlen(r->text), sizeof r->text - strlen(r->text));
    for (size_t n = strlen(r->text); n > 0 && r->text[n - 1] == ' '; n--)
        r->text[n - 1] = '\0';
    dt_plan_command(plan, row, r->command, sizeof r->command);
    dt_plan_cluster_command(plan, row, r->cluster, sizeof r->cluster);
}

/* The row with the least of a field. One that is being retired counts only where all are. */
static const dt_plan_row *find_nearest(const dt_plan *plan, size_t field)
{
    const dt_plan_row *found = NULL;
    double least = 0;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_plan_row *row = &plan->rows[i];
        const double value = *(const double *)((const char *)row + field);
        const bool is_retiring = row->instance->retiring.text != NULL;
        const bool replaces_retiring = found && found->instance->retiring.text && !is_retiring;
        const bool is_allowed = !found || !is_retiring || found->instance->retiring.text;
        if (!found || replaces_retiring || (is_allowed && value < least)) {
            found = row;
            least = value;
        }
    }
    return found;
}

static void recommend_in_time(dt_plan *plan)
{
    char title[48], hours[32], usd[32], where[128];
    const double deadline_h = plan->settings.deadline_s / 3600;
    dt_plan_format_hours(deadline_h, hours, sizeof hours);
    snprintf(title, sizeof title, "Cheapest in %s", hours);
    const int64_t found = find(plan, offsetof(dt_plan_row, is_cheapest_in_time));
    if (found >= 0) {
        recommend(plan, title, found);
        return;
    }
    const dt_plan_row *nearest = find_nearest(plan, offsetof(dt_plan_row, hours_p95));
    dt_recommendation *r = begin(plan, title);
    dt_plan_row_describe(nearest, where, sizeof where);
    dt_plan_format_usd(nearest->usd_mean, usd, sizeof usd);
    dt_plan_format_hours(nearest->hours_p95, hours, sizeof hours);
    snprintf(r->text, sizeof r->text,
             "No choice is done by then in 95 of 100 runs. The nearest is %s, which takes %s and costs %s. "
             "More nodes (--max-nodes) or fewer epochs shorten it.",
             where, hours, usd);
}

static void recommend_in_budget(dt_plan *plan)
{
    char title[48], hours[32], usd[32], where[128];
    dt_plan_format_usd(plan->settings.budget_usd, usd, sizeof usd);
    snprintf(title, sizeof title, "Fastest for %s", usd);
    const int64_t found = find(plan, offsetof(dt_plan_row, is_fastest_in_budget));
    if (found >= 0) {
        recommend(plan, title, found);
        return;
    }
    const dt_plan_row *nearest = find_nearest(plan, offsetof(dt_plan_row, usd_p95));
    dt_recommendation *r = begin(plan, title);
    dt_plan_row_describe(nearest, where, sizeof where);
    dt_plan_format_usd(nearest->usd_p95, usd, sizeof usd);
    dt_plan_format_hours(nearest->hours_mean, hours, sizeof hours);
    snprintf(
        r->text, sizeof r->text,
        "No choice stays below that in 95 of 100 runs. The nearest is %s, which costs up to %s and takes %s.",
        where, usd, hours);
}

void dt_plan_recommend(dt_plan *plan)
{
    if (plan->n_possible == 0)
        return;
    recommend(plan, "Cheapest", find(plan, offsetof(dt_plan_row, is_cheapest)));
    recommend(plan, "Fastest", find(plan, offsetof(dt_plan_row, is_fastest)));
    if (plan->settings.deadline_s > 0)
        recommend_in_time(plan);
    if (plan->settings.budget_usd > 0)
        recommend_in_budget(plan);
    recommend(plan, "Best value", find(plan, offsetof(dt_plan_row, is_best_value)));
}
