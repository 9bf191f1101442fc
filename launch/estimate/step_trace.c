#include "launch/estimate/step_trace.h"

#include "comm/self.h"
#include "core/base/alloc.h"
#include "core/training/step.h"
#include "launch/estimate/offline_device.h"
#include "launch/estimate/trace_runner.h"
#include "layers/cuda/launch.h"

/* -- the source: one batch, whose pixels nothing reads --------------------------------------------------- */

typedef struct blank_source {
    dt_source base;
    dt_batch batch;
} blank_source;

static dt_status next_batch(dt_source *source, dt_batch **batch, dt_error *err)
{
    (void)err;
    *batch = &((blank_source *)source)->batch;
    return DT_OK;
}

static void release_batch(dt_source *source, dt_batch *batch)
{
    (void)source, (void)batch;
}

static const dt_source_ops blank_ops = {.name = "blank", .next = next_batch, .release = release_batch};

/* -- recording ------------------------------------------------------------------------------------------- */

typedef struct recorder {
    dt_net *net;
    dt_device *device;
    dt_step_trace *trace;
    int64_t max_parts, max_graphs;
    int64_t n_launched; /* the counter of launches */
    int64_t n_kernels_before, n_copies_before;
} recorder;

/* Add what was enqueued since the last call to the newest part. */
static void close_part(recorder *r)
{
    dt_step_part *part = &r->trace->parts[r->trace->n_parts - 1];
    const int64_t n_copies = dt_offline_device_n_enqueued(r->device);
    part->n_kernels = r->n_launched - r->n_kernels_before;
    part->n_copies = n_copies - r->n_copies_before;
    r->trace->n_kernels += part->n_kernels;
    r->trace->n_copies += part->n_copies;
    r->n_kernels_before = r->n_launched;
    r->n_copies_before = n_copies;
}

static void open_part(recorder *r, int64_t layer, dt_layer_phase phase)
{
    dt_step_trace *t = r->trace;
    dt_layer_traffic traffic = {0};
    if (layer != DT_STEP_NO_LAYER)
        dt_net_layer_traffic(r->net, layer, phase, &traffic);
    t->parts[t->n_parts++] = (dt_step_part){
        .layer = layer, .phase = phase, .first_graph = t->n_graphs, .bytes_moved = traffic.bytes};
}

static dt_status switch_part(recorder *r, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    dt_step_trace *t = r->trace;
    if (t->n_parts == r->max_parts) {
        const int64_t max = 2 * r->max_parts;
        dt_step_part *more =
            dt_realloc(t->parts, (size_t)r->max_parts * sizeof *more, (size_t)max * sizeof *more);
        if (!more)
            return dt_fail_memory(err, (size_t)max * sizeof *more, "the parts of a step");
        t->parts = more;
        r->max_parts = max;
    }
    close_part(r);
    open_part(r, layer, phase);
    return DT_OK;
}

static dt_status before_layer(void *context, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    return switch_part(context, layer, phase, err);
}

static dt_status after_layer(void *context, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    (void)layer;
    return switch_part(context, DT_STEP_NO_LAYER, phase, err);
}

static dt_step_graph summary(const dt_graph *graph, const dt_graph_plan_info *info)
{
    dt_step_graph g = {.bytes_moved = dt_graph_bytes_moved(graph),
                       .workspace_bytes = info->workspace_bytes,
                       .flops = dt_graph_flops(graph)};
    for (int i = 0; i < graph->n_ops; i++) {
        const dt_graph_op *op = &graph->ops[i];
        const dt_graph_tensor *in = dt_graph_find(graph, op->in[0]), *out = dt_graph_find(graph, op->out[0]);
        if (op->kind == DT_GRAPH_OP_CONV_FORWARD || op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER)
            g.n_channels = in->dims[1];
        else if (op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA)
            g.n_channels = out->dims[1];
        g.is_weight_gradient = g.is_weight_gradient || op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER;
        g.has_sums =
            g.has_sums || op->kind == DT_GRAPH_OP_CHANNEL_SUMS || op->kind == DT_GRAPH_OP_BN_BACKWARD_WEIGHTS;
    }
    return g;
}

static dt_status graph_executed(void *context, const dt_graph *graph, const dt_graph_plan_info *info,
                                dt_error *err)
{
    recorder *r = context;
    dt_step_trace *t = r->trace;
    if (t->n_graphs == r->max_graphs) {
        const int64_t max = 2 * r->max_graphs;
        dt_step_graph *more =
            dt_realloc(t->graphs, (size_t)r->max_graphs * sizeof *more, (size_t)max * sizeof *more);
        if (!more)
            return dt_fail_memory(err, (size_t)max * sizeof *more, "the graphs of a step");
        t->graphs = more;
        r->max_graphs = max;
    }
    t->graphs[t->n_graphs++] = summary(graph, info);
    t->parts[t->n_parts - 1].n_graphs++;
    t->parts[t->n_parts - 1].graphs_moved += t->graphs[t->n_graphs - 1].bytes_moved;
    return DT_OK;
}

/* -- the step -------------------------------------------------------------------------------------------- */

static dt_status run_step(recorder *r, dt_graph_runner *runner, dt_step *step, dt_source *source,
                          dt_error *err)
{
    const dt_net_observer observer = {.context = r, .before = before_layer, .after = after_layer};
    const float votes[DT_N_VOTES] = {0};
    r->n_copies_before = dt_offline_device_n_enqueued(r->device);
    open_part(r, DT_STEP_NO_LAYER, DT_LAYER_FORWARD);
    dt_net_set_observer(r->net, &observer);
    dt_trace_runner_report(runner, graph_executed, r);
    dt_cuda_count_launches(&r->n_launched);
    dt_status status = dt_step_run(step, source, 0.0, votes, err);
    dt_cuda_count_launches(NULL);
    dt_trace_runner_report(runner, NULL, NULL);
    dt_net_set_observer(r->net, NULL);
    close_part(r);
    return status;
}

/* As core/training/start.c creates it. */
static dt_status create_step(dt_net *net, dt_kernels *kernels, dt_comm *comm, const dt_config *c,
                             dt_step **step, dt_error *err)
{
    const bool scaling = c->precision == DT_F16;
    const dt_step_options options = {.net = net,
                                     .kernels = kernels,
                                     .comm = comm,
                                     .batch = c->batch,
                                     .image_size = c->image_size,
                                     .accumulate = 1,
                                     .optimizer = {.momentum = (float)c->momentum, .loss_scaling = scaling},
                                     .update = {.weight_decay = c->weight_decay},
                                     .loss_scale = 1.0f,
                                     .exchange = dt_grad_exchange_choose(c->wire, c->precision, comm),
                                     .no_graph = true};
    return dt_step_create(&options, step, err);
}

static dt_status record(recorder *r, dt_kernels *kernels, dt_graph_runner *runner, const dt_config *config,
                        dt_error *err)
{
    static uint8_t pixel; /* an address; the offline device copies nothing */
    static int32_t label;
    /* the step returns its last batch to the source when it is destroyed */
    blank_source source = {
        .base = {&blank_ops},
        .batch = {.pixels = &pixel, .labels = &label, .n = config->batch, .size = config->image_size}};
    dt_comm *comm = NULL;
    dt_step *step = NULL;
    DT_TRY(dt_comm_self_create(&comm, err));
    dt_status status = create_step(r->net, kernels, comm, config, &step, err);
    if (status == DT_OK)
        status = run_step(r, runner, step, &source.base, err);
    dt_step_destroy(step);
    comm->ops->destroy(comm);
    return status;
}

dt_status dt_step_trace_create(dt_net *net, dt_kernels *kernels, dt_graph_runner *runner,
                               const dt_config *config, dt_step_trace **trace, dt_error *err)
{
    dt_net_vectors vectors;
    dt_step_trace *t = dt_calloc(1, sizeof *t);
    recorder r = {.net = net, .device = kernels->device, .trace = t, .max_parts = 64, .max_graphs = 64};
    if (!t)
        return dt_fail_memory(err, sizeof *t, "the trace of a step");
    t->parts = dt_calloc((size_t)r.max_parts, sizeof *t->parts);
    t->graphs = dt_calloc((size_t)r.max_graphs, sizeof *t->graphs);
    dt_net_get_vectors(net, &vectors);
    t->n_trained = vectors.n_trained;
    dt_status status = t->parts && t->graphs ? record(&r, kernels, runner, config, err)
                                             : dt_fail_memory(err, (size_t)r.max_parts * sizeof *t->parts,
                                                              "the parts of a step");
    if (status == DT_OK)
        *trace = t;
    else
        dt_step_trace_destroy(t);
    return status;
}

void dt_step_trace_destroy(dt_step_trace *t)
{
    if (!t)
        return;
    dt_free(t->parts);
    dt_free(t->graphs);
    dt_free(t);
}
