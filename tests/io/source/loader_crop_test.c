/* Which pixels of a file the loader returns: exact values, by the definitions of crop and filter. */
#include "io/source/loader.h"

#include "core/base/rng.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/source/jpeg_kit.h"
#include "tests/io/source/loader_kit.h"
#include "tests/io/source/resize_exact.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { N = KIT_SIZE, MAX_FILES = 12 };

static dt_error error;

/* The files of one class, as jpeg_kit_decode reads them. */
static struct {
    uint8_t *pixels;
    int width, height;
} files[MAX_FILES];
static int64_t n_files;

/* Make SPLIT/a with a file for each width and height. Decodes them reduced to 1/shrink[i]; NULL: 1. */
static void make_files_reduced(const char *split, const int64_t (*sizes)[2], int64_t n, const int *shrink)
{
    mkdir(dt_test_path("%s/%s", dt_test_temp_dir(), split), 0777);
    mkdir(dt_test_path("%s/%s/a", dt_test_temp_dir(), split), 0777);
    for (int64_t i = 0; i < n; i++) {
        const jpeg_kit_recipe recipe = {
            .width = (int)sizes[i][0], .height = (int)sizes[i][1], .quality = 97, .seed = (uint64_t)i};
        size_t n_bytes;
        int channels;
        uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
        dt_test_write_file(dt_test_path("%s/%s/a/%02lld.jpg", dt_test_temp_dir(), split, (long long)i), bytes,
                           n_bytes);
        files[i].pixels = jpeg_kit_decode(bytes, n_bytes, shrink ? shrink[i] : 1, &files[i].width,
                                          &files[i].height, &channels);
        DT_REQUIRE(channels == 3);
        free(bytes);
    }
    n_files = n;
}

static void make_files(const char *split, const int64_t (*sizes)[2], int64_t n)
{
    make_files_reduced(split, sizes, n, NULL);
}

static void free_files(void)
{
    for (int64_t i = 0; i < n_files; i++)
        free(files[i].pixels);
    n_files = 0;
}

static dt_loader_options options_of(bool training)
{
    dt_loader_options options = loader_kit_options();
    options.training = training;
    options.shuffle = false;
    options.batch = n_files;
    return options;
}

/* The loader's pixels are those of the crops, in the order of the files. */
static void check_epoch(const dt_loader_options *options, int64_t epoch, const dt_crop *crops)
{
    dt_source *source = loader_kit_open(options);
    dt_batch *batch = NULL;
    DT_REQUIRE(source->ops->start(source, epoch, 0, 1, &error) == DT_OK);
    DT_REQUIRE_MSG(source->ops->next(source, &batch, &error) == DT_OK, "%s", error.message);
    for (int64_t i = 0; i < n_files; i++) {
        static uint8_t expected[KIT_SLOT_BYTES];
        const uint8_t *actual = batch->pixels + i * KIT_SLOT_BYTES;
        resize_exact_crop(files[i].pixels, files[i].width, &crops[i], expected);
        const int64_t largest = resize_exact_largest(actual, expected, KIT_SLOT_BYTES),
                      n_different = resize_exact_n_different(actual, expected, KIT_SLOT_BYTES);
        DT_CHECK_MSG(largest <= 1 && n_different <= KIT_SLOT_BYTES / 10,
                     "%d x %d: %lld values differ, by up to %lld", files[i].width, files[i].height,
                     (long long)n_different, (long long)largest);
    }
    source->ops->release(source, batch);
    source->ops->destroy(source);
}

static dt_crop crop_of(int64_t file, int64_t full_w, int64_t full_h, int64_t x, int64_t y)
{
    return (dt_crop){.box = {.w = files[file].width, .h = files[file].height},
                     .full_w = full_w,
                     .full_h = full_h,
                     .x = x,
                     .y = y,
                     .n = N};
}

/* At 16 pixels and 7/8 the limits of auto are 16 and 18. */
static void evaluation_cuts_what_eval_crop_and_eval_resize_choose(void)
{
    static const int64_t sizes[][2] = {{10, 15}, {16, 16}, {17, 16}, {18, 20}, {19, 40}, {50, 40}};
    make_files("val", sizes, 6);
    dt_loader_options options = options_of(false);
    check_epoch(&options, 0,
                (dt_crop[]){crop_of(0, 16, 24, 0, 4), crop_of(1, 16, 16, 0, 0), crop_of(2, 17, 16, 0, 0),
                            crop_of(3, 18, 20, 1, 2), crop_of(4, 18, 37, 1, 10), crop_of(5, 22, 18, 3, 1)});
    options.eval_crop = 1;
    check_epoch(&options, 0,
                (dt_crop[]){crop_of(0, 16, 24, 0, 4), crop_of(1, 16, 16, 0, 0), crop_of(2, 17, 16, 0, 0),
                            crop_of(3, 16, 17, 0, 0), crop_of(4, 16, 33, 0, 8), crop_of(5, 20, 16, 2, 0)});
    options.eval_resize = DT_EVAL_RESIZE_NONE;
    check_epoch(&options, 0,
                (dt_crop[]){crop_of(0, 16, 24, 0, 4), crop_of(1, 16, 16, 0, 0), crop_of(2, 17, 16, 0, 0),
                            crop_of(3, 18, 20, 1, 2), crop_of(4, 19, 40, 2, 12), crop_of(5, 50, 40, 17, 12)});
    options.eval_resize = 20;
    check_epoch(&options, 0,
                (dt_crop[]){crop_of(0, 20, 30, 2, 7), crop_of(1, 20, 20, 2, 2), crop_of(2, 21, 20, 2, 2),
                            crop_of(3, 20, 22, 2, 3), crop_of(4, 20, 42, 2, 13), crop_of(5, 25, 20, 4, 2)});
    free_files();
}

static void an_eval_resize_below_the_image_size_is_refused(void)
{
    static const int64_t sizes[][2] = {{16, 16}};
    make_files("val", sizes, 1);
    dt_loader_options options = options_of(false);
    dt_source *source = NULL;
    options.eval_resize = N - 1;
    DT_CHECK_INT(dt_loader_create(&options, &source, &error), DT_ERR_USAGE);
    DT_CHECK_STR(error.message, "--eval-resize: 15 pixels are less than --image-size 16");
    options.eval_resize = N;
    source = loader_kit_open(&options);
    DT_CHECK_INT(source->ops->set_image_size(source, N, &error), DT_OK);
    DT_CHECK_INT(source->ops->set_image_size(source, N + 1, &error), DT_ERR_USAGE);
    DT_CHECK_STR(error.message, "--eval-resize: 16 pixels are less than --image-size 17");
    source->ops->destroy(source);
    free_files();
}

/* Whatever --eval-crop and --eval-resize are. */
static void training_without_augmentation_cuts_the_middle_of_the_whole_image(void)
{
    static const int64_t sizes[][2] = {{10, 15}, {16, 16}, {17, 16}, {18, 20}, {19, 40}, {50, 40}};
    make_files("train", sizes, 6);
    dt_loader_options options = options_of(true);
    options.augment = DT_AUGMENT_NONE;
    options.flip = 1;
    options.eval_resize = 30;
    for (int64_t epoch = 0; epoch < 2; epoch++)
        check_epoch(&options, epoch,
                    (dt_crop[]){crop_of(0, 16, 24, 0, 4), crop_of(1, 16, 16, 0, 0), crop_of(2, 17, 16, 0, 0),
                                crop_of(3, 16, 17, 0, 0), crop_of(4, 16, 33, 0, 8),
                                crop_of(5, 20, 16, 2, 0)});
    free_files();
}

/* With all of the area to cover, only the whole of a square fits (augment.h: 10 others do not). */
static void the_flip_is_the_mirrored_image(void)
{
    static const int64_t sizes[][2] = {{40, 40}, {41, 41}, {25, 25}};
    make_files("train", sizes, 3);
    dt_loader_options options = options_of(true);
    options.crop_scale_min = options.crop_scale_max = 1;
    for (int64_t epoch = 0; epoch < 6; epoch++) {
        dt_crop crops[3];
        options.flip = (double)(epoch % 2);
        for (int64_t i = 0; i < 3; i++) {
            crops[i] = crop_of(i, N, N, 0, 0);
            crops[i].flip = epoch % 2;
        }
        check_epoch(&options, epoch, crops);
    }
    free_files();
}

/* Training would reduce all but the first in the DCT, which moves many values by several levels. */
static void evaluation_of_large_images_returns_the_filters_values(void)
{
    static const int64_t sizes[][2] = {{107, 107}, {108, 108}, {216, 220},
                                       {300, 216}, {432, 432}, {700, 600}};
    make_files("val", sizes, 6);
    dt_loader_options options = options_of(false);
    check_epoch(&options, 0,
                (dt_crop[]){crop_of(0, 18, 18, 1, 1), crop_of(1, 18, 18, 1, 1), crop_of(2, 18, 18, 1, 1),
                            crop_of(3, 25, 18, 4, 1), crop_of(4, 18, 18, 1, 1), crop_of(5, 21, 18, 2, 1)});
    free_files();
}

/* A crop that is reduced 6 times or more in both directions is reduced to 1/2 in the DCT first, 12 times or
 * more to 1/4, 24 times or more to 1/8. */
static void training_reduces_large_images_in_the_dct(void)
{
    static const int64_t sizes[][2] = {{96, 96},   {95, 96},   {96, 95},   {192, 192},
                                       {184, 192}, {384, 384}, {384, 376}, {800, 800}};
    static const int shrink[] = {2, 1, 1, 4, 2, 8, 4, 8};
    make_files_reduced("train", sizes, 8, shrink);
    dt_loader_options options = options_of(true);
    options.augment = DT_AUGMENT_NONE;
    dt_crop crops[8];
    for (int64_t i = 0; i < 8; i++)
        crops[i] = crop_of(i, N, N, 0, 0);
    check_epoch(&options, 0, crops);
    free_files();
}

static dt_crop random_crop(const dt_loader_options *options, int64_t epoch, int64_t id, int64_t file)
{
    const dt_crop_random_settings settings = {
        .scale_min = options->crop_scale_min, .scale_max = options->crop_scale_max, .flip = options->flip};
    dt_rng g = dt_rng_at(options->seed, DT_RNG_AUGMENT, (uint64_t)epoch, (uint64_t)id);
    return dt_crop_random(&settings, files[file].width, files[file].height, N, &g);
}

static const int64_t various[][2] = {{40, 30}, {30, 40}, {60, 45}, {33, 55}, {50, 50}, {70, 20}};

static void training_cuts_the_box_of_seed_epoch_and_sample(void)
{
    make_files("train", various, 6);
    dt_loader_options options = options_of(true);
    options.crop_scale_min = 0.3;
    options.crop_scale_max = 0.7;
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        dt_crop crops[6];
        for (int64_t i = 0; i < 6; i++)
            crops[i] = random_crop(&options, epoch, i, i);
        check_epoch(&options, epoch, crops);
    }
    free_files();
}

/* Samples 1 and 4 are broken. The first whole sample that (seed, epoch, id) draws replaces each, cut as the
 * broken one would have been. */
static void a_replacement_is_that_of_seed_epoch_and_sample(void)
{
    bool draws_twice = false;
    make_files("train", various, 6);
    for (int id = 1; id <= 4; id += 3)
        dt_test_write_file(dt_test_path("%s/train/a/%02d.jpg", dt_test_temp_dir(), id), "no picture", 10);
    dt_loader_options options = options_of(true);
    options.max_broken = 1;
    uint8_t *const of_1 = files[1].pixels, *const of_4 = files[4].pixels;
    for (int64_t epoch = 0; epoch < 8; epoch++) {
        dt_crop crops[6];
        for (int64_t i = 0; i < 6; i++) {
            dt_rng g = dt_rng_at(options.seed, DT_RNG_REPLACE, (uint64_t)epoch, (uint64_t)i);
            int64_t other = i;
            while (other == 1 || other == 4)
                other = (int64_t)dt_rng_below(&g, 6);
            files[i] = files[other];
            dt_rng first = dt_rng_at(options.seed, DT_RNG_REPLACE, (uint64_t)epoch, (uint64_t)i);
            draws_twice |= (i == 1 || i == 4) && (int64_t)dt_rng_below(&first, 6) != other;
            crops[i] = random_crop(&options, epoch, i, i);
        }
        captured_log_begin(DT_LOG_ERROR);
        check_epoch(&options, epoch, crops);
        captured_log_end();
    }
    DT_CHECK(draws_twice);
    files[1].pixels = of_1;
    files[4].pixels = of_4;
    free_files();
}

static const dt_test tests[] = {
    DT_TEST(evaluation_cuts_what_eval_crop_and_eval_resize_choose),
    DT_TEST(an_eval_resize_below_the_image_size_is_refused),
    DT_TEST(training_without_augmentation_cuts_the_middle_of_the_whole_image),
    DT_TEST(the_flip_is_the_mirrored_image),
    DT_TEST(training_cuts_the_box_of_seed_epoch_and_sample),
    DT_TEST(a_replacement_is_that_of_seed_epoch_and_sample),
    DT_TEST(evaluation_of_large_images_returns_the_filters_values),
    DT_TEST(training_reduces_large_images_in_the_dct),
};
DT_TEST_MAIN("io/source/loader_crop", tests)
