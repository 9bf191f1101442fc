/* table.h: small text tables.
 *
 *   dt_table *t;
 *   DT_TRY(dt_table_create((const char *const[]){"rank", "host", "device"}, 3, &t, err));
 *   dt_table_align_right(t, 0);
 *   DT_TRY_OR_FAIL(s, dt_table_add(t, (const char *const[]){"0", "node1", "cpu, 2 threads"}, err));
 *   s = dt_table_print(t, stderr, dt_table_utf8(), 0, err);
 *   fail: dt_table_destroy(t);
 *
 *   rank │ host  │ device                 rank | host  | device
 *   ─────┼───────┼───────────────         -----+-------+---------------
 *      0 │ node1 │ cpu, 2 threads            0 | node1 | cpu, 2 threads
 */
#ifndef DT_LAUNCH_SHOW_TABLE_H
#define DT_LAUNCH_SHOW_TABLE_H

#include "core/base/error.h"

#include <jansson.h>
#include <stdio.h>

typedef struct dt_table dt_table;

/* n_columns >= 1. headings (copied) may be NULL: no heading line. DT_ERR_MEMORY. */
dt_status dt_table_create(const char *const *headings, int n_columns, dt_table **table, dt_error *err);
void dt_table_destroy(dt_table *table); /* NULL is fine */

void dt_table_align_right(dt_table *table, int column); /* for numbers; its heading too */

/* Add a row of n_columns cells, which are copied and made printable (core/base/printable.h); NULL is an empty
 * cell. */
dt_status dt_table_add(dt_table *table, const char *const *cells, dt_error *err);

/* Add a row of a name and a formatted value to a table of two columns: dt_table_add_pair(t, "batch", "%d per
 * rank", 32). If it fails, dt_table_print returns that error and prints nothing. */
void dt_table_add_pair(dt_table *table, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Add a horizontal line between two groups of rows. */
dt_status dt_table_add_rule(dt_table *table, dt_error *err);

#define DT_TABLE_COLUMNS 80 /* of a usual terminal, and of a log */

/* max_columns for a table that a command prints: those of the terminal; DT_TABLE_COLUMNS for a file or a
 * pipe, where people read it too. Scripts read --json. */
int dt_table_columns(FILE *stream);

/* Print with box lines if `utf8`, else in ASCII. If the table is wider than max_columns (0: no limit), the
 * texts of its widest columns continue in further lines: between words where that is possible, else after a
 * slash of a path, else anywhere. DT_ERR_IO, or the error of a dt_table_add_pair. */
dt_status dt_table_print(const dt_table *table, FILE *stream, bool utf8, int max_columns, dt_error *err);

/* A table of two columns without headings as a JSON object: a member for each name, whose value is a string,
 * or an array of strings where rows without a name continue it. Rules are left out. The caller owns *object.
 * DT_ERR_MEMORY, or the error of a dt_table_add_pair. */
dt_status dt_table_to_json(const dt_table *table, json_t **object, dt_error *err);

/* Whether the environment's locale (the first that is set of LC_ALL, LC_CTYPE, LANG) is a UTF-8 one. */
bool dt_table_utf8(void);

#endif
