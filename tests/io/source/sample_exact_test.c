/* Decoded, cropped and resized samples against the simplest decoding and the filter's definition: real and
 * odd files, without PIL. */
#include "io/source/sample.h"

#include "tests/io/source/jpeg_kit.h"
#include "tests/io/source/resize_exact.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_error error;
static int64_t n_values, n_different;

static void check_crop(dt_sample *sample, const char *name, const uint8_t *bytes, size_t n_bytes,
                       const dt_crop *crop, const uint8_t *whole, int width)
{
    const int64_t n = crop->n * crop->n * 3;
    uint8_t *actual = malloc((size_t)n), *expected = malloc((size_t)n);
    int64_t w, h;
    DT_REQUIRE_MSG(dt_sample_open_bytes(sample, bytes, n_bytes, &w, &h, &error) == DT_OK &&
                       dt_sample_decode(sample, crop, true, actual, &error) == DT_OK,
                   "%s: %s", name, error.message);
    resize_exact_crop(whole, width, crop, expected);
    const int64_t largest = resize_exact_largest(actual, expected, n);
    DT_CHECK_MSG(largest <= 1, "%s, %lld x %lld at %lld, %lld to %lld x %lld: off by %lld", name,
                 (long long)crop->box.w, (long long)crop->box.h, (long long)crop->box.x,
                 (long long)crop->box.y, (long long)crop->full_w, (long long)crop->full_h,
                 (long long)largest);
    n_values += n;
    n_different += resize_exact_n_different(actual, expected, n);
    free(actual);
    free(expected);
}

/* Two random crops, one of them very small, and the crop of an evaluation. */
static void check_file(dt_sample *sample, const char *name, const uint8_t *bytes, size_t n_bytes, int64_t n,
                       uint64_t seed)
{
    const dt_crop_random_settings random = {.scale_min = 0.08, .scale_max = 1, .flip = 0.5};
    const dt_crop_centre_settings centre = {.share = 0.875};
    int width, height, channels;
    uint8_t *whole = jpeg_kit_decode(bytes, n_bytes, 1, &width, &height, &channels);
    DT_REQUIRE_MSG(channels == 3, "%s", name);
    dt_rng g = dt_rng_at(9, DT_RNG_TEST, 0, seed);
    const dt_crop crops[] = {dt_crop_random(&random, width, height, n, &g),
                             dt_crop_random(&random, width, height, n / 7, &g),
                             dt_crop_centre(&centre, width, height, n)};
    for (int i = 0; i < 3; i++)
        check_crop(sample, name, bytes, n_bytes, &crops[i], whole, width);
    free(whole);
}

static dt_sample *begin(void)
{
    dt_sample *sample = NULL;
    n_values = n_different = 0;
    DT_REQUIRE(dt_sample_create(&sample, &error) == DT_OK);
    return sample;
}

static void end(dt_sample *sample, double share)
{
    DT_CHECK_MSG((double)n_different <= share * (double)n_values, "%lld of %lld values differ",
                 (long long)n_different, (long long)n_values);
    dt_sample_destroy(sample);
}

static void every_kind_of_jpeg_is_exact(void)
{
    dt_sample *sample = begin();
    for (int k = 0; k < JPEG_KIT_KINDS; k++) {
        const jpeg_kit_recipe *recipe = &jpeg_kit_kinds[k].recipe;
        if (recipe->colour == JPEG_KIT_CMYK || recipe->colour == JPEG_KIT_YCCK)
            continue; /* jpeg_test.c has the conversion */
        size_t n_bytes;
        uint8_t *bytes = jpeg_kit_encode(recipe, &n_bytes);
        check_file(sample, jpeg_kit_kinds[k].name, bytes, n_bytes, 40, (uint64_t)k);
        free(bytes);
    }
    end(sample, 0.02);
}

/* The box of 198 x 196 pixels at 13, 7 is reduced to 1/4 in the DCT: there it is 49.5 x 49 pixels at
 * 3.25, 1.75, and the filter reads the pixels 3 to 52 and 1 to 50. */
static void a_box_between_the_pixels_of_a_reduced_image_is_exact(void)
{
    enum { N = 16, VALUES = N * N * 3, READ = 50 };
    static uint8_t actual[VALUES], expected[VALUES], part[READ * READ * 3];
    const dt_crop crop = {
        .box = {.x = 13, .y = 7, .w = 198, .h = 196}, .full_w = N, .full_h = N, .n = N, .may_shrink = true};
    const dt_resize_view view = {.x = {.from = 0.25, .length = 49.5, .high = READ, .full = N},
                                 .y = {.from = 0.75, .length = 49, .high = READ, .full = N},
                                 .n = N};
    const jpeg_kit_recipe recipe = {.width = 301, .height = 204, .h_samp = 2, .v_samp = 2};
    size_t n_bytes;
    int width, height, channels;
    int64_t w, h;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    uint8_t *reduced = jpeg_kit_decode(bytes, n_bytes, 4, &width, &height, &channels);
    dt_sample *sample = begin();
    DT_REQUIRE(width == 76 && height == 51);
    DT_REQUIRE(dt_sample_open_bytes(sample, bytes, n_bytes, &w, &h, &error) == DT_OK &&
               dt_sample_decode(sample, &crop, true, actual, &error) == DT_OK);
    for (int y = 0; y < READ; y++)
        memcpy(part + y * READ * 3, reduced + ((y + 1) * width + 3) * 3, (size_t)READ * 3);
    resize_exact_view(part, READ, READ, &view, expected);
    DT_CHECK(resize_exact_largest(actual, expected, VALUES) <= 1);
    DT_CHECK(resize_exact_n_different(actual, expected, VALUES) <= VALUES / 50);
    dt_sample_destroy(sample);
    free(reduced);
    free(bytes);
}

static void check_path(dt_sample *sample, const char *path, uint64_t seed)
{
    size_t n_bytes;
    char *bytes = dt_test_read_file(path, &n_bytes);
    check_file(sample, strrchr(path, '/') + 1, (uint8_t *)bytes, n_bytes, 224, seed);
    free(bytes);
}

static void odd_files_are_exact(void)
{
    static const char *const names[] = {
        "plain-420",    "plain-444",          "plain-422",       "progressive",
        "grey",         "one-pixel",          "thin-3x2000",     "wide-2000x3",
        "exif-garbage", "exif-orientation-6", "trailing-garbage"};
    if (!dt_test_shared_data("odd-jpegs"))
        DT_SKIP("there is no ../shared/data/odd-jpegs");
    dt_sample *sample = begin();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check_path(sample, dt_test_shared_data(dt_test_path("odd-jpegs/%s.jpg", names[i])), i);
    end(sample, 0.02);
}

/* Every sixteenth file of 160. */
static void photographs_are_exact(void)
{
    const char *tar = dt_test_shared_data("imagenet-sample.tar");
    if (!tar)
        DT_SKIP("there is no ../shared/data/imagenet-sample.tar");
    const char *command = dt_test_path("cd '%s' && tar xf '%s' && find . -type f | LC_ALL=C sort | "
                                       "awk 'NR %% 16 == 1'",
                                       dt_test_temp_dir(), tar);
    FILE *list = popen(command, "r");
    char line[512];
    dt_sample *sample = begin();
    uint64_t n = 0;
    DT_REQUIRE(list);
    for (; fgets(line, sizeof line, list); n++) {
        line[strcspn(line, "\n")] = '\0';
        check_path(sample, dt_test_path("%s/%s", dt_test_temp_dir(), line), n);
    }
    DT_CHECK_INT(pclose(list), 0);
    DT_CHECK_INT(n, 10);
    end(sample, 0.005);
}

static const dt_test tests[] = {
    DT_TEST(every_kind_of_jpeg_is_exact),
    DT_TEST(a_box_between_the_pixels_of_a_reduced_image_is_exact),
    DT_TEST(odd_files_are_exact),
    DT_TEST(photographs_are_exact),
};
DT_TEST_MAIN("io/source/sample_exact", tests)
