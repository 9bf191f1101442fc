/* labels.h: positions for the labels of a chart, so that no two overlap.
 *
 *   dt_label labels[] = {{.text = "p4d.24xlarge", .x = 120, .y = 80}, ...};        the most important first
 *   dt_labels_place(labels, n, 12, &frame, markers, n_markers);
 *   for each label that is_placed: text in its box; a line to (x, y) if it has_leader
 *
 * Boxes are in units of the drawing; y grows downwards. No function fails.
 */
#ifndef DT_LAUNCH_SHOW_LABELS_H
#define DT_LAUNCH_SHOW_LABELS_H

#include <stdbool.h>

/* The width of a text of this font size: an upper limit for the usual sans-serif fonts. */
double dt_text_width(const char *text, double font_size);

typedef struct dt_box {
    double left, top, right, bottom;
} dt_box;

bool dt_box_overlap(const dt_box *a, const dt_box *b); /* boxes that only touch do not */

typedef struct dt_label {
    const char *text; /* borrowed */
    double x, y;      /* the point to which it belongs */
    bool is_optional; /* left out rather than placed away from its point */
    /* what dt_labels_place sets */
    bool is_placed;
    bool has_leader; /* too far from its point to be read as its label without a line */
    dt_box box;      /* where its text is */
} dt_label;

/* Place labels around their points, the first ones first: right of the point, left, above, below, on the
 * diagonals, then farther away. A label's box stays inside `frame`, and overlaps no other label's and none of
 * the boxes to avoid (markers, lines). A label for which there is no such position is not placed. */
void dt_labels_place(dt_label *labels, int n_labels, double font_size, const dt_box *frame,
                     const dt_box *avoid, int n_avoid);

#endif
