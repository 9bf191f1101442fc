/* The way of an image through the machine: a box for each stage with its rate; the tightest is marked. */
#include "core/base/units.h"
#include "launch/estimate/plan_page_internal.h"

#include <math.h>
#include <stdio.h>

typedef struct stage {
    char title[32], rate[64], note[64];
    bool is_tightest, is_absent;
} stage;

/* What a stage without a rate is there for, and how much more than the tightest one the others could do. */
static void describe_rate(const dt_throughput *t, dt_stage which, stage *s)
{
    const double images_s = t->stage_images_s[which], spare = images_s / t->images_s;
    if (images_s <= 0) {
        s->is_absent = true;
        snprintf(s->rate, sizeof s->rate, "not used");
        snprintf(s->note, sizeof s->note, "%s", which == DT_STAGE_ALL_REDUCE ? "one node" : "");
    } else if (isinf(images_s)) {
        snprintf(s->rate, sizeof s->rate, "no limit");
    } else {
        if (images_s < 999999.5)
            snprintf(s->rate, sizeof s->rate, "%s images/s", dt_page_number(images_s));
        else
            snprintf(s->rate, sizeof s->rate, "%.3g M images/s", images_s / 1e6);
        if (s->is_tightest)
            snprintf(s->note, sizeof s->note, "the tightest");
        else
            snprintf(s->note, sizeof s->note, "%s \u00d7 the need", dt_page_number(spare));
    }
}

static void describe(const dt_plan_row *row, dt_stage which, stage *s)
{
    static const char *const titles[DT_N_STAGES] = {
        [DT_STAGE_NETWORK] = "S3",
        [DT_STAGE_DISK] = "disk",
        [DT_STAGE_DECODE] = "decode",
        [DT_STAGE_GPU] = "GPU",
        [DT_STAGE_ALL_REDUCE] = "all-reduce",
        [DT_STAGE_CHECKPOINT] = "checkpoints",
    };
    const dt_throughput *t = &row->throughput;
    *s = (stage){.is_tightest = which == t->limit && which != DT_STAGE_NETWORK};
    snprintf(s->title, sizeof s->title, "%s",
             which == DT_STAGE_DISK ? dt_data_location_name(t->location) : titles[which]);
    const int n_gpus = row->nodes * row->instance->n_gpus;
    if (which == DT_STAGE_GPU && n_gpus > 1)
        snprintf(s->title, sizeof s->title, "%d GPU%s", n_gpus, DT_PLURAL(n_gpus));
    describe_rate(t, which, s);
    if (which == DT_STAGE_NETWORK && !s->is_absent) {
        s->is_tightest = false;
        snprintf(s->note, sizeof s->note, "once, in %s", dt_page_time(t->staging_s / 3600));
    }
}

/* -- the drawing ----------------------------------------------------------------------------------------- */

static void draw_stage(dt_html *page, const stage *s, const dt_box *box)
{
    const double middle = (box->left + box->right) / 2;
    dt_svg_group_begin(page, s->is_tightest ? "tightest" : s->is_absent ? "absent" : "other", NULL);
    dt_svg_rect(page, "stage", box, NULL, NULL);
    if (s->is_tightest)
        dt_svg_marker(page, DT_MARKER_TRIANGLE, middle, box->top - 8, 6);
    dt_svg_text(page, "strong", DT_TEXT_MIDDLE, middle, box->top + 22, "%s", s->title);
    dt_svg_text(page, "figure-in", DT_TEXT_MIDDLE, middle, box->top + 42, "%s", s->rate);
    if (s->note[0])
        dt_svg_text(page, s->is_tightest ? "figure-in strong" : "figure-in small", DT_TEXT_MIDDLE, middle,
                    box->top + 61, "%s", s->note);
    dt_svg_group_end(page);
}

static void draw_arrow(dt_html *page, double x1, double y1, double x2, double y2)
{
    const double x = x2 == x1 ? 4 : -5, y = x2 == x1 ? -5 : 4;
    const double head[] = {x2 - (x2 == x1 ? 4 : 5), y2 + (x2 == x1 ? -5 : -4), x2, y2, x2 + x, y2 + y};
    dt_svg_line(page, "arrow", x1, y1, x2, y2);
    dt_svg_polyline(page, "arrow", head, 3);
}

/* From left to right, on phones from the top to the bottom. */
static void draw(dt_html *page, const dt_plan_row *row, const stage *stages, const dt_page_form *form)
{
    enum { HEIGHT = 74, TOP = 26, GAP = 18, GAP_BELOW = 26 };
    char id[32], description[256];
    const double width = form->is_narrow ? 240 : (form->width - 2 - (DT_N_STAGES - 1) * GAP) / DT_N_STAGES;
    const double left = form->is_narrow ? (form->width - width) / 2 : 1;
    const double height =
        form->is_narrow ? TOP + DT_N_STAGES * (HEIGHT + GAP_BELOW) - GAP_BELOW + 4 : TOP + HEIGHT + 4;
    snprintf(id, sizeof id, "stages-%s", form->name);
    snprintf(description, sizeof description,
             "From S3 to the checkpoints, each stage with the images per second that it allows. "
             "The tightest is %s with %s images/s.",
             dt_stage_name(row->throughput.limit), dt_page_number(row->throughput.images_s));
    dt_svg_begin(page, id, form->name, form->width, height, "What limits the speed", description);
    for (int i = 0; i < DT_N_STAGES; i++) {
        const double x = form->is_narrow ? left : left + i * (width + GAP);
        const double y = form->is_narrow ? TOP + i * (HEIGHT + GAP_BELOW) : TOP;
        const dt_box box = {x, y, x + width, y + HEIGHT};
        draw_stage(page, &stages[i], &box);
        if (i > 0 && form->is_narrow)
            draw_arrow(page, x + 30, y - GAP_BELOW + 3, x + 30, y - 3);
        else if (i > 0)
            draw_arrow(page, x - GAP + 2, y + HEIGHT / 2.0, x - 3, y + HEIGHT / 2.0);
    }
    dt_svg_end(page);
}

/* -- around it ------------------------------------------------------------------------------------------- */

static void add_text(dt_html *page, const dt_plan_row *row)
{
    const dt_throughput *t = &row->throughput;
    dt_html_markup(page, "<section>\n<h2>What limits the speed</h2>\n");
    dt_html_markup(page, "<p>");
    dt_html_text(page, "%s trains %s images/s. %s is the tightest stage", dt_page_choice(row),
                 dt_page_number(t->images_s), dt_stage_name(t->limit));
    if (isfinite(t->without_limit_images_s) && t->without_limit_images_s > t->images_s * 1.005)
        dt_html_text(page, "; without that limit the next one, %s, would allow %s images/s",
                     dt_stage_name(t->next_limit), dt_page_number(t->without_limit_images_s));
    dt_html_text(page, ". A start takes %s before the first full-speed step",
                 dt_page_time(t->startup_s / 3600));
    if (row->purchase != DT_PURCHASE_ON_DEMAND && t->restart_s < t->startup_s)
        dt_html_text(page, ", and %s after an interruption", dt_page_time(t->restart_s / 3600));
    dt_html_text(page, ".");
    dt_html_markup(page, "</p>\n<figure>\n");
}

static void add_figures(dt_html *page, const stage *stages)
{
    static const dt_html_column columns[] = {
        {"Stage", false}, {"Rate", true}, {"Beside the tightest", false}};
    dt_html_figures_begin(page, "The stages and their rates", columns, 3);
    for (int i = 0; i < DT_N_STAGES; i++)
        dt_html_row(page, (const char *const[3]){stages[i].title, stages[i].rate, stages[i].note});
    dt_html_figures_end(page);
}

void dt_page_pipeline(dt_html *page, const dt_plan *plan)
{
    const dt_plan_row *row = dt_page_example(plan, false);
    stage stages[DT_N_STAGES];
    if (!row)
        return;
    for (int i = 0; i < DT_N_STAGES; i++)
        describe(row, (dt_stage)i, &stages[i]);
    add_text(page, row);
    for (int f = 0; f < DT_PAGE_N_FORMS; f++)
        draw(page, row, stages, &dt_page_forms[f]);
    dt_html_markup(page, "</figure>\n");
    add_figures(page, stages);
    dt_html_markup(page, "</section>\n");
}
