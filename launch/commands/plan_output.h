/* plan_output.h: prints a plan as a table, as JSON and as Markdown. */
#ifndef DT_LAUNCH_COMMANDS_PLAN_OUTPUT_H
#define DT_LAUNCH_COMMANDS_PLAN_OUTPUT_H

#include "launch/estimate/choices.h"

#include <stdio.h>

/* For people: the cheapest choices, the recommendations and the notes. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_plan_print_table(const dt_plan *plan, FILE *stream, dt_error *err);
dt_status dt_plan_print_markdown(const dt_plan *plan, FILE *stream, dt_error *err);

/* For --nodes: how each type scales with the number of nodes. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_plan_print_scale(const dt_plan *plan, bool is_markdown, FILE *stream, dt_error *err);

/* One object; launch/estimate/README.md describes it. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_plan_print_json(const dt_plan *plan, FILE *stream, dt_error *err);

/* The table of --assume seed, beside the plan's figures for the same types. */
dt_status dt_plan_print_seed(const dt_plan *plan, FILE *stream, dt_error *err);

/* Rows that a table for people shows: of each type, number of nodes and way to buy the cheapest zone, the
 * first `n_cheapest` of them, and all rows that are recommended or on the front. Fills shown[] with at most
 * `max` indices; returns how many there are, and in *n_left_out how many cheapest zones are not shown. */
int64_t dt_plan_rows_to_show(const dt_plan *plan, int64_t n_cheapest, int64_t *shown, int64_t max,
                             int64_t *n_left_out);

#endif
