#include "launch/show/table.h"

#include "core/base/alloc.h"
#include "core/base/printable.h"
#include "launch/show/output.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct dt_table {
    int n_columns;
    bool *align_right; /* [n_columns] */
    int64_t n_rows;
    char **cells;     /* [n_rows][n_columns]; a rule is a row of NULLs */
    dt_error failure; /* the first error of dt_table_add_pair */
};

dt_status dt_table_create(const char *const *headings, int n_columns, dt_table **table, dt_error *err)
{
    dt_table *t = dt_calloc(1, sizeof *t);
    if (!t)
        return dt_fail_memory(err, sizeof *t, "a table");
    t->n_columns = n_columns;
    t->align_right = dt_calloc((size_t)n_columns, sizeof *t->align_right);
    dt_status status = t->align_right ? DT_OK : dt_fail_memory(err, (size_t)n_columns, "a table");
    if (status == DT_OK && headings) {
        status = dt_table_add(t, headings, err);
        if (status == DT_OK)
            status = dt_table_add_rule(t, err);
    }
    if (status != DT_OK) {
        dt_table_destroy(t);
        return status;
    }
    *table = t;
    return DT_OK;
}

void dt_table_destroy(dt_table *t)
{
    if (!t)
        return;
    for (int64_t i = 0; i < t->n_rows * t->n_columns; i++)
        dt_free(t->cells[i]);
    dt_free(t->cells);
    dt_free(t->align_right);
    dt_free(t);
}

void dt_table_align_right(dt_table *t, int column)
{
    t->align_right[column] = true;
}

/* Appends a row of NULL cells. */
static dt_status grow(dt_table *t, dt_error *err)
{
    size_t row_bytes = (size_t)t->n_columns * sizeof *t->cells, bytes = (size_t)t->n_rows * row_bytes;
    char **cells = dt_realloc(t->cells, bytes, bytes + row_bytes);
    if (!cells)
        return dt_fail_memory(err, bytes + row_bytes, "the rows of a table");
    t->cells = cells;
    memset((char *)cells + bytes, 0, row_bytes);
    t->n_rows++;
    return DT_OK;
}

dt_status dt_table_add(dt_table *t, const char *const *cells, dt_error *err)
{
    DT_TRY(grow(t, err));
    char **row = t->cells + (t->n_rows - 1) * t->n_columns;
    for (int c = 0; c < t->n_columns; c++) {
        row[c] = dt_printable_copy(cells[c] ? cells[c] : "");
        if (!row[c]) {
            while (c-- > 0)
                dt_free(row[c]);
            t->n_rows--;
            return dt_fail_memory(err, sizeof *row, "a cell of a table");
        }
    }
    return DT_OK;
}

void dt_table_add_pair(dt_table *t, const char *name, const char *format, ...)
{
    char value[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    if (t->failure.status != DT_OK)
        return;
    if (t->n_columns == 2)
        (void)dt_table_add(t, (const char *const[]){name, value}, &t->failure);
    else
        (void)dt_fail(&t->failure, DT_ERR_INTERNAL, "a pair for a table of %d columns", t->n_columns);
}

dt_status dt_table_add_rule(dt_table *t, dt_error *err)
{
    return grow(t, err);
}

/* The width of a UTF-8 text on a terminal: its code points. Ignores that some are wide or combining. */
static int width_of(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

/* The bytes of the first `columns` code points. */
static int bytes_of(const char *s, int columns)
{
    int i = 0;
    for (; s[i]; i++)
        if ((s[i] & 0xc0) != 0x80 && columns-- == 0)
            break;
    return i;
}

static void print_rule(const dt_table *t, const int *widths, FILE *stream, bool utf8)
{
    for (int c = 0; c < t->n_columns; c++) {
        int n = widths[c] + (c > 0) + (c < t->n_columns - 1);
        if (c > 0)
            fputs(utf8 ? "┼" : "+", stream);
        for (int i = 0; i < n; i++)
            fputs(utf8 ? "─" : "-", stream);
    }
    fputc('\n', stream);
}

/* The bytes of `text` that come in one line of `columns` columns: up to the last blank in it, else through
 * the last slash (of a path), else as many as fit. */
static int line_bytes(const char *text, int columns)
{
    const int whole = bytes_of(text, columns);
    if (!text[whole])
        return whole;
    for (int n = whole; n > 0; n--)
        if (text[n] == ' ')
            return n;
    for (int n = whole; n > 1; n--)
        if (text[n - 1] == '/')
            return n;
    return whole;
}

/* Prints one line of a row, and advances each cell past what it has printed. Returns whether something is
 * left. */
static bool print_line(const dt_table *t, const char **cells, const int *widths, FILE *stream, bool utf8)
{
    bool is_left = false;
    for (int c = 0; c < t->n_columns; c++) {
        const bool last = c == t->n_columns - 1;
        const int n = line_bytes(cells[c], widths[c]);
        int width = 0;
        for (int i = 0; i < n; i++)
            width += (cells[c][i] & 0xc0) != 0x80;
        const int pad = widths[c] - width;
        if (c > 0)
            fputs(utf8 ? " │ " : " | ", stream);
        fprintf(stream, "%*s%.*s", t->align_right[c] ? pad : 0, "", n, cells[c]);
        if (!last) /* no trailing spaces */
            fprintf(stream, "%*s", t->align_right[c] ? 0 : pad, "");
        cells[c] += n + (cells[c][n] == ' ');
        is_left = is_left || *cells[c];
    }
    fputc('\n', stream);
    return is_left;
}

static void print_row(const dt_table *t, char *const *row, const int *widths, const char **left, FILE *stream,
                      bool utf8)
{
    for (int c = 0; c < t->n_columns; c++)
        left[c] = row[c];
    while (print_line(t, left, widths, stream, utf8))
        ;
}

/* The longest part of a text that is not broken, in columns: its longest word, or the longest part of a word
 * up to a slash. */
static int longest_part(const char *text, bool ends_at_slash)
{
    int longest = 0, part = 0;
    for (; *text; text++) {
        part = *text == ' ' ? 0 : part + ((*text & 0xc0) != 0x80);
        if (part > longest)
            longest = part;
        if (ends_at_slash && *text == '/')
            part = 0;
    }
    return longest;
}

/* Where lines may break: between words, also after slashes, anywhere. */
typedef enum breaks { AT_BLANKS, AT_SLASHES, ANYWHERE } breaks;

/* Makes the widest columns narrower until the table has `most` columns: first those that need not break a
 * word for it, then those that break words after slashes only, then all. parts: the longest part of each
 * column that is not broken AT_BLANKS, then AT_SLASHES. */
static void narrow(const dt_table *t, int *widths, const int *parts, int total, int most)
{
    enum { NARROWEST = 8 };
    for (int level = AT_BLANKS; level <= ANYWHERE && total > most;) {
        int widest = -1;
        for (int c = 0; c < t->n_columns; c++) {
            const int part = level == ANYWHERE ? 0 : parts[level * t->n_columns + c];
            if (widths[c] > (part > NARROWEST ? part : NARROWEST) &&
                (widest < 0 || widths[c] >= widths[widest]))
                widest = c;
        }
        if (widest < 0) {
            level++;
            continue;
        }
        widths[widest]--;
        total--;
    }
}

static void raise_to(int *value, int least)
{
    if (*value < least)
        *value = least;
}

/* Measures the columns of all rows: their widths, and their parts as `narrow` reads them. Returns the width
 * of the table. */
static int measure(const dt_table *t, int *widths, int *parts)
{
    int total = 0;
    for (int64_t i = 0; i < t->n_rows * t->n_columns; i++) {
        const int64_t c = i % t->n_columns;
        if (!t->cells[i])
            continue;
        raise_to(&widths[c], width_of(t->cells[i]));
        raise_to(&parts[AT_BLANKS * t->n_columns + c], longest_part(t->cells[i], false));
        raise_to(&parts[AT_SLASHES * t->n_columns + c], longest_part(t->cells[i], true));
    }
    for (int c = 0; c < t->n_columns; c++)
        total += widths[c] + (c > 0 ? 3 : 0);
    return total;
}

dt_status dt_table_print(const dt_table *t, FILE *stream, bool utf8, int max_columns, dt_error *err)
{
    if (t->failure.status != DT_OK)
        return dt_fail(err, t->failure.status, "%s", t->failure.message);
    int *widths = dt_calloc((size_t)t->n_columns * 3, sizeof *widths);
    const char **left = dt_calloc((size_t)t->n_columns, sizeof *left); /* of the cells of a row */
    if (!widths || !left) {
        dt_free(widths);
        dt_free(left);
        return dt_fail_memory(err, (size_t)t->n_columns * sizeof *left, "printing a table");
    }
    int *parts = widths + t->n_columns;
    const int total = measure(t, widths, parts);
    if (max_columns > 0)
        narrow(t, widths, parts, total, max_columns);
    for (int64_t r = 0; r < t->n_rows; r++) {
        char *const *row = t->cells + r * t->n_columns;
        if (row[0])
            print_row(t, row, widths, left, stream, utf8);
        else
            print_rule(t, widths, stream, utf8);
    }
    dt_free(widths);
    dt_free(left);
    return ferror(stream) ? dt_fail_errno(err, "cannot print a table") : DT_OK;
}

int dt_table_columns(FILE *stream)
{
    struct winsize size;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : DT_TABLE_COLUMNS;
}

/* Adds a value to the member of a name: the first is a string, more of them become an array. */
static bool add_value(json_t *object, const char *name, const char *value)
{
    json_t *text = dt_output_text(value), *before = json_object_get(object, name);
    if (!before)
        return json_object_set_new(object, name, text) == 0;
    if (json_is_array(before))
        return json_array_append_new(before, text) == 0;
    return json_object_set_new(object, name, json_pack("[O, o]", before, text)) == 0;
}

dt_status dt_table_to_json(const dt_table *t, json_t **object, dt_error *err)
{
    const char *name = "";
    if (t->failure.status != DT_OK)
        return dt_fail(err, t->failure.status, "%s", t->failure.message);
    json_t *pairs = json_object();
    for (int64_t i = 0; i < t->n_rows; i++) {
        char *const *row = t->cells + i * t->n_columns;
        if (!row[0])
            continue;
        name = row[0][0] ? row[0] : name;
        if (!pairs || !add_value(pairs, name, row[1])) {
            json_decref(pairs);
            return dt_fail(err, DT_ERR_MEMORY, "out of memory for a table as JSON");
        }
    }
    *object = pairs;
    return pairs ? DT_OK : dt_fail(err, DT_ERR_MEMORY, "out of memory for a table as JSON");
}

bool dt_table_utf8(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i]);
        if (value && value[0]) {
            const char *charset = strchr(value, '.');
            return charset &&
                   (strncasecmp(charset, ".utf-8", 6) == 0 || strncasecmp(charset, ".utf8", 5) == 0);
        }
    }
    return false;
}
