#include "launch/show/svg.h"

#include <math.h>
#include <stdio.h>

void dt_svg_begin(dt_html *page, const char *id, const char *classes, double width, double height,
                  const char *title, const char *description)
{
    dt_html_printf(
        page,
        "<svg class=\"%s\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"%s-title %s-desc\">\n"
        "<title id=\"%s-title\">",
        classes, width, height, id, id, id);
    dt_html_text(page, "%s", title);
    dt_html_printf(page, "</title>\n<desc id=\"%s-desc\">", id);
    dt_html_text(page, "%s", description);
    dt_html_markup(page, "</desc>\n");
}

void dt_svg_end(dt_html *page)
{
    dt_html_markup(page, "</svg>\n");
}

void dt_svg_group_begin(dt_html *page, const char *classes, const char *tooltip)
{
    dt_html_printf(page, "<g class=\"%s\">", classes);
    if (tooltip)
        dt_html_element(page, "title", NULL, "%s", tooltip);
}

void dt_svg_group_end(dt_html *page)
{
    dt_html_markup(page, "</g>\n");
}

void dt_svg_line(dt_html *page, const char *classes, double x1, double y1, double x2, double y2)
{
    dt_html_printf(page, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", classes,
                   x1, y1, x2, y2);
}

void dt_svg_polyline(dt_html *page, const char *classes, const double *xy, int n_points)
{
    dt_html_printf(page, "<polyline class=\"%s\" points=\"", classes);
    for (int i = 0; i < n_points; i++)
        dt_html_printf(page, "%s%.1f,%.1f", i ? " " : "", xy[2 * i], xy[2 * i + 1]);
    dt_html_markup(page, "\"/>\n");
}

void dt_svg_hatch(dt_html *page, const char *id, const char *hatch, const char *classes)
{
    dt_html_printf(page,
                   "<pattern id=\"%s-%s\" class=\"hatch %s\" width=\"6\" height=\"6\" "
                   "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
                   "<rect width=\"6\" height=\"6\"/><line x1=\"0\" y1=\"3\" x2=\"6\" y2=\"3\"/></pattern>\n",
                   id, hatch, classes);
}

void dt_svg_rect(dt_html *page, const char *classes, const dt_box *box, const char *id, const char *hatch)
{
    dt_html_printf(page, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"", classes,
                   box->left, box->top, fmax(box->right - box->left, 0), fmax(box->bottom - box->top, 0));
    if (hatch)
        dt_html_printf(page, " style=\"fill:url(#%s-%s)\"", id, hatch);
    dt_html_markup(page, "/>\n");
}

void dt_svg_marker(dt_html *page, dt_marker marker, double x, double y, double r)
{
    const double wide = r * 1.25; /* as large to the eye as a circle */
    switch (marker) {
    case DT_MARKER_CIRCLE:
        dt_html_printf(page, "<circle class=\"marker\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", x, y, r);
        break;
    case DT_MARKER_DIAMOND:
        dt_html_printf(page, "<path class=\"marker\" d=\"M%.1f %.1fL%.1f %.1fL%.1f %.1fL%.1f %.1fZ\"/>\n",
                       x - wide, y, x, y - wide, x + wide, y, x, y + wide);
        break;
    case DT_MARKER_SQUARE:
        dt_html_printf(page,
                       "<rect class=\"marker\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                       x - r, y - r, 2 * r, 2 * r);
        break;
    case DT_MARKER_TRIANGLE: /* points downwards */
        dt_html_printf(page, "<path class=\"marker\" d=\"M%.1f %.1fL%.1f %.1fL%.1f %.1fZ\"/>\n", x - wide,
                       y - wide, x + wide, y - wide, x, y + wide);
        break;
    }
}

void dt_svg_text(dt_html *page, const char *classes, dt_text_anchor anchor, double x, double y,
                 const char *format, ...)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dt_html_printf(page, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">", classes,
                   anchors[anchor], x, y);
    dt_html_text(page, "%s", text);
    dt_html_markup(page, "</text>\n");
}

/* -- axes ------------------------------------------------------------------------------------------------ */

typedef struct tick_texts {
    char texts[DT_AXIS_MAX_TICKS][48];
    bool is_shown[DT_AXIS_MAX_TICKS];
} tick_texts;

static dt_box tick_box(const dt_axis *axis, const tick_texts *t, int i, bool is_bottom)
{
    const double at = dt_axis_position(axis, axis->ticks[i]);
    const double half = is_bottom ? dt_text_width(t->texts[i], DT_SVG_FONT_SIZE) / 2 : DT_SVG_FONT_SIZE / 2;
    return (dt_box){at - half - 2, 0, at + half + 2, 1};
}

static void format_tick(const dt_axis *axis, int i, const char *unit, char *out, size_t bytes)
{
    char number[40];
    dt_axis_format(axis, i, number, sizeof number);
    snprintf(out, bytes, "%.8s%s", unit ? unit : "", number);
}

double dt_svg_axis_width(const dt_axis *axis, const char *unit)
{
    char text[48];
    double width = 0;
    for (int i = 0; i < axis->n_ticks; i++) {
        format_tick(axis, i, unit, text, sizeof text);
        width = fmax(width, dt_text_width(text, DT_SVG_FONT_SIZE));
    }
    return width;
}

/* Shows the numbers for which there is space; on a logarithmic axis powers of ten take their space first. */
static void choose_ticks(const dt_axis *axis, const char *unit, bool is_bottom, tick_texts *t)
{
    for (int i = 0; i < axis->n_ticks; i++) {
        format_tick(axis, i, unit, t->texts[i], sizeof t->texts[i]);
        t->is_shown[i] = false;
    }
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < axis->n_ticks; i++) {
            const double exponent = axis->is_log ? log10(axis->ticks[i]) : 0;
            if (t->is_shown[i] || (pass == 0 && fabs(exponent - round(exponent)) > 1e-6))
                continue;
            const dt_box own = tick_box(axis, t, i, is_bottom);
            t->is_shown[i] = true;
            for (int k = 0; k < axis->n_ticks; k++) {
                const dt_box other = tick_box(axis, t, k, is_bottom);
                if (k != i && t->is_shown[k] && dt_box_overlap(&own, &other))
                    t->is_shown[i] = false;
            }
        }
}

void dt_svg_axis_bottom(dt_html *page, const dt_axis *axis, const dt_box *frame, const char *unit,
                        const char *title)
{
    tick_texts t;
    choose_ticks(axis, unit, true, &t);
    for (int i = 0; i < axis->n_ticks; i++) {
        const double x = dt_axis_position(axis, axis->ticks[i]);
        dt_svg_line(page, "grid", x, frame->top, x, frame->bottom + (t.is_shown[i] ? 4 : 0));
        if (t.is_shown[i])
            dt_svg_text(page, "tick", DT_TEXT_MIDDLE, x, frame->bottom + 18, "%s", t.texts[i]);
    }
    dt_svg_line(page, "axis", frame->left, frame->bottom, frame->right, frame->bottom);
    dt_svg_text(page, "axis-title", DT_TEXT_MIDDLE, (frame->left + frame->right) / 2, frame->bottom + 38,
                "%s", title);
}

void dt_svg_axis_left(dt_html *page, const dt_axis *axis, const dt_box *frame, const char *unit,
                      const char *title)
{
    tick_texts t;
    choose_ticks(axis, unit, false, &t);
    for (int i = 0; i < axis->n_ticks; i++) {
        const double y = dt_axis_position(axis, axis->ticks[i]);
        dt_svg_line(page, "grid", frame->left - (t.is_shown[i] ? 4 : 0), y, frame->right, y);
        if (t.is_shown[i])
            dt_svg_text(page, "tick", DT_TEXT_END, frame->left - 8, y + 4.5, "%s", t.texts[i]);
    }
    dt_svg_line(page, "axis", frame->left, frame->top, frame->left, frame->bottom);
    dt_svg_text(page, "axis-title", DT_TEXT_START, 0, frame->top - 12, "%s", title);
}

/* -- labels ---------------------------------------------------------------------------------------------- */

/* The leader ends at the point of the box that is nearest to its own. */
void dt_svg_labels(dt_html *page, const dt_label *labels, int n_labels)
{
    for (int i = 0; i < n_labels; i++) {
        const dt_label *label = &labels[i];
        if (!label->is_placed)
            continue;
        if (label->has_leader)
            dt_svg_line(page, "leader", label->x, label->y,
                        fmin(fmax(label->x, label->box.left), label->box.right),
                        fmin(fmax(label->y, label->box.top), label->box.bottom));
        const bool is_left = label->box.right <= label->x, is_right = label->box.left >= label->x;
        const double x = is_left    ? label->box.right
                         : is_right ? label->box.left
                                    : (label->box.left + label->box.right) / 2;
        dt_svg_text(page, "figure",
                    is_left    ? DT_TEXT_END
                    : is_right ? DT_TEXT_START
                               : DT_TEXT_MIDDLE,
                    x, label->box.bottom - DT_SVG_FONT_SIZE * 0.3, "%s", label->text);
    }
}
