/* The distributions of up and down times: the presets, and those of launch/estimate/data/traces.json. */
#include "config.h"

#include "launch/estimate/interruptions.h"

#include "core/base/alloc.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char traces_text[] =
#include "launch/estimate/traces.inc"
    ;

/* Without traces: how long no instance is available, on average; that of the trace of 2023-04. */
#define PRESET_DOWN_H 0.8

/* The z below which a share p of a normal distribution lies, by Newton's method. */
static double normal_quantile(double p)
{
    double z = 0;
    for (int i = 0; i < 60; i++) {
        const double below = 0.5 * erfc(-z / sqrt(2.0)), density = exp(-0.5 * z * z) / sqrt(2.0 * acos(-1.0));
        double step = (p - below) / (density > 1e-12 ? density : 1e-12);
        step = step > 0.5 ? 0.5 : step < -0.5 ? -0.5 : step;
        z += step;
    }
    return z;
}

static double middle_of(int i)
{
    return ((double)i + 0.5) / DT_SPOT_QUANTILES;
}

static double mean_of(const double *hours)
{
    double sum = 0;
    for (int i = 0; i < DT_SPOT_QUANTILES; i++)
        sum += hours[i];
    return sum / DT_SPOT_QUANTILES;
}

static void fill_exponential(double mean_h, double *hours)
{
    for (int i = 0; i < DT_SPOT_QUANTILES; i++)
        hours[i] = -log1p(-middle_of(i));
    const double mean = mean_of(hours); /* a little less than 1: a table has no tail */
    for (int i = 0; i < DT_SPOT_QUANTILES; i++)
        hours[i] *= mean_h / mean;
}

/* Log-normal with this mean and this standard deviation of the logarithm, cut off at max_h. */
static void fill_lognormal(double mean_h, double spread, double max_h, double *hours)
{
    double factor = mean_h * exp(-0.5 * spread * spread);
    for (int pass = 0; pass < 100; pass++) { /* cutting lowers the mean: raise the factor until it is right */
        for (int i = 0; i < DT_SPOT_QUANTILES; i++)
            hours[i] = fmin(factor * exp(spread * normal_quantile(middle_of(i))), max_h);
        const double mean = mean_of(hours);
        if (fabs(mean / mean_h - 1) < 1e-6)
            break;
        factor *= mean_h / mean;
    }
}

static double number(const json_t *trace, const char *key)
{
    return json_number_value(json_object_get(trace, key));
}

static void fill_from_trace(const json_t *trace, dt_interruptions *out)
{
    const double mean = number(trace, "up_mean_h"), median = number(trace, "up_median_h");
    out->mtti_h = mean;
    out->down_mean_h = number(trace, "down_mean_h");
    /* the mean of a log-normal distribution is its median times exp(spread^2 / 2) */
    fill_lognormal(mean, sqrt(2.0 * log(mean / median)), INFINITY, out->up_h);
    fill_lognormal(out->down_mean_h, number(trace, "down_spread"), number(trace, "down_max_h"), out->down_h);
}

dt_status dt_interruptions_of_trace(const char *name, dt_interruptions *out, dt_error *err)
{
    json_t *root = json_loads(traces_text, 0, NULL);
    const json_t *traces = json_object_get(root, "traces");
    const char *wanted = name ? name : json_string_value(json_object_get(root, "used"));
    dt_status status = DT_ERR_USAGE;
    for (size_t i = 0; i < json_array_size(traces) && status != DT_OK; i++) {
        const json_t *trace = json_array_get(traces, i);
        if (strcmp(json_string_value(json_object_get(trace, "name")), wanted) != 0)
            continue;
        fill_from_trace(trace, out);
        snprintf(out->name, sizeof out->name, "traces");
        status = DT_OK;
    }
    json_decref(root);
    return status == DT_OK ? DT_OK
           : root          ? dt_fail(err, status, "traces.json has no trace '%s'", name ? name : "")
                           : dt_fail_memory(err, sizeof traces_text, "traces.json");
}

dt_status dt_interruptions_set(double mtti_h, dt_interruptions *out, dt_error *err)
{
    if (mtti_h < 0)
        return dt_interruptions_of_trace(NULL, out, err);
    if (!(mtti_h > 0 && mtti_h <= 1e6))
        return dt_fail(err, DT_ERR_USAGE, "--mtti: %g is out of range: more than 0, up to 1000000", mtti_h);
    const char *preset = mtti_h == 24 ? "calm" : mtti_h == 8 ? "normal" : mtti_h == 3 ? "hard" : NULL;
    if (preset)
        snprintf(out->name, sizeof out->name, "%s", preset);
    else
        snprintf(out->name, sizeof out->name, "%g h", mtti_h);
    out->mtti_h = mtti_h;
    out->down_mean_h = PRESET_DOWN_H;
    fill_exponential(mtti_h, out->up_h);
    fill_exponential(out->down_mean_h, out->down_h);
    return DT_OK;
}
