/* resize_exact.c: see resize_exact.h. */
#include "tests/io/source/resize_exact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double triangle_sum(const dt_resize_span *span, int64_t i, const uint8_t *source, int64_t stride)
{
    double scale = span->length / (double)span->full, support = scale > 1 ? scale : 1;
    double centre = span->from + ((double)i + 0.5) * scale, sum = 0, weights = 0;
    int64_t low = (int64_t)(centre - support) - 1, high = (int64_t)(centre + support) + 2;
    low = low > span->low ? low : span->low;
    high = high < span->high ? high : span->high;
    for (int64_t k = low; k < high; k++) {
        double w = 1 - fabs(((double)k + 0.5 - centre) / support);
        if (w > 0) {
            sum += w * source[k * stride];
            weights += w;
        }
    }
    return sum / weights;
}

static uint8_t to_level(double x)
{
    return (uint8_t)(x + 0.5);
}

void resize_exact_view(const uint8_t *pixels, int64_t width, int64_t height, const dt_resize_view *view,
                       uint8_t *out)
{
    int64_t n = view->n;
    uint8_t *rows = malloc((size_t)(height * n * 3));
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < n; x++)
            for (int64_t c = 0; c < 3; c++)
                rows[(y * n + x) * 3 + c] = to_level(triangle_sum(
                    &view->x, view->x.first + (view->flip ? n - 1 - x : x), pixels + y * width * 3 + c, 3));
    for (int64_t y = 0; y < n; y++)
        for (int64_t i = 0; i < n * 3; i++)
            out[y * n * 3 + i] = to_level(triangle_sum(&view->y, view->y.first + y, rows + i, n * 3));
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
