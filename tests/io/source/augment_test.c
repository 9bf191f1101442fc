/* Crops: their positions and distributions, and torchvision's numbers for the centre crop. */
#include "io/source/augment.h"

#include "tests/testing.h"

#include <math.h>
#include <string.h>

static const dt_crop_random_settings standard = {.scale_min = 0.08, .scale_max = 1, .flip = 0.5};

static dt_crop crop_of(const dt_crop_random_settings *settings, int64_t width, int64_t height, uint64_t i)
{
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, i);
    return dt_crop_random(settings, width, height, 224, &g);
}

static void random_crops_lie_inside_the_image(void)
{
    static const int64_t sizes[][2] = {{1, 1},    {1, 2},   {2, 1},     {3, 2},     {3, 2000},
                                       {2000, 3}, {17, 16}, {500, 375}, {65500, 1}, {8, 8}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (uint64_t i = 0; i < 2000; i++) {
            dt_crop c = crop_of(&standard, sizes[s][0], sizes[s][1], i);
            DT_REQUIRE(c.box.w >= 1 && c.box.h >= 1 && c.box.x >= 0 && c.box.y >= 0);
            DT_REQUIRE(c.box.x + c.box.w <= sizes[s][0] && c.box.y + c.box.h <= sizes[s][1]);
            DT_REQUIRE(c.full_w == 224 && c.full_h == 224 && c.x == 0 && c.y == 0 && c.n == 224);
        }
}

/* In a square image nearly every first crop fits, so area and log aspect are uniform: their means and
 * standard deviations are known. */
static void area_and_aspect_are_uniform(void)
{
    const int n = 20000;
    double area = 0, area2 = 0, aspect = 0, aspect2 = 0, smallest = 2, x = 0, flips = 0, most = log(4.0 / 3);
    dt_crop_random_settings settings = {.scale_min = 0.1, .scale_max = 0.6, .flip = 0.25};
    for (int i = 0; i < n; i++) {
        dt_crop c = crop_of(&settings, 4000, 4000, (uint64_t)i);
        double a = (double)(c.box.w * c.box.h) / 16e6, r = log((double)c.box.w / (double)c.box.h);
        area += a / n;
        area2 += a * a / n;
        aspect += r / n;
        aspect2 += r * r / n;
        smallest = a < smallest ? a : smallest;
        DT_REQUIRE(fabs(r) < most + 0.001 && a < 0.601 && a > 0.0999);
        x += (double)c.box.x / (double)(4000 - c.box.w) / n;
        flips += (double)c.flip / n;
    }
    DT_CHECK_CLOSE(area, 0.35, 0.005);
    DT_CHECK_CLOSE(sqrt(area2 - area * area), 0.5 / sqrt(12), 0.005);
    DT_CHECK_CLOSE(aspect, 0, 0.005);
    DT_CHECK_CLOSE(sqrt(aspect2 - aspect * aspect), 2 * most / sqrt(12), 0.005);
    DT_CHECK_CLOSE(smallest, 0.1, 0.001);
    DT_CHECK_CLOSE(x, 0.5, 0.01);
    DT_CHECK_CLOSE(flips, 0.25, 0.01);
}

static void a_thin_image_gives_the_centred_box_of_the_nearest_aspect(void)
{
    dt_crop tall = crop_of(&standard, 30, 2000, 1), wide = crop_of(&standard, 2000, 30, 1);
    DT_CHECK_INT(tall.box.w, 30);
    DT_CHECK_INT(tall.box.h, 40);
    DT_CHECK_INT(tall.box.y, 980);
    DT_CHECK_INT(wide.box.w, 40);
    DT_CHECK_INT(wide.box.h, 30);
    DT_CHECK_INT(wide.box.x, 980);
}

/* In an image twice as wide as high most crops of 60% to 100% of the area do not fit, but one of 10 does. */
static void a_crop_that_does_not_fit_is_drawn_again(void)
{
    dt_crop_random_settings settings = {.scale_min = 0.3, .scale_max = 1, .flip = 0.5};
    int n_fallback = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        dt_crop c = crop_of(&settings, 600, 300, i);
        n_fallback += c.box.w == 400 && c.box.h == 300 && c.box.x == 100;
    }
    DT_CHECK_MSG(n_fallback < 100, "%d of 2000 are the fallback", n_fallback);
}

static void no_flip_and_always_flip_are_possible(void)
{
    for (uint64_t i = 0; i < 1000; i++) {
        dt_crop_random_settings settings = {.scale_min = 1, .scale_max = 1, .flip = 0};
        DT_REQUIRE(!crop_of(&settings, 50, 50, i).flip);
        settings.flip = 1;
        DT_REQUIRE(crop_of(&settings, 50, 50, i).flip);
    }
}

/* /usr/bin/python3: torchvision.transforms.functional._compute_resized_output_size((h, w), [round(n /
 * share)]) and the arithmetic of center_crop. */
static void centre_crops_equal_torchvisions(void)
{
    static const struct {
        int64_t w, h, n;
        double share;
        int64_t full_w, full_h, x, y;
    } cases[] = {
        {500, 375, 224, 0.875, 341, 256, 58, 16}, /* (341 - 224) / 2 = 58.5, rounded to even */
        {375, 500, 224, 0.875, 256, 341, 16, 58}, {256, 256, 224, 0.875, 256, 256, 16, 16},
        {97, 61, 32, 0.875, 58, 37, 13, 2},       {61, 97, 32, 1, 32, 50, 0, 9},
        {3, 2000, 8, 1, 8, 5333, 0, 2662},        {1, 1, 224, 0.875, 256, 256, 16, 16},
        {224, 224, 224, 1, 224, 224, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dt_crop c = dt_crop_centre(cases[i].share, cases[i].w, cases[i].h, cases[i].n);
        DT_CHECK_INT(c.full_w, cases[i].full_w);
        DT_CHECK_INT(c.full_h, cases[i].full_h);
        DT_CHECK_INT(c.x, cases[i].x);
        DT_CHECK_INT(c.y, cases[i].y);
        DT_CHECK(c.box.x == 0 && c.box.y == 0 && c.box.w == cases[i].w && c.box.h == cases[i].h &&
                 c.n == cases[i].n && !c.flip);
    }
}

static void an_image_of_the_right_size_is_not_resized(void)
{
    dt_crop c = dt_crop_centre(0.875, 32, 32, 32);
    DT_CHECK(c.full_w == 32 && c.full_h == 32 && c.x == 0 && c.y == 0);
}

static const dt_test tests[] = {
    DT_TEST(random_crops_lie_inside_the_image),
    DT_TEST(area_and_aspect_are_uniform),
    DT_TEST(a_thin_image_gives_the_centred_box_of_the_nearest_aspect),
    DT_TEST(a_crop_that_does_not_fit_is_drawn_again),
    DT_TEST(no_flip_and_always_flip_are_possible),
    DT_TEST(centre_crops_equal_torchvisions),
    DT_TEST(an_image_of_the_right_size_is_not_resized),
};
DT_TEST_MAIN("io/source/augment", tests)
