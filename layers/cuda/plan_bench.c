#include "layers/cuda/plan_bench.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "layers/half.h"

struct dt_plan_bench {
    dt_device *device;
    dt_graph graph;
    dt_graph_binding tensors[DT_GRAPH_MAX_TENSORS];
    int n_tensors;
    void *workspace;
    int64_t workspace_bytes;
    dt_event *start, *stop;
};

/* This many random numbers are generated once and repeated over a tensor. */
enum { N_PATTERN = 1 << 18 };

static void make_pattern(void *pattern, dt_dtype dtype)
{
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < N_PATTERN; i++) {
        float v = 2.0F * dt_rng_uniform(&g) - 1.0F;
        if (dtype == DT_F16)
            ((uint16_t *)pattern)[i] = dt_half_from_float(v);
        else if (dtype == DT_BF16)
            ((uint16_t *)pattern)[i] = dt_bfloat_from_float(v);
        else
            ((float *)pattern)[i] = v;
    }
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Copy the pattern to the beginning, then append copies of the filled part, doubling it each time. */
static dt_status fill(dt_device *device, char *data, int64_t bytes, const void *pattern,
                      int64_t pattern_bytes, dt_error *err)
{
    int64_t done = smaller(bytes, pattern_bytes);
    DT_TRY(device->ops->copy(device, data, pattern, done, DT_COPY_TO_DEVICE, NULL, err));
    while (done < bytes) {
        int64_t n = smaller(done, bytes - done);
        DT_TRY(device->ops->copy(device, data + done, data, n, DT_COPY_ON_DEVICE, NULL, err));
        done += n;
    }
    return device->ops->stream_wait(device, NULL, err); /* the caller reuses the pattern */
}

static dt_status make_tensors(dt_plan_bench *b, void *pattern, dt_error *err)
{
    for (int i = 0; i < b->graph.n_tensors; i++) {
        const dt_graph_tensor *t = &b->graph.tensors[i];
        int64_t bytes = dt_graph_tensor_bytes(t);
        if (t->is_virtual)
            continue;
        void *data = b->device->ops->alloc(b->device, bytes);
        if (!data)
            return dt_fail(err, DT_ERR_MEMORY, "measuring %s: the device has no %lld bytes left",
                           b->graph.name, (long long)bytes);
        b->tensors[b->n_tensors++] = (dt_graph_binding){.id = t->id, .data = data};
        make_pattern(pattern, t->dtype);
        DT_TRY(fill(b->device, data, bytes, pattern, N_PATTERN * dt_dtype_bytes(t->dtype), err));
    }
    return DT_OK;
}

dt_status dt_plan_bench_create(dt_device *device, const dt_graph *graph, dt_plan_bench **bench, dt_error *err)
{
    dt_plan_bench *b = dt_calloc(1, sizeof *b);
    void *pattern = dt_alloc(N_PATTERN * sizeof(float));
    dt_status status =
        b && pattern ? DT_OK : dt_fail_memory(err, N_PATTERN * sizeof(float), "measuring a graph");
    if (status == DT_OK) {
        b->device = device;
        b->graph = *graph;
        status = device->ops->event_create(device, true, &b->start, err);
    }
    if (status == DT_OK)
        status = device->ops->event_create(device, true, &b->stop, err);
    if (status == DT_OK)
        status = make_tensors(b, pattern, err);
    dt_free(pattern);
    if (status == DT_OK)
        *bench = b;
    else
        dt_plan_bench_destroy(b);
    return status;
}

void dt_plan_bench_destroy(dt_plan_bench *b)
{
    if (!b)
        return;
    for (int i = 0; i < b->n_tensors; i++)
        b->device->ops->free(b->device, b->tensors[i].data);
    if (b->workspace)
        b->device->ops->free(b->device, b->workspace);
    if (b->start)
        b->device->ops->event_destroy(b->device, b->start);
    if (b->stop)
        b->device->ops->event_destroy(b->device, b->stop);
    dt_free(b);
}

static dt_status reserve(dt_plan_bench *b, int64_t bytes, dt_error *err)
{
    if (bytes <= b->workspace_bytes)
        return DT_OK;
    if (b->workspace)
        b->device->ops->free(b->device, b->workspace);
    b->workspace = b->device->ops->alloc(b->device, bytes);
    b->workspace_bytes = b->workspace ? bytes : 0;
    return b->workspace ? DT_OK
                        : dt_fail(err, DT_ERR_MEMORY, "measuring %s: no workspace of %lld bytes left",
                                  b->graph.name, (long long)bytes);
}

dt_status dt_plan_bench_measure(dt_plan_bench *b, int64_t workspace_bytes, int n_runs,
                                dt_plan_execute *execute, void *context, double *ms, dt_error *err)
{
    dt_device *device = b->device;
    double all_ms = 0;
    DT_TRY(reserve(b, workspace_bytes, err));
    DT_TRY(execute(context, b->tensors, b->n_tensors, b->workspace, err));
    DT_TRY(device->ops->event_record(device, b->start, NULL, err));
    for (int i = 0; i < n_runs; i++)
        DT_TRY(execute(context, b->tensors, b->n_tensors, b->workspace, err));
    DT_TRY(device->ops->event_record(device, b->stop, NULL, err));
    DT_TRY(device->ops->stream_wait(device, NULL, err));
    DT_TRY(device->ops->event_elapsed_ms(device, b->start, b->stop, &all_ms, err));
    *ms = all_ms / n_runs;
    return DT_OK;
}
