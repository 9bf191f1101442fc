#include "layers/cuda/plan_bench.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "layers/half.h"

#include <string.h>

/* This many random numbers are generated once and repeated over all tensors, each of which begins with
 * another one. */
enum { N_PATTERN = 1 << 18, PATTERN_SHIFT = 7919 };

/* What is compared of an output. */
enum { PART_BYTES = 128 << 10, N_PARTS = 8, MAX_PARTS = DT_GRAPH_MAX_TENSORS * N_PARTS };

/* Memory of the host through which tensors are read, at least. */
enum { STAGING_BYTES = 4 << 20 };

typedef struct part {
    const char *data; /* on the device */
    int64_t bytes;
    int tensor; /* its id, for messages */
} part;

struct dt_plan_bench {
    dt_device *device;
    dt_graph graph;
    dt_graph_binding tensors[DT_GRAPH_MAX_TENSORS];
    int n_tensors;
    void *workspace;
    int64_t workspace_bytes;
    dt_event *start, *stop;
    float *pattern;         /* [N_PATTERN] */
    uint16_t *half_pattern; /* the same in the graph's dtype, if that has 16 bits */
    part parts[MAX_PARTS];
    int n_parts;
    char *kept_bits; /* all parts, one after the other; pinned, so that copying them does not block */
    char *staging;   /* pinned; large enough for all parts, too */
};

/* -- tensors --------------------------------------------------------------------------------------------- */

static bool is_half(dt_dtype dtype)
{
    return dtype == DT_F16 || dtype == DT_BF16;
}

static void make_pattern(dt_plan_bench *b)
{
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < N_PATTERN; i++) {
        float v = 2.0F * dt_rng_uniform(&g) - 1.0F;
        b->pattern[i] = i % 17 == 16 ? 0.0F : v;
        b->half_pattern[i] = b->graph.dtype == DT_BF16 ? dt_bfloat_from_float(b->pattern[i])
                                                       : dt_half_from_float(b->pattern[i]);
    }
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t first_of_pattern(const dt_graph_tensor *t)
{
    return (int64_t)t->id * PATTERN_SHIFT % N_PATTERN;
}

static dt_status copy(const dt_plan_bench *b, void *to, const void *from, int64_t bytes, dt_copy_kind kind,
                      dt_error *err)
{
    return b->device->ops->copy(b->device, to, from, bytes, kind, NULL, err);
}

/* Copy the pattern, beginning with the tensor's first number, then append copies of the filled part, doubling
 * it each time. */
static dt_status fill(const dt_plan_bench *b, const dt_graph_tensor *t, char *data, dt_error *err)
{
    int64_t elem = dt_dtype_bytes(t->dtype), bytes = dt_graph_tensor_bytes(t),
            first = first_of_pattern(t) * elem, whole = N_PATTERN * elem;
    const char *pattern = is_half(t->dtype) ? (const char *)b->half_pattern : (const char *)b->pattern;
    int64_t head = smaller(bytes, whole - first), done = smaller(bytes, whole);
    DT_TRY(copy(b, data, pattern + first, head, DT_COPY_TO_DEVICE, err));
    if (done > head)
        DT_TRY(copy(b, data + head, pattern, done - head, DT_COPY_TO_DEVICE, err));
    while (done < bytes) {
        int64_t n = smaller(done, bytes - done);
        DT_TRY(copy(b, data + done, data, n, DT_COPY_ON_DEVICE, err));
        done += n;
    }
    return DT_OK;
}

/* Divide what is compared of an output into parts. */
static void add_parts(dt_plan_bench *b, const dt_graph_tensor *t, const char *data)
{
    int64_t bytes = dt_graph_tensor_bytes(t);
    if (bytes <= N_PARTS * PART_BYTES) {
        b->parts[b->n_parts++] = (part){.data = data, .bytes = bytes, .tensor = t->id};
        return;
    }
    for (int64_t i = 0; i < N_PARTS; i++) {
        int64_t at = (bytes - PART_BYTES) / (N_PARTS - 1) * i / DT_ALIGNMENT * DT_ALIGNMENT;
        b->parts[b->n_parts++] = (part){.data = data + at, .bytes = PART_BYTES, .tensor = t->id};
    }
}

static dt_status make_tensors(dt_plan_bench *b, dt_error *err)
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
        if (t->is_output)
            add_parts(b, t, data);
        DT_TRY(fill(b, t, data, err));
    }
    return b->device->ops->stream_wait(b->device, NULL, err);
}

static dt_status make_pattern_memory(dt_plan_bench *b, dt_error *err)
{
    b->pattern = dt_alloc(N_PATTERN * sizeof *b->pattern);
    b->half_pattern = dt_alloc(N_PATTERN * sizeof *b->half_pattern);
    if (!b->pattern || !b->half_pattern)
        return dt_fail_memory(err, N_PATTERN * sizeof(float), "measuring a graph");
    make_pattern(b);
    return DT_OK;
}

static dt_status make_host_memory(dt_plan_bench *b, dt_error *err)
{
    int64_t bytes = 0;
    for (int i = 0; i < b->n_parts; i++)
        bytes += b->parts[i].bytes;
    b->kept_bits = b->device->ops->host_alloc(b->device, bytes);
    b->staging = b->device->ops->host_alloc(b->device, bytes > STAGING_BYTES ? bytes : STAGING_BYTES);
    return b->kept_bits && b->staging ? DT_OK : dt_fail_memory(err, (size_t)bytes, "a graph's outputs");
}

dt_status dt_plan_bench_create(dt_device *device, const dt_graph *graph, dt_plan_bench **bench, dt_error *err)
{
    dt_plan_bench *b = dt_calloc(1, sizeof *b);
    if (!b)
        return dt_fail_memory(err, sizeof *b, "measuring a graph");
    b->device = device;
    b->graph = *graph;
    dt_status status = make_pattern_memory(b, err);
    if (status == DT_OK)
        status = device->ops->event_create(device, true, &b->start, err);
    if (status == DT_OK)
        status = device->ops->event_create(device, true, &b->stop, err);
    if (status == DT_OK)
        status = make_tensors(b, err);
    if (status == DT_OK)
        status = make_host_memory(b, err);
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
    b->device->ops->host_free(b->device, b->kept_bits);
    b->device->ops->host_free(b->device, b->staging);
    dt_free(b->pattern);
    dt_free(b->half_pattern);
    dt_free(b);
}

const dt_graph *dt_plan_bench_graph(const dt_plan_bench *b)
{
    return &b->graph;
}

/* -- executing ------------------------------------------------------------------------------------------- */

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

static bool is_added_to(const dt_graph *g, int id)
{
    for (int i = 0; i < g->n_ops; i++)
        if (g->ops[i].beta != 0.0F && g->ops[i].out[0] == id)
            return true;
    return false;
}

/* Fill the outputs again: all of them, or only those that the graph adds to. *any: whether there are any. */
static dt_status refill(const dt_plan_bench *b, bool all, bool *any, dt_error *err)
{
    *any = false;
    for (int i = 0; i < b->n_tensors; i++) {
        const dt_graph_tensor *t = dt_graph_find(&b->graph, b->tensors[i].id);
        if (!t->is_output || (!all && !is_added_to(&b->graph, t->id)))
            continue;
        *any = true;
        DT_TRY(fill(b, t, b->tensors[i].data, err));
    }
    return DT_OK;
}

static dt_status execute(const dt_plan_bench *b, const dt_plan_run *run, dt_error *err)
{
    return run->execute(run->context, b->tensors, b->n_tensors, b->workspace, err);
}

dt_status dt_plan_bench_run(dt_plan_bench *b, const dt_plan_run *run, dt_error *err)
{
    bool any;
    DT_TRY(reserve(b, run->workspace_bytes, err));
    DT_TRY(refill(b, true, &any, err));
    DT_TRY(execute(b, run, err));
    return b->device->ops->stream_wait(b->device, NULL, err);
}

dt_status dt_plan_bench_measure(dt_plan_bench *b, const dt_plan_run *run, int n_runs, double *ms,
                                dt_error *err)
{
    dt_device *device = b->device;
    double all_ms = 0;
    bool adds;
    DT_TRY(reserve(b, run->workspace_bytes, err));
    DT_TRY(refill(b, false, &adds, err));
    DT_TRY(execute(b, run, err));
    DT_TRY(dt_plan_bench_keep_bits(b, err));
    DT_TRY(device->ops->event_record(device, b->start, NULL, err));
    for (int i = 0; i < n_runs; i++)
        DT_TRY(execute(b, run, err));
    DT_TRY(device->ops->event_record(device, b->stop, NULL, err));
    DT_TRY(device->ops->stream_wait(device, NULL, err));
    DT_TRY(device->ops->event_elapsed_ms(device, b->start, b->stop, &all_ms, err));
    if (adds) {
        DT_TRY(refill(b, false, &adds, err));
        DT_TRY(execute(b, run, err));
    }
    DT_TRY(dt_plan_bench_compare_bits(b, err));
    *ms = all_ms / n_runs;
    return DT_OK;
}

/* -- bits ------------------------------------------------------------------------------------------------ */

/* Enqueue copies of all parts. */
static dt_status copy_bits(const dt_plan_bench *b, char *to, dt_error *err)
{
    for (int i = 0; i < b->n_parts; to += b->parts[i++].bytes)
        DT_TRY(copy(b, to, b->parts[i].data, b->parts[i].bytes, DT_COPY_TO_HOST, err));
    return DT_OK;
}

dt_status dt_plan_bench_keep_bits(dt_plan_bench *b, dt_error *err)
{
    return copy_bits(b, b->kept_bits, err);
}

dt_status dt_plan_bench_compare_bits(dt_plan_bench *b, dt_error *err)
{
    DT_TRY(copy_bits(b, b->staging, err));
    DT_TRY(b->device->ops->stream_wait(b->device, NULL, err));
    for (int64_t i = 0, at = 0; i < b->n_parts; at += b->parts[i++].bytes)
        if (memcmp(b->kept_bits + at, b->staging + at, (size_t)b->parts[i].bytes) != 0)
            return dt_fail(err, DT_ERR_UNSUPPORTED,
                           "%s: two executions on the same input wrote different bits into tensor %d",
                           b->graph.name, b->parts[i].tensor);
    return DT_OK;
}

/* -- values ---------------------------------------------------------------------------------------------- */

static int64_t offset_of(const dt_graph_tensor *t, const int64_t at[4])
{
    return at[0] * t->strides[0] + at[1] * t->strides[1] + at[2] * t->strides[2] + at[3] * t->strides[3];
}

static float value_at(const void *data, int64_t i, dt_dtype dtype)
{
    if (dtype == DT_F16)
        return dt_half_to_float(((const uint16_t *)data)[i]);
    if (dtype == DT_BF16)
        return dt_bfloat_to_float(((const uint16_t *)data)[i]);
    return ((const float *)data)[i];
}

double dt_plan_bench_initial(const dt_plan_bench *b, const dt_graph_tensor *t, const int64_t at[4])
{
    const void *pattern = is_half(t->dtype) ? (const void *)b->half_pattern : (const void *)b->pattern;
    int64_t i = (first_of_pattern(t) + offset_of(t, at)) % N_PATTERN;
    return (double)value_at(pattern, i, t->dtype);
}

static const char *data_of(const dt_plan_bench *b, const dt_graph_tensor *t)
{
    int i = 0;
    while (b->tensors[i].id != t->id)
        i++;
    return b->tensors[i].data;
}

dt_status dt_plan_bench_read(dt_plan_bench *b, const dt_graph_tensor *t, const int64_t (*at)[4], int n,
                             double *values, dt_error *err)
{
    int64_t elem = dt_dtype_bytes(t->dtype);
    for (int i = 0; i < n; i++)
        DT_TRY(copy(b, b->staging + i * elem, data_of(b, t) + offset_of(t, at[i]) * elem, elem,
                    DT_COPY_TO_HOST, err));
    DT_TRY(b->device->ops->stream_wait(b->device, NULL, err));
    for (int i = 0; i < n; i++)
        values[i] = (double)value_at(b->staging, i, t->dtype);
    return DT_OK;
}

dt_status dt_plan_bench_read_channels(dt_plan_bench *b, const dt_graph_tensor *t, const int64_t *channels,
                                      int n, float *values, dt_error *err)
{
    int64_t c = t->dims[1], rows = t->dims[0] * t->dims[2] * t->dims[3],
            row_bytes = c * dt_dtype_bytes(t->dtype);
    int64_t at_once = STAGING_BYTES / row_bytes;
    for (int64_t row = 0; row < rows; row += at_once) {
        int64_t n_rows = smaller(at_once, rows - row);
        DT_TRY(
            copy(b, b->staging, data_of(b, t) + row * row_bytes, n_rows * row_bytes, DT_COPY_TO_HOST, err));
        DT_TRY(b->device->ops->stream_wait(b->device, NULL, err));
        for (int i = 0; i < n; i++)
            for (int64_t k = 0; k < n_rows; k++)
                values[i * rows + row + k] = value_at(b->staging, k * c + channels[i], t->dtype);
    }
    return DT_OK;
}
