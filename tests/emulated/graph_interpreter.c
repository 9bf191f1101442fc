/* graph_interpreter.c: plans, bindings and executions. */
#include "tests/emulated/graph_interpreter.h"

#include "tests/emulated/device_emulated.h"
#include "tests/emulated/interpreter_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct interpreter {
    dt_graph_runner base;
    dt_device *device;
    dt_interpreter_options options;
    int64_t n_plans, n_executions, n_tunings;
    bool is_tuning; /* the present graph's engines are being measured */
    /* What the names of graphs stand for: lists of engines have choices by name. */
    char (*names)[sizeof((dt_graph *)0)->name];
    char (*keys)[DT_GRAPH_KEY_BYTES];
    int64_t n_names;
} interpreter;

struct dt_graph_plan {
    dt_graph graph;
    int64_t workspace_bytes;
    double factor; /* of its engine */
    dt_plan_choice choice;
};

/* One enqueued execution. */
typedef struct execution {
    interpreter *runner;
    dt_graph graph;
    void *data[DT_GRAPH_MAX_TENSORS]; /* of each tensor; NULL: virtual */
    void *workspace;
    int64_t workspace_bytes;
    double factor;
} execution;

/* -- running --------------------------------------------------------------------------------------------- */

static bool is_accumulated(const dt_graph *g, int id)
{
    for (int i = 0; i < g->n_ops; i++)
        if (g->ops[i].beta != 0.0F && g->ops[i].out[0] == id)
            return true;
    return false;
}

static dt_status load_inputs(const execution *e, dt_values *values, dt_error *err)
{
    for (int i = 0; i < e->graph.n_tensors; i++) {
        const dt_graph_tensor *t = &e->graph.tensors[i];
        memcpy(values[i].dims, t->dims, sizeof t->dims);
        values[i].v = calloc((size_t)dt_values_count(&values[i]), sizeof(double));
        if (!values[i].v)
            return dt_fail(err, DT_ERR_MEMORY, "%s: out of memory", e->graph.name);
        if (!t->is_virtual && (!t->is_output || is_accumulated(&e->graph, t->id)))
            DT_TRY(dt_interpreter_load(e->graph.name, t, e->data[i], &values[i], err));
    }
    return DT_OK;
}

static int index_of(const dt_graph *g, int id)
{
    const dt_graph_tensor *t = dt_graph_find(g, id);
    return t ? (int)(t - g->tensors) : -1;
}

static bool is_conv(const dt_graph_op *op)
{
    return op->kind == DT_GRAPH_OP_CONV_FORWARD || op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA ||
           op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER;
}

/* What the library of the options does to NaNs in the result of an operation. */
static void change_nans(const execution *e, const dt_graph_op *op, const dt_values *in0, dt_values *out0)
{
    const dt_interpreter_options *o = &e->runner->options;
    for (int64_t i = 0; o->relu_loses_nan && op->kind == DT_GRAPH_OP_RELU && i < dt_values_count(out0); i++)
        out0->v[i] = isnan(in0->v[i]) ? 0 : out0->v[i];
    if (o->nan_graph && op->out[0] == o->nan_tensor && strstr(e->graph.name, o->nan_graph))
        out0->v[0] = (double)NAN;
}

static dt_status run_op(const execution *e, const dt_graph_op *op, dt_values *values, dt_error *err)
{
    const dt_values *in[5] = {0};
    dt_values *out[5] = {0};
    for (int i = 0; i < 5; i++) {
        in[i] = op->in[i] ? &values[index_of(&e->graph, op->in[i])] : NULL;
        out[i] = op->out[i] ? &values[index_of(&e->graph, op->out[i])] : NULL;
    }
    const char *wrong = dt_interpreter_op(op, e->graph.dtype, in, out);
    if (wrong)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: %s", e->graph.name, wrong);
    change_nans(e, op, in[0], out[0]);
    for (int i = 0; i < 5 && out[i]; i++) {
        const dt_graph_tensor *t = dt_graph_find(&e->graph, op->out[i]);
        for (int64_t j = 0; j < dt_values_count(out[i]); j++)
            out[i]->v[j] =
                dt_interpreter_round(is_conv(op) ? e->factor * out[i]->v[j] : out[i]->v[j], t->dtype);
    }
    return DT_OK;
}

static dt_status check_bindings(const execution *e, dt_error *err)
{
    const dt_graph *g = &e->graph;
    for (int i = 0; i < g->n_tensors; i++) {
        const dt_graph_tensor *t = &g->tensors[i];
        const char *begin = e->data[i];
        if (t->is_virtual)
            continue;
        DT_TRY(dt_emulated_check_range(e->runner->device, begin, dt_graph_tensor_bytes(t), g->name, err));
        if ((uintptr_t)begin % 16 != 0)
            return dt_fail(err, DT_ERR_DEVICE, "%s: tensor %d is not aligned to 16 bytes", g->name, t->id);
        for (int j = 0; j < g->n_tensors; j++) {
            const char *other = e->data[j];
            if (j != i && t->is_output && other && begin < other + dt_graph_tensor_bytes(&g->tensors[j]) &&
                other < begin + dt_graph_tensor_bytes(t))
                return dt_fail(err, DT_ERR_DEVICE, "%s: output %d lies over tensor %d", g->name, t->id,
                               g->tensors[j].id);
        }
    }
    return e->workspace_bytes ? dt_emulated_check_range(e->runner->device, e->workspace, e->workspace_bytes,
                                                        "the workspace", err)
                              : DT_OK;
}

static dt_status compute(const execution *e, dt_values *values, dt_error *err)
{
    DT_TRY(check_bindings(e, err));
    if (e->workspace_bytes)
        memset(e->workspace, DT_EMULATED_POISON, (size_t)e->workspace_bytes);
    DT_TRY(load_inputs(e, values, err));
    for (int i = 0; i < e->graph.n_ops; i++)
        DT_TRY(run_op(e, &e->graph.ops[i], values, err));
    for (int i = 0; i < e->graph.n_tensors; i++)
        if (e->graph.tensors[i].is_output && !e->graph.tensors[i].is_virtual)
            dt_interpreter_store(&e->graph.tensors[i], e->data[i], &values[i]);
    return DT_OK;
}

static dt_status run_execution(void *context, dt_error *err)
{
    const execution *e = context;
    dt_values values[DT_GRAPH_MAX_TENSORS] = {0};
    dt_status status = compute(e, values, err);
    for (int i = 0; i < DT_GRAPH_MAX_TENSORS; i++)
        free(values[i].v);
    e->runner->n_executions++;
    return status;
}

/* -- the runner ------------------------------------------------------------------------------------------ */

static interpreter *runner_of(dt_graph_runner *runner)
{
    return (interpreter *)runner;
}

static void destroy(dt_graph_runner *runner)
{
    if (runner && runner_of(runner)->n_plans)
        fprintf(stderr, "interpreter: %lld plans were not destroyed\n",
                (long long)runner_of(runner)->n_plans);
    if (runner) {
        free(runner_of(runner)->names);
        free(runner_of(runner)->keys);
    }
    free(runner);
}

static const char *describe(dt_graph_runner *runner)
{
    static const char *const names[] = {"interpreter, all graphs", "interpreter, as on A100",
                                        "interpreter, as on T4"};
    const dt_interpreter_options *o = &runner_of(runner)->options;
    return o->kind ? o->kind : names[o->gpu];
}

/* The fused kernels of tensor cores read 8 channels at once; the image has only 4. */
static bool has_engine(const interpreter *r, const dt_graph *g)
{
    bool fused = g->n_ops > 1, image = false, accumulates = false;
    for (int i = 0; i < g->n_tensors; i++)
        image = image || g->tensors[i].dims[1] < 8;
    for (int i = 0; i < g->n_ops; i++)
        accumulates = accumulates || g->ops[i].beta != 0.0F;
    if (accumulates && r->options.refuse_accumulate)
        return false;
    switch (r->options.gpu) {
    case DT_INTERPRET_T4:
        return !fused;
    case DT_INTERPRET_A100:
        return !fused || (!image && (g->dtype == DT_F16 || g->dtype == DT_BF16));
    default:
        return true;
    }
}

/* Refuse a graph that has the name of another one. */
static dt_status check_name(interpreter *r, const dt_graph *graph, const char *key, dt_error *err)
{
    for (int64_t i = 0; i < r->n_names; i++)
        if (strcmp(r->names[i], graph->name) == 0)
            return strcmp(r->keys[i], key) == 0
                       ? DT_OK
                       : dt_fail(err, DT_ERR_INTERNAL, "two different graphs have the name %s", graph->name);
    const size_t n = (size_t)r->n_names + 1;
    void *names = realloc(r->names, n * sizeof *r->names);
    r->names = names ? names : r->names;
    void *keys = names ? realloc(r->keys, n * sizeof *r->keys) : NULL;
    if (!keys)
        return dt_fail(err, DT_ERR_MEMORY, "interpreter: out of memory");
    r->keys = keys;
    memcpy(r->names[r->n_names], graph->name, sizeof graph->name);
    memcpy(r->keys[r->n_names++], key, DT_GRAPH_KEY_BYTES);
    return DT_OK;
}

static const char *engine_name(void *context, int i)
{
    return ((const interpreter *)context)->options.engines[i].name;
}

static dt_status build(void *context, int i, int64_t *workspace_bytes, dt_error *err)
{
    (void)context, (void)i, (void)err;
    *workspace_bytes = 0;
    return DT_OK;
}

static dt_status measure(void *context, int i, int n_runs, double *ms, dt_error *err)
{
    interpreter *r = context;
    (void)n_runs, (void)err;
    r->n_tunings += !r->is_tuning;
    r->is_tuning = true;
    *ms = r->options.engines[i].ms;
    return DT_OK;
}

static dt_status check(void *context, int i, dt_error *err)
{
    const dt_interpreter_options *o = &((const interpreter *)context)->options;
    return o->rejected && strcmp(o->engines[i].name, o->rejected) == 0
               ? dt_fail(err, DT_ERR_UNSUPPORTED, "its result is wrong")
               : DT_OK;
}

static dt_status choose(interpreter *r, const char *key, const dt_graph_engine *of_run, dt_graph_plan *p,
                        dt_error *err)
{
    int chosen = 0;
    const dt_plan_candidates candidates = {.context = r,
                                           .n = r->options.n_engines,
                                           .engine = engine_name,
                                           .build = build,
                                           .measure = measure,
                                           .check = check};
    const dt_plan_rules rules = {
        .autotune = DT_AUTOTUNE_FULL, .workspace_limit_bytes = 1 << 20, .chosen = of_run};
    p->factor = 1;
    snprintf(p->choice.engine, sizeof p->choice.engine, "interpreter");
    p->choice.n_candidates = 1;
    if (r->options.n_engines == 0)
        return DT_OK;
    r->is_tuning = false;
    DT_TRY(dt_plan_choose(&candidates, &rules, r->options.cache, key, &chosen, &p->choice, err));
    p->factor = 1 + 1e-3 * chosen;
    return DT_OK;
}

static dt_status plan_create(dt_graph_runner *runner, const dt_graph *graph, const dt_graph_engine *chosen,
                             dt_graph_plan **plan, dt_error *err)
{
    interpreter *r = runner_of(runner);
    char key[DT_GRAPH_KEY_BYTES];
    DT_TRY(dt_graph_check(graph, err));
    dt_graph_key(graph, key);
    if (r->options.checks_names)
        DT_TRY(check_name(r, graph, key, err));
    if (!has_engine(r, graph))
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: no engine runs this graph", graph->name);
    dt_graph_plan *p = calloc(1, sizeof *p);
    if (!p)
        return dt_fail(err, DT_ERR_MEMORY, "interpreter: out of memory");
    p->graph = *graph;
    dt_status status = choose(r, key, chosen, p, err);
    if (status != DT_OK) {
        free(p);
        return status;
    }
    if (r->options.spoil)
        r->options.spoil(&p->graph, r->options.spoil_context);
    p->workspace_bytes = 256 * (graph->tensors[0].dims[2] % 3); /* no workspace, some, more */
    r->n_plans++;
    *plan = p;
    return DT_OK;
}

static void plan_destroy(dt_graph_runner *runner, dt_graph_plan *plan)
{
    if (!plan)
        return;
    runner_of(runner)->n_plans--;
    free(plan);
}

static void plan_info(const dt_graph_plan *plan, dt_graph_plan_info *info)
{
    *info = (dt_graph_plan_info){.workspace_bytes = plan->workspace_bytes,
                                 .time_ms = plan->choice.time_ms,
                                 .n_candidates = plan->choice.n_candidates,
                                 .from_cache = plan->choice.from_cache};
    snprintf(info->engine, sizeof info->engine, "%s", plan->choice.engine);
}

static dt_status bind(execution *e, const dt_graph_binding *tensors, int n_tensors, dt_error *err)
{
    for (int i = 0; i < n_tensors; i++) {
        int at = index_of(&e->graph, tensors[i].id);
        if (at < 0 || e->data[at] || !tensors[i].data)
            return dt_fail(err, DT_ERR_INTERNAL, "%s: tensor %d is unknown, bound twice, or NULL",
                           e->graph.name, tensors[i].id);
        e->data[at] = tensors[i].data;
    }
    for (int i = 0; i < e->graph.n_tensors; i++)
        if (!e->data[i] && !e->graph.tensors[i].is_virtual)
            return dt_fail(err, DT_ERR_INTERNAL, "%s: tensor %d is missing", e->graph.name,
                           e->graph.tensors[i].id);
    return DT_OK;
}

static dt_status plan_execute(dt_graph_runner *runner, dt_graph_plan *plan, const dt_graph_binding *tensors,
                              int n_tensors, void *workspace, void *stream, dt_error *err)
{
    interpreter *r = runner_of(runner);
    execution *e = calloc(1, sizeof *e);
    if (!e)
        return dt_fail(err, DT_ERR_MEMORY, "interpreter: out of memory");
    *e = (execution){.runner = r,
                     .graph = plan->graph,
                     .workspace = workspace,
                     .workspace_bytes = plan->workspace_bytes,
                     .factor = plan->factor};
    dt_status status = bind(e, tensors, n_tensors, err);
    if (status != DT_OK) {
        free(e);
        return status;
    }
    return dt_emulated_enqueue(
        r->device, stream,
        &(dt_emulated_work){.name = plan->graph.name, .run = run_execution, .destroy = free, .context = e},
        err);
}

static const dt_graph_runner_ops ops = {
    .name = "interpreter",
    .destroy = destroy,
    .describe = describe,
    .plan_create = plan_create,
    .plan_destroy = plan_destroy,
    .plan_info = plan_info,
    .plan_execute = plan_execute,
};

dt_status dt_graph_interpreter_create(dt_device *device, const dt_interpreter_options *options,
                                      dt_graph_runner **runner, dt_error *err)
{
    interpreter *r = calloc(1, sizeof *r);
    if (!r)
        return dt_fail(err, DT_ERR_MEMORY, "interpreter: out of memory");
    *r = (interpreter){.base.ops = &ops, .device = device, .options = *options};
    *runner = &r->base;
    return DT_OK;
}

int64_t dt_graph_interpreter_live_plans(const dt_graph_runner *runner)
{
    return ((const interpreter *)runner)->n_plans;
}

int64_t dt_graph_interpreter_tunings(const dt_graph_runner *runner)
{
    return ((const interpreter *)runner)->n_tunings;
}

int64_t dt_graph_interpreter_executions(const dt_graph_runner *runner)
{
    return ((const interpreter *)runner)->n_executions;
}
