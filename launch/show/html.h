/* html.h: one self-contained HTML page, for `dtrain plan --html` and for reports: no request to outside, no
 * script, light and dark, on paper and on phones.
 *
 *   dt_html *page;
 *   DT_TRY(dt_html_create("Plan for ResNet-50", &page, err));
 *   dt_html_markup(page, "<section>");
 *   dt_html_element(page, "h2", NULL, "%s in %d epochs", name, n_epochs);      the text is escaped
 *   dt_html_markup(page, "</section>");
 *   status = dt_html_save(page, "plan.html", err);
 *   dt_html_destroy(page);
 *
 * Text from outside goes through dt_html_text, dt_html_element and dt_html_row only: these make it printable
 * (core/base/printable.h) and escape what HTML gives a meaning to. The first failure (out of memory) is kept,
 * and what is added after it is dropped; dt_html_finish and dt_html_save return it. page.css beside this file
 * is the style, with the classes that a page may use.
 */
#ifndef DT_LAUNCH_SHOW_HTML_H
#define DT_LAUNCH_SHOW_HTML_H

#include "core/base/error.h"

#include <stdarg.h>
#include <stdbool.h>

typedef struct dt_html dt_html;

/* Begin a page in English with this title, up to <main>. The title is not shown: add an h1. DT_ERR_MEMORY. */
dt_status dt_html_create(const char *title, dt_html **page, dt_error *err);
void dt_html_destroy(dt_html *page); /* NULL is fine */

/* Add markup as it is. Only what the program itself wrote: tags, names of classes, numbers. printf prints
 * numbers for an attribute. */
void dt_html_markup(dt_html *page, const char *markup);
void dt_html_printf(dt_html *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add text, which may come from outside; it may stand between tags and in a quoted attribute. */
void dt_html_text(dt_html *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add <NAME class="CLASSES">TEXT</NAME>; classes may be NULL. */
void dt_html_element(dt_html *page, const char *name, const char *classes, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* -- tables ---------------------------------------------------------------------------------------------- */

typedef struct dt_html_column {
    const char *heading;
    bool is_number; /* aligned at the right */
} dt_html_column;

/* Begin a table; wide ones scroll inside the page. `columns` is borrowed until dt_html_table_end. A table of
 * which a part is folded has one <summary>: see dt_html_figures_begin. */
void dt_html_table_begin(dt_html *page, const char *caption, const dt_html_column *columns, int n_columns);

/* Add a row of as many cells as there are columns; NULL is an empty cell. The first is the row's heading. */
void dt_html_row(dt_html *page, const char *const *cells);
void dt_html_table_end(dt_html *page);

/* As dt_html_table_begin and dt_html_table_end, for the figures of a chart: folded until the reader opens it
 * (always open on paper). */
void dt_html_figures_begin(dt_html *page, const char *caption, const dt_html_column *columns, int n_columns);
void dt_html_figures_end(dt_html *page);

/* -- the end --------------------------------------------------------------------------------------------- */

/* End the page and lend its text, which is valid until dt_html_destroy. Nothing is added afterwards.
 * DT_ERR_MEMORY: also of what was added before. */
dt_status dt_html_finish(dt_html *page, const char **text, dt_error *err);

/* dt_html_finish, and write the text to a file, which is replaced when all of it is on the disk.
 * DT_ERR_IO. */
dt_status dt_html_save(dt_html *page, const char *path, dt_error *err);

#endif
