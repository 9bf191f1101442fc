#include "launch/show/html.h"

#include "core/base/alloc.h"
#include "core/base/printable.h"
#include "io/durable.h"
#include "io/replace.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct dt_html {
    char *text; /* ends with a zero */
    size_t bytes, capacity;
    const dt_html_column *columns; /* of the table that is open */
    int n_columns;
    bool is_finished;
    dt_error failure; /* the first one */
};

static const char style[] =
#include "launch/show/page_css.inc"
    ;

static void fail_memory(dt_html *page, size_t bytes)
{
    if (page->failure.status == DT_OK)
        (void)dt_fail_memory(&page->failure, bytes, "an HTML page");
}

static void append(dt_html *page, const char *bytes, size_t n)
{
    if (page->failure.status != DT_OK)
        return;
    if (page->bytes + n + 1 > page->capacity) {
        const size_t capacity = (page->bytes + n + 1) * 2;
        char *text = dt_realloc(page->text, page->capacity, capacity);
        if (!text) {
            fail_memory(page, capacity);
            return;
        }
        page->text = text;
        page->capacity = capacity;
    }
    memcpy(page->text + page->bytes, bytes, n);
    page->bytes += n;
    page->text[page->bytes] = 0;
}

void dt_html_markup(dt_html *page, const char *markup)
{
    append(page, markup, strlen(markup));
}

/* Returns the formatted text, which the caller frees with dt_free; NULL after a failure. */
static char *format_copy(dt_html *page, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = n < 0 ? NULL : dt_alloc((size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, args);
    else
        fail_memory(page, (size_t)n + 1);
    return text;
}

static void escape(dt_html *page, const char *text)
{
    char *printable = dt_printable_copy(text);
    if (!printable) {
        fail_memory(page, strlen(text));
        return;
    }
    for (const char *s = printable; *s;) {
        const size_t n = strcspn(s, "&<>\"'");
        append(page, s, n);
        s += n;
        if (*s)
            dt_html_markup(page, *s == '&'   ? "&amp;"
                                 : *s == '<' ? "&lt;"
                                 : *s == '>' ? "&gt;"
                                 : *s == '"' ? "&quot;"
                                             : "&#39;");
        s += *s != 0;
    }
    dt_free(printable);
}

static void escape_formatted(dt_html *page, const char *format, va_list args)
{
    char *text = format_copy(page, format, args);
    if (text)
        escape(page, text);
    dt_free(text);
}

void dt_html_printf(dt_html *page, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_copy(page, format, args);
    va_end(args);
    if (text)
        dt_html_markup(page, text);
    dt_free(text);
}

void dt_html_text(dt_html *page, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    escape_formatted(page, format, args);
    va_end(args);
}

void dt_html_element(dt_html *page, const char *name, const char *classes, const char *format, ...)
{
    if (classes)
        dt_html_printf(page, "<%s class=\"%s\">", name, classes);
    else
        dt_html_printf(page, "<%s>", name);
    va_list args;
    va_start(args, format);
    escape_formatted(page, format, args);
    va_end(args);
    dt_html_printf(page, "</%s>\n", name);
}

/* -- tables ---------------------------------------------------------------------------------------------- */

/* A region with a label and a place in the order of the tabulator key, so that a keyboard can scroll it. */
void dt_html_table_begin(dt_html *page, const char *caption, const dt_html_column *columns, int n_columns)
{
    page->columns = columns;
    page->n_columns = n_columns;
    dt_html_markup(page, "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"");
    escape(page, caption);
    dt_html_markup(page, "\"><table>\n");
    dt_html_element(page, "caption", NULL, "%s", caption);
    dt_html_markup(page, "<thead><tr>");
    for (int c = 0; c < n_columns; c++) {
        dt_html_markup(page,
                       columns[c].is_number ? "<th scope=\"col\" class=\"number\">" : "<th scope=\"col\">");
        escape(page, columns[c].heading);
        dt_html_markup(page, "</th>");
    }
    dt_html_markup(page, "</tr></thead>\n<tbody>\n");
}

void dt_html_row(dt_html *page, const char *const *cells)
{
    dt_html_markup(page, "<tr>");
    for (int c = 0; c < page->n_columns; c++) {
        dt_html_markup(page, c == 0                       ? "<th scope=\"row\">"
                             : page->columns[c].is_number ? "<td class=\"number\">"
                                                          : "<td>");
        escape(page, cells[c] ? cells[c] : "");
        dt_html_markup(page, c == 0 ? "</th>" : "</td>");
    }
    dt_html_markup(page, "</tr>\n");
}

void dt_html_table_end(dt_html *page)
{
    dt_html_markup(page, "</tbody></table></div>\n");
}

void dt_html_figures_begin(dt_html *page, const char *caption, const dt_html_column *columns, int n_columns)
{
    dt_html_markup(page, "<details><summary>The same figures as a table</summary>\n");
    dt_html_table_begin(page, caption, columns, n_columns);
}

void dt_html_figures_end(dt_html *page)
{
    dt_html_table_end(page);
    dt_html_markup(page, "</details>\n");
}

/* -- the page -------------------------------------------------------------------------------------------- */

/* The icon is an empty one in the page itself: a browser asks a server for one that is not named. The policy
 * forbids scripts and requests, should text from outside ever become markup. */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n";

dt_status dt_html_create(const char *title, dt_html **page, dt_error *err)
{
    dt_html *p = dt_calloc(1, sizeof *p);
    if (!p)
        return dt_fail_memory(err, sizeof *p, "an HTML page");
    dt_html_markup(p, head);
    dt_html_element(p, "title", NULL, "%s", title);
    dt_html_markup(p, "<style>\n");
    dt_html_markup(p, style);
    dt_html_markup(p, "</style>\n</head>\n<body>\n<main>\n");
    if (p->failure.status != DT_OK) {
        const dt_status status = dt_fail(err, p->failure.status, "%s", p->failure.message);
        dt_html_destroy(p);
        return status;
    }
    *page = p;
    return DT_OK;
}

void dt_html_destroy(dt_html *page)
{
    if (page)
        dt_free(page->text);
    dt_free(page);
}

dt_status dt_html_finish(dt_html *page, const char **text, dt_error *err)
{
    if (!page->is_finished)
        dt_html_markup(page, "</main>\n</body>\n</html>\n");
    page->is_finished = true;
    if (page->failure.status != DT_OK)
        return dt_fail(err, page->failure.status, "%s", page->failure.message);
    *text = page->text;
    return DT_OK;
}

dt_status dt_html_save(dt_html *page, const char *path, dt_error *err)
{
    const char *text = NULL;
    DT_TRY(dt_html_finish(page, &text, err));
    if (dt_durable_is_folder(path))
        return dt_fail(err, DT_ERR_IO, "%s is a folder; name a file, such as %s/plan.html", path, path);
    return dt_replace_file(path, text, (int64_t)page->bytes, err);
}
