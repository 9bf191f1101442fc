/* Resizing against a plain double-precision triangle filter with PIL's rounding to 8 bits between the passes,
 * and against PIL's own numbers. */
#include "io/source/resize.h"

#include "core/base/alloc.h"
#include "io/source/resize_kernels.h"
#include "tests/io/source/resize_exact.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

typedef struct picture {
    int64_t width, height;
    uint8_t *pixels; /* [height][width][3] */
} picture;

static picture random_picture(int64_t width, int64_t height, uint64_t seed)
{
    picture p = {width, height, malloc((size_t)(width * height * 3))};
    float *noise = malloc((size_t)(width * height * 3) * sizeof *noise);
    dt_test_fill_random(noise, width * height * 3, seed);
    for (int64_t i = 0; i < width * height * 3; i++)
        p.pixels[i] = (uint8_t)(127.99F * (1 + noise[i]));
    free(noise);
    return p;
}

/* Run the resizer over a picture, feeding `step` rows at a time. */
static void resize(const picture *p, const dt_resize_view *view, int64_t step, uint8_t *out)
{
    dt_resize *r = NULL;
    dt_rect needed = {0};
    dt_error err;
    DT_REQUIRE(dt_resize_create(&r, &err) == DT_OK);
    DT_REQUIRE(dt_resize_begin(r, view, out, &needed, &err) == DT_OK);
    DT_CHECK(needed.x >= view->x.low && needed.x + needed.w <= view->x.high);
    DT_CHECK(needed.y >= view->y.low && needed.y + needed.h <= view->y.high);
    uint8_t *rows[16];
    for (int64_t y = 0; y < needed.h; y += step) {
        int64_t n = needed.h - y < step ? needed.h - y : step;
        for (int64_t i = 0; i < n; i++) {
            /* a block of its own, so that a sanitizer sees reads beyond the padding */
            rows[i] = malloc((size_t)(3 * needed.w + DT_ROW_PADDING_BYTES));
            memset(rows[i], 0xa5, (size_t)(3 * needed.w + DT_ROW_PADDING_BYTES));
            memcpy(rows[i], p->pixels + ((needed.y + y + i) * p->width + needed.x) * 3,
                   (size_t)(3 * needed.w));
        }
        dt_resize_rows(r, rows, n);
        for (int64_t i = 0; i < n; i++)
            free(rows[i]);
    }
    dt_resize_destroy(r);
}

static dt_resize_span whole(int64_t length, int64_t full, int64_t first)
{
    return (dt_resize_span){.length = (double)length, .high = length, .full = full, .first = first};
}

static const struct {
    int64_t width, height, full_w, full_h, n;
} sizes[] = {{8, 8, 32, 32, 32},      {100, 80, 50, 40, 40},     {97, 61, 33, 21, 20},
             {97, 61, 224, 224, 224}, {300, 200, 224, 224, 224}, {1, 1, 7, 7, 7},
             {1, 40, 5, 200, 5},      {2, 3, 31, 31, 31},        {3, 2000, 32, 32, 32},
             {2000, 3, 32, 32, 32},   {500, 375, 341, 256, 224}, {37, 53, 37, 53, 37},
             {640, 480, 9, 7, 6},     {33, 33, 1, 1, 1},         {64, 64, 63, 65, 63},
             {5000, 2, 16, 16, 16},   {20000, 2, 16, 16, 16}};
#define N_SIZES (sizeof sizes / sizeof sizes[0])

static dt_resize_view view_of(size_t i, bool flip)
{
    int64_t n = sizes[i].n;
    return (dt_resize_view){.x = whole(sizes[i].width, sizes[i].full_w, (sizes[i].full_w - n) / 2),
                            .y = whole(sizes[i].height, sizes[i].full_h, (sizes[i].full_h - n) / 2),
                            .n = n,
                            .flip = flip};
}

static void results_equal_the_filters_to_within_one_level(void)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        picture p = random_picture(sizes[i].width, sizes[i].height, i);
        dt_resize_view view = view_of(i, i % 2);
        size_t bytes = (size_t)(view.n * view.n * 3);
        uint8_t *out = malloc(bytes), *expected = malloc(bytes);
        resize(&p, &view, 1 + (int64_t)i % 8, out);
        resize_exact_view(p.pixels, p.width, p.height, &view, expected);
        const int64_t largest = resize_exact_largest(out, expected, (int64_t)bytes),
                      n_different = resize_exact_n_different(out, expected, (int64_t)bytes);
        DT_CHECK_MSG(largest <= 1, "case %zu: off by %lld", i, (long long)largest);
        DT_CHECK_MSG(n_different <= 2 + (int64_t)bytes / 25, "case %zu: %lld of %zu values differ", i,
                     (long long)n_different, bytes);
        free(out);
        free(expected);
        free(p.pixels);
    }
}

/* Otherwise the next test would compare plain C with itself. */
static void vectors_are_used_where_the_processor_has_them(void)
{
#if defined __aarch64__
    const char *const expected = "NEON";
#elif defined __x86_64__
    const char *const expected = __builtin_cpu_supports("avx2") ? "AVX2" : "C";
#else
    const char *const expected = "C";
#endif
    DT_CHECK_STR(dt_resize_kernels_best(true)->name, expected);
    DT_CHECK_STR(dt_resize_kernels_best(false)->name, "C");
}

static void plain_c_and_vectors_give_the_same_bits(void)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        picture p = random_picture(sizes[i].width, sizes[i].height, 100 + i);
        dt_resize_view view = view_of(i, i % 3 == 0);
        size_t bytes = (size_t)(view.n * view.n * 3);
        uint8_t *vectors = malloc(bytes), *plain = malloc(bytes);
        resize(&p, &view, 8, vectors);
        dt_resize_allow_vectors(false);
        resize(&p, &view, 8, plain);
        dt_resize_allow_vectors(true);
        DT_CHECK_BYTES(vectors, plain, bytes);
        free(vectors);
        free(plain);
        free(p.pixels);
    }
}

static void a_flipped_result_is_the_mirrored_one(void)
{
    picture p = random_picture(90, 70, 5);
    dt_resize_view view = {.x = whole(90, 32, 0), .y = whole(70, 32, 0), .n = 32};
    uint8_t straight[32 * 32 * 3], mirrored[32 * 32 * 3];
    resize(&p, &view, 8, straight);
    view.flip = true;
    resize(&p, &view, 8, mirrored);
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++)
            DT_CHECK_BYTES(mirrored + (y * 32 + x) * 3, straight + (y * 32 + 31 - x) * 3, 3);
    free(p.pixels);
}

static void the_same_size_changes_nothing(void)
{
    picture p = random_picture(40, 40, 6);
    dt_resize_view view = {.x = whole(40, 40, 0), .y = whole(40, 40, 0), .n = 40};
    uint8_t out[40 * 40 * 3];
    resize(&p, &view, 3, out);
    DT_CHECK_BYTES(out, p.pixels, sizeof out);
    free(p.pixels);
}

static void a_flat_picture_stays_flat(void)
{
    for (size_t i = 0; i < N_SIZES; i++)
        for (int level = 0; level < 256; level += 51) {
            picture p = random_picture(sizes[i].width, sizes[i].height, 1);
            memset(p.pixels, level, (size_t)(p.width * p.height * 3));
            dt_resize_view view = view_of(i, false);
            size_t bytes = (size_t)(view.n * view.n * 3);
            uint8_t *out = malloc(bytes);
            resize(&p, &view, 8, out);
            for (size_t k = 0; k < bytes; k++)
                DT_REQUIRE_MSG(out[k] == level, "case %zu: %d became %d", i, level, out[k]);
            free(out);
            free(p.pixels);
        }
}

/* Only the needed part of the source is read: 20 of 64 target pixels of a 200-pixel source need 64 + 6
 * columns. */
static void only_the_needed_part_of_the_source_is_read(void)
{
    dt_resize *r = NULL;
    dt_rect needed = {0};
    uint8_t pixels[20 * 20 * 3];
    dt_resize_view view = {.x = whole(200, 64, 22), .y = whole(100, 32, 6), .n = 20};
    DT_REQUIRE(dt_resize_create(&r, NULL) == DT_OK);
    DT_REQUIRE(dt_resize_begin(r, &view, pixels, &needed, NULL) == DT_OK);
    DT_CHECK(needed.w >= 63 && needed.w <= 70);
    DT_CHECK(needed.h >= 63 && needed.h <= 70);
    DT_CHECK(needed.x >= 65 && needed.x <= 69);
    dt_resize_destroy(r);
}

/* /usr/bin/python3 -c '
 * from PIL import Image
 * im = Image.frombytes("RGB", (7, 5), bytes((i * i * 7 + i * 31) % 256 for i in range(105)))
 * print([list(im.resize((n, n), Image.BILINEAR).tobytes()) for n in (4, 2)])' */
static void results_equal_pils(void)
{
    static const uint8_t pil4[48] = {96,  128, 93,  131, 135, 158, 133, 143, 118, 122, 143, 151,
                                     150, 149, 85,  117, 118, 127, 134, 113, 140, 156, 120, 135,
                                     82,  182, 98,  136, 133, 114, 153, 69,  127, 149, 87,  132,
                                     65,  173, 134, 126, 150, 123, 189, 94,  105, 203, 135, 87},
                         pil2[12] = {123, 131, 118, 138, 128, 136, 111, 149, 117, 168, 100, 117};
    picture p = {7, 5, malloc(105)};
    for (int i = 0; i < 105; i++)
        p.pixels[i] = (uint8_t)((i * i * 7 + i * 31) % 256);
    uint8_t out[48];
    dt_resize_view view = {.x = whole(7, 4, 0), .y = whole(5, 4, 0), .n = 4};
    resize(&p, &view, 5, out);
    DT_CHECK(resize_exact_largest(out, pil4, 48) <= 1);
    view = (dt_resize_view){.x = whole(7, 2, 0), .y = whole(5, 2, 0), .n = 2};
    resize(&p, &view, 5, out);
    DT_CHECK(resize_exact_largest(out, pil2, 12) <= 1);
    free(p.pixels);
}

static void failed_allocations_are_reported_and_leak_nothing(void)
{
    dt_resize_view view = {.x = whole(200, 64, 22), .y = whole(100, 32, 6), .n = 20};
    uint8_t pixels[20 * 20 * 3];
    int64_t before = dt_alloc_live_blocks();
    for (int64_t n = 1;; n++) {
        dt_resize *r = NULL;
        dt_rect needed;
        dt_error err = {0};
        dt_alloc_fail_after(n);
        dt_status status = dt_resize_create(&r, &err);
        if (status == DT_OK)
            status = dt_resize_begin(r, &view, pixels, &needed, &err);
        dt_alloc_fail_after(0);
        dt_resize_destroy(r);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
        if (status == DT_OK) {
            DT_CHECK_INT(n, 10);
            break;
        }
        DT_CHECK_INT(status, DT_ERR_MEMORY);
    }
}

static const dt_test tests[] = {
    DT_TEST(results_equal_the_filters_to_within_one_level),
    DT_TEST(vectors_are_used_where_the_processor_has_them),
    DT_TEST(plain_c_and_vectors_give_the_same_bits),
    DT_TEST(a_flipped_result_is_the_mirrored_one),
    DT_TEST(the_same_size_changes_nothing),
    DT_TEST(a_flat_picture_stays_flat),
    DT_TEST(only_the_needed_part_of_the_source_is_read),
    DT_TEST(results_equal_pils),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
};
DT_TEST_MAIN("io/source/resize", tests)
