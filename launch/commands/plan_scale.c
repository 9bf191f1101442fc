/* dtrain plan --nodes: how each type scales with the number of nodes. */
#include "config.h"

#include "launch/commands/plan_output.h"
#include "launch/estimate/plan_scale.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

typedef struct cells {
    char text[DT_SCALE_COLUMNS][DT_SCALE_CELL];
    const char *cell[DT_SCALE_COLUMNS];
} cells;

static void fill_cells(const dt_plan_row *row, const dt_plan_row *smallest, cells *c)
{
    dt_plan_scale_cells(row, smallest, c->text);
    for (int i = 0; i < DT_SCALE_COLUMNS; i++)
        c->cell[i] = c->text[i];
}

static dt_status print_rows(const dt_plan_row *const *rows, int n, FILE *stream, dt_error *err)
{
    dt_table *table = NULL;
    DT_TRY(dt_table_create(dt_scale_headings, DT_SCALE_COLUMNS, &table, err));
    dt_status status = DT_OK;
    for (int i = 0; i < DT_SCALE_COLUMNS; i++)
        dt_table_align_right(table, i);
    for (int i = 0; i < n && status == DT_OK; i++) {
        cells c;
        fill_cells(rows[i], rows[0], &c);
        status = dt_table_add(table, c.cell, err);
    }
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(table);
    return status;
}

static void print_markdown_row(const char *const *cell, FILE *stream)
{
    _Static_assert(DT_SCALE_COLUMNS == 9, "the line has all columns");
    dt_output_line(stream, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |", cell[0], cell[1], cell[2],
                   cell[3], cell[4], cell[5], cell[6], cell[7], cell[8]);
}

static void print_markdown_rows(const dt_plan_row *const *rows, int n, FILE *stream)
{
    dt_output_line(stream, "%s", "");
    print_markdown_row(dt_scale_headings, stream);
    dt_output_line(stream, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (int i = 0; i < n; i++) {
        cells c;
        fill_cells(rows[i], rows[0], &c);
        print_markdown_row(c.cell, stream);
    }
}

static dt_status print_type(const dt_plan *plan, const dt_instance *instance, bool is_markdown, FILE *stream,
                            dt_error *err)
{
    const dt_plan_row *rows[DT_SCALE_MOST];
    char title[160];
    const int n = dt_plan_scale_rows(plan, instance, rows);
    if (n == 0)
        return DT_OK;
    dt_plan_scale_title(rows[0], title, sizeof title);
    dt_output_line(stream, "%s", "");
    dt_output_line(stream, "%s", title);
    if (!is_markdown)
        return print_rows(rows, n, stream, err);
    print_markdown_rows(rows, n, stream);
    return DT_OK;
}

dt_status dt_plan_print_scale(const dt_plan *plan, bool is_markdown, FILE *stream, dt_error *err)
{
    const dt_catalog *c = plan->settings.catalog;
    char text[640];
    if (plan->n_possible == 0)
        return DT_OK;
    for (int i = 0; i < c->n_instances; i++)
        DT_TRY(print_type(plan, &c->instances[i], is_markdown, stream, err));
    dt_plan_scale_explain(plan, text, sizeof text);
    dt_output_line(stream, "%s", "");
    if (is_markdown)
        dt_output_line(stream, "%s", text);
    else
        dt_output_paragraph(stream, text, dt_table_columns(stream), 0);
    return fflush(stream) == 0 && !ferror(stream) ? DT_OK : dt_fail_errno(err, "cannot print the result");
}
