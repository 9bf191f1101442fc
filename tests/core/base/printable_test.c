/* Texts from outside are made printable, for a terminal and for JSON. */
#include "core/base/printable.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void check_printable(const char *text, const char *expected)
{
    char out[256];
    DT_CHECK_INT(dt_printable(out, sizeof out, text), strlen(expected));
    DT_CHECK_STR(out, expected);
    char again[256];
    (void)dt_printable(again, sizeof again, out);
    DT_CHECK_STR(again, out); /* what is printable stays */
}

static void check_json(const char *text, const char *expected)
{
    char out[256];
    DT_CHECK_INT(dt_printable_json(out, sizeof out, text), strlen(expected));
    DT_CHECK_STR(out, expected);
}

static void letters_of_all_scripts_stay(void)
{
    check_printable("", "");
    check_printable("a b\\c \"d\" 100%", "a b\\c \"d\" 100%");
    check_printable("Äpfel, пример, 画像, صور, 🐱", "Äpfel, пример, 画像, صور, 🐱");
}

static void control_characters_become_their_bytes(void)
{
    check_printable("a\nb\r\tc", "a\\x0ab\\x0d\\x09c");
    check_printable("\x1b[31mred\x1b[0m\x07", "\\x1b[31mred\\x1b[0m\\x07");
    check_printable("\x01\x7f", "\\x01\\x7f");
    check_printable("\xc2\x9b"
                    "2J",
                    "\\xc2\\x9b2J"); /* C1: the CSI of 8-bit terminals */
    check_printable("\xc2\x85|\xc2\xa0|", "\\xc2\\x85|\xc2\xa0|");
}

static void what_is_not_utf8_becomes_its_bytes(void)
{
    check_printable("caf\xe9", "caf\\xe9");
    check_printable("\x9b"
                    "31m",
                    "\\x9b31m");
    check_printable("\xc0\x8a", "\\xc0\\x8a");                   /* an overlong line feed */
    check_printable("\xe0\x80\x8a", "\\xe0\\x80\\x8a");          /* another */
    check_printable("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
    check_printable("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
    check_printable("\xff\xfe", "\\xff\\xfe");
    check_printable("x\xe2\x80", "x\\xe2\\x80"); /* cut off at the end */
    check_printable("\xe2\x1b[A", "\\xe2\\x1b[A");
}

static void characters_that_are_not_seen_become_their_numbers(void)
{
    check_printable("a\u202egpj.exe", "a\\u{202e}gpj.exe");
    check_printable("\u2066\u2069\u200e\u061c", "\\u{2066}\\u{2069}\\u{200e}\\u{061c}");
    check_printable("a\u2028b\u2029c", "a\\u{2028}b\\u{2029}c");
    check_printable("c\u200bat\ufeff\u2060\u00ad", "c\\u{200b}at\\u{feff}\\u{2060}\\u{00ad}");
    check_printable("\U000e0041\ufe0f", "\\u{e0041}\\u{fe0f}");
}

/* UTF-8 of a code point below 0x110000. */
static void encode(uint32_t code, char out[5])
{
    const int n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    memset(out, 0, 5);
    for (int i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n] | code);
}

/* Unicode 15's Default_Ignorable_Code_Point, with U+2028 to U+202E and U+FFF9 to U+FFFB: the characters at
 * the ends of each range, and those beside it. */
static void the_ranges_of_unseen_characters_are_unicodes(void)
{
    static const uint32_t ranges[][2] = {
        {0xad, 0xad},       {0x34f, 0x34f},    {0x61c, 0x61c},   {0x115f, 0x1160}, {0x17b4, 0x17b5},
        {0x180b, 0x180f},   {0x200b, 0x200f},  {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},
        {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},  {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3},
        {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (uint32_t code = ranges[i][0] - 1; code <= ranges[i][1] + 1;
             code += code == ranges[i][0] && ranges[i][1] > code + 1 ? ranges[i][1] - code : 1) {
            char text[5], expected[32], json[32];
            const bool unseen = code >= ranges[i][0] && code <= ranges[i][1];
            encode(code, text);
            snprintf(expected, sizeof expected, "\\u{%04x}", (unsigned)code);
            check_printable(text, unseen ? expected : text);
            if (code > 0xffff)
                snprintf(json, sizeof json, "\\u%04x\\u%04x", 0xd800U + ((code - 0x10000) >> 10),
                         0xdc00U + (code & 0x3ff));
            else
                snprintf(json, sizeof json, "\\u%04x", (unsigned)code);
            check_json(text, unseen ? json : text);
        }
}

static void a_small_buffer_holds_whole_escapes_only(void)
{
    char out[8];
    DT_CHECK_INT(dt_printable(NULL, 0, "a\x1b\xc3\xa4"), 7);
    DT_CHECK_INT(dt_printable(out, 5, "a\x1b\xc3\xa4"), 7);
    DT_CHECK_STR(out, "a");
    DT_CHECK_INT(dt_printable(out, 7, "a\x1b\xc3\xa4"), 7);
    DT_CHECK_STR(out, "a\\x1b");
    DT_CHECK_INT(dt_printable(out, 8, "a\x1b\xc3\xa4"), 7);
    DT_CHECK_STR(out, "a\\x1b\xc3\xa4");
    DT_CHECK_INT(dt_printable(out, 1, "a"), 1);
    DT_CHECK_STR(out, "");
    DT_CHECK_INT(dt_printable(out, 4, "a\x1b" /* does not fit */ "b"), 6);
    DT_CHECK_STR(out, "a"); /* nothing after what is left out */
}

static void json_keeps_all_that_it_can_hold(void)
{
    check_json("a\"b\\c", "a\\\"b\\\\c");
    check_json("Äpfel 🐱", "Äpfel 🐱");
    check_json("a\n\x1b\x7f\xc2\x9b", "a\\u000a\\u001b\\u007f\\u009b");
    check_json("a\u202eb\u2028", "a\\u202eb\\u2028");
    check_json("\U000e0041", "\\udb40\\udc41");
    check_json("caf\xe9", "caf\\\\xe9");
}

static void a_copy_is_as_long_as_the_text_needs(void)
{
    char text[5000];
    memset(text, '\n', sizeof text);
    text[sizeof text - 1] = '\0';
    char *copy = dt_printable_copy(text);
    DT_REQUIRE(copy != NULL);
    DT_CHECK_INT(strlen(copy), 4 * (sizeof text - 1));
    dt_free(copy);
    dt_alloc_fail_after(1);
    DT_CHECK(dt_printable_copy("a") == NULL);
    dt_alloc_fail_after(0);
}

static const dt_test tests[] = {
    DT_TEST(letters_of_all_scripts_stay),
    DT_TEST(control_characters_become_their_bytes),
    DT_TEST(what_is_not_utf8_becomes_its_bytes),
    DT_TEST(characters_that_are_not_seen_become_their_numbers),
    DT_TEST(the_ranges_of_unseen_characters_are_unicodes),
    DT_TEST(a_small_buffer_holds_whole_escapes_only),
    DT_TEST(json_keeps_all_that_it_can_hold),
    DT_TEST(a_copy_is_as_long_as_the_text_needs),
};
DT_TEST_MAIN("core/base/printable", tests)
