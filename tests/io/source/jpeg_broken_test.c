/* Files that are no JPEG, or broken, or odd. */
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

static char message[DT_ERROR_MESSAGE_BYTES]; /* of the last decode_all */

/* Decode all pixels of a file, and check it to its end. */
static dt_status decode_all(const uint8_t *bytes, size_t n_bytes)
{
    dt_error err = {0};
    int64_t width = 0, height = 0;
    dt_status status = dt_jpeg_open(decoder, bytes, n_bytes, &width, &height, &err);
    if (status == DT_OK) {
        uint8_t *out = malloc((size_t)(width * height * 3));
        status =
            jpeg_kit_window(decoder, bytes, n_bytes, 1, (dt_rect){.w = width, .h = height}, true, out, &err);
        free(out);
    }
    DT_CHECK_INT(err.status, status);
    memcpy(message, err.message, sizeof message);
    return status;
}

static void a_file_cut_anywhere_is_broken(void)
{
    for (size_t i = 0; i < JPEG_KIT_KINDS; i++) {
        jpeg_kit_recipe recipe = jpeg_kit_kinds[i].recipe;
        size_t n_bytes;
        uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
        DT_CHECK_MSG(decode_all(bytes, n_bytes) == DT_OK, "%s: %s", jpeg_kit_kinds[i].name, message);
        for (int part = 0; part <= 20; part++) {
            size_t n = part == 20 ? n_bytes - 2 : n_bytes * (size_t)part / 20;
            DT_CHECK_MSG(decode_all(bytes, n) == DT_ERR_FORMAT, "%s: %zu of %zu bytes decode",
                         jpeg_kit_kinds[i].name, n, n_bytes);
        }
        free(bytes);
    }
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

/* The library warns of both and knows what to do. */
static void unknown_versions_and_colour_transforms_are_no_damage(void)
{
    const jpeg_kit_recipe recipe = {.width = 60, .height = 60};
    static const char adobe[] = "\xff\xee\0\x0e"
                                "Adobe\0\x64\0\0\0\0\3"; /* transform 3; 1 is YCC */
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    DT_REQUIRE(memcmp(bytes + 6, "JFIF", 5) == 0 && bytes[11] == 1);
    bytes[11] = 2;
    DT_CHECK_MSG(decode_all(bytes, n_bytes) == DT_OK, "%s", message);
    bytes[2] = 0xff; /* the Adobe segment of 16 bytes replaces the JFIF one of 18 */
    bytes[3] = 0xd8;
    memcpy(bytes + 4, adobe, 16);
    DT_CHECK_MSG(decode_all(bytes + 2, n_bytes - 2) == DT_OK, "%s", message);
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
        {"II*\0\1\2\3\4", 8, "it is TIFF"},
        {"MM\0*\1\2\3\4", 8, "it is TIFF"},
        {"\0\0\0\x1c"
         "ftypavif",
         12, "it is AVIF"},
        {"\0\0\0\x1c"
         "ftypheic",
         12, "it is HEIF"},
        {"\0\0\0\x0cjP  ", 8, "it is JPEG 2000"},
        {"\x1f\x8b\x08", 3, "it is gzip data"},
        {"<html>", 6, "it is HTML"},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\1", 65, "it is text"},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\1", 64, "with bytes 0x30 0x31"},
        {"hello, this is no picture\n", 26, "it is text"},
        {"<!DOCTYPE html>", 15, "it is HTML"},
        {"\0\0\0\0", 4, "begins with bytes 0x00 0x00"},
        {"\xff", 1, "begins with bytes 0xff 0x00"},
        {"\xff\xd8", 2, "remature end"},
        {"\xff\xd8\xff\xd9", 4, "Not a JPEG file"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        DT_CHECK_MSG(decode_all((const uint8_t *)files[i].bytes, files[i].n) == DT_ERR_FORMAT, "file %zu", i);
        if (i + 1 < sizeof files / sizeof files[0]) /* the last one: the library's own words */
            DT_CHECK_CONTAINS(message, files[i].words);
    }
}

/* The start-of-frame segment: marker, 2 bytes length, 1 precision, 2 height, 2 width, 1
 * components. */
static uint8_t *frame_of(uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 2; i + 9 < n_bytes; i++)
        if (bytes[i] == 0xff && (bytes[i + 1] == 0xc0 || bytes[i + 1] == 0xc2))
            return bytes + i;
    return NULL;
}

static void absurd_sizes_are_refused_before_memory_is_allocated(void)
{
    static const struct {
        uint8_t size[4]; /* height, width */
        const char *words;
    } claims[] = {
        {{0xff, 0xdc, 0xff, 0xdc}, "65500 x 65500 pixels, more than the limit of 178 million"},
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

/* Open a file of 64 x 64 pixels that claims this size, with bytes after its end up to n_bytes. */
static dt_status open_claim(int height, int width, size_t n_bytes, int marker)
{
    const jpeg_kit_recipe recipe = {.width = 64, .height = 64, .colour = JPEG_KIT_GREY, .quality = 50};
    size_t n;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n), *frame = frame_of(bytes, n);
    dt_error err = {0};
    int64_t w, h;
    DT_REQUIRE(n <= n_bytes && (bytes = realloc(bytes, n_bytes)) != NULL);
    memset(bytes + n, 0, n_bytes - n);
    frame = frame_of(bytes, n);
    frame[1] = (uint8_t)marker;
    const uint8_t size[4] = {(uint8_t)(height >> 8), (uint8_t)height, (uint8_t)(width >> 8), (uint8_t)width};
    memcpy(frame + 5, size, 4);
    dt_status status = dt_jpeg_open(decoder, bytes, n_bytes, &w, &h, &err);
    memcpy(message, err.message, sizeof message);
    free(bytes);
    return status;
}

/* One bit for each block of 8 x 8 pixels: 2,048 bytes hold 1,024 x 1,024 pixels. Arithmetic coding can do
 * with less. 3277 x 54610 pixels are the limit. */
static void sizes_are_accepted_up_to_the_limits(void)
{
    DT_CHECK_MSG(open_claim(1024, 1024, 2048, 0xc0) == DT_OK, "%s", message);
    DT_CHECK_INT(open_claim(1024, 1024, 2047, 0xc0), DT_ERR_FORMAT);
    DT_CHECK_STR(message, "its header claims 1024 x 1024 pixels, which 2047 bytes cannot hold");
    DT_CHECK_MSG(open_claim(1024, 1024, 2047, 0xc9) == DT_OK, "%s", message);
    DT_CHECK_INT(open_claim(54610, 3277, 2048, 0xc0), DT_ERR_FORMAT);
    DT_CHECK_STR(message, "its header claims 3277 x 54610 pixels, which 2048 bytes cannot hold");
    DT_CHECK_INT(open_claim(54610, 3278, 2048, 0xc0), DT_ERR_FORMAT);
    DT_CHECK_STR(message, "its header claims 3278 x 54610 pixels, more than the limit of 178 million");
}

static void lossless_and_12_bit_files_are_unsupported(void)
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

static int count_scans(const uint8_t *bytes, size_t n_bytes)
{
    int n = 0;
    for (size_t i = 0; i + 1 < n_bytes; i++)
        n += bytes[i] == 0xff && bytes[i + 1] == 0xda;
    return n;
}

/* A progressive file whose last scan is repeated, up to 128 scans, 129, and a thousand times. */
static void files_of_more_than_128_scans_are_refused(void)
{
    jpeg_kit_recipe recipe = {.width = 64, .height = 64, .colour = JPEG_KIT_GREY, .progressive = true};
    size_t n_bytes, last = 0;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    for (size_t i = 2; i + 1 < n_bytes; i++)
        if (bytes[i] == 0xff && (bytes[i + 1] == 0xc4 || bytes[i + 1] == 0xda) &&
            (bytes[i + 1] == 0xc4 || bytes[last + 1] != 0xc4 || last + 300 < i))
            last = i;
    size_t scan_bytes = n_bytes - 2 - last;
    DT_REQUIRE(count_scans(bytes + last, scan_bytes) == 1);
    const int n_before = count_scans(bytes, last), repeats[] = {128 - n_before, 129 - n_before, 1000};
    for (int k = 0; k < 3; k++) {
        uint8_t *longer = malloc(n_bytes + 1000 * scan_bytes), *end = longer + last;
        memcpy(longer, bytes, last);
        for (int i = 0; i < repeats[k]; i++, end += scan_bytes)
            memcpy(end, bytes + last, scan_bytes);
        memcpy(end, bytes + n_bytes - 2, 2);
        const dt_status status = decode_all(longer, (size_t)(end + 2 - longer));
        DT_CHECK_MSG(status == (k == 0 ? DT_OK : DT_ERR_FORMAT), "%d: %s", k, message);
        if (k > 0)
            DT_CHECK_STR(message, "more than 128 scans");
        free(longer);
    }
    free(bytes);
}

static void a_broken_file_leaves_no_trace_in_the_decoder(void)
{
    jpeg_kit_recipe recipe = {.width = 120, .height = 90, .h_samp = 2, .v_samp = 2, .progressive = true};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes), *first = malloc(120 * 90 * 3),
            *again = malloc(120 * 90 * 3);
    dt_rect whole = {.w = 120, .h = 90};
    dt_error err;
    DT_REQUIRE(jpeg_kit_window(decoder, bytes, n_bytes, 1, whole, true, first, &err) == DT_OK);
    int64_t before = dt_alloc_live_blocks();
    for (size_t n = 0; n < n_bytes; n += n_bytes / 97 + 1) {
        DT_CHECK(decode_all(bytes, n) != DT_OK);
        memset(again, 0, 120 * 90 * 3);
        DT_CHECK_INT(jpeg_kit_window(decoder, bytes, n_bytes, 1, whole, true, again, &err), DT_OK);
        DT_CHECK_BYTES(again, first, 120 * 90 * 3);
    }
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
    free(again);
    free(first);
    free(bytes);
}

/* A file without Huffman tables (a frame of Motion JPEG) is decoded with the standard ones, not with those of
 * the file before. */
static void a_file_without_huffman_tables_does_not_use_those_of_the_last(void)
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
    DT_REQUIRE(jpeg_kit_window(decoder, bytes, n_bytes, 1, all, true, whole, &err) == DT_OK);
    DT_REQUIRE(decode_all(before, n_other) == DT_OK);
    DT_CHECK_MSG(jpeg_kit_window(decoder, bare, n, 1, all, true, after, &err) == DT_OK, "%s", err.message);
    DT_CHECK_BYTES(after, whole, sizeof whole);
    free(bare);
    free(before);
    free(bytes);
}

static void odd_files_are_read_or_refused_as_their_readme_says(void)
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

static const dt_test tests[] = {
    DT_TEST(a_file_cut_anywhere_is_broken),
    DT_TEST(surplus_bytes_are_no_damage),
    DT_TEST(unknown_versions_and_colour_transforms_are_no_damage),
    DT_TEST(other_kinds_of_files_are_named),
    DT_TEST(absurd_sizes_are_refused_before_memory_is_allocated),
    DT_TEST(lossless_and_12_bit_files_are_unsupported),
    DT_TEST(sizes_are_accepted_up_to_the_limits),
    DT_TEST(files_of_more_than_128_scans_are_refused),
    DT_TEST(a_broken_file_leaves_no_trace_in_the_decoder),
    DT_TEST(a_file_without_huffman_tables_does_not_use_those_of_the_last),
    DT_TEST(odd_files_are_read_or_refused_as_their_readme_says),
};
DT_TEST_MAIN("io/source/jpeg_broken", tests)
