#include "core/base/utf8.h"

#include "core/base/alloc.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* U+EF80 to U+EFFF in UTF-8: EE BE 80 to EE BF BF. */
enum { ESCAPE_BYTES = 3 };

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

size_t dt_utf8_character_bytes(const char *s)
{
    const unsigned char *c = (const unsigned char *)s;
    if (c[0] < 0x80)
        return c[0] ? 1 : 0;
    if (c[0] < 0xC2 || c[0] > 0xF4 || !is_continuation(c[1]))
        return 0;
    if (c[0] < 0xE0)
        return 2;
    if (!is_continuation(c[2]))
        return 0;
    if (c[0] < 0xF0) {
        const bool is_overlong = c[0] == 0xE0 && c[1] < 0xA0, is_surrogate = c[0] == 0xED && c[1] >= 0xA0;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    const bool is_overlong = c[0] == 0xF0 && c[1] < 0x90, is_too_large = c[0] == 0xF4 && c[1] >= 0x90;
    return is_overlong || is_too_large || !is_continuation(c[3]) ? 0 : 4;
}

/* Whether the valid character `s` of three bytes is one that stands for a byte. */
static bool is_escape(const char *s, size_t bytes)
{
    return bytes == ESCAPE_BYTES && (unsigned char)s[0] == 0xEE && ((unsigned char)s[1] & 0xFE) == 0xBE;
}

char *dt_utf8_escape(const char *bytes)
{
    char *text = dt_alloc(ESCAPE_BYTES * strlen(bytes) + 1), *to = text;
    if (!text)
        return NULL;
    while (*bytes) {
        const size_t n = dt_utf8_character_bytes(bytes);
        if (n && !is_escape(bytes, n)) {
            memcpy(to, bytes, n);
            to += n;
            bytes += n;
            continue;
        }
        for (size_t i = 0; i < (n ? n : 1); i++, bytes++) {
            const unsigned char byte = (unsigned char)*bytes;
            *to++ = (char)0xEE;
            *to++ = (char)(0xBC | byte >> 6);
            *to++ = (char)(0x80 | (byte & 0x3F));
        }
    }
    *to = '\0';
    return text;
}

char *dt_utf8_unescape(const char *text)
{
    char *bytes = dt_alloc(strlen(text) + 1), *to = bytes;
    if (!bytes)
        return NULL;
    while (*text) {
        const size_t n = dt_utf8_character_bytes(text), step = n ? n : 1;
        if (is_escape(text, n)) {
            *to++ = (char)((unsigned char)text[1] << 6 | ((unsigned char)text[2] & 0x3F));
        } else {
            memcpy(to, text, step);
            to += step;
        }
        text += step;
    }
    *to = '\0';
    return bytes;
}
