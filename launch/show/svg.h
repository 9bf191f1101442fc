/* svg.h: drawings as inline SVG in a page (html.h).
 *
 *   dt_svg_begin(page, "cost", "wide", 860, 420, "Dollars against hours", "Cheapest: ...");
 *   dt_svg_line(page, "grid", 40, 20, 40, 380);
 *   dt_svg_group_begin(page, "spot", "g5.xlarge on spot: 50 h, $25");         shown where the mouse rests
 *   dt_svg_marker(page, DT_MARKER_DIAMOND, 120, 80, 5);
 *   dt_svg_text(page, "figure", DT_TEXT_START, 130, 84, "%s", type);               the text is escaped
 *   dt_svg_group_end(page);
 *   dt_svg_end(page);
 *
 * Colours, widths of lines and sizes of fonts come from page.css by the names of classes. Show no two things
 * that differ in colour alone: give them another marker, a hatch, or dashes, too. A screen reader reads the
 * title and the description; the figures of a drawing also belong into a table (dt_html_figures_begin), and
 * tests look there for every text of the class "figure". Errors are those of the page.
 */
#ifndef DT_LAUNCH_SHOW_SVG_H
#define DT_LAUNCH_SHOW_SVG_H

#include "launch/show/axis.h"
#include "launch/show/html.h"
#include "launch/show/labels.h"

#define DT_SVG_FONT_SIZE 13.0 /* of all texts, in units of the drawing; page.css has the same */

/* Begin a drawing of width x height units, which is scaled to the width that the page has. `id` is its own in
 * the page, of letters, digits and dashes. title and description may come from outside. */
void dt_svg_begin(dt_html *page, const char *id, const char *classes, double width, double height,
                  const char *title, const char *description);
void dt_svg_end(dt_html *page);

/* A group of shapes that belong together. tooltip: NULL, or text that may come from outside. */
void dt_svg_group_begin(dt_html *page, const char *classes, const char *tooltip);
void dt_svg_group_end(dt_html *page);

void dt_svg_line(dt_html *page, const char *classes, double x1, double y1, double x2, double y2);

/* xy: n_points pairs, in units of the drawing. */
void dt_svg_polyline(dt_html *page, const char *classes, const double *xy, int n_points);

/* Define a hatch for the drawing `id`, before its first use: lines and ground get their colours from the
 * classes. */
void dt_svg_hatch(dt_html *page, const char *id, const char *hatch, const char *classes);

/* A rectangle. hatch: NULL, or the name of one that was defined for the drawing `id`. */
void dt_svg_rect(dt_html *page, const char *classes, const dt_box *box, const char *id, const char *hatch);

typedef enum dt_marker {
    DT_MARKER_CIRCLE,
    DT_MARKER_DIAMOND,
    DT_MARKER_SQUARE,
    DT_MARKER_TRIANGLE
} dt_marker;
void dt_svg_marker(dt_html *page, dt_marker marker, double x, double y, double radius);

/* Which part of the text is at x. y is its baseline. */
typedef enum dt_text_anchor { DT_TEXT_START, DT_TEXT_MIDDLE, DT_TEXT_END } dt_text_anchor;
void dt_svg_text(dt_html *page, const char *classes, dt_text_anchor anchor, double x, double y,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));

/* -- axes and labels ------------------------------------------------------------------------------------- */

/* Draw an axis along the bottom or the left of `frame`: a grid line at each tick, numbers where they do not
 * overlap (powers of ten first), each with `unit` in front ("$") if it is not NULL, and what is shown. */
void dt_svg_axis_bottom(dt_html *page, const dt_axis *axis, const dt_box *frame, const char *unit,
                        const char *title);
void dt_svg_axis_left(dt_html *page, const dt_axis *axis, const dt_box *frame, const char *unit,
                      const char *title);

/* The width of the axis's widest number: what an axis at the left needs beside its frame, and, half of it,
 * one at the bottom beyond its ends. */
double dt_svg_axis_width(const dt_axis *axis, const char *unit);

/* Draw the labels that dt_labels_place has placed, as texts of the class "figure", with their leaders. */
void dt_svg_labels(dt_html *page, const dt_label *labels, int n_labels);

#endif
