/* resize.c: the weights of a resize, and its two passes. */
#include "io/source/resize.h"

#include "core/base/alloc.h"
#include "io/source/buffer.h"
#include "io/source/resize_kernels.h"

#include <math.h>
#include <string.h>

typedef struct axis_buffers {
    dt_buffer first, weights, exact;
} axis_buffers;

struct dt_resize {
    const dt_resize_kernels *kernels;
    int64_t n; /* target pixels in both directions */
    dt_resize_axis x, y;
    axis_buffers x_buffers, y_buffers;
    uint8_t *pixels;                      /* the target, [n][n][3] */
    int64_t n_needed, n_received, n_done; /* source rows, source rows, target rows */
    /* The latest source rows, horizontally filtered, row_bytes apart: few enough to stay in the cache. */
    dt_buffer rows;
    int64_t n_kept_max, first_kept, row_bytes; /* rows that fit; the first source row in it */
    dt_buffer last_row; /* of the target, long enough for the kernel's whole registers */
};

static bool vectors_allowed = true;

void dt_resize_allow_vectors(bool allow)
{
    vectors_allowed = allow;
}

dt_status dt_resize_create(dt_resize **resize_out, dt_error *err)
{
    dt_resize *resize = dt_calloc(1, sizeof *resize);
    if (!resize)
        return dt_fail_memory(err, sizeof *resize, "a resizer");
    resize->kernels = dt_resize_kernels_best(vectors_allowed);
    *resize_out = resize;
    return DT_OK;
}

static void clear_axis(axis_buffers *buffers)
{
    dt_buffer_clear(&buffers->first);
    dt_buffer_clear(&buffers->weights);
    dt_buffer_clear(&buffers->exact);
}

void dt_resize_destroy(dt_resize *resize)
{
    if (!resize)
        return;
    clear_axis(&resize->x_buffers);
    clear_axis(&resize->y_buffers);
    dt_buffer_clear(&resize->rows);
    dt_buffer_clear(&resize->last_row);
    dt_free(resize);
}

/* The source pixels [*begin, *end) under the filter of target pixel i, and the filter's centre. Rounds as PIL
 * does. */
static void reach(const dt_resize_span *span, int64_t i, double *centre, int64_t *begin, int64_t *end)
{
    double scale = span->length / (double)span->full, support = scale > 1 ? scale : 1;
    *centre = span->from + ((double)i + 0.5) * scale;
    double left = *centre - support + 0.5, right = *centre + support + 0.5;
    *begin = left > (double)span->low ? (int64_t)left : span->low;
    *end = right < (double)span->high ? (int64_t)right : span->high;
}

/* Write the weights of one target pixel to exact[0, end - begin). Their sum is 1. */
static void weigh(double centre, double support, int64_t begin, int64_t end, double *exact)
{
    double sum = 0;
    for (int64_t t = 0; t < end - begin; t++) {
        double distance = fabs(((double)(begin + t) - centre + 0.5) / support);
        exact[t] = distance < 1 ? 1 - distance : 0;
        sum += exact[t];
    }
    for (int64_t t = 0; t < end - begin; t++)
        exact[t] /= sum;
}

/* The most fraction bits with which the largest weight fits in 16 bits and 255 times the sum of all weights
 * in 32. The weight 2^15, which only an unfiltered pixel has, is stored as 2^15 - 1: no level changes by
 * that. */
static int fraction_bits(double largest)
{
    int bits = 22;
    while (ldexp(largest, bits) > -(double)INT16_MIN)
        bits--;
    return bits;
}

static int16_t to_weight(double exact, double one)
{
    double weight = exact * one + 0.5;
    return weight < INT16_MAX ? (int16_t)weight : INT16_MAX;
}

/* Build the filter of n target pixels from span->first on, in reverse order if `flip`. The number of taps is
 * padded to a multiple of `multiple`. *low and *high: the source pixels that it reads. */
static dt_status build_axis(const dt_resize_span *span, int64_t n, bool flip, int64_t multiple,
                            dt_resize_axis *axis, axis_buffers *buffers, int64_t *low, int64_t *high,
                            dt_error *err)
{
    double scale = span->length / (double)span->full, support = scale > 1 ? scale : 1, centre = 0,
           largest = 0;
    int64_t begin = 0, end = 0, n_taps = 0;
    reach(span, span->first, &centre, low, &end);
    reach(span, span->first + n - 1, &centre, &begin, high);
    for (int64_t i = 0; i < n; i++) {
        reach(span, span->first + i, &centre, &begin, &end);
        n_taps = end - begin > n_taps ? end - begin : n_taps;
    }
    n_taps = (n_taps + multiple - 1) / multiple * multiple;
    DT_TRY(dt_buffer_reserve(&buffers->first, (size_t)n * sizeof(int32_t), "resizing", err));
    DT_TRY(dt_buffer_reserve(&buffers->weights, (size_t)(n * n_taps) * sizeof(int16_t), "resizing", err));
    DT_TRY(dt_buffer_reserve(&buffers->exact, (size_t)(n * n_taps) * sizeof(double), "resizing", err));

    double *exact = buffers->exact.data;
    memset(exact, 0, (size_t)(n * n_taps) * sizeof *exact);
    *axis = (dt_resize_axis){
        .n = n, .n_taps = n_taps, .first = buffers->first.data, .weights = buffers->weights.data};
    for (int64_t i = 0; i < n; i++) {
        reach(span, span->first + i, &centre, &begin, &end);
        /* Padding must not reach beyond the source: at its end the zeros come before the weights. */
        int64_t at = begin + n_taps <= *high ? begin : *high - n_taps;
        at = at > *low ? at : *low;
        int64_t target = flip ? n - 1 - i : i;
        weigh(centre, support, begin, end, exact + target * n_taps + (begin - at));
        axis->first[target] = (int32_t)(at - *low);
        for (int64_t t = 0; t < n_taps; t++)
            largest = exact[target * n_taps + t] > largest ? exact[target * n_taps + t] : largest;
    }
    axis->bits = fraction_bits(largest);
    double one = ldexp(1, axis->bits);
    for (int64_t k = 0; k < n * n_taps; k++)
        axis->weights[k] = to_weight(exact[k], one);
    return DT_OK;
}

dt_status dt_resize_begin(dt_resize *resize, const dt_resize_view *view, uint8_t *pixels, dt_rect *needed,
                          dt_error *err)
{
    int64_t low, high;
    DT_TRY(build_axis(&view->x, view->n, view->flip, 4, &resize->x, &resize->x_buffers, &low, &high, err));
    needed->x = low;
    needed->w = high - low;
    DT_TRY(build_axis(&view->y, view->n, false, 2, &resize->y, &resize->y_buffers, &low, &high, err));
    needed->y = low;
    needed->h = high - low;
    resize->n = view->n;
    resize->pixels = pixels;
    resize->n_needed = needed->h;
    resize->n_received = resize->n_done = resize->first_kept = 0;
    resize->n_kept_max = resize->y.n_taps + 4 * DT_RESIZE_MAX_ROWS;
    resize->row_bytes = (3 * view->n + 4 + 31) / 32 * 32;
    size_t row_bytes = (size_t)resize->row_bytes;
    DT_TRY(dt_buffer_reserve(&resize->rows, (size_t)resize->n_kept_max * row_bytes, "resizing", err));
    return dt_buffer_reserve(&resize->last_row, row_bytes, "resizing", err);
}

/* Make space for n more rows: drop those that no later target row needs. */
static void drop_rows(dt_resize *resize, int64_t n)
{
    int64_t n_kept = resize->n_received - resize->first_kept;
    if (n_kept + n <= resize->n_kept_max)
        return;
    int64_t needed = resize->n_done < resize->n ? resize->y.first[resize->n_done] : resize->n_received;
    int64_t gone = (needed < resize->n_received ? needed : resize->n_received) - resize->first_kept;
    uint8_t *rows = resize->rows.data;
    memmove(rows, rows + gone * resize->row_bytes, (size_t)((n_kept - gone) * resize->row_bytes));
    resize->first_kept += gone;
}

static void make_target_row(dt_resize *resize, int64_t i)
{
    int64_t n = resize->n, n_bytes = 3 * n;
    /* The kernel writes whole registers. Later rows overwrite the excess; the last row has no later one. */
    bool fits = i * n_bytes + resize->row_bytes <= n * n_bytes;
    uint8_t *target = fits ? resize->pixels + i * n_bytes : resize->last_row.data;
    const uint8_t *rows =
        (uint8_t *)resize->rows.data + (resize->y.first[i] - resize->first_kept) * resize->row_bytes;
    resize->kernels->vertical(&resize->y, i, rows, resize->row_bytes, target, n_bytes);
    if (!fits)
        memcpy(resize->pixels + i * n_bytes, target, (size_t)n_bytes);
}

void dt_resize_rows(dt_resize *resize, uint8_t *const *rows, int64_t n_rows)
{
    drop_rows(resize, n_rows);
    uint8_t *filtered =
        (uint8_t *)resize->rows.data + (resize->n_received - resize->first_kept) * resize->row_bytes;
    resize->kernels->horizontal(&resize->x, rows, n_rows, filtered, resize->row_bytes);
    resize->n_received += n_rows;
    while (resize->n_done < resize->n &&
           (resize->n_received == resize->n_needed ||
            resize->y.first[resize->n_done] + resize->y.n_taps <= resize->n_received))
        make_target_row(resize, resize->n_done++);
}
