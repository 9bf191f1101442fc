/* One simulated run on spot, from its first instance to its end: what it does, and how much is done. */
#include "core/base/alloc.h"
#include "core/base/units.h"
#include "launch/estimate/plan_page_internal.h"

#include <math.h>
#include <stdio.h>

enum {
    MOST_SEGMENTS = 600, /* that are drawn: more are no longer seen one by one */
    N_TRIED = 200        /* runs of which the most typical one is drawn */
};

typedef struct timeline {
    const dt_plan_row *row;
    dt_spot_segment *segments;
    int n;            /* that are here */
    int64_t n_of_run; /* of the run; more than n: its beginning is drawn */
    int n_interruptions;
    double done_s; /* of work, all segments together */
} timeline;

static const struct {
    const char *name, *classes, *hatch;
} kinds[] = {
    [DT_SEGMENT_START] = {"starting", "plain", "start"},
    [DT_SEGMENT_WORK] = {"training on spot", "spot", NULL},
    [DT_SEGMENT_LOST] = {"training that is lost", "lost", "lost"},
    [DT_SEGMENT_WAIT] = {"waiting, unpaid", "plain", NULL},
    [DT_SEGMENT_ON_DEMAND] = {"on demand (the higher part)", "on-demand", NULL},
};

/* -- the run --------------------------------------------------------------------------------------------- */

/* The work of a segment: an on-demand one begins with a start. */
static double work_of(const timeline *t, const dt_spot_segment *segment)
{
    const double s = segment->to_s - segment->from_s;
    if (segment->kind == DT_SEGMENT_WORK)
        return s;
    return segment->kind == DT_SEGMENT_ON_DEMAND ? fmax(s - t->row->run.startup_s, 0) : 0;
}

/* Whether an interruption comes before this segment: a wait follows it, or, where an instance can be had at
 * once, the next start. */
static bool is_interrupted(const timeline *t, int i)
{
    const dt_spot_segment_kind kind = t->segments[i].kind;
    return kind == DT_SEGMENT_WAIT ||
           (kind == DT_SEGMENT_START && i > 0 && t->segments[i - 1].kind != DT_SEGMENT_WAIT);
}

static int interruptions_of(const timeline *t)
{
    int n = 0;
    for (int i = 0; i < t->n; i++)
        n += is_interrupted(t, i);
    return n;
}

/* How unlike the mean run this one is: its hours, and above all that it has interruptions to show. */
static double strangeness(const timeline *t)
{
    const double wall_s = t->n > 0 ? t->segments[t->n - 1].to_s : INFINITY;
    return fabs(wall_s - t->row->outcome.wall_s_mean) / t->row->outcome.wall_s_mean +
           (t->n_interruptions == 0 ? 1e6 : 0);
}

static void read_run(timeline *t, uint64_t seed, int64_t index)
{
    t->n_of_run = dt_spot_timeline(&t->row->run, seed, index, t->segments, MOST_SEGMENTS);
    t->n = t->n_of_run < MOST_SEGMENTS ? (int)t->n_of_run : MOST_SEGMENTS;
    t->n_interruptions = interruptions_of(t);
    t->done_s = 0;
    for (int i = 0; i < t->n; i++)
        t->done_s += work_of(t, &t->segments[i]);
    t->done_s = fmax(t->done_s, t->n_of_run > t->n ? t->row->run.work_s : 0);
}

/* Of the first runs of the simulation the one whose hours are nearest to the mean, with an interruption. */
static void read_typical_run(timeline *t, const dt_plan_settings *settings)
{
    const int64_t n = settings->n_runs < N_TRIED ? settings->n_runs : N_TRIED;
    int64_t best = 0;
    double least = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        read_run(t, settings->seed, i);
        if (strangeness(t) < least) {
            least = strangeness(t);
            best = i;
        }
    }
    read_run(t, settings->seed, best);
}

/* -- the drawing ----------------------------------------------------------------------------------------- */

typedef struct plot {
    dt_box curve; /* how much is done */
    dt_box band;  /* what happens */
    dt_axis x, y;
} plot;

static plot make_plot(const timeline *t, const dt_page_form *form)
{
    plot p = {.curve = {44, 34, form->width, 190}};
    const double hours = t->segments[t->n - 1].to_s / 3600;
    dt_axis_linear(0, hours, 0, 1, form->is_narrow ? 5 : 10, &p.x);
    p.curve.right -= dt_svg_axis_width(&p.x, NULL) / 2;
    p.x.from = p.curve.left;
    p.x.to = p.curve.right;
    p.band = (dt_box){p.curve.left, 216, p.curve.right, 246};
    dt_axis_linear(0, 100, p.curve.bottom, p.curve.top, 5, &p.y);
    return p;
}

static double hours_at(const plot *p, double s)
{
    return dt_axis_position(&p->x, s / 3600);
}

/* How much is done: a line that stands still while nothing trains, and falls where work is lost. */
static void draw_curve(dt_html *page, const timeline *t, const plot *p)
{
    double *xy = dt_alloc(((size_t)t->n * 3 + 1) * 2 * sizeof *xy);
    if (!xy)
        return; /* the page, which needs more, fails by itself */
    double done_s = 0;
    int n = 0;
#define ADD(at_s, with_s)                                                                                    \
    (xy[2 * n] = hours_at(p, at_s), xy[2 * n + 1] = dt_axis_position(&p->y, 100 * (with_s) / t->done_s), n++)
    ADD(0, 0);
    for (int i = 0; i < t->n; i++) {
        const dt_spot_segment *s = &t->segments[i];
        const double lost_s = s->kind == DT_SEGMENT_LOST ? s->to_s - s->from_s : 0;
        if (s->kind == DT_SEGMENT_ON_DEMAND)
            ADD(s->to_s - work_of(t, s), done_s);
        done_s += work_of(t, s);
        ADD(s->to_s, done_s + lost_s);
        if (lost_s > 0)
            ADD(s->to_s, done_s);
    }
#undef ADD
    dt_svg_group_begin(page, "spot", NULL);
    dt_svg_polyline(page, "curve", xy, n);
    dt_svg_group_end(page);
    dt_free(xy);
}

static void draw_segment(dt_html *page, const dt_spot_segment *s, const plot *p, const char *id)
{
    char tip[160];
    const double from = hours_at(p, s->from_s), to = hours_at(p, s->to_s);
    snprintf(tip, sizeof tip, "%s: %s h to %s h", kinds[s->kind].name, dt_page_hours(s->from_s / 3600),
             dt_page_hours(s->to_s / 3600));
    dt_svg_group_begin(page, kinds[s->kind].classes, tip);
    if (s->kind == DT_SEGMENT_WAIT) {
        const double middle = (p->band.top + p->band.bottom) / 2;
        dt_svg_line(page, "pause", from, middle, to, middle);
    } else {
        const double top = p->band.top - (s->kind == DT_SEGMENT_ON_DEMAND ? 8 : 0);
        dt_svg_rect(page, "segment", &(dt_box){from, top, to, p->band.bottom}, id, kinds[s->kind].hatch);
    }
    dt_svg_group_end(page);
}

static void draw_band(dt_html *page, const timeline *t, const plot *p, const char *id)
{
    dt_svg_hatch(page, id, "start", "plain");
    dt_svg_hatch(page, id, "lost", "lost");
    for (int i = 0; i < t->n; i++) {
        draw_segment(page, &t->segments[i], p, id);
        if (is_interrupted(t, i)) {
            dt_svg_group_begin(page, "interruption", NULL);
            dt_svg_marker(page, DT_MARKER_TRIANGLE, hours_at(p, t->segments[i].from_s), p->band.top - 9, 4.5);
            dt_svg_group_end(page);
        }
    }
}

static void draw(dt_html *page, const timeline *t, const dt_page_form *form)
{
    char id[32], description[384];
    const plot p = make_plot(t, form);
    const double end_s = t->segments[t->n - 1].to_s;
    const bool is_whole = t->n_of_run == t->n;
    snprintf(id, sizeof id, "run-%s", form->name);
    snprintf(description, sizeof description,
             "A line shows how much of the training is done at each hour, a band below it what the instances "
             "do. %d "
             "interruption%s; %s %s h.",
             t->n_interruptions, DT_PLURAL(t->n_interruptions),
             is_whole ? "done after" : "shown are the first", dt_page_hours(end_s / 3600));
    dt_svg_begin(page, id, form->name, form->width, p.band.bottom + 46, "One run on spot instances",
                 description);
    dt_svg_axis_left(page, &p.y, &p.curve, NULL, "% of the training done");
    dt_svg_axis_bottom(page, &p.x, &(dt_box){p.band.left, p.curve.top, p.band.right, p.band.bottom}, NULL,
                       "hours since the first instance");
    draw_band(page, t, &p, id);
    draw_curve(page, t, &p);
    if (is_whole) {
        const double x = hours_at(&p, end_s);
        dt_svg_group_begin(page, "spot", NULL);
        dt_svg_marker(page, DT_MARKER_DIAMOND, x, p.curve.top, 5);
        dt_svg_group_end(page);
        dt_svg_text(page, "figure", DT_TEXT_END, fmin(x + 40, p.curve.right), p.curve.top - 12,
                    "done after %s h", dt_page_hours(end_s / 3600));
    }
    dt_svg_end(page);
}

/* -- around it ------------------------------------------------------------------------------------------- */

static void add_legend(dt_html *page, const timeline *t)
{
    bool has[sizeof kinds / sizeof *kinds] = {false};
    for (int i = 0; i < t->n; i++)
        has[t->segments[i].kind] = true;
    dt_html_markup(page, "<ul class=\"legend\">\n");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (!has[k])
            continue;
        dt_html_printf(page, "<li><svg viewBox=\"0 0 30 16\" aria-hidden=\"true\"><g class=\"%s\">",
                       kinds[k].classes);
        if (k == DT_SEGMENT_WAIT)
            dt_svg_line(page, "pause", 2, 8, 28, 8);
        else
            dt_svg_rect(page, kinds[k].hatch ? "bar hollow" : "segment", &(dt_box){3, 2, 27, 14}, NULL, NULL);
        if (kinds[k].hatch) /* the pattern is the drawing's, of which a browser shows one form only */
            dt_html_markup(page, "<path class=\"error\" d=\"M5 14L13 2M13 14L21 2M21 14L27 5\"/>");
        dt_html_markup(page, "</g></svg>");
        dt_html_element(page, "span", NULL, "%s", kinds[k].name);
        dt_html_markup(page, "</li>\n");
    }
    if (t->n_interruptions > 0)
        dt_page_legend(page, "interruption", DT_MARKER_TRIANGLE, "interruption");
    dt_html_markup(page, "</ul>\n");
}

static void add_figures(dt_html *page, const timeline *t)
{
    static const dt_html_column columns[] = {
        {"Segment", false}, {"State", false}, {"From h", true}, {"To h", true}, {"Done %", true}};
    enum { N = sizeof columns / sizeof *columns };
    double done_s = 0;
    dt_html_figures_begin(page, "What the run does when", columns, N);
    for (int i = 0; i < t->n; i++) {
        char number[16];
        const dt_spot_segment *s = &t->segments[i];
        done_s += work_of(t, s);
        snprintf(number, sizeof number, "%d", i + 1);
        dt_html_row(page, (const char *const[N]){number, kinds[s->kind].name, dt_page_hours(s->from_s / 3600),
                                                 dt_page_hours(s->to_s / 3600),
                                                 dt_page_number(100 * done_s / t->done_s)});
    }
    dt_html_figures_end(page);
}

static void add_text(dt_html *page, const timeline *t)
{
    const dt_plan_row *row = t->row;
    dt_html_markup(page, "<section>\n<h2>One run on spot instances</h2>\n");
    dt_html_markup(page, "<p>");
    dt_html_text(page, "%s %s in %s, with an interruption every %g h on average (%s): %s in a run. ",
                 dt_page_choice(row), dt_page_purchase(row->purchase), dt_page_place(row),
                 row->run.interruptions->mtti_h, row->run.interruptions->name,
                 dt_page_number(row->outcome.n_interruptions_mean));
    dt_html_text(page,
                 "No instance is paid while none can be had, so that interruptions delay the end more than "
                 "they cost; a head node and a data volume are paid throughout. ");
    dt_html_text(page, "Of 100 runs 95 are done within %s, for at most $%s.", dt_page_time(row->hours_p95),
                 dt_page_usd(row->usd_p95));
    dt_html_markup(page, "</p>\n");
    dt_html_element(page, "p", "note",
                    "Drawn is a run of the simulation whose hours are near the mean%s. Checkpoints are "
                    "written every %s of "
                    "training.%s",
                    t->n_interruptions ? ", with interruptions" : "; it has no interruption",
                    dt_page_time(row->outcome.interval_s / 3600),
                    t->n_of_run > t->n ? " Its beginning is shown." : "");
}

dt_status dt_page_timeline(dt_html *page, const dt_plan *plan, dt_error *err)
{
    timeline t = {.row = dt_page_example(plan, true)};
    if (!t.row || !t.row->run.interruptions || !t.row->outcome.finishes)
        return DT_OK;
    t.segments = dt_alloc(MOST_SEGMENTS * sizeof *t.segments);
    if (!t.segments)
        return dt_fail_memory(err, MOST_SEGMENTS * sizeof *t.segments, "a chart");
    read_typical_run(&t, &plan->settings);
    if (t.n > 0 && t.done_s > 0) {
        add_text(page, &t);
        dt_html_markup(page, "<figure>\n");
        for (int f = 0; f < DT_PAGE_N_FORMS; f++)
            draw(page, &t, &dt_page_forms[f]);
        add_legend(page, &t);
        dt_html_markup(page, "</figure>\n");
        add_figures(page, &t);
        dt_html_markup(page, "</section>\n");
    }
    dt_free(t.segments);
    return DT_OK;
}
