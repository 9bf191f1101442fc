#include "core/base/printable.h"

#include "core/base/alloc.h"
#include "core/base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One character of a text. */
typedef struct character {
    uint32_t code; /* the code point; a byte that is not UTF-8: its value */
    int n_bytes;
    bool is_utf8;
} character;

/* A form of writing what must not be printed. */
typedef struct form {
    bool (*is_plain)(uint32_t code); /* whether a character of UTF-8 stays */
    int (*escape)(char out[32], const char *text, const character *c);
} form;

/* -- characters ------------------------------------------------------------------------------------------ */

/* Reads the first character of a text that is not empty. */
static character character_at(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    const int n = (int)dt_utf8_character_bytes(text);
    if (n <= 1)
        return (character){.code = p[0], .n_bytes = 1, .is_utf8 = n == 1};
    uint32_t code = p[0] & (0x7fU >> n);
    for (int i = 1; i < n; i++)
        code = code << 6 | (p[i] & 0x3fU);
    return (character){.code = code, .n_bytes = n, .is_utf8 = true};
}

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* Unicode's Default_Ignorable_Code_Point, its marks of direction, and the separators of lines and paragraphs.
 * */
static bool is_unseen(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c}, {0x115f, 0x1160}, {0x17b4, 0x17b5},
        {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},
        {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3},
        {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return true;
    return false;
}

/* -- the forms ------------------------------------------------------------------------------------------- */

static bool is_plain(uint32_t code)
{
    return !is_control(code) && !is_unseen(code);
}

static bool is_plain_in_json(uint32_t code)
{
    return is_plain(code) && code != '"' && code != '\\';
}

static int escape(char out[32], const char *text, const character *c)
{
    int n = 0;
    if (c->is_utf8 && !is_control(c->code))
        return snprintf(out, 32, "\\u{%04x}", (unsigned)c->code);
    for (int i = 0; i < c->n_bytes; i++)
        n += snprintf(out + n, 32 - (size_t)n, "\\x%02x", (unsigned)(unsigned char)text[i]);
    return n;
}

static int escape_in_json(char out[32], const char *text, const character *c)
{
    (void)text;
    if (!c->is_utf8)
        return snprintf(out, 32, "\\\\x%02x", (unsigned)c->code);
    if (c->code == '"' || c->code == '\\')
        return snprintf(out, 32, "\\%c", (int)c->code);
    if (c->code <= 0xffff)
        return snprintf(out, 32, "\\u%04x", (unsigned)c->code);
    const unsigned above = c->code - 0x10000; /* UTF-16's surrogates */
    return snprintf(out, 32, "\\u%04x\\u%04x", 0xd800 + (above >> 10), 0xdc00 + (above & 0x3ff));
}

static size_t write_form(const form *f, char *out, size_t bytes, const char *text)
{
    size_t whole = 0, used = 0;
    bool fits = bytes > 0;
    while (*text) {
        char escaped[32];
        const character c = character_at(text);
        const char *from = text;
        size_t n = (size_t)c.n_bytes;
        if (!c.is_utf8 || !f->is_plain(c.code)) {
            n = (size_t)f->escape(escaped, text, &c);
            from = escaped;
        }
        fits = fits && used + n < bytes;
        if (fits) {
            memcpy(out + used, from, n);
            used += n;
        }
        whole += n;
        text += c.n_bytes;
    }
    if (bytes > 0)
        out[used] = '\0';
    return whole;
}

size_t dt_printable(char *out, size_t bytes, const char *text)
{
    static const form f = {is_plain, escape};
    return write_form(&f, out, bytes, text);
}

size_t dt_printable_json(char *out, size_t bytes, const char *text)
{
    static const form f = {is_plain_in_json, escape_in_json};
    return write_form(&f, out, bytes, text);
}

char *dt_printable_copy(const char *text)
{
    const size_t bytes = dt_printable(NULL, 0, text) + 1;
    char *copy = dt_alloc(bytes);
    if (copy)
        (void)dt_printable(copy, bytes, text);
    return copy;
}
