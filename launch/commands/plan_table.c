/* dtrain plan: the table for people, and the same as Markdown. */
#include "config.h"

#include "core/base/units.h"
#include "launch/commands/plan_output.h"
#include "launch/estimate/plan_words.h"
#include "launch/estimate/seed_table.h"
#include "launch/show/output.h"
#include "launch/show/shell.h"
#include "launch/show/table.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_SHOWN = 4096, MOST_CHEAPEST = 24, N_COLUMNS = 7, N_WIDE = 11, WIDE_WIDTH = 132 };

static bool is_chosen(const dt_plan_row *row)
{
    return row->is_front || row->is_cheapest || row->is_fastest || row->is_best_value ||
           row->is_cheapest_in_time || row->is_fastest_in_budget;
}

/* Whether no cheaper row differs in its zone only. */
static bool is_cheapest_zone(const dt_plan *plan, int64_t index)
{
    const dt_plan_row *row = &plan->rows[index];
    for (int64_t i = 0; i < index; i++) {
        const dt_plan_row *other = &plan->rows[i];
        if (other->instance == row->instance && other->nodes == row->nodes &&
            other->purchase == row->purchase)
            return false;
    }
    return true;
}

int64_t dt_plan_rows_to_show(const dt_plan *plan, int64_t n_cheapest, int64_t *shown, int64_t max,
                             int64_t *n_left_out)
{
    int64_t n = 0, n_zones = 0;
    *n_left_out = 0;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const bool is_first = is_cheapest_zone(plan, i);
        n_zones += is_first;
        if ((is_first && n_zones <= n_cheapest) || is_chosen(&plan->rows[i])) {
            if (n < max)
                shown[n] = i;
            n++;
        } else
            *n_left_out += is_first;
    }
    return n;
}

/* -- cells ----------------------------------------------------------------------------------------------- */

typedef struct cells {
    char text[N_WIDE][64];
    const char *cell[N_WIDE];
} cells;

/* The last ones are for wide terminals. */
static const char *const headings[N_WIDE] = {"instance", "buy",   "zone",    "images/s",
                                             "limit",    "hours", "USD",     "without it",
                                             "start",    "USD/h", "price of"};

/* "1.5" or, with a 95th percentile that differs, "2.1-6.7". */
static void format_pair(double mean, double p95, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%.*f", mean < 1 ? 2 : mean < 10 ? 1 : 0, mean);
    if (p95 > mean * 1.001)
        snprintf(out + strlen(out), out_bytes - strlen(out), "-%.*f", p95 < 1 ? 2 : p95 < 10 ? 1 : 0, p95);
}

static const char *short_limit(const dt_throughput *t)
{
    return t->limit == DT_STAGE_ALL_REDUCE ? "reduce" : dt_stage_name(t->limit);
}

static void fill_cells(const dt_plan_row *row, cells *c)
{
    const dt_throughput *t = &row->throughput;
    const bool is_estimated = t->is_scaled || t->rate->source->confidence == DT_CONFIDENCE_ESTIMATED;
    char n[24] = "";
    if (row->nodes > 1)
        snprintf(n, sizeof n, "%d x ", row->nodes);
    snprintf(c->text[0], sizeof c->text[0], "%s%s%s%s", row->is_front ? "*" : "", n, row->instance->type,
             row->instance->retiring.text ? " !" : "");
    snprintf(c->text[1], sizeof c->text[1], "%s",
             row->purchase == DT_PURCHASE_ON_DEMAND ? "demand" : dt_purchase_name(row->purchase));
    snprintf(c->text[2], sizeof c->text[2], "%s", row->zone ? row->zone : row->region);
    snprintf(c->text[3], sizeof c->text[3], "%s%.0f", is_estimated ? "~" : "", t->images_s);
    snprintf(c->text[4], sizeof c->text[4], "%s", short_limit(t));
    format_pair(row->hours_mean, row->hours_p95, c->text[5], sizeof c->text[5]);
    format_pair(row->usd_mean, row->usd_p95, c->text[6], sizeof c->text[6]);
    if (isfinite(t->without_limit_images_s))
        snprintf(c->text[7], sizeof c->text[7], "%.0f", t->without_limit_images_s);
    else
        snprintf(c->text[7], sizeof c->text[7], "-");
    snprintf(c->text[8], sizeof c->text[8], "%.0f min", t->startup_s / 60);
    snprintf(c->text[9], sizeof c->text[9], "%.4g", row->price->usd_h * row->nodes);
    snprintf(c->text[10], sizeof c->text[10], "%s", row->price->date);
    for (int i = 0; i < N_WIDE; i++)
        c->cell[i] = c->text[i];
}

/* -- texts ----------------------------------------------------------------------------------------------- */

static void workload_text(const dt_plan *plan, char *out, size_t out_bytes)
{
    const dt_workload *w = &plan->work;
    const bool is_large = w->data_bytes >= 1e13;
    char sizes[256] = "";
    for (int i = 0; i < w->n_sizes; i++)
        snprintf(sizes + strlen(sizes), sizeof sizes - strlen(sizes), "%s%lld", i ? ", " : "",
                 (long long)w->sizes[i].image_size);
    snprintf(out, out_bytes, "%s, %.0f epoch%s of %.0f image%s (%.4g %s) at %s pixels, %s", w->arch,
             w->epochs, DT_PLURAL((int64_t)w->epochs), w->n_images, DT_PLURAL((int64_t)w->n_images),
             w->data_bytes / (is_large ? 1e12 : 1e9), is_large ? "TB" : "GB", sizes,
             dt_dtype_name(w->precision));
}

/* all: also those that other options could make possible. */
static void print_excluded(const dt_plan *plan, bool all, const char *prefix, FILE *stream, int columns)
{
    const char *last = "";
    for (int64_t i = plan->n_possible; i < plan->n_rows; i++) {
        const dt_plan_row *row = &plan->rows[i];
        char where[160], line[512];
        const bool is_same = strcmp(row->excluded, last) == 0 && row->instance == plan->rows[i - 1].instance;
        if (is_same || (!all && !row->instance->unsupported.text && !row->instance->is_users))
            continue;
        last = row->excluded;
        dt_plan_row_describe(row, where, sizeof where);
        snprintf(line, sizeof line, "%sleft out: %s: %s", prefix, where, row->excluded);
        dt_output_paragraph(stream, line, columns, 0);
    }
}

/* The dates of the prices in the table: "spot of 2025-06-01 (547 days old)". */
static void print_price_dates(const dt_plan *plan, const int64_t *shown, int64_t n, FILE *stream, int columns)
{
    char text[1024] = "prices:";
    const char *separator = " ";
    for (int is_spot = 0; is_spot < 2; is_spot++) {
        const char *last = "";
        for (;;) { /* the next older date */
            const dt_price *found = NULL;
            for (int64_t i = 0; i < n; i++) {
                const dt_price *p = plan->rows[shown[i]].price;
                if (p->is_spot == is_spot && (!last[0] || strcmp(p->date, last) < 0) &&
                    (!found || strcmp(p->date, found->date) > 0))
                    found = p;
            }
            if (!found || strlen(text) > sizeof text - 128)
                break;
            const int days = dt_price_age_days(found, plan->settings.today);
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s%s (%d day%s old)", separator,
                     last[0]   ? "and "
                     : is_spot ? "spot of "
                               : "on demand of ",
                     found->date, days, DT_PLURAL(days));
            last = found->date;
            separator = ", ";
        }
    }
    dt_output_paragraph(stream, text, columns, 0);
}

/* What the marks of a table mean. */
static void legend_text(bool is_wide, bool is_cut, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes,
             "hours and USD: mean-95th percentile; *: nothing is both cheaper and faster; ~: estimated; "
             "!: being retired; limit: the tightest stage%s.%s",
             is_wide ? "; without it: the images/s that the next one allows" : "",
             is_cut ? " The cheapest zone of each; dearer types: --types or --json." : "");
}

static void print_recommendations(const dt_plan *plan, FILE *stream, int columns)
{
    for (int i = 0; i < plan->n_recommendations; i++) {
        const dt_recommendation *r = &plan->recommendations[i];
        int64_t same = -1;
        for (int k = 0; k < i; k++)
            same = plan->recommendations[k].row == r->row && r->row >= 0 ? k : same;
        dt_output_line(stream, "%s", "");
        dt_output_line(stream, "%s%s%s", r->title, same >= 0 ? ": the same as " : "",
                       same >= 0 ? plan->recommendations[same].title : "");
        if (same >= 0)
            continue;
        dt_output_paragraph(stream, r->text, columns, 2);
        if (r->command[0])
            dt_shell_print(stream, r->command, columns, 4);
        if (r->cluster[0]) {
            dt_output_line(stream, "  A cluster for it:");
            dt_shell_print(stream, r->cluster, columns, 4);
        }
    }
}

static void print_notes(const dt_plan *plan, FILE *stream, int columns)
{
    dt_output_line(stream, "%s", "");
    for (int i = 0; i < plan->n_notes; i++)
        dt_output_paragraph(stream, plan->notes[i], columns, 0);
}

static dt_status check_printed(FILE *stream, dt_error *err)
{
    return fflush(stream) == 0 && !ferror(stream) ? DT_OK : dt_fail_errno(err, "cannot print the result");
}

/* -- the table ------------------------------------------------------------------------------------------- */

static dt_status print_rows(const dt_plan *plan, const int64_t *shown, int64_t n, FILE *stream, int columns,
                            dt_error *err)
{
    dt_table *table = NULL;
    const int n_columns = columns >= WIDE_WIDTH ? N_WIDE : N_COLUMNS;
    DT_TRY(dt_table_create(headings, n_columns, &table, err));
    for (int i = 3; i < n_columns; i++)
        if (i != 4)
            dt_table_align_right(table, i);
    dt_status status = DT_OK;
    for (int64_t i = 0; status == DT_OK && i < n; i++) {
        cells c;
        fill_cells(&plan->rows[shown[i]], &c);
        status = dt_table_add(table, c.cell, err);
    }
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), columns, err);
    dt_table_destroy(table);
    return status;
}

dt_status dt_plan_print_table(const dt_plan *plan, FILE *stream, dt_error *err)
{
    static int64_t shown[MOST_SHOWN];
    char text[512];
    const int columns = dt_table_columns(stream);
    const bool has_types = plan->settings.types != NULL;
    int64_t n_left_out;
    int64_t n =
        dt_plan_rows_to_show(plan, has_types ? MOST_SHOWN : MOST_CHEAPEST, shown, MOST_SHOWN, &n_left_out);
    n = n < MOST_SHOWN ? n : MOST_SHOWN;
    workload_text(plan, text, sizeof text);
    dt_output_paragraph(stream, text, columns, 0);
    if (n > 0) {
        DT_TRY(print_rows(plan, shown, n, stream, columns, err));
        legend_text(columns >= WIDE_WIDTH, n_left_out > 0, text, sizeof text);
        dt_output_paragraph(stream, text, columns, 0);
        print_price_dates(plan, shown, n, stream, columns);
    }
    print_excluded(plan, has_types || n == 0, "", stream, columns);
    print_recommendations(plan, stream, columns);
    print_notes(plan, stream, columns);
    return check_printed(stream, err);
}

/* -- Markdown -------------------------------------------------------------------------------------------- */

static void print_markdown_row(const dt_plan_row *row, FILE *stream)
{
    cells c;
    fill_cells(row, &c);
    dt_output_line(stream, "| %s%s | %s | %s | %s | %s | %.3g (%.3g) | %.2f (%.2f) |",
                   row->is_front ? "\\" : "", c.text[0], c.text[1], c.text[2], c.text[3], c.text[4],
                   row->hours_mean, row->hours_p95, row->usd_mean, row->usd_p95);
}

static void print_markdown_recommendations(const dt_plan *plan, FILE *stream)
{
    for (int i = 0; i < plan->n_recommendations; i++) {
        const dt_recommendation *r = &plan->recommendations[i];
        dt_output_line(stream, "%s", "");
        dt_output_line(stream, "**%s.** %s", r->title, r->text);
        if (!r->command[0])
            continue;
        dt_output_line(stream, "%s", "");
        dt_output_line(stream, "    %s", r->command);
        if (r->cluster[0])
            dt_output_line(stream, "    %s", r->cluster);
    }
}

dt_status dt_plan_print_markdown(const dt_plan *plan, FILE *stream, dt_error *err)
{
    enum { NO_WIDTH = 1 << 20 };
    static int64_t shown[MOST_SHOWN];
    char text[512];
    int64_t n_left_out, n = dt_plan_rows_to_show(plan, MOST_SHOWN, shown, MOST_SHOWN, &n_left_out);
    n = n < MOST_SHOWN ? n : MOST_SHOWN;
    workload_text(plan, text, sizeof text);
    dt_output_line(stream, "%s", text);
    dt_output_line(stream, "%s", "");
    dt_output_line(stream, "| instance | buy | zone | images/s | limit | hours (95th percentile) | "
                           "USD (95th percentile) |");
    dt_output_line(stream, "|---|---|---|---|---|---|---|");
    for (int64_t i = 0; i < n; i++)
        print_markdown_row(&plan->rows[shown[i]], stream);
    dt_output_line(stream, "%s", "");
    if (n > 0) {
        dt_output_line(stream,
                       "\\*: nothing is both cheaper and faster; ~: estimated; !: being retired; limit: the "
                       "tightest stage.");
        dt_output_line(stream, "%s", "");
        print_price_dates(plan, shown, n, stream, NO_WIDTH);
        dt_output_line(stream, "%s", "");
    }
    print_excluded(plan, true, "- ", stream, NO_WIDTH);
    print_markdown_recommendations(plan, stream);
    dt_output_line(stream, "%s", "");
    for (int i = 0; i < plan->n_notes; i++)
        dt_output_line(stream, "- %s", plan->notes[i]);
    return check_printed(stream, err);
}

/* -- the table that the project started from ------------------------------------------------------------- */

static void today_of(const dt_plan *plan, const char *type, dt_purchase purchase, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "-");
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_plan_row *row = &plan->rows[i];
        char usd[32], hours[32];
        if (strcmp(row->instance->type, type) != 0 || row->purchase != purchase)
            continue;
        dt_plan_format_usd(row->usd_mean, usd, sizeof usd);
        dt_plan_format_hours(row->hours_mean, hours, sizeof hours);
        snprintf(out, out_bytes, "%s, %s", usd, hours);
        return;
    }
}

static void seed_of(const dt_seed_row *seed, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "-");
    if (seed->hours > 0)
        snprintf(out, out_bytes, "$%.0f, %.0f h", floor(dt_seed_usd(seed)), seed->hours);
    if (seed->spot_usd_h > 0)
        snprintf(out + strlen(out), out_bytes - strlen(out), "; spot $%.0f", dt_seed_spot_usd(seed));
}

/* What limits a type today, where that is not its GPU, so that its hours are more than a published run's. */
static void limit_today(const dt_plan *plan, const char *type, char *out, size_t out_bytes)
{
    out[0] = '\0';
    for (int64_t i = 0; i < plan->n_possible && !out[0]; i++) {
        const dt_throughput *t = &plan->rows[i].throughput;
        if (strcmp(plan->rows[i].instance->type, type) == 0 && t->limit != DT_STAGE_GPU)
            snprintf(out, out_bytes,
                     " Today's hours are limited by its %s, to %.0f images/s: its GPU%s more.",
                     dt_stage_name(t->limit), t->images_s,
                     plan->rows[i].instance->n_gpus > 1 ? "s train" : " trains");
    }
}

dt_status dt_plan_print_seed(const dt_plan *plan, FILE *stream, dt_error *err)
{
    static const char *const columns[] = {"instance", "the table said", "today", "today on spot"};
    const int width = dt_table_columns(stream);
    dt_table *table = NULL;
    char said[80], today[80], spot[80], line[512];
    DT_TRY(dt_table_create(columns, 4, &table, err));
    dt_status status = DT_OK;
    for (int i = 0; status == DT_OK && i < dt_seed_n_rows; i++) {
        const dt_seed_row *seed = &dt_seed_rows[i];
        seed_of(seed, said, sizeof said);
        today_of(plan, seed->type, DT_PURCHASE_ON_DEMAND, today, sizeof today);
        today_of(plan, seed->type, DT_PURCHASE_SPOT, spot, sizeof spot);
        status = dt_table_add(table, (const char *const[]){seed->type, said, today, spot}, err);
    }
    dt_output_paragraph(
        stream,
        "The table that this project started from, by its own hours and prices, for ResNet-50 and 90 epochs "
        "of ImageNet-1K; beside it the figures of this plan.",
        width, 0);
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), width, err);
    dt_table_destroy(table);
    DT_TRY(status);
    for (int i = 0; i < dt_seed_n_rows; i++) {
        char limit[128];
        limit_today(plan, dt_seed_rows[i].type, limit, sizeof limit);
        snprintf(line, sizeof line, "%s: %s%s", dt_seed_rows[i].type, dt_seed_rows[i].why, limit);
        dt_output_paragraph(stream, line, width, 0);
    }
    print_notes(plan, stream, width);
    return check_printed(stream, err);
}
