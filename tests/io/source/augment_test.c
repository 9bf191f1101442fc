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

/* RandomResizedCrop.get_params, with dtrain's numbers: the share, then the aspect, up to 10 times; then y, x
 * and the flip. */
static dt_crop expected_crop(const dt_crop_random_settings *s, int64_t width, int64_t height, dt_rng *g,
                             bool *is_fallback)
{
    const double low = log(3.0 / 4.0), high = log(4.0 / 3.0);
    dt_crop crop = {.full_w = 224, .full_h = 224, .n = 224};
    *is_fallback = true;
    for (int i = 0; i < 10 && *is_fallback; i++) {
        const double share = s->scale_min + dt_rng_uniform_double(g) * (s->scale_max - s->scale_min);
        const double area = (double)(width * height) * share;
        const double aspect = exp(low + dt_rng_uniform_double(g) * (high - low));
        crop.box.w = (int64_t)rint(sqrt(area * aspect));
        crop.box.h = (int64_t)rint(sqrt(area / aspect));
        *is_fallback = crop.box.w == 0 || crop.box.w > width || crop.box.h == 0 || crop.box.h > height;
    }
    if (!*is_fallback) {
        crop.box.y = (int64_t)dt_rng_below(g, (uint64_t)(height - crop.box.h) + 1);
        crop.box.x = (int64_t)dt_rng_below(g, (uint64_t)(width - crop.box.w) + 1);
    }
    crop.flip = dt_rng_uniform_double(g) < s->flip;
    return crop;
}

static void boxes_are_torchvisions_with_the_same_numbers(void)
{
    static const int64_t sizes[][2] = {{500, 375}, {375, 500}, {3, 3}, {2, 5}, {600, 300}, {1, 1}, {40, 30}};
    static const dt_crop_random_settings settings[] = {{0.08, 1, 0.5}, {0.25, 0.25, 0.9}, {0.9, 1, 0.1}};
    int n_fallback = 0;
    for (uint64_t i = 0; i < 6000; i++) {
        const int64_t *size = sizes[i % 7];
        const dt_crop_random_settings *s = &settings[i % 3];
        bool is_fallback;
        dt_rng ours = dt_rng_at(2, DT_RNG_TEST, 0, i), theirs = ours;
        const dt_crop c = dt_crop_random(s, size[0], size[1], 224, &ours);
        const dt_crop e = expected_crop(s, size[0], size[1], &theirs, &is_fallback);
        n_fallback += is_fallback;
        DT_REQUIRE_MSG(is_fallback || (c.box.w == e.box.w && c.box.h == e.box.h && c.box.x == e.box.x &&
                                       c.box.y == e.box.y),
                       "crop %d of %d x %d", (int)i, (int)size[0], (int)size[1]);
        DT_REQUIRE(c.flip == e.flip && dt_rng_u64(&ours) == dt_rng_u64(&theirs));
    }
    DT_CHECK(n_fallback > 100 && n_fallback < 3000);
}

/* 3/4 and 4/3 themselves are allowed. */
static void the_fallback_is_cut_at_the_aspects_limits(void)
{
    static const struct {
        int64_t w, h;
        dt_rect box;
    } cases[] = {
        {90, 120, {0, 0, 90, 120}},    {120, 90, {0, 0, 120, 90}},    {90, 121, {0, 0, 90, 120}},
        {121, 90, {0, 0, 120, 90}},    {90, 123, {0, 1, 90, 120}},    {123, 90, {1, 0, 120, 90}},
        {100, 200, {0, 33, 100, 133}}, {200, 100, {33, 0, 133, 100}},
    };
    const dt_crop_random_settings none_fits = {.scale_min = 1.5, .scale_max = 1.5};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dt_rect box = crop_of(&none_fits, cases[i].w, cases[i].h, i).box, *e = &cases[i].box;
        DT_CHECK_MSG(box.x == e->x && box.y == e->y && box.w == e->w && box.h == e->h,
                     "%d x %d: %d x %d at %d, %d", (int)cases[i].w, (int)cases[i].h, (int)box.w, (int)box.h,
                     (int)box.x, (int)box.y);
    }
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

typedef struct centre_case {
    int64_t w, h, n;
    double share;
    int64_t resize, full_w, full_h, x, y; /* what is given, and what is expected */
} centre_case;

static void check_centre(const centre_case *e)
{
    const dt_crop_centre_settings settings = {.share = e->share, .resize = e->resize};
    dt_crop c = dt_crop_centre(&settings, e->w, e->h, e->n);
    DT_CHECK_MSG(c.full_w == e->full_w && c.full_h == e->full_h && c.x == e->x && c.y == e->y,
                 "%lld x %lld at %lld, %g, %lld: resized to %lld x %lld, cut at %lld, %lld", (long long)e->w,
                 (long long)e->h, (long long)e->n, e->share, (long long)e->resize, (long long)c.full_w,
                 (long long)c.full_h, (long long)c.x, (long long)c.y);
    DT_CHECK(c.box.x == 0 && c.box.y == 0 && c.box.w == e->w && c.box.h == e->h && c.n == e->n && !c.flip);
}

/* /usr/bin/python3: torchvision.transforms.functional._compute_resized_output_size((h, w), [round(n /
 * share)]) and the arithmetic of center_crop. */
static void centre_crops_of_large_images_equal_torchvisions(void)
{
    static const centre_case cases[] = {
        {500, 375, 224, 0.875, 0, 341, 256, 58, 16}, /* (341 - 224) / 2 = 58.5, rounded to even */
        {375, 500, 224, 0.875, 0, 256, 341, 16, 58}, {256, 256, 224, 0.875, 0, 256, 256, 16, 16},
        {97, 61, 32, 0.875, 0, 58, 37, 13, 2},       {61, 97, 32, 1, 0, 32, 50, 0, 9},
        {3, 2000, 8, 1, 0, 8, 5333, 0, 2662},        {224, 224, 224, 1, 0, 224, 224, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_centre(&cases[i]);
}

/* At n = 32 and 7/8 the limits are 32 and round(36.57) = 37; the longer side has 10 pixels more. Each image
 * wide, tall and square. */
static void the_shorter_side_follows_the_mode_at_its_limits(void)
{
    static const struct {
        int64_t shorter, resize, resized, longer;
    } cases[] = {
        {1, 0, 32, 352},  {31, 0, 32, 42},  {32, 0, 32, 42},  {33, 0, 33, 43},
        {36, 0, 36, 46},  {37, 0, 37, 47},  {38, 0, 37, 46},  {74, 0, 37, 42}, /* auto */
        {1, -1, 32, 352}, {31, -1, 32, 42}, {32, -1, 32, 42}, {33, -1, 33, 43},
        {36, -1, 36, 46}, {37, -1, 37, 47}, {38, -1, 38, 48}, {74, -1, 74, 84}, /* none */
        {31, 32, 32, 42}, {32, 32, 32, 42}, {33, 32, 32, 41}, {31, 40, 40, 52},
        {37, 40, 40, 50}, {40, 40, 40, 50}, {41, 40, 40, 49}, {74, 40, 40, 45}, /* pixels */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t s = cases[i].shorter, r = cases[i].resized, longer = cases[i].longer;
        const int64_t x = (int64_t)rint((double)(r - 32) / 2), y = (int64_t)rint((double)(longer - 32) / 2);
        check_centre(&(centre_case){s, s + 10, 32, 0.875, cases[i].resize, r, longer, x, y});
        check_centre(&(centre_case){s + 10, s, 32, 0.875, cases[i].resize, longer, r, y, x});
        check_centre(&(centre_case){s, s, 32, 0.875, cases[i].resize, r, r, x, x});
    }
}

/* One pixel more or less of the image changes the resized sides by one pixel, or by the image's aspect. */
static void neighbours_in_size_are_resized_alike(void)
{
    const dt_crop_centre_settings settings = {.share = 0.875};
    int64_t before = 32;
    for (int64_t shorter = 20; shorter < 60; shorter++) {
        dt_crop c = dt_crop_centre(&settings, shorter, shorter + 1, 32);
        DT_CHECK(c.full_w - before >= 0 && c.full_w - before <= 1 && c.full_h - c.full_w <= 1);
        before = c.full_w;
    }
}

/* dtrain before --eval-resize resized all images but those of n x n pixels to this: large ones still are. */
static void large_images_are_resized_to_the_share(void)
{
    for (int64_t n = 16; n <= 320; n++)
        for (double share = 0.5; share <= 1; share += 0.125) {
            const int64_t most = (int64_t)rint((double)n / share);
            const dt_crop_centre_settings settings = {.share = share};
            dt_crop c = dt_crop_centre(&settings, most, 3 * most, n);
            DT_REQUIRE(c.full_w == most && c.full_h == 3 * most);
            c = dt_crop_centre(&settings, 10 * most, 7 * most, n);
            DT_REQUIRE(c.full_h == most && c.y == (int64_t)rint((double)(most - n) / 2));
        }
}

static const dt_test tests[] = {
    DT_TEST(random_crops_lie_inside_the_image),
    DT_TEST(area_and_aspect_are_uniform),
    DT_TEST(a_thin_image_gives_the_centred_box_of_the_nearest_aspect),
    DT_TEST(a_crop_that_does_not_fit_is_drawn_again),
    DT_TEST(boxes_are_torchvisions_with_the_same_numbers),
    DT_TEST(the_fallback_is_cut_at_the_aspects_limits),
    DT_TEST(no_flip_and_always_flip_are_possible),
    DT_TEST(centre_crops_of_large_images_equal_torchvisions),
    DT_TEST(the_shorter_side_follows_the_mode_at_its_limits),
    DT_TEST(neighbours_in_size_are_resized_alike),
    DT_TEST(large_images_are_resized_to_the_share),
};
DT_TEST_MAIN("io/source/augment", tests)
