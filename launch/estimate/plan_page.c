#include "launch/estimate/plan_page.h"

#include "core/base/units.h"
#include "launch/estimate/plan_page_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* -- the head -------------------------------------------------------------------------------------------- */

static void add_fact(dt_html *page, const char *name, const char *value)
{
    dt_html_markup(page, "<div>");
    dt_html_element(page, "dt", NULL, "%s", name);
    dt_html_element(page, "dd", NULL, "%s", value);
    dt_html_markup(page, "</div>\n");
}

static void format_sizes(const dt_workload *work, char *out, size_t bytes)
{
    int64_t low = work->image_size, high = work->image_size;
    for (int i = 0; i < work->n_sizes; i++) {
        low = i == 0 || work->sizes[i].image_size < low ? work->sizes[i].image_size : low;
        high = i == 0 || work->sizes[i].image_size > high ? work->sizes[i].image_size : high;
    }
    if (low == high)
        snprintf(out, bytes, "%" PRId64 " px", low);
    else
        snprintf(out, bytes, "%" PRId64 " to %" PRId64 " px", low, high);
}

static void add_facts(dt_html *page, const dt_plan *plan)
{
    const dt_workload *work = &plan->work;
    char text[128];
    dt_html_markup(page, "<dl class=\"facts\">\n");
    snprintf(text, sizeof text, "%s, %s", dt_page_arch(work->arch), dt_dtype_name(work->precision));
    add_fact(page, "Network, precision", text);
    snprintf(text, sizeof text, "%s \u00d7 %g", dt_page_count(work->n_images), work->epochs);
    add_fact(page, "Images \u00d7 epochs", text);
    format_sizes(work, text, sizeof text);
    add_fact(page, "Image size", text);
    snprintf(text, sizeof text, "%s GB", dt_page_number(work->data_bytes / 1e9));
    add_fact(page, "Data", text);
    add_fact(page, "Choices compared", dt_page_count((double)plan->n_possible));
    add_fact(page, "Made on", plan->settings.today);
    dt_html_markup(page, "</dl>\n");
}

/* The answer in one sentence. */
static void add_answer(dt_html *page, const dt_plan *plan)
{
    const dt_plan_row *best = dt_page_example(plan, false);
    if (!best) {
        dt_html_element(page, "p", "lead warning",
                        "None of the instance types can run this training; the reasons are below.");
        return;
    }
    const char *mark = best->is_best_value ? "The best value" : "The cheapest choice";
    dt_html_element(page, "p", "lead", "%s: %s %s in %s, $%s in %s.", mark, dt_page_choice(best),
                    dt_page_purchase(best->purchase), dt_page_place(best), dt_page_usd(best->usd_mean),
                    dt_page_time(best->hours_mean));
}

/* -- recommendations ------------------------------------------------------------------------------------- */

static void add_choice(dt_html *page, const dt_plan_row *row)
{
    dt_html_element(page, "p", "choice", "%s %s", dt_page_choice(row), dt_page_purchase(row->purchase));
    dt_html_element(page, "p", "note", "%s", dt_page_place(row));
    dt_html_markup(page, "<p class=\"price\">");
    dt_html_text(page, "$%s", dt_page_usd(row->usd_mean));
    dt_html_markup(page, " <small>in ");
    dt_html_text(page, "%s", dt_page_time(row->hours_mean));
    dt_html_markup(page, "</small></p>\n");
    if (row->usd_p95 > row->usd_mean * 1.005 || row->hours_p95 > row->hours_mean * 1.005)
        dt_html_element(page, "p", "note", "95 of 100 runs: at most $%s and %s", dt_page_usd(row->usd_p95),
                        dt_page_time(row->hours_p95));
}

/* A command, which breaks between its words alone, so that no option is torn after a dash. */
static void add_command(dt_html *page, const char *command)
{
    dt_html_markup(page, "<pre><code>");
    for (const char *s = command; *s;) {
        const size_t n = strcspn(s, " ");
        if (n > 0) {
            dt_html_markup(page, "<span class=\"word\">");
            dt_html_text(page, "%.*s", (int)n, s);
            dt_html_markup(page, "</span>");
        }
        s += n;
        if (*s == ' ') {
            dt_html_markup(page, " ");
            s++;
        }
    }
    dt_html_markup(page, "</code></pre>\n");
}

/* The best one is the first card. As wide as two if that leaves no gap: the cards have two columns. */
static void add_recommendation(dt_html *page, const dt_plan *plan, const dt_recommendation *r, bool is_best)
{
    const char *best = plan->n_recommendations % 2 ? "card best whole" : "card best";
    dt_html_printf(page, "<article class=\"%s\">\n", is_best ? best : "card");
    dt_html_element(page, "h3", NULL, "%s", r->title);
    if (r->row >= 0)
        add_choice(page, &plan->rows[r->row]);
    dt_html_element(page, "p", "why", "%s", r->text);
    if (r->command[0])
        add_command(page, r->command);
    if (r->cluster[0])
        add_command(page, r->cluster);
    dt_html_markup(page, "</article>\n");
}

static void add_recommendations(dt_html *page, const dt_plan *plan)
{
    int best = 0;
    if (plan->n_recommendations == 0)
        return;
    for (int i = 0; i < plan->n_recommendations; i++)
        if (plan->recommendations[i].row >= 0 && plan->rows[plan->recommendations[i].row].is_best_value)
            best = i;
    dt_html_markup(page, "<section>\n<h2>Recommendations</h2>\n<div class=\"cards\">\n");
    add_recommendation(page, plan, &plan->recommendations[best], true);
    for (int i = 0; i < plan->n_recommendations; i++)
        if (i != best)
            add_recommendation(page, plan, &plan->recommendations[i], false);
    dt_html_markup(page, "</div>\n</section>\n");
}

/* -- the page -------------------------------------------------------------------------------------------- */

static void add_notes(dt_html *page, const dt_plan *plan)
{
    dt_html_markup(page, "<section>\n<h2>What the figures assume</h2>\n<ul class=\"notes\">\n");
    for (int i = 0; i < plan->n_notes; i++)
        dt_html_element(page, "li", NULL, "%s", plan->notes[i]);
    dt_html_element(
        page, "li", NULL,
        "Dollars are USD without tax. Means are of %s simulated run%s; 95 of 100 runs stay within the "
        "figures of 95 %%.",
        dt_page_count((double)plan->settings.n_runs), DT_PLURAL(plan->settings.n_runs));
    dt_html_markup(page, "</ul>\n</section>\n");
}

static dt_status fill(dt_html *page, const dt_plan *plan, const char *title, dt_error *err)
{
    dt_html_markup(page, "<header>\n");
    dt_html_element(page, "h1", NULL, "%s", title);
    add_answer(page, plan);
    add_facts(page, plan);
    dt_html_markup(page, "</header>\n");
    add_recommendations(page, plan);
    DT_TRY(dt_page_cost(page, plan, err));
    DT_TRY(dt_page_bars(page, plan, err));
    dt_page_parts(page, plan);
    DT_TRY(dt_page_timeline(page, plan, err));
    dt_page_pipeline(page, plan);
    dt_page_choices(page, plan);
    dt_page_scale(page, plan);
    dt_page_excluded(page, plan);
    dt_page_sources(page, plan);
    add_notes(page, plan);
    return DT_OK;
}

dt_status dt_plan_page_save(const dt_plan *plan, const char *path, dt_error *err)
{
    dt_html *page = NULL;
    char title[160];
    snprintf(title, sizeof title, "What it costs to train %s on EC2", dt_page_arch(plan->work.arch));
    DT_TRY(dt_html_create(title, &page, err));
    dt_status status = fill(page, plan, title, err);
    if (status == DT_OK)
        status = dt_html_save(page, path, err);
    dt_html_destroy(page);
    return status;
}
