#include "launch/show/shell.h"

#include "launch/show/output.h"

#include <string.h>

static bool put(char *out, size_t bytes, size_t *used, const char *text, size_t n)
{
    if (*used + n >= bytes)
        return false;
    memcpy(out + *used, text, n);
    *used += n;
    out[*used] = '\0';
    return true;
}

bool dt_shell_word(const char *text, char *out, size_t bytes)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=+@%";
    size_t used = 0;
    if (bytes == 0)
        return false;
    out[0] = '\0';
    if (text[0] && text[strspn(text, plain)] == '\0')
        return put(out, bytes, &used, text, strlen(text));
    bool fits = put(out, bytes, &used, "'", 1);
    for (const char *s = text; *s && fits; s++)
        fits = *s == '\'' ? put(out, bytes, &used, "'\\''", 4) : put(out, bytes, &used, s, 1);
    return fits && put(out, bytes, &used, "'", 1);
}

void dt_shell_print(FILE *stream, const char *command, int columns, int indent)
{
    const int width = columns - indent - 2;
    for (const char *from = command; *from;) {
        const char *end = NULL;
        bool is_quoted = false;
        for (const char *s = from; *s && (s - from <= width || !end); s++) {
            if (*s == '\\' && !is_quoted)
                s++; /* an escaped quotation mark */
            else
                is_quoted ^= *s == '\'';
            if (*s == ' ' && !is_quoted)
                end = s;
        }
        const bool is_last = (int)strlen(from) <= width || !end;
        const int n = is_last ? (int)strlen(from) : (int)(end - from);
        dt_output_line(stream, "%*s%.*s%s", indent, "", n, from, is_last ? "" : " \\");
        from += is_last ? n : n + 1;
    }
}
