/* augment.h: which part of an image becomes a sample, and at what size.
 *
 *   dt_rng g = dt_rng_at(seed, DT_RNG_AUGMENT, epoch, id);
 *   dt_crop crop = dt_crop_random(&settings, width, height, n, &g);
 *
 * Both functions follow torchvision, including its rounding: RandomResizedCrop with RandomHorizontalFlip, and
 * Resize with CenterCrop. Which shorter side evaluation resizes to is a choice of dtrain's (--eval-resize).
 */
#ifndef DT_IO_SOURCE_AUGMENT_H
#define DT_IO_SOURCE_AUGMENT_H

#include "core/base/rng.h"
#include "io/source/image.h"

#include <stdbool.h>

/* A sample: `box` of the image is resized to full_w x full_h; the n x n pixels from (x, y) on are the sample,
 * mirrored left to right if `flip`. */
typedef struct dt_crop {
    dt_rect box; /* in the image's pixels, not empty */
    int64_t full_w, full_h;
    int64_t x, y, n;
    bool flip;
    bool may_shrink; /* the DCT may do a part of a large reduction: faster, but not the filter's values */
} dt_crop;

typedef struct dt_crop_random_settings {
    double scale_min, scale_max; /* of the image's area; 0 < min <= max <= 1 */
    double flip;                 /* probability */
} dt_crop_random_settings;

/* A random box. Its area is uniform between scale_min and scale_max of the image's, the logarithm of its
 * aspect is uniform between those of 3/4 and 4/3, and its position is uniform. If 10 boxes do not fit, it is
 * the largest centred box with an aspect in that range. Draws as many numbers from *g as it needs. */
dt_crop dt_crop_random(const dt_crop_random_settings *settings, int64_t width, int64_t height, int64_t n,
                       dt_rng *g);

/* dt_crop_centre_settings.resize: these, or the shorter side in pixels. */
enum { DT_EVAL_RESIZE_AUTO = 0, DT_EVAL_RESIZE_NONE = -1 };

typedef struct dt_crop_centre_settings {
    double share;   /* 0 < share <= 1; counts with DT_EVAL_RESIZE_AUTO only */
    int64_t resize; /* DT_EVAL_RESIZE_..., or n and more */
} dt_crop_centre_settings;

/* The middle n x n pixels of the image resized to a shorter side of
 *   AUTO:   min(max(shorter, n), n / share), rounded to the nearest integer: small images are enlarged to n,
 *           large ones are reduced to n / share, and those in between are not resized
 *   NONE:   max(shorter, n)
 *   pixels: that number, as torchvision's Resize does. */
dt_crop dt_crop_centre(const dt_crop_centre_settings *settings, int64_t width, int64_t height, int64_t n);

#endif
