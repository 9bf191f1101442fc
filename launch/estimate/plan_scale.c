#include "config.h"

#include "launch/estimate/plan_scale.h"

#include <stdio.h>
#include <stdlib.h>

const char *const dt_scale_headings[DT_SCALE_COLUMNS] = {
    "nodes", "GPUs", "images/s", "of ideal", "step ms", "sums ms", "wait ms", "hours", "USD"};

static int compare_nodes(const void *a, const void *b)
{
    const dt_plan_row *x = *(const dt_plan_row *const *)a, *y = *(const dt_plan_row *const *)b;
    return (x->nodes > y->nodes) - (x->nodes < y->nodes);
}

int dt_plan_scale_rows(const dt_plan *plan, const dt_instance *instance,
                       const dt_plan_row *found[DT_SCALE_MOST])
{
    int n = 0;
    for (int64_t i = 0; i < plan->n_possible && n < DT_SCALE_MOST; i++) {
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

void dt_plan_scale_cells(const dt_plan_row *row, const dt_plan_row *smallest,
                         char text[DT_SCALE_COLUMNS][DT_SCALE_CELL])
{
    const dt_throughput *t = &row->throughput;
    const double ideal = smallest->throughput.images_s / smallest->nodes * row->nodes;
    snprintf(text[0], DT_SCALE_CELL, "%d", row->nodes);
    snprintf(text[1], DT_SCALE_CELL, "%d", row->nodes * row->instance->n_gpus);
    snprintf(text[2], DT_SCALE_CELL, "%.0f", t->images_s);
    snprintf(text[3], DT_SCALE_CELL, "%.1f%%", 100 * t->images_s / ideal);
    snprintf(text[4], DT_SCALE_CELL, "%.1f", t->step_s * 1e3);
    snprintf(text[5], DT_SCALE_CELL, "%.1f", t->all_reduce_s * 1e3);
    snprintf(text[6], DT_SCALE_CELL, "%.1f", (t->exposed_s + t->straggler_s) * 1e3);
    snprintf(text[7], DT_SCALE_CELL, "%.2f", row->hours_mean);
    snprintf(text[8], DT_SCALE_CELL, "%.0f", row->usd_mean);
}

void dt_plan_scale_title(const dt_plan_row *row, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s on demand, a batch of %lld per GPU, a start of %.0f min",
             row->instance->type, (long long)row->throughput.batch, row->throughput.startup_s / 60);
}

void dt_plan_scale_explain(const dt_plan *plan, char *out, size_t out_bytes)
{
    snprintf(
        out, out_bytes,
        "step: what a GPU computes; sums: of gradients over the network, by NCCL's faster way; wait: what "
        "backward does not hide of them, and for the slowest rank. A checkpoint of %.0f MB takes %.1f s, "
        "and spot ends the job every %.3g h, with any number of nodes. Whether so large global batches "
        "learn is not planned.",
        plan->work.checkpoint_bytes / 1e6, plan->rows[0].throughput.checkpoint_s,
        plan->settings.interruptions->mtti_h);
}
