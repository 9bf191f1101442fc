/* Any bytes become UTF-8 and come back; valid UTF-8 stays. */
#include "core/base/alloc.h"
#include "core/base/utf8.h"
#include "tests/testing.h"

#include <stdint.h>
#include <string.h>

static void is_restored(const char *bytes)
{
    char *text = dt_utf8_escape(bytes), *again = text ? dt_utf8_unescape(text) : NULL;
    DT_CHECK(text && again);
    for (const char *c = text; *c; c += dt_utf8_character_bytes(c))
        DT_CHECK(dt_utf8_character_bytes(c) > 0);
    DT_CHECK_STR(again, bytes);
    dt_free(text);
    dt_free(again);
}

static void is_escaped_as(const char *bytes, const char *expected)
{
    char *text = dt_utf8_escape(bytes);
    DT_CHECK_STR(text, expected);
    dt_free(text);
    is_restored(bytes);
}

static void valid_utf8_stays(void)
{
    is_escaped_as("", "");
    is_escaped_as("runs/demo \"\\%\n\x7f", "runs/demo \"\\%\n\x7f");
    is_escaped_as("caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x90\x88 \xef\xbf\xbd",
                  "caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x90\x88 \xef\xbf\xbd");
}

static void other_bytes_become_private_characters(void)
{
    is_escaped_as("caf\xe9", "caf\xee\xbf\xa9");                           /* Latin-1 */
    is_escaped_as("\x80\xff", "\xee\xbe\x80\xee\xbf\xbf");                 /* the first and the last */
    is_escaped_as("a\xc3", "a\xee\xbf\x83");                               /* cut short */
    is_escaped_as("\xc0\xaf", "\xee\xbf\x80\xee\xbe\xaf");                 /* overlong */
    is_escaped_as("\xed\xa0\x80", "\xee\xbf\xad\xee\xbe\xa0\xee\xbe\x80"); /* a surrogate */
    is_escaped_as("\xee\xbf\xa9", "\xee\xbf\xae\xee\xbe\xbf\xee\xbe\xa9"); /* what an escape looks like */
}

static void valid_characters_are_recognised(void)
{
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {{"a", 1},
                 {"", 0},
                 {"\x7f", 1},
                 {"\x80", 0},
                 {"\xc1\xbf", 0},
                 {"\xc2\x80", 2},
                 {"\xe0\x9f\xbf", 0},
                 {"\xe0\xa0\x80", 3},
                 {"\xed\x9f\xbf", 3},
                 {"\xed\xa0\x80", 0},
                 {"\xee\x80\x80", 3},
                 {"\xef\xbf\xbf", 3},
                 {"\xef\xbf", 0},
                 {"\xf0\x8f\xbf\xbf", 0},
                 {"\xf0\x90\x80\x80", 4},
                 {"\xf4\x8f\xbf\xbf", 4},
                 {"\xf4\x90\x80\x80", 0},
                 {"\xf5\x80\x80\x80", 0},
                 {"\xf0\x90\x80", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        DT_CHECK_INT(dt_utf8_character_bytes(cases[i].text), cases[i].bytes);
}

static void random_bytes_are_restored(void)
{
    uint32_t state = 1;
    for (int i = 0; i < 20000; i++) {
        char bytes[12] = "";
        for (int k = 0; k < 11; k++) {
            state = state * 1664525U + 1013904223U;
            const unsigned lead[] = {0xEE, 0xBE, 0xBF, 0xED, 0xF0, 0x80};
            bytes[k] = (char)(state >> 30 ? lead[(state >> 20) % 6] : 1 + (state >> 20) % 255);
        }
        is_restored(bytes);
    }
}

static const dt_test tests[] = {
    DT_TEST(valid_utf8_stays),
    DT_TEST(other_bytes_become_private_characters),
    DT_TEST(valid_characters_are_recognised),
    DT_TEST(random_bytes_are_restored),
};

DT_TEST_MAIN("core/base/utf8", tests)
