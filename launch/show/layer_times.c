#include "config.h"

#include "launch/show/layer_times.h"

#include "launch/show/table.h"

#include <inttypes.h>

enum { N_COLUMNS = 10 };

typedef struct texts {
    char cells[N_COLUMNS][64];
} texts;

static void put_part(texts *t, int first, const dt_profile_part *part)
{
    snprintf(t->cells[first], sizeof t->cells[0], "%.3f", part->ms);
    if (part->bytes == 0)
        return;
    snprintf(t->cells[first + 1], sizeof t->cells[0], "%.1f", (double)part->bytes / 1e6);
    snprintf(t->cells[first + 2], sizeof t->cells[0], "%.1f", part->bytes_per_s / 1e9);
    if (part->of_roof > 0.0)
        snprintf(t->cells[first + 3], sizeof t->cells[0], "%.0f%%", 100.0 * part->of_roof);
}

static dt_status add(dt_table *table, const texts *t, dt_error *err)
{
    const char *cells[N_COLUMNS];
    for (int i = 0; i < N_COLUMNS; i++)
        cells[i] = t->cells[i];
    return dt_table_add(table, cells, err);
}

static dt_status add_layers(dt_table *table, const dt_profile_summary *s, dt_error *err)
{
    for (int64_t i = 0; i < s->n_rows; i++) {
        texts t = {0};
        snprintf(t.cells[0], sizeof t.cells[0], "%s", s->rows[i].name);
        snprintf(t.cells[1], sizeof t.cells[0], "%s", s->rows[i].kind);
        put_part(&t, 2, &s->rows[i].forward);
        put_part(&t, 6, &s->rows[i].backward);
        DT_TRY(add(table, &t, err));
    }
    return DT_OK;
}

static dt_status add_totals(dt_table *table, const dt_profile_summary *s, dt_error *err)
{
    texts layers = {.cells = {"all layers"}}, rest = {.cells = {"all else"}}, step = {.cells = {"a pass"}};
    put_part(&layers, 2, &s->forward);
    put_part(&layers, 6, &s->backward);
    snprintf(rest.cells[2], sizeof rest.cells[0], "%.3f", s->pass_ms - s->forward.ms - s->backward.ms);
    snprintf(step.cells[2], sizeof step.cells[0], "%.3f", s->pass_ms);
    DT_TRY(dt_table_add_rule(table, err));
    DT_TRY(add(table, &layers, err));
    DT_TRY(add(table, &rest, err));
    return add(table, &step, err);
}

static dt_status fill(dt_table *table, const dt_profile_summary *s, dt_error *err)
{
    for (int i = 2; i < N_COLUMNS; i++)
        dt_table_align_right(table, i);
    DT_TRY(add_layers(table, s, err));
    return add_totals(table, s, err);
}

dt_status dt_layer_times_print(const dt_profile_summary *s, int64_t batch, FILE *stream, dt_error *err)
{
    dt_table *table = NULL;
    DT_TRY(dt_table_create((const char *const[]){"layer", "kind", "forward ms", "MB", "GB/s", "roof",
                                                 "backward ms", "MB", "GB/s", "roof"},
                           N_COLUMNS, &table, err));
    dt_status status = fill(table, s, err);
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(table);
    DT_TRY(status);
    fprintf(stream,
            "Mean of %" PRId64 " passes of %" PRId64
            " images: %.1f images/s per rank. MB: the least memory traffic; GB/s: MB divided by the time. ",
            s->n_passes, batch, s->pass_ms > 0.0 ? 1e3 * (double)batch / s->pass_ms : 0.0);
    fprintf(stream, "Roof: the least time possible with %.1f GB/s (%s)", s->bandwidth_bytes_per_s / 1e9,
            s->bandwidth_is_measured ? "measured by a copy" : "data sheet");
    if (s->compute_flops > 0.0)
        fprintf(stream, " and %.1f TFLOP/s (data sheet)", s->compute_flops / 1e12);
    fprintf(stream, ", divided by the time. All else: sums over ranks, the update, waiting for images.\n");
    return fflush(stream) == 0 ? DT_OK : dt_fail_errno(err, "cannot write the profile");
}
