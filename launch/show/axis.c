#include "launch/show/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double steps[] = {1, 2, 5};
enum { N_STEPS = sizeof steps / sizeof *steps };

/* 10^exponent times 1, 2 or 5. Division by an exact power of ten gives the double that is nearest to the
 * decimal number; a product with 10^-1 would not. */
static double round_number(double digit, int exponent)
{
    return exponent < 0 ? digit / pow(10, -exponent) : digit * pow(10, exponent);
}

/* Ranges that hold no number, or one, become ranges around it. */
static void mend_range(bool is_log, double *min, double *max)
{
    if (!isfinite(*min) || (is_log && *min <= 0))
        *min = isfinite(*max) && (!is_log || *max > 0) ? *max : 1;
    if (!isfinite(*max) || *max < *min)
        *max = *min;
    *min = fmax(fmin(*min, 1e200), is_log ? 1e-200 : -1e200);
    *max = fmax(fmin(*max, 1e200), is_log ? 1e-200 : -1e200);
    if (is_log)
        return;
    if (*max - *min <= fabs(*max) * 1e-9) {
        *max = *min == 0 ? 1 : *min + fabs(*min) * 0.5;
        *min = *min == 0 ? 0 : *min - fabs(*min) * 0.5;
    }
}

void dt_axis_linear(double min, double max, double from, double to, int n_most, dt_axis *axis)
{
    *axis = (dt_axis){.from = from, .to = to};
    if (n_most > DT_AXIS_MAX_TICKS - 2)
        n_most = DT_AXIS_MAX_TICKS - 2;
    mend_range(false, &min, &max);
    int exponent = (int)floor(log10((max - min) / n_most));
    for (int i = 0;; i++) {
        if (i == N_STEPS) {
            i = 0;
            exponent++;
        }
        /* A little less than exact: 0.3 / 0.1 must not begin one tick too early. */
        const double step = round_number(steps[i], exponent);
        const double first = floor(min / step + 1e-9), last = ceil(max / step - 1e-9);
        if (last - first > n_most)
            continue;
        for (double k = first; k <= last && axis->n_ticks < DT_AXIS_MAX_TICKS; k++)
            axis->ticks[axis->n_ticks++] = round_number(k * steps[i], exponent);
        break;
    }
    axis->n_decimals = exponent < 0 ? -exponent : 0;
    axis->low = axis->ticks[0];
    axis->high = axis->ticks[axis->n_ticks - 1];
}

/* The ticks of a logarithmic axis are numbered: 3 * exponent + index in steps, or exponent / stride. */
static double log_tick(int number, int stride)
{
    if (stride > 0)
        return round_number(1, number * stride);
    const int exponent = (int)floor((double)number / N_STEPS);
    return round_number(steps[number - exponent * N_STEPS], exponent);
}

void dt_axis_log(double min, double max, double from, double to, dt_axis *axis)
{
    enum { MOST_DECADES_WITH_STEPS = 5 };
    *axis = (dt_axis){.is_log = true, .from = from, .to = to};
    mend_range(true, &min, &max);
    const double decades = log10(max / min);
    const int stride = decades <= MOST_DECADES_WITH_STEPS ? 0 : 1 + (int)(decades / 12);
    int first = (int)floor(log10(min)) * N_STEPS - 1;
    if (stride > 0)
        first = (int)floor(log10(min) / stride) - 1;
    while (log_tick(first + 1, stride) <= min * (1 + 1e-9))
        first++;
    for (int k = first; axis->n_ticks < DT_AXIS_MAX_TICKS; k++) {
        axis->ticks[axis->n_ticks++] = log_tick(k, stride);
        if (axis->n_ticks > 1 && log_tick(k, stride) >= max * (1 - 1e-9))
            break;
    }
    axis->low = axis->ticks[0];
    axis->high = axis->ticks[axis->n_ticks - 1];
}

double dt_axis_position(const dt_axis *axis, double value)
{
    double share = 0;
    if (!axis->is_log)
        share = (value - axis->low) / (axis->high - axis->low);
    else if (value > 0)
        share = log(value / axis->low) / log(axis->high / axis->low);
    share = isnan(share) ? 0 : fmin(fmax(share, 0), 1);
    return axis->from + share * (axis->to - axis->from);
}

/* -- numbers --------------------------------------------------------------------------------------------- */

/* Separators of thousands in the digits before the point. */
static void format_number(double value, int n_decimals, char *out, size_t out_bytes)
{
    char digits[400];
    snprintf(digits, sizeof digits, "%.*f", n_decimals, value);
    const char *s = digits;
    size_t used = 0;
    if (*s == '-' && used + 1 < out_bytes)
        out[used++] = *s++;
    for (size_t left = strcspn(s, "."); *s && used + 2 < out_bytes; s++) {
        out[used++] = *s;
        if (left > 0 && --left > 0 && left % 3 == 0)
            out[used++] = ',';
    }
    if (out_bytes > 0)
        out[used] = 0;
}

void dt_axis_format(const dt_axis *axis, int tick, char *out, size_t out_bytes)
{
    const double value = axis->ticks[tick];
    int n_decimals = axis->n_decimals;
    if (axis->is_log)
        n_decimals = value < 1 ? (int)ceil(-log10(value) - 1e-9) : 0;
    if (value != 0 && (fabs(value) >= 1e7 || n_decimals > 5))
        snprintf(out, out_bytes, "%.6g", value);
    else
        format_number(value, n_decimals, out, out_bytes);
}

void dt_axis_format_value(double value, char *out, size_t out_bytes)
{
    const double size = fabs(value);
    if (!isfinite(value))
        snprintf(out, out_bytes, "-");
    else if (size >= 1e15 || (size > 0 && size < 0.001))
        snprintf(out, out_bytes, "%.3g", value);
    else if (size >= 99.95)
        format_number(value, 0, out, out_bytes);
    else
        format_number(value, size >= 9.995 ? 1 : size >= 0.0995 || size == 0 ? 2 : 3, out, out_bytes);
}
