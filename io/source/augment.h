/* augment.h: which part of an image becomes a sample, and at what size.
 *
 *   dt_rng g = dt_rng_at(seed, DT_RNG_AUGMENT, epoch, id);
 *   dt_crop crop = dt_crop_random(&settings, width, height, n, &g);
 *
 * Both follow torchvision (RandomResizedCrop and RandomHorizontalFlip; Resize and CenterCrop), its roundings
 * included.
 */
#ifndef DT_IO_SOURCE_AUGMENT_H
#define DT_IO_SOURCE_AUGMENT_H

#include "core/base/rng.h"
#include "io/source/image.h"

#include <stdbool.h>

/* Resize `box` of the image to full_w x full_h, then take the n x n pixels from (x, y) on, mirrored left to
 * right if `flip`. */
typedef struct dt_crop {
    dt_rect box; /* in the image's pixels, not empty */
    int64_t full_w, full_h;
    int64_t x, y, n;
    bool flip;
} dt_crop;

typedef struct dt_crop_random_settings {
    double scale_min, scale_max; /* of the image's area; 0 < min <= max <= 1 */
    double flip;                 /* probability */
} dt_crop_random_settings;

/* A box of an area between scale_min and scale_max of the image's, evenly distributed, and of an aspect
 * between 3/4 and 4/3, evenly distributed in its logarithm, wherever it fits; after 10 tries without fit, the
 * largest centred box of an allowed aspect. Draws as many numbers as it needs from *g. */
dt_crop dt_crop_random(const dt_crop_random_settings *settings, int64_t width, int64_t height, int64_t n,
                       dt_rng *g);

/* The middle n x n pixels of the image resized so that its shorter side is n / share (0 < share <= 1, 1: all
 * of it); an image of exactly n x n pixels is taken as it is. */
dt_crop dt_crop_centre(double share, int64_t width, int64_t height, int64_t n);

#endif
