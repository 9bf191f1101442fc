/* Decoding of windows: the bits of a whole decode, for every kind of JPEG; and every kind of broken file. */
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

/* Decode a window into out[h][w][3]. */
static dt_status decode(const uint8_t *bytes, size_t n_bytes, int shrink, dt_rect window, bool check_rest,
                        uint8_t *out, dt_error *err)
{
    int64_t width, height, n_rows, n = 0;
    uint8_t *const *rows;
    DT_TRY(dt_jpeg_open(decoder, bytes, n_bytes, &width, &height, err));
    DT_TRY(dt_jpeg_begin(decoder, shrink, window, err));
    while (n < window.h) {
        DT_TRY(dt_jpeg_rows(decoder, &rows, &n_rows, err));
        for (int64_t i = 0; i < n_rows; i++)
            memcpy(out + (n + i) * window.w * 3, rows[i], (size_t)window.w * 3);
        n += n_rows;
    }
    return dt_jpeg_end(decoder, check_rest, err);
}

/* Whether the file decodes as a whole, checked to its end; the error's message is kept in `message`. */
static char message[DT_ERROR_MESSAGE_BYTES];

static dt_status decode_all(const uint8_t *bytes, size_t n_bytes)
{
    dt_error err = {0};
    int64_t width = 0, height = 0;
    dt_status status = dt_jpeg_open(decoder, bytes, n_bytes, &width, &height, &err);
    if (status == DT_OK) {
        uint8_t *out = malloc((size_t)(width * height * 3));
        status = decode(bytes, n_bytes, 1, (dt_rect){.w = width, .h = height}, true, out, &err);
        free(out);
    }
    DT_CHECK_INT(err.status, status);
    memcpy(message, err.message, sizeof message);
    return status;
}

/* PIL's CMYK to RGB, written down a second time: libImaging's cmyk2rgb on inverted values, division rounded
 * to nearest. */
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
        DT_REQUIRE_MSG(decode(bytes, n_bytes, shrink, r, k % 2, out, &err) == DT_OK, "%s: %s", what,
                       err.message);
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

static const struct {
    const char *name;
    jpeg_kit_recipe recipe;
} kinds[] = {
    {"4:4:4", {.width = 97, .height = 83}},
    {"4:2:2", {.width = 97, .height = 83, .h_samp = 2}},
    {"4:2:0", {.width = 97, .height = 83, .h_samp = 2, .v_samp = 2}},
    {"4:4:0", {.width = 97, .height = 83, .v_samp = 2}},
    {"4:1:1", {.width = 131, .height = 83, .h_samp = 4}},
    {"4:1:0", {.width = 131, .height = 83, .h_samp = 4, .v_samp = 2}},
    {"4:2:0 progressive", {.width = 97, .height = 83, .h_samp = 2, .v_samp = 2, .progressive = true}},
    {"4:4:4 progressive", {.width = 97, .height = 83, .progressive = true}},
    {"4:2:0 with restarts", {.width = 97, .height = 83, .h_samp = 2, .v_samp = 2, .restart_rows = 1}},
    {"grey", {.width = 97, .height = 83, .colour = JPEG_KIT_GREY}},
    {"grey sampled 2x2", {.width = 97, .height = 83, .colour = JPEG_KIT_GREY, .h_samp = 2, .v_samp = 2}},
    {"RGB", {.width = 97, .height = 83, .colour = JPEG_KIT_RGB}},
    {"CMYK", {.width = 97, .height = 83, .colour = JPEG_KIT_CMYK}},
    {"YCCK", {.width = 97, .height = 83, .colour = JPEG_KIT_YCCK}},
    {"YCCK 4:2:0", {.width = 97, .height = 83, .colour = JPEG_KIT_YCCK, .h_samp = 2, .v_samp = 2}},
    {"one pixel", {.width = 1, .height = 1, .h_samp = 2, .v_samp = 2}},
    {"3x500", {.width = 3, .height = 500, .h_samp = 2, .v_samp = 2}},
    {"500x3", {.width = 500, .height = 3, .h_samp = 2, .v_samp = 2}},
    {"wide 4:2:0", {.width = 401, .height = 40, .h_samp = 2, .v_samp = 2, .quality = 50}},
};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

static void windows_have_the_bits_of_a_whole_decode(void)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        jpeg_kit_recipe recipe = kinds[i].recipe;
        recipe.seed = i + 1;
        size_t n_bytes;
        uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
        for (int shrink = 1; shrink <= 8; shrink *= 2)
            check_windows(bytes, n_bytes, shrink, kinds[i].name);
        free(bytes);
    }
}

static void the_header_tells_the_size(void)
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

static void asking_for_a_row_too_many_is_an_error(void)
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
    jpeg_kit_recipe recipe = {.width = 31, .height = 32};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), out[16 * 16 * 3];
    dt_error err = {0};
    DT_CHECK_INT(decode(bytes, n_bytes, 2, (dt_rect){.w = 16, .h = 16}, true, out, &err), DT_OK);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        DT_CHECK_INT(decode(bytes, n_bytes, 2, windows[i], true, out, &err), DT_ERR_INTERNAL);
        DT_CHECK_CONTAINS(err.message, "is not inside an image of 16 x 16");
    }
    free(bytes);
}

static void every_kind_of_cut_off_file_is_broken(void)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        jpeg_kit_recipe recipe = kinds[i].recipe;
        size_t n_bytes;
        uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
        DT_CHECK_MSG(decode_all(bytes, n_bytes) == DT_OK, "%s: %s", kinds[i].name, message);
        for (int part = 0; part <= 20; part++) {
            size_t n = part == 20 ? n_bytes - 2 : n_bytes * (size_t)part / 20;
            DT_CHECK_MSG(decode_all(bytes, n) == DT_ERR_FORMAT, "%s: %zu of %zu bytes decode", kinds[i].name,
                         n, n_bytes);
        }
        free(bytes);
    }
}

/* Damage below the window is found when the rest is checked, and only then. */
static void the_rest_is_checked_on_demand(void)
{
    jpeg_kit_recipe recipe = {.width = 200, .height = 200, .h_samp = 2, .v_samp = 2};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), out[20 * 20 * 3];
    dt_rect top = {.w = 20, .h = 20};
    dt_error err = {0};
    size_t cut = n_bytes * 3 / 4;
    DT_CHECK_INT(decode(bytes, cut, 1, top, false, out, &err), DT_OK);
    DT_CHECK_INT(decode(bytes, cut, 1, top, true, out, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "remature end");
    free(bytes);
}

static void surplus_bytes_are_no_damage(void)
{
    jpeg_kit_recipe recipe = {.width = 60, .height = 60};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), *longer = malloc(n_bytes + 100);
    memcpy(longer, bytes, n_bytes);
    memset(longer + n_bytes, 0x5a, 100);
    DT_CHECK_INT(decode_all(longer, n_bytes + 100), DT_OK);
    memset(longer + n_bytes - 2, 0, 10); /* zeros between the data and the end marker */
    memcpy(longer + n_bytes + 8, bytes + n_bytes - 2, 2);
    DT_CHECK_INT(decode_all(longer, n_bytes + 10), DT_OK);
    free(longer);
    free(bytes);
}

static void other_kinds_of_files_are_named(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *words;
    } files[] = {
        {"", 0, "the file is empty"},
        {"\x89PNG\r\n\x1a\n", 8, "it is PNG"},
        {"GIF89a", 6, "it is GIF"},
        {"RIFF\1\2\3\4WEBPVP8 ", 16, "it is WebP"},
        {"BM\1\2\3\4", 6, "it is BMP"},
        {"hello, this is no picture\n", 26, "it is text"},
        {"<!DOCTYPE html>", 15, "it is HTML"},
        {"\0\0\0\0", 4, "begins with bytes 0x00 0x00"},
        {"\xff", 1, "begins with bytes 0xff 0x00"},
        {"\xff\xd8", 2, "remature end"},
        {"\xff\xd8\xff\xd9", 4, "Not a JPEG file"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        DT_CHECK_MSG(decode_all((const uint8_t *)files[i].bytes, files[i].n) == DT_ERR_FORMAT, "file %zu", i);
        if (i != 10) /* the library's own words */
            DT_CHECK_CONTAINS(message, files[i].words);
    }
}

/* The place of the start-of-frame segment: marker, 2 bytes length, 1 precision, 2 height, 2 width, 1
 * components. */
static uint8_t *frame_of(uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 2; i + 9 < n_bytes; i++)
        if (bytes[i] == 0xff && (bytes[i + 1] == 0xc0 || bytes[i + 1] == 0xc2))
            return bytes + i;
    return NULL;
}

static void absurd_sizes_are_refused_before_memory_is_taken(void)
{
    static const struct {
        uint8_t size[4]; /* height, width */
        const char *words;
    } claims[] = {
        {{0xff, 0xdc, 0xff, 0xdc}, "65500 x 65500 pixels, more than the 178 million"},
        {{0x27, 0x10, 0x27, 0x10}, "10000 x 10000 pixels, which"},
        {{0, 0, 0, 16}, ""},
        {{0, 16, 0, 0}, ""},
    };
    for (size_t i = 0; i < 4; i++) {
        jpeg_kit_recipe recipe = {.width = 16, .height = 16, .progressive = i % 2};
        size_t n_bytes;
        uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
        memcpy(frame_of(bytes, n_bytes) + 5, claims[i].size, 4);
        dt_error err = {0};
        int64_t width = -1, height = -1;
        DT_CHECK_INT(dt_jpeg_open(decoder, bytes, n_bytes, &width, &height, &err), DT_ERR_FORMAT);
        DT_CHECK_CONTAINS(err.message, claims[i].words);
        DT_CHECK_INT(width, -1);
        free(bytes);
    }
}

static void kinds_that_nobody_reads_are_unsupported(void)
{
    jpeg_kit_recipe recipe = {.width = 16, .height = 16};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), *frame = frame_of(bytes, n_bytes);
    frame[4] = 12; /* bits */
    DT_CHECK_INT(decode_all(bytes, n_bytes), DT_ERR_UNSUPPORTED);
    frame[4] = 8;
    frame[1] = 0xc3; /* lossless */
    DT_CHECK_INT(decode_all(bytes, n_bytes), DT_ERR_UNSUPPORTED);
    free(bytes);
}

/* A progressive file whose last scan is repeated a thousand times. */
static void endless_scans_are_refused(void)
{
    jpeg_kit_recipe recipe = {.width = 64, .height = 64, .colour = JPEG_KIT_GREY, .progressive = true};
    size_t n_bytes, last = 0;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    for (size_t i = 2; i + 1 < n_bytes; i++)
        if (bytes[i] == 0xff && (bytes[i + 1] == 0xc4 || bytes[i + 1] == 0xda) &&
            (bytes[i + 1] == 0xc4 || bytes[last + 1] != 0xc4 || last + 300 < i))
            last = i;
    size_t scan_bytes = n_bytes - 2 - last;
    uint8_t *longer = malloc(n_bytes + 1000 * scan_bytes), *end = longer + last;
    memcpy(longer, bytes, last);
    for (int i = 0; i < 1000; i++, end += scan_bytes)
        memcpy(end, bytes + last, scan_bytes);
    memcpy(end, bytes + n_bytes - 2, 2);
    DT_CHECK_INT(decode_all(longer, (size_t)(end + 2 - longer)), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(message, "more than 128 scans");
    free(longer);
    free(bytes);
}

static void a_decoder_is_as_good_as_new_after_a_broken_file(void)
{
    jpeg_kit_recipe recipe = {.width = 120, .height = 90, .h_samp = 2, .v_samp = 2, .progressive = true};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), *first = malloc(120 * 90 * 3),
            *again = malloc(120 * 90 * 3);
    dt_rect whole = {.w = 120, .h = 90};
    dt_error err;
    DT_REQUIRE(decode(bytes, n_bytes, 1, whole, true, first, &err) == DT_OK);
    int64_t before = dt_alloc_live_blocks();
    for (size_t n = 0; n < n_bytes; n += n_bytes / 97 + 1) {
        DT_CHECK(decode_all(bytes, n) != DT_OK);
        memset(again, 0, 120 * 90 * 3);
        DT_CHECK_INT(decode(bytes, n_bytes, 1, whole, true, again, &err), DT_OK);
        DT_CHECK_BYTES(again, first, 120 * 90 * 3);
    }
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
    free(again);
    free(first);
    free(bytes);
}

/* A file without Huffman tables (frames of Motion JPEG are such) is decoded with the standard ones, not with
 * those of the file before. */
static void a_file_is_decoded_the_same_whatever_came_before(void)
{
    jpeg_kit_recipe recipe = {.width = 40, .height = 40},
                    other = {.width = 40, .height = 40, .quality = 30, .progressive = true};
    size_t n_bytes, n_other, n = 0;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), *before = jpeg_kit_encode(&other, &n_other),
            *bare = malloc(n_bytes);
    static uint8_t whole[40 * 40 * 3], after[40 * 40 * 3];
    dt_rect all = {.w = 40, .h = 40};
    dt_error err = {0};
    for (size_t i = 0; i < n_bytes;) { /* leave out the DHT segments; those before the data have lengths */
        bool segment = i >= 2;
        size_t length = segment ? 2 + (size_t)bytes[i + 2] * 256 + bytes[i + 3] : 2;
        bool last = segment && bytes[i + 1] == 0xda;
        if (last)
            length = n_bytes - i;
        if (!(segment && bytes[i + 1] == 0xc4)) {
            memcpy(bare + n, bytes + i, length);
            n += length;
        }
        i += length;
    }
    DT_REQUIRE(n < n_bytes);
    DT_REQUIRE(decode(bytes, n_bytes, 1, all, true, whole, &err) == DT_OK);
    DT_REQUIRE(decode_all(before, n_other) == DT_OK);
    DT_CHECK_MSG(decode(bare, n, 1, all, true, after, &err) == DT_OK, "%s", err.message);
    DT_CHECK_BYTES(after, whole, sizeof whole);
    free(bare);
    free(before);
    free(bytes);
}

static void odd_files_are_as_their_readme_says(void)
{
    static const char *const whole[] = {
        "plain-420", "plain-444",   "plain-422",   "progressive",        "grey",         "cmyk",
        "one-pixel", "thin-3x2000", "wide-2000x3", "exif-orientation-6", "exif-garbage", "trailing-garbage"};
    static const char *const broken[][2] = {{"png-inside", "PNG"},
                                            {"gif-inside", "GIF"},
                                            {"truncated-60", "remature end"},
                                            {"header-only", "remature"},
                                            {"empty", "empty"},
                                            {"text", "text"},
                                            {"bit-rot", ""},
                                            {"zero-size", ""},
                                            {"bomb-65500x65500", "65500 x 65500"}};
    if (!dt_test_shared_data("odd-jpegs"))
        DT_SKIP("no shared data: odd-jpegs");
    for (size_t i = 0; i < sizeof whole / sizeof whole[0] + sizeof broken / sizeof broken[0]; i++) {
        bool expect_whole = i < sizeof whole / sizeof whole[0];
        const char *const *entry = expect_whole ? NULL : broken[i - sizeof whole / sizeof whole[0]];
        const char *name = dt_test_path("odd-jpegs/%s.jpg", entry ? entry[0] : whole[i]);
        const char *path = dt_test_shared_data(name);
        DT_REQUIRE_MSG(path != NULL, "%s is missing", name);
        size_t n_bytes;
        char *bytes = dt_test_read_file(path, &n_bytes);
        DT_REQUIRE(bytes != NULL);
        DT_CHECK_MSG(decode_all((uint8_t *)bytes, n_bytes) == (expect_whole ? DT_OK : DT_ERR_FORMAT),
                     "%s: %s", name, message);
        if (entry)
            DT_CHECK_CONTAINS(message, entry[1]);
        free(bytes);
    }
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
    DT_TEST(the_header_tells_the_size),
    DT_TEST(asking_for_a_row_too_many_is_an_error),
    DT_TEST(a_window_outside_the_image_is_an_error),
    DT_TEST(every_kind_of_cut_off_file_is_broken),
    DT_TEST(the_rest_is_checked_on_demand),
    DT_TEST(surplus_bytes_are_no_damage),
    DT_TEST(other_kinds_of_files_are_named),
    DT_TEST(absurd_sizes_are_refused_before_memory_is_taken),
    DT_TEST(kinds_that_nobody_reads_are_unsupported),
    DT_TEST(endless_scans_are_refused),
    DT_TEST(a_decoder_is_as_good_as_new_after_a_broken_file),
    DT_TEST(a_file_is_decoded_the_same_whatever_came_before),
    DT_TEST(odd_files_are_as_their_readme_says),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
};
DT_TEST_MAIN("io/jpeg", tests)
