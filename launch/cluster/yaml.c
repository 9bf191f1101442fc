#include "config.h"

#include "launch/cluster/yaml.h"

#include "core/base/alloc.h"
#include "core/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { INDENT = 2 };

struct dt_yaml {
    char *text; /* ended by a zero byte */
    size_t bytes, capacity;
    int depth;     /* of what is open */
    bool is_first; /* the next member stands in the line of its element's dash */
    bool is_failed;
};

dt_status dt_yaml_create(dt_yaml **yaml, dt_error *err)
{
    dt_yaml *y = dt_calloc(1, sizeof *y);
    if (!y)
        return dt_fail_memory(err, sizeof *y, "a YAML document");
    *yaml = y;
    return DT_OK;
}

void dt_yaml_destroy(dt_yaml *yaml)
{
    if (yaml)
        dt_free(yaml->text);
    dt_free(yaml);
}

static bool grow(dt_yaml *y, size_t more)
{
    const size_t wanted = y->bytes + more + 1;
    if (wanted <= y->capacity)
        return true;
    const size_t capacity = wanted > 2 * y->capacity ? wanted + 1024 : 2 * y->capacity;
    char *text = dt_realloc(y->text, y->capacity, capacity);
    if (!text) {
        y->is_failed = true;
        return false;
    }
    y->text = text;
    y->capacity = capacity;
    return true;
}

static void put(dt_yaml *y, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(dt_yaml *y, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (y->is_failed || n < 0 || !grow(y, (size_t)n))
        return;
    va_start(arguments, format);
    vsnprintf(y->text + y->bytes, (size_t)n + 1, format, arguments);
    va_end(arguments);
    y->bytes += (size_t)n;
}

/* -- scalars --------------------------------------------------------------------------------------------- */

/* What YAML 1.1 takes for a truth value or for nothing, in any case. */
static bool is_word_of_yaml(const char *text)
{
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

/* A plain text begins with a letter or a slash, so that it is no number and no date, and has only characters
 * that mean nothing to YAML; a colon means nothing where no blank follows. */
static bool is_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@+-";
    const size_t n = strlen(text);
    return n > 0 && (strchr(letters, text[0]) || text[0] == '/') && strspn(text, others) == n &&
           text[n - 1] != ':' && !is_word_of_yaml(text);
}

/* The number of a character of UTF-8 with so many bytes. */
static unsigned code_point(const char *s, size_t n)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned c = (unsigned char)s[0] & first[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    return c;
}

/* Bytes that are not UTF-8 become U+FFFD: YAML cannot hold them. */
static void put_quoted(dt_yaml *y, const char *text)
{
    put(y, "\"");
    while (*text) {
        const size_t n = dt_utf8_character_bytes(text);
        const unsigned c = n == 0 ? 0xfffd : code_point(text, n);
        if (c == '"' || c == '\\')
            put(y, "\\%c", (int)c);
        else if (c >= ' ' && c < 0x7f)
            put(y, "%c", (int)c);
        else if (c == '\n')
            put(y, "\\n");
        else if (c <= 0xff)
            put(y, "\\x%02x", c);
        else if (c <= 0xffff)
            put(y, "\\u%04x", c);
        else
            put(y, "\\U%08x", c);
        text += n == 0 ? 1 : n;
    }
    put(y, "\"");
}

static void put_scalar(dt_yaml *y, const char *text)
{
    if (is_plain(text))
        put(y, "%s", text);
    else
        put_quoted(y, text);
}

/* -- structure ------------------------------------------------------------------------------------------- */

/* Begins a line: the first member of an element continues the line of its dash. */
static void begin_line(dt_yaml *y)
{
    if (!y->is_first)
        put(y, "%*s", INDENT * y->depth, "");
    y->is_first = false;
}

void dt_yaml_text(dt_yaml *yaml, const char *key, const char *text)
{
    begin_line(yaml);
    put(yaml, "%s: ", key);
    put_scalar(yaml, text);
    put(yaml, "\n");
}

void dt_yaml_number(dt_yaml *yaml, const char *key, int64_t number)
{
    begin_line(yaml);
    put(yaml, "%s: %lld\n", key, (long long)number);
}

void dt_yaml_flag(dt_yaml *yaml, const char *key, bool flag)
{
    begin_line(yaml);
    put(yaml, "%s: %s\n", key, flag ? "true" : "false");
}

void dt_yaml_open(dt_yaml *yaml, const char *key)
{
    begin_line(yaml);
    put(yaml, "%s:\n", key);
    yaml->depth++;
}

void dt_yaml_item(dt_yaml *yaml)
{
    begin_line(yaml);
    put(yaml, "- ");
    yaml->depth++;
    yaml->is_first = true;
}

void dt_yaml_item_text(dt_yaml *yaml, const char *text)
{
    begin_line(yaml);
    put(yaml, "- ");
    put_scalar(yaml, text);
    put(yaml, "\n");
}

void dt_yaml_close(dt_yaml *yaml)
{
    yaml->depth--;
}

void dt_yaml_comment(dt_yaml *yaml, const char *text)
{
    put(yaml, "%*s# %s\n", INDENT * yaml->depth, "", text);
}

dt_status dt_yaml_finish(dt_yaml *yaml, char **text, dt_error *err)
{
    put(yaml, "%s", ""); /* an empty document has a zero byte too */
    if (yaml->is_failed)
        return dt_fail_memory(err, yaml->capacity, "a YAML document");
    if (yaml->depth != 0 || yaml->is_first)
        return dt_fail(err, DT_ERR_INTERNAL, "%d mappings or sequences of a YAML document are not closed",
                       yaml->depth);
    *text = yaml->text;
    yaml->text = NULL;
    yaml->bytes = yaml->capacity = 0;
    return DT_OK;
}
