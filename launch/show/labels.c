#include "launch/show/labels.h"

#include <string.h>

/* In parts of the font size, for the widest of Arial, Helvetica, Roboto, Segoe UI, San Francisco and DejaVu
 * Sans. A character beyond ASCII counts as the widest. */
double dt_text_width(const char *text, double font_size)
{
    double width = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        if ((*s & 0xc0) == 0x80) /* the rest of a character */
            continue;
        if (*s >= 0x80)
            width += 1;
        else if (strchr("ijl.,:;'|!()[] ", *s))
            width += 0.4;
        else if (strchr("mwMW@%", *s))
            width += 1;
        else if (strchr("ABCDEFGHKNOPQRSTUVXYZ&~<>=+", *s))
            width += 0.84;
        else
            width += 0.64;
    }
    return width * font_size;
}

bool dt_box_overlap(const dt_box *a, const dt_box *b)
{
    return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

static bool is_free(const dt_box *box, const dt_label *labels, int n_labels, const dt_box *frame,
                    const dt_box *avoid, int n_avoid)
{
    if (box->left < frame->left || box->right > frame->right || box->top < frame->top ||
        box->bottom > frame->bottom)
        return false;
    for (int i = 0; i < n_labels; i++)
        if (labels[i].is_placed && dt_box_overlap(box, &labels[i].box))
            return false;
    for (int i = 0; i < n_avoid; i++)
        if (dt_box_overlap(box, &avoid[i]))
            return false;
    return true;
}

/* The box of a label whose nearest edge or corner is at (dx, dy) times `gap` from its point. */
static dt_box box_at(const dt_label *label, double width, double height, int dx, int dy, double gap)
{
    const double x = label->x + dx * gap, y = label->y + dy * gap;
    const double left = dx > 0 ? x : dx < 0 ? x - width : x - width / 2;
    const double top = dy > 0 ? y : dy < 0 ? y - height : y - height / 2;
    return (dt_box){left, top, left + width, top + height};
}

void dt_labels_place(dt_label *labels, int n_labels, double font_size, const dt_box *frame,
                     const dt_box *avoid, int n_avoid)
{
    static const int directions[][2] = {{1, 0}, {-1, 0}, {0, -1}, {0, 1}, {1, -1}, {-1, -1}, {1, 1}, {-1, 1}};
    static const double distances[] = {0.6, 1.5, 2.5, 3.5}; /* in font sizes */
    enum { N_DIRECTIONS = 8, N_DISTANCES = 4, NEAR = 1 };
    for (int i = 0; i < n_labels; i++)
        labels[i].is_placed = false;
    for (int i = 0; i < n_labels; i++) {
        const int n_positions = N_DIRECTIONS * (labels[i].is_optional ? NEAR : N_DISTANCES);
        const double width = dt_text_width(labels[i].text, font_size), height = font_size * 1.2;
        for (int k = 0; k < n_positions && !labels[i].is_placed; k++) {
            const int *direction = directions[k % N_DIRECTIONS];
            labels[i].box = box_at(&labels[i], width, height, direction[0], direction[1],
                                   distances[k / N_DIRECTIONS] * font_size);
            labels[i].has_leader = k / N_DIRECTIONS >= NEAR;
            labels[i].is_placed = is_free(&labels[i].box, labels, i, frame, avoid, n_avoid);
        }
    }
}
