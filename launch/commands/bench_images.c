#include "config.h"

#include "launch/commands/bench_images.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/base/waits.h"
#include "io/durable.h"
#include "io/source/jpeg_write.h"

#include <sys/stat.h>
#include <unistd.h>

/* ImageNet's photographs are most often of 500 x 375 pixels, and trained on with 224. */
enum { WIDTH = 500, HEIGHT = 375, FOR_SIZE = 224 };

enum {
    CELL = 32,  /* pixels between two points of the gradients */
    NOISE = 36, /* levels, to either side: 110 KB for 500 x 375 pixels at this quality */
    QUALITY = 90
};

void dt_bench_images_size(int64_t image_size, int64_t *width, int64_t *height)
{
    *width = image_size * WIDTH / FOR_SIZE;
    *height = image_size * HEIGHT / FOR_SIZE;
}

/* Linear between four points of a grid of random levels. */
static int64_t gradient(const uint8_t *grid, int64_t columns, int64_t x, int64_t y)
{
    const uint8_t *g = grid + y / CELL * columns + x / CELL;
    const int64_t right = x % CELL, down = y % CELL;
    return ((CELL - down) * ((CELL - right) * g[0] + right * g[1]) +
            down * ((CELL - right) * g[columns] + right * g[columns + 1])) /
           (CELL * CELL);
}

/* grid: random levels for each of the three colours. */
static void paint(dt_rng *rng, const uint8_t *grid, int64_t columns, int64_t rows, int64_t width,
                  int64_t height, uint8_t *pixels)
{
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            const int64_t noise = (int64_t)dt_rng_below(rng, 2 * NOISE + 1) - NOISE;
            for (int64_t c = 0; c < 3; c++) {
                const int64_t level = gradient(grid + c * columns * rows, columns, x, y) + noise;
                pixels[3 * (y * width + x) + c] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
            }
        }
}

static dt_status encode(const char *path, int64_t which, int64_t width, int64_t height, dt_error *err)
{
    const int64_t columns = width / CELL + 2, rows = height / CELL + 2, n_levels = 3 * columns * rows;
    uint8_t *pixels = dt_alloc((size_t)(3 * width * height)), *grid = dt_alloc((size_t)n_levels);
    dt_status status = DT_OK;
    if (!pixels || !grid) {
        status = dt_fail_memory(err, (size_t)(3 * width * height), "a photograph");
    } else {
        dt_rng rng = dt_rng_at(1, DT_RNG_AUGMENT, 0, (uint64_t)which);
        for (int64_t i = 0; i < n_levels; i++)
            grid[i] = (uint8_t)dt_rng_below(&rng, 256);
        paint(&rng, grid, columns, rows, width, height, pixels);
        status = dt_jpeg_write_rgb(path, pixels, width, height, QUALITY, err);
    }
    dt_free(grid);
    dt_free(pixels);
    return status;
}

/* They need not survive a power cut. */
static dt_status make_folder(const char *path, dt_error *err)
{
    return mkdir(path, 0777) == 0 ? DT_OK : dt_fail_errno(err, "%s: cannot make the folder", path);
}

static dt_status make_folders(const char *folder, const char *split, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(path, err, "%s/%s", folder, split));
    DT_TRY(make_folder(path, err));
    for (int64_t c = 0; c < DT_BENCH_CLASSES; c++) {
        DT_TRY(dt_durable_path(path, err, "%s/%s/%lld", folder, split, (long long)c));
        DT_TRY(make_folder(path, err));
    }
    return DT_OK;
}

static dt_status name_file(char *path, const char *folder, const char *split, int64_t i, dt_error *err)
{
    return dt_durable_path(path, err, "%s/%s/%lld/%lld.jpg", folder, split, (long long)(i % DT_BENCH_CLASSES),
                           (long long)i);
}

/* Encodes a file, or makes a link to one of the same class. (One file in two classes is odd data, of which
 * the loader warns.) A file system without links gets them encoded. */
static dt_status write_one(const char *folder, const char *split, int64_t i, bool is_new, int64_t image_size,
                           dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES], like[DT_DURABLE_PATH_BYTES];
    int64_t width, height;
    dt_bench_images_size(image_size, &width, &height);
    DT_TRY(dt_waits_check("writing photographs", err));
    DT_TRY(name_file(path, folder, split, i, err));
    DT_TRY(name_file(like, folder, "train", i % DT_BENCH_IMAGES, err));
    return !is_new && link(like, path) == 0 ? DT_OK : encode(path, i % DT_BENCH_IMAGES, width, height, err);
}

dt_status dt_bench_images_write(const char *folder, int64_t image_size, int64_t n, dt_error *err)
{
    DT_TRY(make_folder(folder, err));
    DT_TRY(make_folders(folder, "train", err));
    DT_TRY(make_folders(folder, "val", err));
    for (int64_t i = 0; i < n; i++)
        DT_TRY(write_one(folder, "train", i, i < DT_BENCH_IMAGES, image_size, err));
    for (int64_t i = 0; i < n; i++)
        DT_TRY(write_one(folder, "val", i, false, image_size, err));
    return DT_OK;
}
