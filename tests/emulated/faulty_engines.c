#include "tests/emulated/faulty_engines.h"

#include "layers/cuda/plan_measure.h"
#include "tests/emulated/device_emulated.h"

#include <stdlib.h>

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
    return DT_OK;
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
