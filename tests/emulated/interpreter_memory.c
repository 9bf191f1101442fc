/* interpreter_memory.c: conversion between a tensor's memory and its values. */
#include "layers/half.h"
#include "tests/emulated/device_emulated.h"
#include "tests/emulated/interpreter_internal.h"

#include <string.h>

static double read_element(const void *data, int64_t at, dt_dtype dtype)
{
    uint16_t half;
    float v;
    if (dtype == DT_F16 || dtype == DT_BF16) {
        memcpy(&half, (const char *)data + 2 * at, sizeof half);
        return (double)(dtype == DT_F16 ? dt_half_to_float(half) : dt_bfloat_to_float(half));
    }
    memcpy(&v, (const char *)data + 4 * at, sizeof v);
    return (double)v;
}

static void write_element(void *data, int64_t at, dt_dtype dtype, double value)
{
    float v = (float)value;
    if (dtype == DT_F16 || dtype == DT_BF16) {
        uint16_t half = dtype == DT_F16 ? dt_half_from_float(v) : dt_bfloat_from_float(v);
        memcpy((char *)data + 2 * at, &half, sizeof half);
        return;
    }
    memcpy((char *)data + 4 * at, &v, sizeof v);
}

/* Return the offset of the next element in the order of dt_values. `at` is the present offset in memory;
 * `index` counts n, c, h, w up. */
static int64_t next_offset(const dt_graph_tensor *t, int64_t index[4], int64_t at)
{
    for (int d = 3; d >= 0; d--) {
        at += t->strides[d];
        if (++index[d] < t->dims[d])
            return at;
        at -= t->dims[d] * t->strides[d];
        index[d] = 0;
    }
    return at;
}

dt_status dt_interpreter_load(const char *graph, const dt_graph_tensor *t, const void *data,
                              dt_values *values, dt_error *err)
{
    int64_t bytes = dt_dtype_bytes(t->dtype), index[4] = {0};
    for (int64_t i = 0, at = 0; i < dt_values_count(values); i++, at = next_offset(t, index, at)) {
        if (dt_emulated_unwritten((const char *)data + at * bytes, 1, bytes) == 0)
            return dt_fail(err, DT_ERR_DEVICE, "%s: element %lld of tensor %d was never written", graph,
                           (long long)at, t->id);
        values->v[i] = read_element(data, at, t->dtype);
    }
    return DT_OK;
}

void dt_interpreter_store(const dt_graph_tensor *t, void *data, const dt_values *values)
{
    int64_t index[4] = {0};
    for (int64_t i = 0, at = 0; i < dt_values_count(values); i++, at = next_offset(t, index, at))
        write_element(data, at, t->dtype, values->v[i]);
}
