/* bench_images.h: photographs that `dtrain bench` writes where --data names none. Local.
 *
 *   DT_TRY(dt_bench_images_write("dtrain-bench-Xy1/images", 224, 2048, err));
 *
 * They are noise on soft gradients, in the sizes that ImageNet's have beside 224 pixels: 500 x 375 pixels and
 * about 110 KB of JPEG, smaller and larger in proportion.
 */
#ifndef DT_LAUNCH_COMMANDS_BENCH_IMAGES_H
#define DT_LAUNCH_COMMANDS_BENCH_IMAGES_H

#include "core/base/error.h"

#include <stdint.h>

/* Of the files for images of `image_size` pixels. */
void dt_bench_images_size(int64_t image_size, int64_t *width, int64_t *height);

enum { DT_BENCH_IMAGES = 64, DT_BENCH_CLASSES = 2 };

/* Make `folder`, which does not exist, with train/ and val/ of n images each, at least DT_BENCH_IMAGES, in
 * DT_BENCH_CLASSES classes. The first DT_BENCH_IMAGES are different, the others are links to them. DT_ERR_IO,
 * DT_ERR_MEMORY; DT_ERR_INTERRUPTED: a stop is requested. */
dt_status dt_bench_images_write(const char *folder, int64_t image_size, int64_t n, dt_error *err);

#endif
