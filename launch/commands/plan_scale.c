/* dtrain plan --nodes: how each type scales with the number of nodes. */
#include "config.h"

#include "launch/commands/plan_output.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <stdlib.h>
#include <string.h>

enum { N_COLUMNS = 9, MOST_COUNTS = 64, CELL = 24 };

static const char *const headings[N_COLUMNS] = {"nodes",   "GPUs",    "images/s", "of ideal", "step ms",
                                                "sums ms", "wait ms", "hours",    "USD"};

static int compare_nodes(const void *a, const void *b)
{
    const dt_plan_row *x = *(const dt_plan_row *const *)a, *y = *(const dt_plan_row *const *)b;
    return (x->nodes > y->nodes) - (x->nodes < y->nodes);
}

/* The cheapest row on demand of each number of nodes of a type, in their order. */
static int find_rows(const dt_plan *plan, const dt_instance *instance, const dt_plan_row *found[MOST_COUNTS])
{
    int n = 0;
    for (int64_t i = 0; i < plan->n_possible && n < MOST_COUNTS; i++) {
        const dt_plan_row *row = &plan->rows[i];
        bool is_known = row->instance != instance || row->purchase != DT_PURCHASE_ON_DEMAND;
        for (int k = 0; k < n && !is_known; k++)
            is_known = found[k]->nodes == row->nodes;
        if (!is_known)
            found[n++] = row;
    }
    qsort(found, (size_t)n, sizeof *found, compare_nodes);
    return n;
}

static dt_status add_row(dt_table *table, const dt_plan_row *row, const dt_plan_row *smallest, dt_error *err)
{
    char text[N_COLUMNS][CELL];
    const char *cells[N_COLUMNS];
    const dt_throughput *t = &row->throughput;
    const double ideal = smallest->throughput.images_s / smallest->nodes * row->nodes;
    for (int i = 0; i < N_COLUMNS; i++)
        cells[i] = text[i];
    snprintf(text[0], CELL, "%d", row->nodes);
    snprintf(text[1], CELL, "%d", row->nodes * row->instance->n_gpus);
    snprintf(text[2], CELL, "%.0f", t->images_s);
    snprintf(text[3], CELL, "%.1f%%", 100 * t->images_s / ideal);
    snprintf(text[4], CELL, "%.1f", t->step_s * 1e3);
    snprintf(text[5], CELL, "%.1f", t->all_reduce_s * 1e3);
    snprintf(text[6], CELL, "%.1f", (t->exposed_s + t->straggler_s) * 1e3);
    snprintf(text[7], CELL, "%.2f", row->hours_mean);
    snprintf(text[8], CELL, "%.0f", row->usd_mean);
    return dt_table_add(table, cells, err);
}

static dt_status print_type(const dt_plan *plan, const dt_instance *instance, FILE *stream, dt_error *err)
{
    const dt_plan_row *rows[MOST_COUNTS];
    const int n = find_rows(plan, instance, rows);
    dt_table *table = NULL;
    if (n == 0)
        return DT_OK;
    DT_TRY(dt_table_create(headings, N_COLUMNS, &table, err));
    dt_status status = DT_OK;
    for (int i = 0; i < N_COLUMNS; i++)
        dt_table_align_right(table, i);
    for (int i = 0; i < n && status == DT_OK; i++)
        status = add_row(table, rows[i], rows[0], err);
    dt_output_line(stream, "%s", "");
    dt_output_line(stream, "%s on demand, a batch of %lld per GPU, a start of %.0f min", instance->type,
                   (long long)rows[0]->throughput.batch, rows[0]->throughput.startup_s / 60);
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(table);
    return status;
}

dt_status dt_plan_print_scale(const dt_plan *plan, FILE *stream, dt_error *err)
{
    const dt_catalog *c = plan->settings.catalog;
    if (plan->n_possible == 0)
        return DT_OK;
    for (int i = 0; i < c->n_instances; i++)
        DT_TRY(print_type(plan, &c->instances[i], stream, err));
    dt_output_line(stream, "%s", "");
    dt_output_line(stream,
                   "step: what a GPU computes; sums: of gradients over the network, by NCCL's faster");
    dt_output_line(stream, "way; wait: what backward does not hide of them, and for the slowest rank. A");
    dt_output_line(stream, "checkpoint of %.0f MB takes %.1f s, and spot ends the job every %.3g h, with any",
                   plan->work.checkpoint_bytes / 1e6, plan->rows[0].throughput.checkpoint_s,
                   plan->settings.interruptions->mtti_h);
    dt_output_line(stream, "number of nodes. Whether so large global batches learn is not planned.");
    return fflush(stream) == 0 && !ferror(stream) ? DT_OK : dt_fail_errno(err, "cannot print the result");
}
