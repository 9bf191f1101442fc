#include "config.h"

#include "launch/estimate/roofline.h"

#ifdef DT_WITH_CUDA
#    include "core/base/alloc.h"
#    include "core/base/units.h"
#    include "core/model/net.h"
#    include "launch/estimate/gpu_spec.h"
#    include "launch/estimate/offline_device.h"
#    include "launch/estimate/step_model.h"
#    include "launch/estimate/trace_runner.h"
#    include "launch/show/table.h"
#    include "layers/cuda/cudnn_runner.h"
#    include "layers/cuda/kernels_cuda.h"
#    include "layers/registry.h"
#    include "layers/resnet.h"

#    include <math.h>
#    include <string.h>

#    define N_CLASSES 1000 /* ImageNet's */

/* Everything that the tables are computed from. */
typedef struct offline_run {
    const dt_options *options;
    dt_gpu_spec gpu;
    dt_device *device;
    dt_graph_runner *runner;
    dt_kernels *kernels;
    dt_net_spec spec;
    dt_net *net;
    dt_step_trace *trace;
} offline_run;

static void close_run(offline_run *r)
{
    dt_step_trace_destroy(r->trace);
    dt_net_destroy(r->net);
    dt_free(r->spec.layers);
    if (r->kernels)
        r->kernels->ops->destroy(r->kernels);
    if (r->runner)
        r->runner->ops->destroy(r->runner);
    if (r->device)
        r->device->ops->destroy(r->device);
    dt_gpu_spec_free(&r->gpu);
}

static dt_status open_run(offline_run *r, dt_error *err)
{
    const dt_config *c = &r->options->config;
    const dt_cudnn_options cudnn = {.autotune = DT_AUTOTUNE_OFF,
                                    .workspace_limit_bytes = DT_CUDNN_WORKSPACE_LIMIT_BYTES};
    const dt_cuda_options cuda = {.dtype = c->precision};
    const dt_net_options net = {.batch = c->batch, .image_size = c->image_size, .training = true};
    dt_graph_runner *planner = NULL;
    DT_TRY(dt_gpu_spec_load(r->options->device, &r->gpu, err));
    dt_status status = dt_cudnn_runner_create_offline(r->gpu.model, r->gpu.properties, &cudnn, &planner, err);
    if (status == DT_ERR_FORMAT) {
        (void)dt_error_prefix(err, "--device %s", r->options->device);
        return DT_ERR_USAGE;
    }
    DT_TRY(status);
    DT_TRY(dt_trace_runner_create(planner, &r->runner, err));
    DT_TRY(dt_offline_device_create(&r->gpu, c->precision, &r->device, err));
    DT_TRY(dt_kernels_cuda_create(r->device, r->runner, &cuda, &r->kernels, err));
    DT_TRY(dt_resnet_spec(r->options->arch, N_CLASSES, &r->spec, err));
    DT_TRY(dt_net_create(&r->spec, dt_layer_registry(), r->kernels, &net, &r->net, err));
    return dt_step_trace_create(r->net, r->kernels, r->runner, c, &r->trace, err);
}

/* -- which layer a graph is for -------------------------------------------------------------------------- */

typedef struct shape {
    int64_t c, size;
    dt_conv_input
        form; /* for the first convolution that reads it; plain for others if it is a join's output */
} shape;

static int64_t out_size(const dt_layer_spec *l, int64_t size)
{
    return (size + 2 * l->pad - l->kernel) / l->stride + 1;
}

static shape output_shape(const dt_layer_spec *l, const shape *in, const shape *skip)
{
    if (strcmp(l->kind, "conv") == 0)
        return (shape){l->channels, out_size(l, in->size), DT_CONV_INPUT_PLAIN};
    if (strcmp(l->kind, "max_pool") == 0)
        return (shape){in->c, out_size(l, in->size), DT_CONV_INPUT_PLAIN};
    if (strcmp(l->kind, "batchnorm") == 0)
        return (shape){in->c, in->size, DT_CONV_INPUT_LAZY};
    if (strcmp(l->kind, "add") == 0)
        return (shape){in->c, in->size,
                       skip->form == DT_CONV_INPUT_LAZY ? DT_CONV_INPUT_JOIN_LAZY : DT_CONV_INPUT_JOIN};
    return (shape){in->c, in->size, DT_CONV_INPUT_PLAIN};
}

/* Returns the name of the first layer with this convolution, or NULL. */
static const char *find_layer(const offline_run *r, const dt_conv_desc *d)
{
    enum { MAX_VALUES = 512 }; /* ResNet-152 has 469 */
    shape shapes[MAX_VALUES] = {{3, r->options->config.image_size, DT_CONV_INPUT_PLAIN}};
    for (int64_t i = 0; i < r->spec.n_layers && i + 1 < MAX_VALUES; i++) {
        const dt_layer_spec *l = &r->spec.layers[i];
        shape *in = &shapes[l->inputs[0]];
        if (strcmp(l->kind, "conv") == 0 && in->c == d->c && in->size == d->h && l->channels == d->k &&
            l->kernel == d->r && l->stride == d->stride && in->form == d->input)
            return l->name;
        if (strcmp(l->kind, "conv") == 0 && in->form != DT_CONV_INPUT_LAZY)
            in->form = DT_CONV_INPUT_PLAIN;
        shapes[i + 1] = output_shape(l, in, &shapes[l->inputs[1]]);
    }
    return NULL;
}

/* -- a row for each graph -------------------------------------------------------------------------------- */

typedef struct graph_table {
    const offline_run *run;
    dt_table *table;
    int64_t n_plans, n_fused, n_composed; /* distinct graphs */
    int64_t workspace_bytes;              /* the largest workspace of a plan */
    double through_workspace;             /* bytes a step, if every workspace is written and read once */
    dt_status status;
    dt_error *err;
} graph_table;

static void count_row(graph_table *t, const dt_cuda_plan_row *row)
{
    if (row->is_refused) {
        t->n_composed++;
        return;
    }
    t->n_plans++;
    t->n_fused += row->is_fused;
    t->through_workspace += 2.0 * (double)row->info.workspace_bytes * row->n_layers;
    if (row->info.workspace_bytes > t->workspace_bytes)
        t->workspace_bytes = row->info.workspace_bytes;
}

static void add_row(void *context, const dt_cuda_plan_row *row)
{
    graph_table *t = context;
    char layer[DT_LAYER_NAME_BYTES + 24], graph[96], engine[96] = "-", workspace[32] = "-";
    const char *name = row->conv ? find_layer(t->run, row->conv) : "fc";
    count_row(t, row);
    snprintf(layer, sizeof layer, "%s", name ? name : "?");
    if (row->n_layers > 1)
        snprintf(layer + strlen(layer), sizeof layer - strlen(layer), " +%d more", row->n_layers - 1);
    /* Cut the batch and the type off, which are the same in every row. */
    snprintf(graph, sizeof graph, "%s", row->name);
    char *batch = strstr(graph, " n");
    if (batch)
        *batch = '\0';
    if (!row->is_refused) {
        snprintf(engine, sizeof engine, "%.*s", (int)strcspn(row->info.engine, ":"), row->info.engine);
        snprintf(workspace, sizeof workspace, "%.1f", DT_TO_MIB(row->info.workspace_bytes));
    }
    const char *cells[] = {layer, graph,
                           row->is_refused ? "composed"
                           : row->is_fused ? "fused"
                                           : "plain",
                           engine, workspace};
    if (t->status == DT_OK)
        t->status = dt_table_add(t->table, cells, t->err);
}

static dt_status print_graphs(const offline_run *run, graph_table *t, FILE *stream, dt_error *err)
{
    *t = (graph_table){.run = run, .err = err};
    DT_TRY(
        dt_table_create((const char *const[]){"layer", "graph", "plan", "engine", "MiB"}, 5, &t->table, err));
    dt_table_align_right(t->table, 3);
    dt_table_align_right(t->table, 4);
    dt_kernels_cuda_plans(run->kernels, add_row, t);
    dt_status status = t->status;
    if (status == DT_OK)
        status = dt_table_print(t->table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(t->table);
    return status;
}

/* -- totals ---------------------------------------------------------------------------------------------- */

typedef struct roofline {
    double bytes, flops;           /* of a micro-batch */
    double memory_s, arithmetic_s; /* the least time for bytes alone and for flops alone */
    double seconds;                /* the sum over layers of the larger of the two */
} roofline;

static roofline measure(const offline_run *r, double bandwidth, double peak)
{
    roofline roof = {0};
    for (int64_t layer = -1; layer < r->spec.n_layers; layer++)
        for (dt_layer_phase phase = DT_LAYER_FORWARD; phase <= DT_LAYER_BACKWARD; phase++) {
            dt_layer_traffic t;
            dt_net_layer_traffic(r->net, layer, phase, &t);
            double memory_s = (double)t.bytes / bandwidth, arithmetic_s = t.flops / peak;
            roof.bytes += (double)t.bytes;
            roof.flops += t.flops;
            roof.memory_s += memory_s;
            roof.arithmetic_s += arithmetic_s;
            roof.seconds += memory_s > arithmetic_s ? memory_s : arithmetic_s;
        }
    return roof;
}

static void add_totals(const offline_run *r, const graph_table *graphs, dt_table *table)
{
    const dt_gpu_spec *gpu = &r->gpu;
    const dt_config *c = &r->options->config;
    /* A GPU without TF32 computes it in FP32. */
    double peak = gpu->flops[c->precision] > 0 ? gpu->flops[c->precision]
                  : c->precision == DT_TF32    ? gpu->flops[DT_F32]
                                               : 0,
           n = (double)c->batch;
    roofline roof = measure(r, gpu->bandwidth_bytes_per_s, peak > 0 ? peak : INFINITY);
    dt_net_info info;
    dt_net_get_info(r->net, &info);
    int64_t total = info.activation_bytes + info.parameter_bytes + info.backend_bytes;
    dt_table_add_pair(table, "GPU", "%s", gpu->description);
    dt_table_add_pair(table, "data sheet", "%.0f GB/s, %.4g TFLOP/s in %s, %.1f GiB",
                      gpu->bandwidth_bytes_per_s / 1e9, peak / 1e12, dt_dtype_name(c->precision),
                      DT_TO_GIB(gpu->memory_bytes));
    dt_table_add_pair(table, "library", "%s", r->runner->ops->describe(r->runner));
    dt_table_add_pair(table, "network", "%s, %lld pixels, %lld image%s, %s, %.1f million parameters",
                      r->options->arch, (long long)c->image_size, (long long)c->batch, DT_PLURAL(c->batch),
                      dt_dtype_name(c->precision), (double)info.n_params / 1e6);
    dt_table_add_pair(
        table, "graphs",
        "with a plan: %lld, %lld of them fused; without one, and composed instead of fused: %lld",
        (long long)graphs->n_plans, (long long)graphs->n_fused, (long long)graphs->n_composed);
    dt_table_add_pair(table, "an image moves",
                      "%.1f MB (and at most %.1f MB through workspaces, if each is written and read once)",
                      roof.bytes / n / 1e6, graphs->through_workspace / n / 1e6);
    dt_table_add_pair(table, "an image computes", "%.2f GFLOP", roof.flops / n / 1e9);
    dt_table_add_pair(
        table, "memory", "%.2f GiB: activations %.2f, parameters %.2f, workspace %.2f, other %.2f%s",
        DT_TO_GIB(total), DT_TO_GIB(info.activation_bytes), DT_TO_GIB(info.parameter_bytes),
        DT_TO_GIB(graphs->workspace_bytes), DT_TO_GIB(info.backend_bytes - graphs->workspace_bytes),
        total > gpu->memory_bytes ? ": MORE THAN THE GPU HAS" : "");
    if (peak > 0)
        dt_table_add_pair(table, "roofline", "%.0f images/s (memory alone %.0f, arithmetic alone %.0f)",
                          n / roof.seconds, n / roof.memory_s, n / roof.arithmetic_s);
    else
        dt_table_add_pair(table, "roofline", "%.0f images/s by memory alone; the file has no FLOP/s in %s",
                          n / roof.memory_s, dt_dtype_name(c->precision));
}

static void add_step(const offline_run *r, dt_table *table)
{
    const dt_config *c = &r->options->config;
    const dt_step_trace *t = r->trace;
    const dt_step_speeds speeds = dt_step_speeds_of(&r->gpu, c->precision);
    const dt_step_time time = dt_step_model(t, c->precision, &speeds);
    dt_table_add_pair(table, "a step enqueues",
                      "%lld launches on one rank: own kernels %lld, cuDNN's graphs (each counted once) %lld, "
                      "copies and fills %lld",
                      (long long)(t->n_kernels + t->n_graphs + t->n_copies), (long long)t->n_kernels,
                      (long long)t->n_graphs, (long long)t->n_copies);
    dt_table_add_pair(table, "estimated step",
                      "%.1f ms, %.0f images/s: arithmetic with assumed speeds, not measured "
                      "(layers/cuda/README.md)",
                      time.total_s * 1e3, (double)c->batch / time.total_s);
    dt_table_add_pair(table, "of which",
                      "conv forward %.2f ms, data gradients %.2f, weight gradients %.2f, own kernels %.2f, "
                      "launches %.2f",
                      time.forward_s * 1e3, time.data_gradient_s * 1e3, time.weight_gradient_s * 1e3,
                      time.kernels_s * 1e3, time.launches_s * 1e3);
}

static dt_status print_totals(const offline_run *r, const graph_table *graphs, FILE *stream, dt_error *err)
{
    dt_table *table = NULL;
    DT_TRY(dt_table_create(NULL, 2, &table, err));
    add_totals(r, graphs, table);
    add_step(r, table);
    dt_status status = dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(table);
    return status;
}

dt_status dt_roofline_print(const dt_options *options, FILE *stream, dt_error *err)
{
    offline_run run = {.options = options};
    graph_table graphs;
    dt_status status = open_run(&run, err);
    if (status == DT_OK)
        status = print_graphs(&run, &graphs, stream, err);
    if (status == DT_OK)
        status = fputc('\n', stream) == EOF ? dt_fail_errno(err, "printing the plans")
                                            : print_totals(&run, &graphs, stream, err);
    close_run(&run);
    return status;
}

#else
dt_status dt_roofline_print(const dt_options *options, FILE *stream, dt_error *err)
{
    (void)options, (void)stream;
    return dt_fail(err, DT_ERR_UNSUPPORTED, "--plans: this build has no cuDNN: " DT_WHY_NO_CUDA);
}
#endif
