/* Decoding of windows: the bits of a whole decode, for every kind of JPEG. */
#include "io/source/jpeg.h"

#include "core/base/alloc.h"
#include "tests/io/source/jpeg_kit.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static dt_jpeg *decoder;

void dt_test_set_up(void)
{
    dt_error err;
    if (dt_jpeg_create(&decoder, &err) != DT_OK)
        abort();
}

void dt_test_tear_down(void)
{
    dt_jpeg_destroy(decoder);
}

/* PIL's CMYK to RGB a second time: libImaging's cmyk2rgb on inverted values, division rounded to nearest. */
static uint8_t from_cmyk(int ink, int black)
{
    return (uint8_t)(black - ((255 - ink) * black * 2 + 255) / (2 * 255));
}

static uint64_t lcg_state = 1;

static int64_t below(int64_t n)
{
    lcg_state = lcg_state * 6364136223846793005U + 1442695040888963407U;
    return (int64_t)((lcg_state >> 33) % (uint64_t)n);
}

/* 40 windows of one file at one reduction, some of them thin or at the edges. */
static void check_windows(const uint8_t *bytes, size_t n_bytes, int shrink, const char *what)
{
    int width, height, channels;
    uint8_t *whole = jpeg_kit_decode(bytes, n_bytes, shrink, &width, &height, &channels);
    uint8_t *out = malloc((size_t)width * (size_t)height * 3);
    for (int k = 0; k < 40; k++) {
        dt_rect r = {.w = 1 + below(k % 4       ? width
                                    : 3 < width ? 3
                                                : width),
                     .h = 1 + below(k % 3        ? height
                                    : 3 < height ? 3
                                                 : height)};
        r.x = k == 1 ? 0 : below(width - r.w + 1);
        r.y = k == 2 ? 0 : below(height - r.h + 1);
        dt_error err = {0};
        DT_REQUIRE_MSG(jpeg_kit_window(decoder, bytes, n_bytes, shrink, r, k % 2, out, &err) == DT_OK,
                       "%s: %s", what, err.message);
        int64_t n_different = 0;
        for (int64_t y = 0; y < r.h; y++)
            for (int64_t x = 0; x < r.w; x++)
                for (int c = 0; c < 3; c++) {
                    const uint8_t *p = whole + ((r.y + y) * width + r.x + x) * channels;
                    uint8_t expected = channels == 4 ? from_cmyk(p[c], p[3]) : p[c];
                    n_different += out[(y * r.w + x) * 3 + c] != expected;
                }
        DT_CHECK_MSG(n_different == 0, "%s 1/%d: %lld values of window %lld,%lld %lldx%lld differ", what,
                     shrink, (long long)n_different, (long long)r.x, (long long)r.y, (long long)r.w,
                     (long long)r.h);
    }
    free(out);
    free(whole);
}

static void windows_have_the_bits_of_a_whole_decode(void)
{
    for (size_t i = 0; i < JPEG_KIT_KINDS; i++) {
        jpeg_kit_recipe recipe = jpeg_kit_kinds[i].recipe;
        recipe.seed = i + 1;
        size_t n_bytes;
        uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
        for (int shrink = 1; shrink <= 8; shrink *= 2)
            check_windows(bytes, n_bytes, shrink, jpeg_kit_kinds[i].name);
        free(bytes);
    }
}

static void open_returns_the_size_of_the_image(void)
{
    jpeg_kit_recipe recipe = {.width = 31, .height = 77};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    int64_t width = 0, height = 0;
    dt_error err;
    DT_CHECK_INT(dt_jpeg_open(decoder, bytes, n_bytes, &width, &height, &err), DT_OK);
    DT_CHECK_INT(width, 31);
    DT_CHECK_INT(height, 77);
    free(bytes);
}

static void reading_past_the_last_row_is_an_error(void)
{
    jpeg_kit_recipe recipe = {.width = 16, .height = 16};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), *const * rows;
    int64_t width, height, n_rows = 0;
    dt_error err = {0};
    DT_REQUIRE(dt_jpeg_open(decoder, bytes, n_bytes, &width, &height, &err) == DT_OK);
    DT_REQUIRE(dt_jpeg_begin(decoder, 1, (dt_rect){.w = 4, .h = 5, .y = 3}, &err) == DT_OK);
    DT_CHECK_INT(dt_jpeg_rows(decoder, &rows, &n_rows, &err), DT_OK);
    DT_CHECK_INT(n_rows, 5);
    DT_CHECK_INT(dt_jpeg_rows(decoder, &rows, &n_rows, &err), DT_ERR_INTERNAL);
    free(bytes);
}

static void a_window_outside_the_image_is_an_error(void)
{
    static const dt_rect windows[] = {
        {.w = 17, .h = 16}, {.w = 16, .h = 17}, {.w = 1, .h = 1, .y = 16}, {.w = 1, .h = 1, .x = 16},
        {.w = 0, .h = 1},   {.w = 1, .h = 0},   {.w = 1, .h = 1, .x = -1}, {.w = 1, .h = 1, .y = -1}};
    const dt_rect whole = {.w = 16, .h = 16};
    for (int wide = 0; wide < 2; wide++) {
        const jpeg_kit_recipe recipe = {.width = 31 + wide, .height = 32 - wide};
        size_t n_bytes;
        uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), out[16 * 16 * 3];
        dt_error err = {0};
        DT_CHECK_INT(jpeg_kit_window(decoder, bytes, n_bytes, 2, whole, true, out, &err), DT_OK);
        for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
            DT_CHECK_INT(jpeg_kit_window(decoder, bytes, n_bytes, 2, windows[i], true, out, &err),
                         DT_ERR_INTERNAL);
            DT_CHECK_CONTAINS(err.message, "is not inside an image of 16 x 16");
        }
        free(bytes);
    }
}

/* Damage below the window is found when the rest is checked, and only then. */
static void damage_below_the_window_is_found_on_demand(void)
{
    jpeg_kit_recipe recipe = {.width = 200, .height = 200, .h_samp = 2, .v_samp = 2};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), out[20 * 20 * 3];
    dt_rect top = {.w = 20, .h = 20};
    dt_error err = {0};
    size_t cut = n_bytes * 3 / 4;
    DT_CHECK_INT(jpeg_kit_window(decoder, bytes, cut, 1, top, false, out, &err), DT_OK);
    DT_CHECK_INT(jpeg_kit_window(decoder, bytes, cut, 1, top, true, out, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "remature end");
    free(bytes);
}

static void failed_allocations_are_reported_and_leak_nothing(void)
{
    jpeg_kit_recipe recipe = {.width = 64, .height = 64};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    int64_t before = dt_alloc_live_blocks();
    for (int64_t n = 1;; n++) {
        dt_jpeg *jpeg = NULL;
        int64_t width, height;
        dt_error err = {0};
        dt_alloc_fail_after(n);
        dt_status status = dt_jpeg_create(&jpeg, &err);
        DT_CHECK((status == DT_OK) == (jpeg != NULL));
        if (status == DT_OK)
            status = dt_jpeg_open(jpeg, bytes, n_bytes, &width, &height, &err);
        if (status == DT_OK)
            status = dt_jpeg_begin(jpeg, 1, (dt_rect){.w = 64, .h = 64}, &err);
        dt_alloc_fail_after(0);
        dt_jpeg_destroy(jpeg);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
        if (status == DT_OK) {
            DT_CHECK_INT(n, 3);
            break;
        }
        DT_CHECK_INT(status, DT_ERR_MEMORY);
    }
    free(bytes);
}

static const dt_test tests[] = {
    DT_TEST(windows_have_the_bits_of_a_whole_decode),
    DT_TEST(open_returns_the_size_of_the_image),
    DT_TEST(reading_past_the_last_row_is_an_error),
    DT_TEST(a_window_outside_the_image_is_an_error),
    DT_TEST(damage_below_the_window_is_found_on_demand),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
};
DT_TEST_MAIN("io/source/jpeg", tests)
