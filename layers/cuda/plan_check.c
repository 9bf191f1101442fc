#include "layers/cuda/plan_check.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "layers/cuda/graph_sample.h"

#include <math.h>

enum { N_REPEATS = 3, MAX_SAMPLES = 64, N_CORNERS = 16, N_CHANNELS = 3 };

/* About the multiply-adds that the samples of one output may take: some 30 ms. But there are N_LEAST samples
 * in any case. */
#define MAX_PRODUCTS 1e6
#define N_LEAST 2

/* Channels of a tensor that sums are computed from, read back from the device. */
typedef struct channels {
    int tensor; /* its id; DT_GRAPH_NONE: none */
    float *values;
} channels;

typedef struct check {
    dt_plan_bench *bench;
    dt_graph_sampler sampler;
    int64_t channel[N_CHANNELS]; /* the channels whose sums are compared */
    channels read[2];
} check;

static double initial(void *context, const dt_graph_tensor *t, const int64_t at[4])
{
    return dt_plan_bench_initial(((check *)context)->bench, t, at);
}

static double written(void *context, const dt_graph_tensor *t, const int64_t at[4])
{
    const check *k = context;
    const channels *r = &k->read[k->read[0].tensor == t->id ? 0 : 1];
    int64_t rows = t->dims[0] * t->dims[2] * t->dims[3], i = 0;
    while (k->channel[i] != at[1])
        i++;
    return (double)r->values[i * rows + (at[0] * t->dims[2] + at[2]) * t->dims[3] + at[3]];
}

static dt_status compare(check *k, const dt_graph_tensor *t, const int64_t (*at)[4], int n, dt_error *err)
{
    double values[MAX_SAMPLES];
    const dt_graph *graph = dt_plan_bench_graph(k->bench);
    DT_TRY(dt_plan_bench_read(k->bench, t, at, n, values, err));
    for (int i = 0; i < n; i++) {
        dt_graph_value expected = dt_graph_sample(&k->sampler, t->id, at[i]);
        double allowed = dt_graph_tolerance(graph->dtype, expected);
        if (expected.is_unsure || fabs(values[i] - expected.value) <= allowed) /* false for a NaN */
            continue;
        return dt_fail(
            err, DT_ERR_UNSUPPORTED,
            "%s: element [%lld, %lld, %lld, %lld] of tensor %d is %.6g; its definition gives %.6g, "
            "and %.2g is allowed",
            graph->name, (long long)at[i][0], (long long)at[i][1], (long long)at[i][2], (long long)at[i][3],
            t->id, values[i], expected.value, allowed);
    }
    return DT_OK;
}

/* Compare single elements: first corners, where padding counts, then random ones. */
static dt_status compare_elements(check *k, const dt_graph_tensor *t, dt_error *err)
{
    int64_t at[MAX_SAMPLES][4];
    dt_rng g = dt_rng_at(2, DT_RNG_TEST, (uint64_t)t->id, 0);
    double n = MAX_PRODUCTS / dt_graph_sample_cost(&k->sampler, t->id);
    int n_samples = n > MAX_SAMPLES ? MAX_SAMPLES : n < N_LEAST ? N_LEAST : (int)n;
    for (int i = 0; i < n_samples; i++)
        for (int d = 0; d < 4; d++) {
            bool is_corner = n_samples == MAX_SAMPLES ? i < N_CORNERS : d >= 2 && i < 2;
            int bit = n_samples == MAX_SAMPLES ? i >> d & 1 : i;
            at[i][d] = is_corner ? bit * (t->dims[d] - 1) : (int64_t)dt_rng_below(&g, (uint64_t)t->dims[d]);
        }
    return compare(k, t, at, n_samples, err);
}

static dt_status read_channels(check *k, channels *r, int id, dt_error *err)
{
    const dt_graph_tensor *t = k->sampler.tensors[id];
    if (id == DT_GRAPH_NONE || r->tensor == id || t->is_virtual || !t->is_output)
        return DT_OK;
    size_t bytes = (size_t)(N_CHANNELS * t->dims[0] * t->dims[2] * t->dims[3]) * sizeof(float);
    dt_free(r->values);
    r->tensor = DT_GRAPH_NONE;
    r->values = dt_alloc(bytes);
    if (!r->values)
        return dt_fail_memory(err, bytes, "a graph's channels");
    r->tensor = id;
    return dt_plan_bench_read_channels(k->bench, t, k->channel, N_CHANNELS, r->values, err);
}

/* Compare sums of the first, the last and a middle channel. */
static dt_status compare_sums(check *k, const dt_graph_tensor *t, const int summed[2], dt_error *err)
{
    int64_t at[N_CHANNELS][4] = {{0}};
    const int64_t chosen[N_CHANNELS] = {0, t->dims[1] - 1, t->dims[1] * 2 / 3};
    for (int i = 0; i < N_CHANNELS; i++)
        k->channel[i] = at[i][1] = chosen[i];
    for (int i = 0; i < 2; i++)
        DT_TRY(read_channels(k, &k->read[i], summed[i], err));
    return compare(k, t, at, N_CHANNELS, err);
}

static dt_status compare_outputs(check *k, dt_error *err)
{
    const dt_graph *graph = dt_plan_bench_graph(k->bench);
    int summed[2];
    for (int i = 0; i < graph->n_tensors; i++) {
        const dt_graph_tensor *t = &graph->tensors[i];
        if (t->is_virtual || !t->is_output)
            continue;
        if (dt_graph_is_sum(&k->sampler, t->id, summed))
            DT_TRY(compare_sums(k, t, summed, err));
        else
            DT_TRY(compare_elements(k, t, err));
    }
    return DT_OK;
}

dt_status dt_plan_check(dt_plan_bench *bench, const dt_plan_run *run, dt_error *err)
{
    check k = {.bench = bench};
    dt_graph_sampler_init(&k.sampler, dt_plan_bench_graph(bench));
    k.sampler.initial = initial;
    k.sampler.written = written;
    k.sampler.context = &k;
    DT_TRY(dt_plan_bench_run(bench, run, err));
    DT_TRY(dt_plan_bench_keep_bits(bench, err));
    dt_status status = compare_outputs(&k, err);
    for (int i = 0; i < 2; i++)
        dt_free(k.read[i].values);
    for (int i = 0; i < N_REPEATS && status == DT_OK; i++) {
        status = dt_plan_bench_run(bench, run, err);
        if (status == DT_OK)
            status = dt_plan_bench_compare_bits(bench, err);
    }
    return status;
}
