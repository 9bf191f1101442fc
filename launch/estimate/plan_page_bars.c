/* Dollars by instance: two bars a type, its cheapest offers on demand and on spot. */
#include "core/base/alloc.h"
#include "launch/estimate/plan_page_internal.h"

#include <math.h>
#include <stdio.h>

enum { MOST_BARS = 14 }; /* types; the table has all */

typedef struct bars {
    const dt_instance *instance;
    const dt_plan_row *rows[2]; /* on demand and spot; NULL: none */
} bars;

typedef struct chart {
    bars *types; /* by their cheapest offer */
    int n_types, n_drawn;
} chart;

/* Rows come cheapest first, so the first of its kind is the cheapest. The mixed ones are left out: their
 * price depends on the deadline. */
static dt_status collect(const dt_plan *plan, chart *c, dt_error *err)
{
    const size_t n = (size_t)plan->n_possible;
    *c = (chart){.types = dt_calloc(n, sizeof *c->types)};
    if (!c->types)
        return dt_fail_memory(err, n * sizeof *c->types, "a chart");
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_plan_row *row = &plan->rows[i];
        if (row->purchase == DT_PURCHASE_MIXED)
            continue;
        int k = 0;
        while (k < c->n_types && c->types[k].instance != row->instance)
            k++;
        c->n_types += k == c->n_types;
        c->types[k].instance = row->instance;
        const dt_plan_row **slot = &c->types[k].rows[row->purchase == DT_PURCHASE_SPOT];
        *slot = *slot ? *slot : row;
    }
    c->n_drawn = c->n_types < MOST_BARS ? c->n_types : MOST_BARS;
    return DT_OK;
}

static double largest(const chart *c)
{
    double usd = 0;
    for (int i = 0; i < c->n_drawn; i++)
        for (int k = 0; k < 2; k++)
            if (c->types[i].rows[k])
                usd = fmax(usd, fmax(c->types[i].rows[k]->usd_p95, c->types[i].rows[k]->usd_mean));
    return usd;
}

enum { BAR = 15, GAP = 3, NAME = 18 };

static double height_of(const bars *type, const dt_page_form *form)
{
    const int n = !!type->rows[0] + !!type->rows[1];
    return n * (BAR + GAP) + 11 + (form->is_narrow ? NAME : 0);
}

/* "$34.32", "$34.32 with 4 nodes". */
static void format_figure(const dt_plan_row *row, char *out, size_t bytes)
{
    if (row->nodes > 1)
        snprintf(out, bytes, "$%s with %d nodes", dt_page_usd(row->usd_mean), row->nodes);
    else
        snprintf(out, bytes, "$%s", dt_page_usd(row->usd_mean));
}

/* The space that the figures need beyond the longest bar. */
static double right_of(const chart *c)
{
    char figure[64];
    double width = 0;
    for (int i = 0; i < c->n_drawn; i++)
        for (int k = 0; k < 2; k++)
            if (c->types[i].rows[k]) {
                format_figure(c->types[i].rows[k], figure, sizeof figure);
                width = fmax(width, dt_text_width(figure, DT_SVG_FONT_SIZE));
            }
    return width + 9;
}

static void draw_bar(dt_html *page, const dt_plan_row *row, const dt_axis *x, double top, const char *id)
{
    char tip[256];
    const bool is_spot = row->purchase == DT_PURCHASE_SPOT;
    const double end = dt_axis_position(x, row->usd_mean), late = dt_axis_position(x, row->usd_p95);
    const double middle = top + BAR / 2.0;
    snprintf(tip, sizeof tip, "%s, %s, %s: $%s (95 %%: $%s)", dt_page_choice(row),
             dt_purchase_name(row->purchase), dt_page_place(row), dt_page_usd(row->usd_mean),
             dt_page_usd(row->usd_p95));
    dt_svg_group_begin(page, dt_page_purchase_class(row->purchase), tip);
    dt_svg_rect(page, "bar", &(dt_box){x->from, top, end, top + BAR}, id, is_spot ? "spot" : NULL);
    if (late - end > 3) {
        dt_svg_line(page, "error", end, middle, late, middle);
        dt_svg_line(page, "error", late, middle - 4, late, middle + 4);
    }
    char figure[64];
    format_figure(row, figure, sizeof figure);
    dt_svg_text(page, "figure", DT_TEXT_START, fmax(end, late) + 7, middle + 4.5, "%s", figure);
    dt_svg_group_end(page);
}

static void draw_type(dt_html *page, const bars *type, const dt_axis *x, double top, const dt_page_form *form,
                      const char *id)
{
    const int n = !!type->rows[0] + !!type->rows[1];
    if (form->is_narrow)
        dt_svg_text(page, "name", DT_TEXT_START, x->from + 5, top + 13, "%s", type->instance->type);
    else
        dt_svg_text(page, "name", DT_TEXT_END, x->from - 10, top + n * (BAR + GAP) / 2.0 + 4, "%s",
                    type->instance->type);
    top += form->is_narrow ? NAME : 0;
    for (int k = 0; k < 2; k++)
        if (type->rows[k]) {
            draw_bar(page, type->rows[k], x, top, id);
            top += BAR + GAP;
        }
}

/* The longest name decides where the bars begin. */
static double left_of(const chart *c, const dt_page_form *form)
{
    double width = 60;
    for (int i = 0; i < c->n_drawn && !form->is_narrow; i++)
        width = fmax(width, dt_text_width(c->types[i].instance->type, DT_SVG_FONT_SIZE) + 14);
    return form->is_narrow ? 10 : fmin(width, form->width / 3);
}

static void draw(dt_html *page, const chart *c, const dt_page_form *form)
{
    char id[32], description[384];
    const dt_plan_row *first = c->types[0].rows[0], *spot = c->types[0].rows[1];
    double height = 0;
    for (int i = 0; i < c->n_drawn; i++)
        height += height_of(&c->types[i], form);
    const dt_box frame = {left_of(c, form), 10, form->width - right_of(c), 14 + height};
    dt_axis x;
    dt_axis_linear(0, largest(c), frame.left, frame.right, form->is_narrow ? 4 : 8, &x);
    snprintf(id, sizeof id, "bars-%s", form->name);
    snprintf(description, sizeof description,
             "%d type%s, cheapest first, with a bar on demand and one on spot. %s: %s%s%s%s.", c->n_drawn,
             c->n_drawn == 1 ? "" : "s", c->types[0].instance->type, first ? "$" : "",
             first ? dt_page_usd(first->usd_mean) : "not on demand", spot ? ", on spot $" : "",
             spot ? dt_page_usd(spot->usd_mean) : "");
    dt_svg_begin(page, id, form->name, form->width, frame.bottom + 44, "Dollars by instance", description);
    dt_svg_hatch(page, id, "spot", "spot");
    dt_svg_axis_bottom(page, &x, &frame, "$", "dollars for the whole training");
    double top = frame.top + 8;
    for (int i = 0; i < c->n_drawn; i++) {
        draw_type(page, &c->types[i], &x, top, form, id);
        top += height_of(&c->types[i], form);
    }
    dt_svg_line(page, "axis", frame.left, frame.top, frame.left, frame.bottom);
    dt_svg_end(page);
}

static void add_legend(dt_html *page, const chart *c)
{
    bool has[2] = {false, false};
    for (int i = 0; i < c->n_drawn; i++)
        for (int k = 0; k < 2; k++)
            has[k] = has[k] || c->types[i].rows[k];
    dt_html_markup(page, "<ul class=\"legend\">\n");
    if (has[0])
        dt_html_markup(
            page, "<li><svg viewBox=\"0 0 30 16\" aria-hidden=\"true\"><rect class=\"bar on-demand\" x=\"3\" "
                  "y=\"3\" width=\"24\" height=\"10\"/></svg><span>on demand (filled)</span></li>\n");
    if (has[1])
        dt_html_markup(
            page, "<li><svg viewBox=\"0 0 30 16\" aria-hidden=\"true\"><g class=\"spot\"><rect class=\"bar "
                  "hollow\" "
                  "x=\"3\" y=\"3\" width=\"24\" height=\"10\"/><path class=\"error\" d=\"M8 13L16 3M16 13L24 "
                  "3\"/></g></svg><span>spot (hatched), with the 95th percentile</span></li>\n");
    dt_html_markup(page, "</ul>\n");
}

/* "us-east-1a", "us-east-1a, 4 nodes". */
static void format_place(const dt_plan_row *row, char *out, size_t bytes)
{
    if (row && row->nodes > 1)
        snprintf(out, bytes, "%s, %d nodes", dt_page_place(row), row->nodes);
    else
        snprintf(out, bytes, "%s", row ? dt_page_place(row) : "-");
}

static void add_figures(dt_html *page, const chart *c)
{
    static const dt_html_column columns[] = {
        {"Instance", false}, {"On demand in", false}, {"$", true},
        {"h", true},         {"On spot in", false},   {"$ mean", true},
        {"$ 95 %", true},    {"h mean", true},        {"h 95 %", true},
    };
    enum { N = sizeof columns / sizeof *columns };
    dt_html_figures_begin(page, "The cheapest offers of each type", columns, N);
    for (int i = 0; i < c->n_types; i++) {
        const dt_plan_row *first = c->types[i].rows[0], *spot = c->types[i].rows[1];
        char places[2][128];
        format_place(first, places[0], sizeof places[0]);
        format_place(spot, places[1], sizeof places[1]);
        dt_html_row(page, (const char *const[N]){c->types[i].instance->type, places[0],
                                                 first ? dt_page_usd(first->usd_mean) : "-",
                                                 first ? dt_page_hours(first->hours_mean) : "-", places[1],
                                                 spot ? dt_page_usd(spot->usd_mean) : "-",
                                                 spot ? dt_page_usd(spot->usd_p95) : "-",
                                                 spot ? dt_page_hours(spot->hours_mean) : "-",
                                                 spot ? dt_page_hours(spot->hours_p95) : "-"});
    }
    dt_html_figures_end(page);
}

dt_status dt_page_bars(dt_html *page, const dt_plan *plan, dt_error *err)
{
    if (plan->n_possible == 0)
        return DT_OK;
    chart c;
    DT_TRY(collect(plan, &c, err));
    if (c.n_types > 0) {
        dt_html_markup(page, "<section>\n<h2>Dollars by instance</h2>\n");
        if (c.n_drawn < c.n_types)
            dt_html_element(page, "p", "note", "The %d cheapest of %d types; the table has all.", c.n_drawn,
                            c.n_types);
        dt_html_markup(page, "<figure>\n");
        for (int f = 0; f < DT_PAGE_N_FORMS; f++)
            draw(page, &c, &dt_page_forms[f]);
        add_legend(page, &c);
        dt_html_markup(page, "</figure>\n");
        add_figures(page, &c);
        dt_html_markup(page, "</section>\n");
    }
    dt_free(c.types);
    return DT_OK;
}
