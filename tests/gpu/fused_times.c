#include "tests/gpu/fused_times.h"

#include "core/base/alloc.h"
#include "core/base/units.h"
#include "core/model/net.h"
#include "layers/cuda/kernels_cuda.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/gpu/fused_bench.h"

#include <stdio.h>
#include <string.h>

enum { MAX_GRAPHS = 16, N_ROUNDS = 2 };

/* -- the convolutions of a network ----------------------------------------------------------------------- */

static void visit_row(void *context, const dt_cuda_plan_row *row)
{
    dt_fused_convs *list = context;
    if (!row->conv || row->conv == list->last || list->n == DT_FUSED_MAX_CONVS)
        return;
    list->last = row->conv;
    list->descs[list->n] = *row->conv;
    list->n_layers[list->n++] = row->n_layers;
}

/* A runner that accepts every graph and makes nothing of it. */
static const char *describe_nothing(dt_graph_runner *runner)
{
    (void)runner;
    return "no library";
}

static dt_status plan_nothing(dt_graph_runner *runner, const dt_graph *graph, const dt_graph_engine *chosen,
                              dt_graph_plan **plan, dt_error *err)
{
    (void)graph, (void)chosen, (void)err;
    *plan = (dt_graph_plan *)(void *)runner;
    return DT_OK;
}

static void destroy_nothing(dt_graph_runner *runner, dt_graph_plan *plan)
{
    (void)runner, (void)plan;
}

static void no_info(const dt_graph_plan *plan, dt_graph_plan_info *info)
{
    (void)plan;
    *info = (dt_graph_plan_info){.n_candidates = 1};
}

static const dt_graph_runner_ops nothing = {.name = "nothing",
                                            .describe = describe_nothing,
                                            .plan_create = plan_nothing,
                                            .plan_destroy = destroy_nothing,
                                            .plan_info = no_info};

dt_status dt_fused_convs_list(dt_device *device, const dt_fused_times_options *o, dt_fused_convs *convs,
                              dt_error *err)
{
    dt_graph_runner runner = {.ops = &nothing};
    const dt_cuda_options cuda = {.dtype = DT_F16, .plan_only = true};
    const dt_net_options options = {
        .batch = o->batch, .image_size = o->image_size, .training = true, .plan_only = true};
    dt_net_spec spec = {0};
    dt_kernels *kernels = NULL;
    dt_net *net = NULL;
    DT_TRY(dt_resnet_spec(o->arch, 1000, &spec, err));
    dt_status status = dt_kernels_cuda_create(device, &runner, &cuda, &kernels, err);
    if (status == DT_OK)
        status = dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, err);
    if (status == DT_OK)
        dt_kernels_cuda_plans(kernels, visit_row, convs);
    dt_net_destroy(net);
    if (kernels)
        kernels->ops->destroy(kernels);
    dt_free(spec.layers);
    return status;
}

/* -- times ----------------------------------------------------------------------------------------------- */

/* The sums of all convolutions with this graph, in a step. */
typedef struct graph_sum {
    const char *name;
    int n, n_missing, n_slower;
    double ms[2]; /* by dt_side, of those that the library has */
} graph_sum;

typedef struct measurement {
    dt_device *device;
    const dt_fused_times_options *options;
    dt_kernels *kernels[2];
    dt_graph_runner *runners[2];
    dt_event *begin, *end;
    FILE *stream;
    graph_sum sums[MAX_GRAPHS];
    int n_sums;
    double missing_ms; /* of what replaces graphs that the library lacks */
} measurement;

/* The mean of n_runs executions in a row, after one that is not counted. */
static dt_status mean_of(measurement *m, dt_fused_bench *bench, int i, dt_side side, double *ms,
                         dt_error *err)
{
    const dt_device_ops *ops = m->device->ops;
    double all_ms = 0;
    DT_TRY(dt_fused_bench_run(bench, i, side, err));
    DT_TRY(dt_fused_bench_settle(bench, err));
    DT_TRY(ops->event_record(m->device, m->begin, NULL, err));
    for (int n = 0; n < m->options->n_runs; n++)
        DT_TRY(dt_fused_bench_run(bench, i, side, err));
    DT_TRY(ops->event_record(m->device, m->end, NULL, err));
    DT_TRY(ops->stream_wait(m->device, NULL, err));
    DT_TRY(ops->event_elapsed_ms(m->device, m->begin, m->end, &all_ms, err));
    *ms = all_ms / m->options->n_runs;
    return DT_OK;
}

/* Both sides in turn, so that a clock that rises or falls is not taken for a difference. ms[FUSED] is 0 where
 * the library lacks the graph. */
static dt_status measure(measurement *m, dt_fused_bench *bench, int i, double ms[2], dt_error *err)
{
    ms[DT_SIDE_FUSED] = ms[DT_SIDE_COMPOSED] = 0;
    for (int round = 0; round < N_ROUNDS; round++)
        for (int s = dt_fused_bench_has(bench, i) ? DT_SIDE_FUSED : DT_SIDE_COMPOSED; s <= DT_SIDE_COMPOSED;
             s++) {
            double now = 0;
            DT_TRY(mean_of(m, bench, i, (dt_side)s, &now, err));
            if (round == 0 || now < ms[s])
                ms[s] = now;
        }
    return DT_OK;
}

static void add_to_sums(measurement *m, const char *name, int n_layers, bool has, const double ms[2])
{
    int at = 0;
    while (at < m->n_sums && strcmp(m->sums[at].name, name) != 0)
        at++;
    if (at == MAX_GRAPHS)
        return;
    if (at == m->n_sums)
        m->sums[m->n_sums++].name = name;
    graph_sum *sum = &m->sums[at];
    sum->n += n_layers;
    if (!has) {
        sum->n_missing += n_layers;
        m->missing_ms += n_layers * ms[DT_SIDE_COMPOSED];
        return;
    }
    sum->n_slower += ms[DT_SIDE_FUSED] > ms[DT_SIDE_COMPOSED] ? n_layers : 0;
    for (int s = 0; s < 2; s++)
        sum->ms[s] += n_layers * ms[s];
}

static dt_status measure_conv(measurement *m, const dt_conv_desc *d, int n_layers, dt_error *err)
{
    dt_fused_bench *bench = NULL;
    char shape[64], fused[32] = "none";
    DT_TRY(dt_fused_bench_create(m->kernels, d, &bench, err));
    snprintf(shape, sizeof shape, "%dx%d%s %d->%d %dx%d", (int)d->r, (int)d->s, d->stride == 2 ? "/2" : "",
             (int)d->c, (int)d->k, (int)d->h, (int)d->w);
    dt_status status = DT_OK;
    for (int i = 0; i < dt_fused_bench_n(bench) && status == DT_OK; i++) {
        const char *graph = dt_fused_bench_graph(bench, i);
        const bool has = dt_fused_bench_has(bench, i);
        double ms[2];
        status = measure(m, bench, i, ms, err);
        if (status != DT_OK)
            break;
        if (has)
            snprintf(fused, sizeof fused, "%.3f ms", ms[DT_SIDE_FUSED]);
        fprintf(m->stream, "%-25s  %-23s %6d %10s %7.3f ms\n", graph, shape, n_layers, has ? fused : "none",
                ms[DT_SIDE_COMPOSED]);
        fflush(m->stream);
        add_to_sums(m, graph, n_layers, has, ms);
    }
    dt_fused_bench_destroy(bench);
    return status;
}

static dt_status print_sums(const measurement *m, dt_error *err)
{
    double ms[2] = {m->missing_ms, m->missing_ms};
    int n = 0, n_slower = 0;
    fprintf(m->stream, "\n%-36s  %6s %6s  %6s %10s %10s\n", "all of a step", "graphs", "none", "slower",
            "fused", "composed");
    for (int i = 0; i < m->n_sums; i++) {
        const graph_sum *sum = &m->sums[i];
        fprintf(m->stream, "%-36s  %6d %6d  %6d %7.3f ms %7.3f ms\n", sum->name, sum->n, sum->n_missing,
                sum->n_slower, sum->ms[DT_SIDE_FUSED], sum->ms[DT_SIDE_COMPOSED]);
        n += sum->n - sum->n_missing;
        n_slower += sum->n_slower;
        for (int s = 0; s < 2; s++)
            ms[s] += sum->ms[s];
    }
    fprintf(m->stream, "a step: %.3f ms fused, %.3f ms composed; %d of %d fused graph%s slower\n",
            ms[DT_SIDE_FUSED], ms[DT_SIDE_COMPOSED], n_slower, n, n == 1 ? " is" : "s are");
    return fflush(m->stream) == 0 && !ferror(m->stream) ? DT_OK
                                                        : dt_fail_errno(err, "cannot print the times");
}

/* -- all of it ------------------------------------------------------------------------------------------- */

static dt_status open_sides(measurement *m, dt_graph_runner *runner, dt_error *err)
{
    const dt_cuda_options cuda = {.dtype = DT_F16};
    for (int s = 0; s < 2; s++) {
        DT_TRY(dt_side_runner_create(runner, (dt_side)s, &m->runners[s], err));
        DT_TRY(dt_kernels_cuda_create(m->device, m->runners[s], &cuda, &m->kernels[s], err));
    }
    DT_TRY(m->device->ops->event_create(m->device, true, &m->begin, err));
    return m->device->ops->event_create(m->device, true, &m->end, err);
}

static void close_sides(measurement *m)
{
    if (m->begin)
        m->device->ops->event_destroy(m->device, m->begin);
    if (m->end)
        m->device->ops->event_destroy(m->device, m->end);
    for (int s = 0; s < 2; s++) {
        if (m->kernels[s])
            m->kernels[s]->ops->destroy(m->kernels[s]);
        if (m->runners[s])
            m->runners[s]->ops->destroy(m->runners[s]);
    }
}

dt_status dt_fused_times_print(dt_device *device, dt_graph_runner *runner,
                               const dt_fused_times_options *options, FILE *stream, dt_error *err)
{
    measurement m = {.device = device, .options = options, .stream = stream};
    dt_fused_convs *list = dt_calloc(1, sizeof *list);
    if (!list)
        return dt_fail_memory(err, sizeof *list, "the list of convolutions");
    dt_status status = dt_fused_convs_list(device, options, list, err);
    if (status == DT_OK)
        status = open_sides(&m, runner, err);
    fprintf(stream, "%s, fp16, batch %lld, %lld pixels\n%-25s  %-23s %6s %10s %10s\n", options->arch,
            (long long)options->batch, (long long)options->image_size, "graph", "convolution", "layers",
            "fused", "composed");
    for (int i = 0; i < list->n && status == DT_OK; i++)
        status = measure_conv(&m, &list->descs[i], list->n_layers[i], err);
    if (status == DT_OK)
        status = print_sums(&m, err);
    close_sides(&m);
    dt_free(list);
    return status;
}
