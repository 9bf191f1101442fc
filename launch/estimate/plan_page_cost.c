/* Dollars against hours: a point for each choice, the front, and error bars up to the 95th percentile. */
#include "core/base/alloc.h"
#include "launch/estimate/plan_page_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What is drawn: for each type and way of paying the cheapest row, and every row of the front. Cheapest
 * first, as in the plan. */
typedef struct points {
    const dt_plan *plan;
    const dt_plan_row **rows;
    char (*names)[64]; /* of the choices, for labels */
    int n;
    bool has_purchase[4];
} points;

/* Whether a mixed row is the spot row of the same nodes in all but name: on demand is hardly ever needed. */
static bool is_like_spot(const dt_plan *plan, const dt_plan_row *row)
{
    for (int64_t i = 0; i < plan->n_possible && row->purchase == DT_PURCHASE_MIXED; i++) {
        const dt_plan_row *spot = &plan->rows[i];
        if (spot->purchase == DT_PURCHASE_SPOT && spot->instance == row->instance &&
            spot->nodes == row->nodes && fabs(spot->usd_mean / row->usd_mean - 1) < 0.02 &&
            fabs(spot->hours_mean / row->hours_mean - 1) < 0.02)
            return true;
    }
    return false;
}

static bool is_drawn(const points *p, const dt_plan_row *row)
{
    if (row->is_front || row->is_best_value || row->is_cheapest || row->is_fastest)
        return true;
    for (int i = 0; i < p->n; i++)
        if (p->rows[i]->instance == row->instance && p->rows[i]->purchase == row->purchase)
            return false;
    return !is_like_spot(p->plan, row);
}

static dt_status collect(const dt_plan *plan, points *p, dt_error *err)
{
    const size_t n = (size_t)plan->n_possible;
    *p = (points){
        .plan = plan, .rows = dt_alloc(n * sizeof *p->rows), .names = dt_alloc(n * sizeof *p->names)};
    if (!p->rows || !p->names) {
        dt_free(p->rows);
        dt_free(p->names);
        return dt_fail_memory(err, n * (sizeof *p->rows + sizeof *p->names), "a chart");
    }
    for (size_t i = 0; i < n; i++)
        if (is_drawn(p, &plan->rows[i])) {
            snprintf(p->names[p->n], sizeof *p->names, "%s", dt_page_choice(&plan->rows[i]));
            p->rows[p->n++] = &plan->rows[i];
            p->has_purchase[plan->rows[i].purchase] = true;
        }
    return DT_OK;
}

/* -- the drawing ----------------------------------------------------------------------------------------- */

typedef struct plot {
    dt_box frame;
    dt_axis x, y;
} plot;

/* Room below the lowest tick for labels of the cheapest choices, which often have none beside them. */
enum { BELOW = 26 };

static plot make_plot(const points *p, const dt_page_form *form)
{
    plot t = {.frame = {0, 34, form->width, form->is_narrow ? 380 : 440}};
    double hours[2] = {INFINITY, 0}, usd[2] = {INFINITY, 0};
    for (int i = 0; i < p->n; i++) {
        hours[0] = fmin(hours[0], p->rows[i]->hours_mean);
        hours[1] = fmax(hours[1], fmax(p->rows[i]->hours_p95, p->rows[i]->hours_mean));
        usd[0] = fmin(usd[0], p->rows[i]->usd_mean);
        usd[1] = fmax(usd[1], fmax(p->rows[i]->usd_p95, p->rows[i]->usd_mean));
    }
    dt_axis_log(usd[0], usd[1], t.frame.bottom - BELOW, t.frame.top, &t.y);
    dt_axis_log(hours[0], hours[1], 0, 1, &t.x);
    t.frame.left = dt_svg_axis_width(&t.y, "$") + 10;
    t.frame.right -= dt_svg_axis_width(&t.x, NULL) / 2;
    t.x.from = t.frame.left;
    t.x.to = t.frame.right;
    return t;
}

/* The lines of --deadline and --budget, where they are within the axes, and the places of their names.
 * Returns how many there are. */
enum { N_LIMITS = 2 };
typedef struct limit {
    double x1, y1, x2, y2;
    char name[64];
    dt_box box;
} limit;

static int find_limits(const points *p, const plot *t, limit *limits)
{
    const double hours = p->plan->settings.deadline_s / 3600, usd = p->plan->settings.budget_usd;
    const double height = DT_SVG_FONT_SIZE * 1.2;
    int n = 0;
    if (hours > t->x.low && hours < t->x.high) {
        const double x = dt_axis_position(&t->x, hours);
        limit *l = &limits[n++];
        *l = (limit){.x1 = x, .y1 = t->frame.top, .x2 = x, .y2 = t->frame.bottom};
        snprintf(l->name, sizeof l->name, "deadline %s", dt_page_time(hours));
        l->box = (dt_box){x - 5 - dt_text_width(l->name, DT_SVG_FONT_SIZE), t->frame.top + 2, x - 5,
                          t->frame.top + 2 + height};
    }
    if (usd > t->y.low && usd < t->y.high) {
        const double y = dt_axis_position(&t->y, usd);
        limit *l = &limits[n++];
        *l = (limit){.x1 = t->frame.left, .y1 = y, .x2 = t->frame.right, .y2 = y};
        snprintf(l->name, sizeof l->name, "budget $%s", dt_page_usd(usd));
        l->box = (dt_box){t->frame.right - 4 - dt_text_width(l->name, DT_SVG_FONT_SIZE), y - 4 - height,
                          t->frame.right - 4, y - 4};
    }
    return n;
}

static void draw_limits(dt_html *page, const points *p, const plot *t)
{
    limit limits[N_LIMITS];
    const int n = find_limits(p, t, limits);
    for (int i = 0; i < n; i++) {
        dt_svg_line(page, "limit", limits[i].x1, limits[i].y1, limits[i].x2, limits[i].y2);
        dt_svg_text(page, "limit-name", DT_TEXT_END, limits[i].box.right,
                    limits[i].box.bottom - DT_SVG_FONT_SIZE * 0.3, "%s", limits[i].name);
    }
}

static void draw_front(dt_html *page, const points *p, const plot *t)
{
    double *xy = dt_alloc((size_t)p->n * 2 * sizeof *xy);
    int n = 0;
    /* By dollars, and so along the front. Without memory the page itself fails, too. */
    for (int i = 0; xy && i < p->n; i++)
        if (p->rows[i]->is_front) {
            xy[2 * n] = dt_axis_position(&t->x, p->rows[i]->hours_mean);
            xy[2 * n++ + 1] = dt_axis_position(&t->y, p->rows[i]->usd_mean);
        }
    if (n > 1)
        dt_svg_polyline(page, "curve front", xy, n);
    dt_free(xy);
}

/* A line from the mean to the 95th percentile, with a cap, if the two differ in the drawing. */
static void draw_error(dt_html *page, double x1, double y1, double x2, double y2)
{
    enum { LEAST = 5, CAP = 4 };
    if (fabs(x2 - x1) + fabs(y2 - y1) < LEAST)
        return;
    dt_svg_line(page, "error", x1, y1, x2, y2);
    const double cap_x = x1 == x2 ? CAP : 0, cap_y = y1 == y2 ? CAP : 0;
    dt_svg_line(page, "error", x2 - cap_x, y2 - cap_y, x2 + cap_x, y2 + cap_y);
}

static void draw_point(dt_html *page, const dt_plan_row *row, const plot *t)
{
    char tip[512];
    snprintf(tip, sizeof tip, "%s, %s, %s: $%s (95 %%: $%s), %s h (95 %%: %s h)", dt_page_choice(row),
             dt_purchase_name(row->purchase), dt_page_place(row), dt_page_usd(row->usd_mean),
             dt_page_usd(row->usd_p95), dt_page_hours(row->hours_mean), dt_page_hours(row->hours_p95));
    const double x = dt_axis_position(&t->x, row->hours_mean), y = dt_axis_position(&t->y, row->usd_mean);
    dt_svg_group_begin(page, dt_page_purchase_class(row->purchase), tip);
    draw_error(page, x, y, dt_axis_position(&t->x, row->hours_p95), y);
    draw_error(page, x, y, x, dt_axis_position(&t->y, row->usd_p95));
    dt_svg_marker(page, dt_page_purchase_marker(row->purchase), x, y, row->is_front ? 6.5 : 5);
    dt_svg_group_end(page);
}

static bool is_marked(const dt_plan_row *row)
{
    return row->is_best_value || row->is_cheapest || row->is_fastest;
}

/* Adds boxes along a line, small ones where it is oblique. Returns their number: at most N_ALONG. */
enum { N_ALONG = 12 };
static int boxes_along(double x1, double y1, double x2, double y2, dt_box *boxes)
{
    const int n = x1 == x2 || y1 == y2 ? 1 : N_ALONG;
    for (int i = 0; i < n; i++) {
        const double from_x = x1 + (x2 - x1) * i / n, to_x = x1 + (x2 - x1) * (i + 1) / n;
        const double from_y = y1 + (y2 - y1) * i / n, to_y = y1 + (y2 - y1) * (i + 1) / n;
        boxes[i] = (dt_box){fmin(from_x, to_x) - 2, fmin(from_y, to_y) - 2, fmax(from_x, to_x) + 2,
                            fmax(from_y, to_y) + 2};
    }
    return n;
}

/* What labels must not cover: names of limits, markers, error bars, the front. At most N_LIMITS, and
 * N_OBSTACLES a point. */
enum { N_OBSTACLES = 3 + N_ALONG };
static int find_obstacles(const points *p, const plot *t, dt_box *boxes)
{
    limit limits[N_LIMITS];
    const int n_limits = find_limits(p, t, limits);
    int n = 0;
    for (; n < n_limits; n++)
        boxes[n] = limits[n].box;
    double last_x = NAN, last_y = NAN;
    for (int i = 0; i < p->n; i++) {
        const dt_plan_row *row = p->rows[i];
        const double x = dt_axis_position(&t->x, row->hours_mean), y = dt_axis_position(&t->y, row->usd_mean);
        boxes[n++] = (dt_box){x - 7, y - 7, x + 7, y + 7};
        n += boxes_along(x, y, dt_axis_position(&t->x, row->hours_p95), y, boxes + n);
        n += boxes_along(x, y, x, dt_axis_position(&t->y, row->usd_p95), boxes + n);
        if (row->is_front && !isnan(last_x))
            n += boxes_along(last_x, last_y, x, y, boxes + n);
        last_x = row->is_front ? x : last_x;
        last_y = row->is_front ? y : last_y;
    }
    return n;
}

/* Whether an earlier point with a label of its own is of the same type. */
static bool is_named(const points *p, int index)
{
    for (int i = 0; i < p->n; i++)
        if ((i < index || p->rows[i]->is_front) && i != index &&
            p->rows[i]->instance == p->rows[index]->instance)
            return true;
    return false;
}

/* When a point gets its label: the recommended choices first, then the front, then each other type once, then
 * what is left. */
static int pass_of(const points *p, int i)
{
    const dt_plan_row *row = p->rows[i];
    return is_marked(row) ? 0 : row->is_front ? 1 : is_named(p, i) ? 3 : 2;
}

/* On phones only the recommended choices and the front have labels. */
static void draw_labels(dt_html *page, const points *p, const plot *t, const dt_page_form *form)
{
    const size_t n_points = (size_t)p->n;
    dt_label *labels = dt_alloc(n_points * sizeof *labels);
    dt_box *obstacles = dt_alloc((n_points * N_OBSTACLES + N_LIMITS) * sizeof *obstacles);
    int n = 0;
    for (int pass = 0; labels && pass < (form->is_narrow ? 2 : 4); pass++)
        for (int i = 0; i < p->n; i++)
            if (pass == pass_of(p, i))
                labels[n++] = (dt_label){.text = p->names[i],
                                         .x = dt_axis_position(&t->x, p->rows[i]->hours_mean),
                                         .y = dt_axis_position(&t->y, p->rows[i]->usd_mean),
                                         .is_optional = pass > 1};
    if (labels && obstacles) { /* else the page, which needs more memory, fails by itself */
        dt_labels_place(labels, n, DT_SVG_FONT_SIZE, &t->frame, obstacles, find_obstacles(p, t, obstacles));
        dt_svg_labels(page, labels, n);
    }
    dt_free(labels);
    dt_free(obstacles);
}

static void draw(dt_html *page, const points *p, const dt_page_form *form)
{
    char id[32], description[512];
    const plot t = make_plot(p, form);
    const dt_plan_row *cheapest = p->rows[0];
    snprintf(id, sizeof id, "cost-%s", form->name);
    snprintf(description, sizeof description,
             "%d choice%s, by hours from left to right and dollars from the bottom to the top, both "
             "logarithmic. The "
             "cheapest is %s %s: $%s in %s h.",
             p->n, p->n == 1 ? "" : "s", dt_page_choice(cheapest), dt_purchase_name(cheapest->purchase),
             dt_page_usd(cheapest->usd_mean), dt_page_hours(cheapest->hours_mean));
    dt_svg_begin(page, id, form->name, form->width, t.frame.bottom + 46, "Dollars against hours",
                 description);
    dt_svg_axis_bottom(page, &t.x, &t.frame, NULL, "hours until the training is done");
    dt_svg_axis_left(page, &t.y, &t.frame, "$", "dollars for the whole training");
    draw_limits(page, p, &t);
    draw_front(page, p, &t);
    for (int i = p->n - 1; i >= 0; i--) /* the cheapest is on top */
        draw_point(page, p->rows[i], &t);
    draw_labels(page, p, &t, form);
    dt_svg_end(page);
}

/* -- around it ------------------------------------------------------------------------------------------- */

static void add_legend(dt_html *page, const points *p)
{
    dt_html_markup(page, "<ul class=\"legend\">\n");
    if (p->has_purchase[DT_PURCHASE_ON_DEMAND])
        dt_page_legend(page, "on-demand", DT_MARKER_CIRCLE, "on demand");
    if (p->has_purchase[DT_PURCHASE_SPOT])
        dt_page_legend(page, "spot", DT_MARKER_DIAMOND, "spot");
    if (p->has_purchase[DT_PURCHASE_MIXED])
        dt_page_legend(page, "mixed", DT_MARKER_SQUARE, "mixed: spot, then on demand");
    dt_html_markup(page, "<li><svg viewBox=\"0 0 30 16\" aria-hidden=\"true\">"
                         "<path class=\"curve front\" d=\"M1 8H29\"/></svg>"
                         "<span>the front: no choice is both cheaper and faster</span></li>\n");
    dt_html_markup(page, "<li><svg viewBox=\"0 0 30 16\" aria-hidden=\"true\">"
                         "<path class=\"error spot\" d=\"M3 8H27M27 4V12\"/></svg>"
                         "<span>from the mean to the 95th percentile</span></li>\n");
    dt_html_markup(page, "</ul>\n");
}

static const char *mark_of(const dt_plan_row *row)
{
    return row->is_best_value ? "best value"
           : row->is_cheapest ? "cheapest"
           : row->is_fastest  ? "fastest"
           : row->is_front    ? "on the front"
                              : "";
}

static void add_figures(dt_html *page, const points *p)
{
    static const dt_html_column columns[] = {
        {"Choice", false}, {"Paid", false},  {"Where", false}, {"$ mean", true},
        {"$ 95 %", true},  {"h mean", true}, {"h 95 %", true}, {"Mark", false},
    };
    enum { N = sizeof columns / sizeof *columns };
    dt_html_figures_begin(page, "Dollars and hours of each choice in the chart", columns, N);
    for (int i = 0; i < p->n; i++) {
        const dt_plan_row *row = p->rows[i];
        dt_html_row(page, (const char *const[N]){dt_page_choice(row), dt_purchase_name(row->purchase),
                                                 dt_page_place(row), dt_page_usd(row->usd_mean),
                                                 dt_page_usd(row->usd_p95), dt_page_hours(row->hours_mean),
                                                 dt_page_hours(row->hours_p95), mark_of(row)});
    }
    char text[64];
    if (p->plan->settings.deadline_s > 0) {
        const double hours = p->plan->settings.deadline_s / 3600;
        snprintf(text, sizeof text, "deadline %s", dt_page_time(hours));
        dt_html_row(page, (const char *const[N]){text, NULL, NULL, NULL, NULL, NULL, dt_page_hours(hours)});
    }
    if (p->plan->settings.budget_usd > 0)
        dt_html_row(page, (const char *const[N]){"budget", NULL, NULL, NULL,
                                                 dt_page_usd(p->plan->settings.budget_usd)});
    dt_html_figures_end(page);
}

dt_status dt_page_cost(dt_html *page, const dt_plan *plan, dt_error *err)
{
    if (plan->n_possible == 0)
        return DT_OK;
    points p;
    DT_TRY(collect(plan, &p, err));
    dt_html_markup(
        page, "<section>\n<h2>Dollars against hours</h2>\n"
              "<p class=\"note\">A choice further down costs less; one further left is done earlier. Of each "
              "type, the cheapest offer on demand and on spot is shown, and all that is on the "
              "front.</p>\n<figure>\n");
    for (int f = 0; f < DT_PAGE_N_FORMS; f++)
        draw(page, &p, &dt_page_forms[f]);
    add_legend(page, &p);
    dt_html_markup(page, "</figure>\n");
    add_figures(page, &p);
    dt_html_markup(page, "</section>\n");
    dt_free(p.rows);
    dt_free(p.names);
    return DT_OK;
}
