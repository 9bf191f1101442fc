#include "config.h"

#include "launch/options/file_slips.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The end of a text in quotes that begins at `p`, or of a comment, or p + 1. *open: it does not end. */
static const char *skip_token(const char *p, bool *open)
{
    const char *end;
    *open = false;
    if (*p == '"') {
        for (end = p + 1; *end && *end != '"'; end++)
            end += *end == '\\' && end[1];
        *open = !*end;
        return *end ? end + 1 : end;
    }
    if (*p == '#' || strncmp(p, "//", 2) == 0)
        return p + strcspn(p, "\n");
    if (strncmp(p, "/*", 2) == 0) {
        end = strstr(p + 2, "*/");
        *open = !end;
        return end ? end + 2 : p + strlen(p);
    }
    return p + 1;
}

static int line_of(const char *text, const char *at)
{
    int line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

dt_status dt_file_slips_normalize(const char *name, char *text, dt_error *err)
{
    bool open = false;
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        memmove(text, text + 3, strlen(text + 3) + 1);
    for (char *p = text; *p; p++)
        if (*p == '\r')
            *p = p[1] == '\n' ? ' ' : '\n';
    for (const char *p = text, *next; *p; p = next) {
        next = skip_token(p, &open);
        if (open)
            return dt_fail(err, DT_ERR_USAGE, "%s:%d: %s", name, line_of(text, p),
                           *p == '"' ? "the text that begins here has no \" at its end"
                                     : "the comment that begins here has no */ at its end");
    }
    return DT_OK;
}

/* The part of `line` before a comment, without blanks and the last ';' or ','. */
static void strip(const char *line, char *out, size_t bytes)
{
    bool open;
    const char *end = line;
    while (*end && *end != '#' && strncmp(end, "//", 2) != 0 && *end != '\n')
        end = *end == '"' ? skip_token(end, &open) : end + 1;
    while (isspace((unsigned char)*line))
        line++;
    while (end > line && (isspace((unsigned char)end[-1]) || end[-1] == ';' || end[-1] == ','))
        end--;
    snprintf(out, bytes, "%.*s", (int)(end > line ? end - line : 0), line);
}

/* Ends `value` before the ';' after it, where another setting may follow in the same line. */
static void end_value(char *value)
{
    char *end = value + strcspn(value, ";");
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
}

static const char *explain_value(const char *name, int name_length, const char *value, char *out,
                                 size_t bytes)
{
    char *end;
    if (!*value) {
        snprintf(out, bytes, "%.*s has no value", name_length, name);
        return out;
    }
    (void)strtod(value, &end);
    if (strcasecmp(value, "yes") == 0 || strcasecmp(value, "on") == 0)
        return "a switch is true or false, without quotes";
    if (strcasecmp(value, "no") == 0 || strcasecmp(value, "off") == 0)
        return "a switch is true or false, without quotes";
    if (*value == '\'' || strncmp(value, "\xe2\x80", 2) == 0) /* typographic quotation marks */
        return "texts need double quotes, \"...\"";
    if (*value == '=')
        return "one '=' is enough";
    if (*value == '"')
        return "there is something after the closing quote; is a ';' missing?";
    if (end != value && isdigit((unsigned char)value[0]) && !strchr(value, '/')) {
        snprintf(out, bytes, "'%.60s' is not a number; a text needs quotes: %.*s = \"%.60s\";", value,
                 name_length, name, value);
        return out;
    }
    snprintf(out, bytes, "texts need quotes: %.*s = \"%.200s\";", name_length, name, value);
    return out;
}

const char *dt_file_slips_explain(const char *line, char *out, size_t bytes)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*";
    char text[512];
    strip(line, text, sizeof text);
    const int n = (int)strspn(text, letters);
    const char *after = text + n + strspn(text + n, " \t");
    if (strncmp(text, "--", 2) == 0)
        return "names have no -- in a file: name = value;";
    if (text[0] == '[')
        return "there are no sections: each line is name = value;";
    if (text[0] == '{' || text[0] == '"')
        return "this looks like JSON: each line is name = value;";
    if (text[0] == ';')
        return "a comment begins with #";
    if (strstr(text, "\xc2\xa0"))
        return "there is a no-break space in this line; use a plain one";
    if (n > 0 && (*after == '=' || *after == ':')) {
        after += *after == ':' && after[1] == '=' ? 2 : 1;
        after += strspn(after, " \t");
        if (*after != '"' && *after != '\'')
            end_value(text + (after - text));
        return explain_value(text, n, after, out, bytes);
    }
    if (n > 0) {
        snprintf(out, bytes, "'=' is missing after '%.*s': name = value;", n, text);
        return out;
    }
    return "syntax error";
}
