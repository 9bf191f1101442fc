/* resize_exact.c: see resize_exact.h. */
#include "tests/io/source/resize_exact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Filters `n_lines` lines for target pixel i: source pixels are `stride` bytes apart, lines line_stride. */
static void filter_lines(const dt_resize_span *span, int64_t i, const uint8_t *source, int64_t stride,
                         int64_t n_lines, int64_t line_stride, uint8_t *out, int64_t out_line_stride)
{
    double scale = span->length / (double)span->full, support = scale > 1 ? scale : 1;
    double centre = span->from + ((double)i + 0.5) * scale, sum_of_weights = 0;
    int64_t low = (int64_t)(centre - support) - 1, high = (int64_t)(centre + support) + 2;
    low = low > span->low ? low : span->low;
    high = high < span->high ? high : span->high;
    double *weights = malloc((size_t)(high - low) * sizeof *weights);
    for (int64_t k = low; k < high; k++) {
        double w = 1 - fabs(((double)k + 0.5 - centre) / support);
        weights[k - low] = w > 0 ? w : 0;
        sum_of_weights += weights[k - low];
    }
    for (int64_t line = 0; line < n_lines; line++) {
        double sum = 0;
        for (int64_t k = low; k < high; k++)
            sum += weights[k - low] * source[line * line_stride + k * stride];
        out[line * out_line_stride] = (uint8_t)(sum / sum_of_weights + 0.5);
    }
    free(weights);
}

void resize_exact_view(const uint8_t *pixels, int64_t width, int64_t height, const dt_resize_view *view,
                       uint8_t *out)
{
    int64_t n = view->n;
    uint8_t *rows = malloc((size_t)(height * n * 3));
    for (int64_t x = 0; x < n; x++)
        for (int64_t c = 0; c < 3; c++)
            filter_lines(&view->x, view->x.first + (view->flip ? n - 1 - x : x), pixels + c, 3, height,
                         width * 3, rows + x * 3 + c, n * 3);
    for (int64_t y = 0; y < n; y++)
        filter_lines(&view->y, view->y.first + y, rows, n * 3, n * 3, 1, out + y * n * 3, 1);
    free(rows);
}

void resize_exact_crop(const uint8_t *pixels, int64_t width, const dt_crop *crop, uint8_t *out)
{
    const dt_rect *box = &crop->box;
    uint8_t *part = malloc((size_t)(box->w * box->h * 3));
    for (int64_t y = 0; y < box->h; y++)
        memcpy(part + y * box->w * 3, pixels + ((box->y + y) * width + box->x) * 3, (size_t)(box->w * 3));
    const dt_resize_view view = {
        .x = {.length = (double)box->w, .high = box->w, .full = crop->full_w, .first = crop->x},
        .y = {.length = (double)box->h, .high = box->h, .full = crop->full_h, .first = crop->y},
        .n = crop->n,
        .flip = crop->flip,
    };
    resize_exact_view(part, box->w, box->h, &view, out);
    free(part);
}

int64_t resize_exact_largest(const uint8_t *a, const uint8_t *b, int64_t n)
{
    int largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = abs(a[i] - b[i]) > largest ? abs(a[i] - b[i]) : largest;
    return largest;
}

int64_t resize_exact_n_different(const uint8_t *a, const uint8_t *b, int64_t n)
{
    int64_t n_different = 0;
    for (int64_t i = 0; i < n; i++)
        n_different += a[i] != b[i];
    return n_different;
}
