#include "config.h"

#include "launch/show/layer_times.h"

#include "core/base/units.h"
#include "launch/show/table.h"

#include <inttypes.h>

enum { N_COLUMNS = 6 };

/* One table for each direction: both beside each other would not fit 80 columns. */
typedef enum direction { FORWARD, BACKWARD } direction;

static dt_status add(dt_table *table, const char *name, const char *kind, const dt_profile_part *part,
                     dt_error *err)
{
    char ms[64], mb[64] = "", rate[64] = "", roof[64] = "";
    snprintf(ms, sizeof ms, "%.3f", part->ms);
    if (part->bytes > 0) {
        snprintf(mb, sizeof mb, "%.1f", (double)part->bytes / 1e6);
        snprintf(rate, sizeof rate, "%.1f", part->bytes_per_s / 1e9);
    }
    if (part->bytes > 0 && part->of_roof > 0.0)
        snprintf(roof, sizeof roof, "%.0f%%", 100.0 * part->of_roof);
    return dt_table_add(table, (const char *const[N_COLUMNS]){name, kind, ms, mb, rate, roof}, err);
}

static dt_status fill(dt_table *table, const dt_profile_summary *s, direction d, dt_error *err)
{
    for (int i = 2; i < N_COLUMNS; i++)
        dt_table_align_right(table, i);
    for (int64_t i = 0; i < s->n_rows; i++)
        DT_TRY(add(table, s->rows[i].name, s->rows[i].kind,
                   d == FORWARD ? &s->rows[i].forward : &s->rows[i].backward, err));
    DT_TRY(dt_table_add_rule(table, err));
    return add(table, "all layers", "", d == FORWARD ? &s->forward : &s->backward, err);
}

static dt_status print_direction(const dt_profile_summary *s, direction d, FILE *stream, dt_error *err)
{
    dt_table *table = NULL;
    DT_TRY(dt_table_create((const char *const[N_COLUMNS]){"layer", "kind",
                                                          d == FORWARD ? "forward ms" : "backward ms", "MB",
                                                          "GB/s", "roof"},
                           N_COLUMNS, &table, err));
    dt_status status = fill(table, s, d, err);
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(table);
    return status;
}

dt_status dt_layer_times_print(const dt_profile_summary *s, int64_t batch, FILE *stream, dt_error *err)
{
    DT_TRY(print_direction(s, FORWARD, stream, err));
    fputc('\n', stream);
    DT_TRY(print_direction(s, BACKWARD, stream, err));
    fprintf(stream, "\nall else  %.3f ms\na pass    %.3f ms\n\n", s->pass_ms - s->forward.ms - s->backward.ms,
            s->pass_ms);
    fprintf(
        stream,
        "Mean of %" PRId64 " pass%s of %" PRId64 " image%s, after %" PRId64
        " to warm up: %.1f images/s per rank. MB: the least memory traffic; GB/s: MB divided by the time. ",
        s->n_passes, s->n_passes == 1 ? "" : "es", batch, DT_PLURAL(batch), s->n_warmup,
        s->pass_ms > 0.0 ? 1e3 * (double)batch / s->pass_ms : 0.0);
    fprintf(stream, "Roof: the least time possible with %.1f GB/s (%s)", s->bandwidth_bytes_per_s / 1e9,
            s->bandwidth_is_measured ? "measured by a copy" : "data sheet");
    if (s->compute_flops > 0.0)
        fprintf(stream, " and %.1f TFLOP/s (data sheet)", s->compute_flops / 1e12);
    fprintf(stream, ", divided by the time. All else: sums over ranks, the update, waiting for images.\n");
    return fflush(stream) == 0 ? DT_OK : dt_fail_errno(err, "cannot write the profile");
}
