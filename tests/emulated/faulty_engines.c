#include "tests/emulated/faulty_engines.h"

#include "layers/cuda/plan_measure.h"
#include "tests/emulated/device_emulated.h"

#include <stdlib.h>
#include <string.h>

typedef struct engines {
    dt_device *device;
    dt_plan_measurer measurer;
    const dt_graph *graph;
    dt_faulty_engine *all;
} engines;

static void spoil_graph(dt_graph *graph, void *context)
{
    const dt_faulty_engine *e = context;
    if (e->spoil)
        e->spoil(graph);
}

static dt_status make_engine(dt_device *device, dt_faulty_engine *e, const dt_graph *graph, dt_error *err)
{
    const dt_interpreter_options options = {.gpu = DT_INTERPRET_ALL,
                                            .spoil = e->behaviour == DT_ENGINE_WRONG ? spoil_graph : NULL,
                                            .spoil_context = e};
    DT_TRY(dt_graph_interpreter_create(device, &options, &e->runner, err));
    return e->runner->ops->plan_create(e->runner, graph, NULL, &e->plan, err);
}

static void free_engine(dt_faulty_engine *e)
{
    e->runner->ops->plan_destroy(e->runner, e->plan);
    e->runner->ops->destroy(e->runner);
}

static dt_status spoil_output(void *context, dt_error *err)
{
    const dt_faulty_engine *e = context;
    (void)err;
    if (e->behaviour == DT_ENGINE_NAN)
        memset(e->output, 0x7E, (size_t)e->output_bytes); /* 0x7E7E is a NaN in FP16 */
    else
        ((float *)(void *)e->output)[e->output_bytes / (int64_t)sizeof(float) - 1] *= 2;
    return DT_OK;
}

static dt_status flip(void *context, dt_error *err)
{
    (void)err;
    *(uint16_t *)context ^= 1;
    return DT_OK;
}

static dt_status run_engine(dt_device *device, dt_faulty_engine *e, const dt_graph *graph,
                            const dt_graph_binding *tensors, int n, void *workspace, dt_error *err)
{
    e->n_runs++;
    if (e->behaviour == DT_ENGINE_REFUSES || e->behaviour == DT_ENGINE_FAILS)
        return dt_fail(err, e->behaviour == DT_ENGINE_FAILS ? DT_ERR_DEVICE : DT_ERR_UNSUPPORTED,
                       "%s: the launch failed", graph->name);
    if (e->behaviour == DT_ENGINE_IDLE)
        return DT_OK;
    DT_TRY(e->runner->ops->plan_execute(e->runner, e->plan, tensors, n, workspace, NULL, err));
    bool differs = (e->behaviour == DT_ENGINE_DIFFERS && e->n_runs % 2) ||
                   (e->behaviour == DT_ENGINE_DIFFERS_LATE && e->n_runs == 11);
    for (int i = 0; i < n && differs; i++)
        if (dt_graph_find(graph, tensors[i].id)->is_output)
            return dt_emulated_enqueue(
                device, NULL, &(dt_emulated_work){.name = "flip", .run = flip, .context = tensors[i].data},
                err);
    const dt_graph_tensor *last = &graph->tensors[graph->n_tensors - 1];
    if (e->behaviour != DT_ENGINE_NAN && e->behaviour != DT_ENGINE_LAST_SUM)
        return DT_OK;
    for (int i = 0; i < n; i++)
        if (tensors[i].id == last->id)
            e->output = tensors[i].data;
    e->output_bytes = dt_graph_tensor_bytes(last);
    return dt_emulated_enqueue(device, NULL,
                               &(dt_emulated_work){.name = "spoil", .run = spoil_output, .context = e}, err);
}

static dt_status execute(void *context, int i, const dt_graph_binding *tensors, int n, void *workspace,
                         dt_error *err)
{
    engines *e = context;
    return run_engine(e->device, &e->all[i], e->graph, tensors, n, workspace, err);
}

static const char *engine_name(void *context, int i)
{
    return ((engines *)context)->all[i].name;
}

static dt_status build(void *context, int i, int64_t *workspace_bytes, dt_error *err)
{
    dt_graph_plan_info info;
    dt_faulty_engine *e = &((engines *)context)->all[i];
    (void)err;
    e->runner->ops->plan_info(e->plan, &info);
    *workspace_bytes = info.workspace_bytes;
    return DT_OK;
}

static dt_status measure(void *context, int i, int n_runs, double *ms, dt_error *err)
{
    engines *e = context;
    DT_TRY(dt_plan_measurer_measure(&e->measurer, i, n_runs, ms, err));
    *ms = e->all[i].ms;
    return DT_OK;
}

static dt_status check(void *context, int i, dt_error *err)
{
    return dt_plan_measurer_check(&((engines *)context)->measurer, i, err);
}

dt_status dt_faulty_engines_choose(dt_device *device, const dt_graph *graph, dt_faulty_engine *all, int n,
                                   dt_autotune_kind autotune, dt_plan_cache *cache, dt_plan_choice *choice,
                                   dt_error *err)
{
    int chosen = -1;
    engines e = {.device = device, .graph = graph, .all = all};
    e.measurer = (dt_plan_measurer){
        .device = device, .graph = graph, .context = &e, .build = build, .execute = execute};
    const dt_plan_candidates candidates = {
        .context = &e, .n = n, .engine = engine_name, .build = build, .measure = measure, .check = check};
    const dt_plan_rules rules = {.autotune = autotune, .workspace_limit_bytes = 1 << 20};
    for (int i = 0; i < n; i++)
        if (make_engine(device, &all[i], graph, err) != DT_OK)
            abort();
    *choice = (dt_plan_choice){0};
    dt_status status = dt_plan_choose(&candidates, &rules, cache, "key", &chosen, choice, err);
    dt_plan_measurer_finish(&e.measurer);
    for (int i = 0; i < n; i++)
        free_engine(&all[i]);
    return status;
}

/* -- the runner ------------------------------------------------------------------------------------------ */

typedef struct faulty_runner {
    dt_graph_runner base;
    dt_device *device;
    dt_graph_runner *inner;
    dt_faulty_behaviour (*behaviour_of)(const dt_graph *graph);
} faulty_runner;

static dt_graph_runner *inner_of(dt_graph_runner *runner)
{
    return ((faulty_runner *)runner)->inner;
}

static void destroy(dt_graph_runner *runner)
{
    free(runner);
}

static const char *describe(dt_graph_runner *runner)
{
    (void)runner;
    return "faulty engines";
}

static void double_convolution(dt_graph *graph)
{
    for (int i = 0; i < graph->n_ops; i++)
        graph->ops[i].alpha *= 2;
}

static dt_status plan_create(dt_graph_runner *runner, const dt_graph *graph, const dt_graph_engine *chosen,
                             dt_graph_plan **plan, dt_error *err)
{
    faulty_runner *r = (faulty_runner *)runner;
    dt_faulty_engine engine = {
        .name = "only", .behaviour = r->behaviour_of(graph), .ms = 1, .spoil = double_convolution};
    dt_plan_choice choice;
    DT_TRY(dt_faulty_engines_choose(r->device, graph, &engine, 1, DT_AUTOTUNE_FULL, NULL, &choice, err));
    return r->inner->ops->plan_create(r->inner, graph, chosen, plan, err);
}

static void plan_destroy(dt_graph_runner *runner, dt_graph_plan *plan)
{
    inner_of(runner)->ops->plan_destroy(inner_of(runner), plan);
}

static dt_status plan_execute(dt_graph_runner *runner, dt_graph_plan *plan, const dt_graph_binding *tensors,
                              int n_tensors, void *workspace, void *stream, dt_error *err)
{
    return inner_of(runner)->ops->plan_execute(inner_of(runner), plan, tensors, n_tensors, workspace, stream,
                                               err);
}

dt_status dt_faulty_runner_create(dt_device *device, dt_graph_runner *inner,
                                  dt_faulty_behaviour (*behaviour_of)(const dt_graph *graph),
                                  dt_graph_runner **runner, dt_error *err)
{
    static dt_graph_runner_ops ops;
    faulty_runner *r = malloc(sizeof *r);
    if (!r)
        return dt_fail(err, DT_ERR_MEMORY, "faulty engines: out of memory");
    ops = (dt_graph_runner_ops){.name = "faulty engines",
                                .destroy = destroy,
                                .describe = describe,
                                .plan_create = plan_create,
                                .plan_destroy = plan_destroy,
                                .plan_info = inner->ops->plan_info,
                                .plan_execute = plan_execute};
    *r = (faulty_runner){{&ops}, device, inner, behaviour_of};
    *runner = &r->base;
    return DT_OK;
}
