/* augment.c: see augment.h. */
#include "io/source/augment.h"

#include <math.h>

#define N_TRIES 10
static const double aspect_min = 3.0 / 4.0, aspect_max = 4.0 / 3.0;

/* To the nearest integer, halves to even: Python's round. */
static int64_t nearest(double x)
{
    return (int64_t)rint(x);
}

/* The largest centred box with an allowed aspect. */
static dt_rect fallback_box(int64_t width, int64_t height)
{
    double aspect = (double)width / (double)height;
    int64_t w = width, h = height;
    if (aspect < aspect_min)
        h = nearest((double)w / aspect_min);
    else if (aspect > aspect_max)
        w = nearest((double)h * aspect_max);
    return (dt_rect){.x = (width - w) / 2, .y = (height - h) / 2, .w = w, .h = h};
}

static dt_rect random_box(const dt_crop_random_settings *settings, int64_t width, int64_t height, dt_rng *g)
{
    for (int i = 0; i < N_TRIES; i++) {
        double share =
            settings->scale_min + (settings->scale_max - settings->scale_min) * dt_rng_uniform_double(g);
        double area = share * (double)width * (double)height;
        double aspect = aspect_min * exp(dt_rng_uniform_double(g) * log(aspect_max / aspect_min));
        int64_t w = nearest(sqrt(area * aspect)), h = nearest(sqrt(area / aspect));
        if (w < 1 || h < 1 || w > width || h > height)
            continue;
        int64_t y = (int64_t)dt_rng_below(g, (uint64_t)(height - h + 1));
        int64_t x = (int64_t)dt_rng_below(g, (uint64_t)(width - w + 1));
        return (dt_rect){.x = x, .y = y, .w = w, .h = h};
    }
    return fallback_box(width, height);
}

dt_crop dt_crop_random(const dt_crop_random_settings *settings, int64_t width, int64_t height, int64_t n,
                       dt_rng *g)
{
    dt_crop crop = {.box = random_box(settings, width, height, g), .full_w = n, .full_h = n, .n = n};
    crop.flip = dt_rng_uniform_double(g) < settings->flip;
    return crop;
}

static int64_t resized_shorter_side(const dt_crop_centre_settings *settings, int64_t shorter, int64_t n)
{
    if (settings->resize > 0)
        return settings->resize;
    int64_t resized = shorter > n ? shorter : n, most = nearest((double)n / settings->share);
    return settings->resize == DT_EVAL_RESIZE_AUTO && resized > most ? most : resized;
}

dt_crop dt_crop_centre(const dt_crop_centre_settings *settings, int64_t width, int64_t height, int64_t n)
{
    dt_crop crop = {.box = {.w = width, .h = height}, .n = n};
    int64_t shorter = resized_shorter_side(settings, width < height ? width : height, n);
    if (width <= height) {
        crop.full_w = shorter;
        crop.full_h = (int64_t)((double)shorter * (double)height / (double)width);
    } else {
        crop.full_h = shorter;
        crop.full_w = (int64_t)((double)shorter * (double)width / (double)height);
    }
    crop.x = nearest((double)(crop.full_w - n) / 2);
    crop.y = nearest((double)(crop.full_h - n) / 2);
    return crop;
}
