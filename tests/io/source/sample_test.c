/* Samples: a crop of one file, decoded and resized. */
#include "io/source/sample.h"

#include "tests/io/source/jpeg_kit.h"
#include "tests/testing.h"

#include <stdlib.h>

enum { WIDTH = 60, HEIGHT = 40, SIZE = 16 };

/* Decode a crop of a picture of WIDTH x HEIGHT pixels into SIZE x SIZE pixels. */
static dt_status decode(const dt_crop *crop, dt_error *err)
{
    static uint8_t pixels[SIZE * SIZE * 3];
    const jpeg_kit_recipe recipe = {.width = WIDTH, .height = HEIGHT, .h_samp = 2, .v_samp = 2};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    dt_sample *sample = NULL;
    int64_t width = 0, height = 0;
    DT_REQUIRE(dt_sample_create(&sample, err) == DT_OK);
    dt_status status = dt_sample_open_bytes(sample, bytes, n_bytes, &width, &height, err);
    DT_CHECK_INT(width, WIDTH);
    DT_CHECK_INT(height, HEIGHT);
    if (status == DT_OK)
        status = dt_sample_decode(sample, crop, true, pixels, err);
    dt_sample_destroy(sample);
    free(bytes);
    return status;
}

static dt_crop whole_image(void)
{
    return (dt_crop){.box = {.w = WIDTH, .h = HEIGHT}, .full_w = SIZE, .full_h = SIZE, .n = SIZE};
}

static void a_crop_up_to_the_edges_is_decoded(void)
{
    dt_error err = {0};
    dt_crop crop = whole_image();
    DT_CHECK_MSG(decode(&crop, &err) == DT_OK, "%s", err.message);
    crop.box = (dt_rect){.x = WIDTH - 1, .y = HEIGHT - 1, .w = 1, .h = 1};
    DT_CHECK_MSG(decode(&crop, &err) == DT_OK, "%s", err.message);
}

static void a_crop_outside_the_image_is_an_error(void)
{
    static const dt_rect boxes[] = {
        {.w = WIDTH + 1, .h = HEIGHT},
        {.w = WIDTH, .h = HEIGHT + 1},
        {.x = 1, .w = WIDTH, .h = HEIGHT},
        {.y = 1, .w = WIDTH, .h = HEIGHT},
        {.x = 4 * WIDTH, .w = 10, .h = 10},
        {.y = 4 * HEIGHT, .w = 10, .h = 10},
        {.x = -1, .w = 10, .h = 10},
        {.y = -1, .w = 10, .h = 10},
        {.w = 0, .h = 10},
        {.w = 10, .h = 0},
        {.x = INT64_MAX, .w = 10, .h = 10},
        {.w = INT64_MAX, .h = INT64_MAX},
        {.y = 10, .w = WIDTH, .h = 100 * HEIGHT},
    };
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++) {
        dt_error err = {0};
        dt_crop crop = whole_image();
        crop.box = boxes[i];
        DT_CHECK_MSG(decode(&crop, &err) == DT_ERR_INTERNAL, "box %zu", i);
        DT_CHECK_CONTAINS(err.message, "is not inside the image of 60 x 40");
    }
}

static void a_view_outside_the_resized_image_is_an_error(void)
{
    for (int i = 0; i < 4; i++) {
        dt_error err = {0};
        dt_crop crop = whole_image();
        crop.x = i == 0 ? 1 : i == 1 ? -1 : 0;
        crop.y = i == 2 ? 1 : i == 3 ? -1 : 0;
        DT_CHECK_MSG(decode(&crop, &err) == DT_ERR_INTERNAL, "view %d", i);
        DT_CHECK_CONTAINS(err.message, "is not inside the resized 16 x 16");
    }
}

static const dt_test tests[] = {
    DT_TEST(a_crop_up_to_the_edges_is_decoded),
    DT_TEST(a_crop_outside_the_image_is_an_error),
    DT_TEST(a_view_outside_the_resized_image_is_an_error),
};
DT_TEST_MAIN("io/source/sample", tests)
