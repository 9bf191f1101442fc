#include "config.h"

#include "launch/estimate/plan_words.h"

#include <math.h>
#include <stdio.h>

void dt_plan_format_hours(double hours, char *out, size_t out_bytes)
{
    if (hours < 1)
        snprintf(out, out_bytes, "%.0f min", hours * 60);
    else if (hours < 10)
        snprintf(out, out_bytes, "%.1f h", hours);
    else if (hours < 100)
        snprintf(out, out_bytes, "%.0f h", hours);
    else
        snprintf(out, out_bytes, "%.1f days", hours / 24);
}

void dt_plan_format_usd(double usd, char *out, size_t out_bytes)
{
    if (usd < 99.995)
        snprintf(out, out_bytes, "$%.2f", usd);
    else if (usd < 999.5)
        snprintf(out, out_bytes, "$%.0f", usd);
    else if (usd < 999999.5)
        snprintf(out, out_bytes, "$%.0f,%03.0f", floor(round(usd) / 1000), fmod(round(usd), 1000));
    else
        snprintf(out, out_bytes, "$%.3g million", usd / 1e6);
}

void dt_plan_row_describe(const dt_plan_row *row, char *out, size_t out_bytes)
{
    char n[24] = "";
    if (row->nodes > 1)
        snprintf(n, sizeof n, "%d x ", row->nodes);
    snprintf(out, out_bytes, "%s%s %s in %s", n, row->instance->type,
             row->purchase == DT_PURCHASE_SPOT        ? "on spot"
             : row->purchase == DT_PURCHASE_ON_DEMAND ? "on demand"
                                                      : "on spot, then on demand,",
             row->zone ? row->zone : row->region);
}
