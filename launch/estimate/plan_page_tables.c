/* The tables at the end of the page: all choices, impossible ones, and the sources of the figures. */
#include "core/base/units.h"
#include "launch/estimate/plan_page_internal.h"
#include "launch/estimate/plan_scale.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Whether an earlier recommendation, or none, has this one's row. */
static bool is_said(const dt_plan *plan, int index)
{
    const int64_t row = plan->recommendations[index].row;
    for (int i = 0; i < index; i++)
        if (plan->recommendations[i].row == row)
            return true;
    return row < 0;
}

void dt_page_parts(dt_html *page, const dt_plan *plan)
{
    enum { N = DT_N_COST_PARTS + 3 };
    dt_html_column columns[N] = {{"Choice", false}, {"Paid", false}, [N - 1] = {"$ together", true}};
    for (int k = 0; k < DT_N_COST_PARTS; k++)
        columns[2 + k] = (dt_html_column){dt_cost_part_name((dt_cost_part)k), true};
    const dt_plan_row *example = dt_page_example(plan, false);
    if (!example || plan->n_recommendations == 0)
        return;
    dt_html_markup(page, "<section>\n<h2>What the dollars are for</h2>\n");
    dt_html_table_begin(page, "The mean dollars of the recommended choices, by what they pay for", columns,
                        N);
    for (int i = 0; i < plan->n_recommendations; i++) {
        if (is_said(plan, i))
            continue;
        const dt_plan_row *row = &plan->rows[plan->recommendations[i].row];
        const char *cells[N] = {dt_page_choice(row), dt_purchase_name(row->purchase)};
        for (int k = 0; k < DT_N_COST_PARTS; k++)
            cells[2 + k] = dt_page_usd(row->usd_part[k]);
        cells[N - 1] = dt_page_usd(row->usd_mean);
        dt_html_row(page, cells);
    }
    dt_html_table_end(page);
    dt_html_markup(page, "</section>\n");
}

/* "24,736", or "~365" where it is estimated. Returns out. */
static const char *format_rate(const dt_plan_row *row, char *out, size_t bytes)
{
    const dt_throughput *t = &row->throughput;
    const bool is_estimated = t->is_scaled || (t->rate && t->rate->source &&
                                               t->rate->source->confidence == DT_CONFIDENCE_ESTIMATED);
    snprintf(out, bytes, "%s%s", is_estimated ? "~" : "", dt_page_number(t->images_s));
    return out;
}

void dt_page_choices(dt_html *page, const dt_plan *plan)
{
    static const dt_html_column columns[] = {
        {"Choice", false}, {"Paid", false},     {"Where", false},           {"images/s", true},
        {"Limit", false},  {"$ an hour", true}, {"h mean", true},           {"h 95 %", true},
        {"$ mean", true},  {"$ 95 %", true},    {"of that start-up", true}, {"in time", false},
    };
    enum { N = sizeof columns / sizeof *columns };
    if (plan->n_possible == 0)
        return;
    dt_html_markup(page, "<section>\n<h2>All choices</h2>\n<details class=\"long\">");
    dt_html_element(page, "summary", NULL, "%" PRId64 " choice%s, cheapest first", plan->n_possible,
                    DT_PLURAL(plan->n_possible));
    dt_html_table_begin(page, "All choices, cheapest first; an hour's price is of one node; ~: estimated",
                        columns, N);
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_plan_row *row = &plan->rows[i];
        char rate[64];
        dt_html_row(page,
                    (const char *const[N]){
                        dt_page_choice(row), dt_purchase_name(row->purchase), dt_page_place(row),
                        format_rate(row, rate, sizeof rate), dt_stage_name(row->throughput.limit),
                        row->price ? dt_page_usd(row->price->usd_h) : "-", dt_page_hours(row->hours_mean),
                        dt_page_hours(row->hours_p95), dt_page_usd(row->usd_mean), dt_page_usd(row->usd_p95),
                        dt_page_usd(row->usd_part[DT_COST_STARTUP]),
                        !row->meets_deadline ? "late"
                        : !row->meets_budget ? "over the budget"
                                             : "yes"});
    }
    dt_html_table_end(page);
    dt_html_markup(page, "</details>\n</section>\n");
}

static void add_scale(dt_html *page, const dt_plan *plan, const dt_instance *instance)
{
    const dt_plan_row *rows[DT_SCALE_MOST];
    const int n = dt_plan_scale_rows(plan, instance, rows);
    dt_html_column columns[DT_SCALE_COLUMNS];
    char title[160];
    for (int k = 0; k < DT_SCALE_COLUMNS; k++)
        columns[k] = (dt_html_column){dt_scale_headings[k], true};
    if (n == 0)
        return;
    dt_plan_scale_title(rows[0], title, sizeof title);
    dt_html_table_begin(page, title, columns, DT_SCALE_COLUMNS);
    for (int i = 0; i < n; i++) {
        char text[DT_SCALE_COLUMNS][DT_SCALE_CELL];
        const char *cells[DT_SCALE_COLUMNS];
        dt_plan_scale_cells(rows[i], rows[0], text);
        for (int k = 0; k < DT_SCALE_COLUMNS; k++)
            cells[k] = text[k];
        dt_html_row(page, cells);
    }
    dt_html_table_end(page);
}

void dt_page_scale(dt_html *page, const dt_plan *plan)
{
    char text[640];
    if (!plan->settings.nodes || plan->n_possible == 0)
        return;
    dt_html_markup(page, "<section>\n<h2>More nodes</h2>\n");
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (dt_plan_cheapest_of(plan, plan->rows[i].instance) == i)
            add_scale(page, plan, plan->rows[i].instance);
    dt_plan_scale_explain(plan, text, sizeof text);
    dt_html_element(page, "p", "note", "%s", text);
    dt_html_markup(page, "</section>\n");
}

/* Whether two excluded rows say the same of the same type. */
static bool is_same(const dt_plan_row *a, const dt_plan_row *b)
{
    return a->instance == b->instance && strcmp(a->excluded, b->excluded) == 0;
}

static bool is_repeated(const dt_plan *plan, int64_t index)
{
    for (int64_t i = plan->n_possible; i < index; i++)
        if (is_same(&plan->rows[i], &plan->rows[index]))
            return true;
    return false;
}

/* The zones or regions of all rows that say the same as this one, each once: "use1-az1, use1-az4". */
static void list_places(const dt_plan *plan, const dt_plan_row *row, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = 0;
    if (row->instance->unsupported.text) {
        snprintf(out, bytes, "everywhere");
        return;
    }
    for (int64_t i = plan->n_possible; i < plan->n_rows; i++) {
        const char *place = dt_page_place(&plan->rows[i]);
        bool is_new = is_same(&plan->rows[i], row);
        for (int64_t k = plan->n_possible; k < i && is_new; k++)
            is_new = !is_same(&plan->rows[k], row) || strcmp(dt_page_place(&plan->rows[k]), place) != 0;
        if (!is_new)
            continue;
        if (used + strlen(place) + sizeof ", ..." > bytes) {
            snprintf(out + used, bytes - used, ", ...");
            return;
        }
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", place);
    }
}

/* Types that are shown, but may not be offered much longer. Returns how many; page may be NULL. */
static int add_retiring(dt_html *page, const dt_plan *plan)
{
    int n = 0;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_instance *instance = plan->rows[i].instance;
        int64_t first = 0;
        while (plan->rows[first].instance != instance)
            first++;
        if (first < i || !instance->retiring.text)
            continue;
        if (page)
            dt_html_row(page, (const char *const[3]){instance->type, "everywhere", instance->retiring.text});
        n++;
    }
    return n;
}

void dt_page_excluded(dt_html *page, const dt_plan *plan)
{
    static const dt_html_column columns[] = {{"Instance", false}, {"Where", false}, {"Why", false}};
    if (plan->n_rows == plan->n_possible && add_retiring(NULL, plan) == 0)
        return;
    dt_html_markup(page, "<section>\n<h2>What was left out, or soon may be</h2>\n");
    dt_html_table_begin(page, "Types that cannot run this training, not everywhere, or not much longer",
                        columns, 3);
    for (int64_t i = plan->n_possible; i < plan->n_rows; i++)
        if (!is_repeated(plan, i)) {
            char places[256];
            list_places(plan, &plan->rows[i], places, sizeof places);
            dt_html_row(page,
                        (const char *const[3]){plan->rows[i].instance->type, places, plan->rows[i].excluded});
        }
    (void)add_retiring(page, plan);
    dt_html_table_end(page);
    dt_html_markup(page, "</section>\n");
}

/* -- sources --------------------------------------------------------------------------------------------- */

static void format_source(const dt_data_source *source, char *out, size_t bytes)
{
    if (source)
        snprintf(out, bytes, "%s: %s%s%s", dt_confidence_name(source->confidence), source->text,
                 source->date ? ", " : "", source->date ? source->date : "");
    else
        snprintf(out, bytes, "-");
}

static void add_source(dt_html *page, const dt_plan *plan, const dt_plan_row *row)
{
    char rate[512], price[512], images_s[64] = "-", usd_h[64] = "-", age[32] = "-";
    const dt_rate *r = row->throughput.rate;
    format_source(r ? r->source : NULL, rate, sizeof rate);
    format_source(row->price ? row->price->source : NULL, price, sizeof price);
    if (r)
        snprintf(images_s, sizeof images_s, "%s%s", dt_page_number(r->images_s),
                 row->throughput.is_scaled ? ", scaled" : "");
    if (row->price) {
        const int days = dt_price_age_days(row->price, plan->settings.today);
        snprintf(usd_h, sizeof usd_h, "%s", dt_page_usd(row->price->usd_h));
        snprintf(age, sizeof age, "%d day%s", days, DT_PLURAL(days));
    }
    dt_html_row(page, (const char *const[7]){row->instance->type, images_s, rate,
                                             dt_purchase_name(row->purchase), usd_h, age, price});
}

/* The cheapest row of each type and way of paying. */
static bool is_first(const dt_plan *plan, int64_t index)
{
    for (int64_t i = 0; i < index; i++)
        if (plan->rows[i].instance == plan->rows[index].instance &&
            plan->rows[i].purchase == plan->rows[index].purchase)
            return false;
    return true;
}

void dt_page_sources(dt_html *page, const dt_plan *plan)
{
    static const dt_html_column columns[] = {
        {"Instance", false}, {"images/s of a GPU", true}, {"Source of the rate", false},  {"Paid", false},
        {"$ an hour", true}, {"Age of the price", true},  {"Source of the price", false},
    };
    if (plan->n_possible == 0)
        return;
    dt_html_markup(page, "<section>\n<h2>Where the figures come from</h2>\n<details class=\"long\">"
                         "<summary>Rates and prices with their sources</summary>\n");
    dt_html_table_begin(page, "Rates and prices of each type's cheapest choices", columns, 7);
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (plan->rows[i].purchase != DT_PURCHASE_MIXED && is_first(plan, i))
            add_source(page, plan, &plan->rows[i]);
    dt_html_table_end(page);
    dt_html_markup(page, "</details>\n</section>\n");
}
