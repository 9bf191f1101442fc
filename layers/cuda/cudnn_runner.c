#include "layers/cuda/cudnn_runner.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/shared_library.h"
#include "layers/cuda/cudnn_engines.h"
#include "layers/cuda/cudnn_library.h"
#include "layers/cuda/plan_measure.h"

#include <stdio.h>
#include <string.h>

typedef struct cudnn_runner {
    dt_graph_runner base;
    dt_device *device; /* NULL: no GPU is present */
    dt_cudnn_target target;
    dt_plan_rules rules;
    dt_plan_cache *cache; /* NULL without a GPU */
    bool has_logged;      /* whether the log already says that plans are being measured */
    void *stream;         /* the handle's current stream */
    char description[192];
} cudnn_runner;

struct dt_graph_plan {
    dt_graph graph;
    dt_cudnn_graph cudnn_graph; /* must live as long as the plan */
    cudnnBackendDescriptor_t config, plan;
    dt_plan_choice choice;
};

/* -- executing ------------------------------------------------------------------------------------------- */

/* Check that every tensor that has memory is bound exactly once. */
static dt_status check_bindings(const dt_graph *graph, const dt_graph_binding *tensors, int n_tensors,
                                dt_error *err)
{
    int n_wanted = 0;
    for (int i = 0; i < graph->n_tensors; i++)
        n_wanted += !graph->tensors[i].is_virtual;
    for (int i = 0; i < n_tensors; i++)
        if (!tensors[i].data || tensors[i].id >= DT_GRAPH_VIRTUAL || !dt_graph_find(graph, tensors[i].id))
            return dt_fail(err, DT_ERR_INTERNAL,
                           "graph %s: tensor %d has no memory, or is none of its tensors", graph->name,
                           tensors[i].id);
    return n_tensors == n_wanted ? DT_OK
                                 : dt_fail(err, DT_ERR_INTERNAL, "graph %s: %d tensors instead of %d",
                                           graph->name, n_tensors, n_wanted);
}

static dt_status fill_pack(const dt_graph *graph, cudnnBackendDescriptor_t pack,
                           const dt_graph_binding *tensors, int n_tensors, void *workspace, dt_error *err)
{
    int64_t ids[DT_GRAPH_MAX_TENSORS];
    void *pointers[DT_GRAPH_MAX_TENSORS];
    for (int i = 0; i < n_tensors; i++) {
        ids[i] = tensors[i].id;
        pointers[i] = tensors[i].data;
    }
    DT_TRY(dt_cudnn_set(graph->name, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n_tensors,
                        ids, "the tensors' ids", err));
    DT_TRY(dt_cudnn_set(graph->name, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                        n_tensors, pointers, "the tensors", err));
    DT_TRY(dt_cudnn_set(graph->name, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                        &workspace, "the workspace", err));
    cudnnStatus_t status = cudnnBackendFinalize(pack);
    return status == CUDNN_STATUS_SUCCESS ? DT_OK : dt_cudnn_fail(err, status, graph->name, "the tensors");
}

static dt_status set_stream(cudnn_runner *r, const dt_graph *graph, void *stream, dt_error *err)
{
    if (r->stream == stream)
        return DT_OK;
    cudnnStatus_t status = cudnnSetStream(r->target.handle, stream);
    if (status != CUDNN_STATUS_SUCCESS)
        return dt_cudnn_fail(err, status, graph->name, "taking a stream");
    r->stream = stream;
    return DT_OK;
}

static dt_status execute(cudnn_runner *r, cudnnBackendDescriptor_t plan, const dt_graph *graph,
                         const dt_graph_binding *tensors, int n_tensors, void *workspace, void *stream,
                         dt_error *err)
{
    cudnnBackendDescriptor_t pack = NULL;
    DT_TRY(check_bindings(graph, tensors, n_tensors, err));
    DT_TRY(set_stream(r, graph, stream, err));
    DT_TRY(dt_cudnn_make(graph->name, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack, err));
    dt_status status = fill_pack(graph, pack, tensors, n_tensors, workspace, err);
    if (status == DT_OK) {
        cudnnStatus_t e = cudnnBackendExecute(r->target.handle, plan, pack);
        if (e != CUDNN_STATUS_SUCCESS)
            status = dt_cudnn_fail(err, e, graph->name, "executing");
    }
    cudnnBackendDestroyDescriptor(pack);
    return status;
}

static dt_status plan_execute(dt_graph_runner *base, dt_graph_plan *plan, const dt_graph_binding *tensors,
                              int n_tensors, void *workspace, void *stream, dt_error *err)
{
    cudnn_runner *r = (cudnn_runner *)base;
    if (!r->device)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "graph %s: %s is a description, not a GPU", plan->graph.name,
                       r->description);
    return execute(r, plan->plan, &plan->graph, tensors, n_tensors, workspace, stream, err);
}

/* -- candidates, as plan_cache.h sees them --------------------------------------------------------------- */

typedef struct search {
    cudnn_runner *runner;
    const dt_graph *graph;
    dt_cudnn_engines engines;
    dt_plan_measurer measurer;
} search;

static const char *engine_name(void *context, int i)
{
    return ((search *)context)->engines.names[i];
}

static dt_status build(void *context, int i, int64_t *workspace_bytes, dt_error *err)
{
    search *s = context;
    return dt_cudnn_engines_plan(&s->engines, i, s->graph, &s->runner->target, workspace_bytes, err);
}

static dt_status execute_candidate(void *context, int i, const dt_graph_binding *tensors, int n_tensors,
                                   void *workspace, dt_error *err)
{
    const search *s = context;
    dt_device *device = s->runner->device;
    return execute(s->runner, s->engines.plans[i], s->graph, tensors, n_tensors, workspace,
                   device->ops->native_stream(device, NULL), err);
}

static dt_status measure(void *context, int i, int n_runs, double *ms, dt_error *err)
{
    search *s = context;
    if (!s->runner->has_logged) {
        s->runner->has_logged = true;
        dt_log_info(
            "%s: measuring which engines are fastest for this network; the results are kept for later runs",
            s->runner->description);
    }
    return dt_plan_measurer_measure(&s->measurer, i, n_runs, ms, err);
}

static dt_status check(void *context, int i, dt_error *err)
{
    return dt_plan_measurer_check(&((search *)context)->measurer, i, err);
}

/* -- plans ----------------------------------------------------------------------------------------------- */

static void plan_destroy(dt_graph_runner *base, dt_graph_plan *plan)
{
    (void)base;
    if (!plan)
        return;
    if (plan->plan)
        cudnnBackendDestroyDescriptor(plan->plan);
    if (plan->config)
        cudnnBackendDestroyDescriptor(plan->config);
    dt_cudnn_graph_destroy(&plan->cudnn_graph);
    dt_free(plan);
}

static dt_status choose(search *s, const dt_graph_engine *of_run, dt_graph_plan *plan, dt_error *err)
{
    cudnn_runner *r = s->runner;
    dt_plan_rules rules = r->rules;
    int chosen = 0;
    rules.chosen = of_run;
    char *key = dt_alloc(DT_GRAPH_KEY_BYTES);
    if (!key)
        return dt_fail_memory(err, DT_GRAPH_KEY_BYTES, "a graph's key");
    dt_graph_key(&plan->graph, key);
    dt_plan_candidates candidates = {.context = s,
                                     .n = s->engines.n,
                                     .engine = engine_name,
                                     .build = build,
                                     .measure = r->device ? measure : NULL,
                                     .check = r->device ? check : NULL};
    dt_status status = dt_plan_choose(&candidates, &rules, r->cache, key, &chosen, &plan->choice, err);
    if (status == DT_OK) {
        plan->plan = s->engines.plans[chosen];
        plan->config = s->engines.configs[chosen];
        s->engines.plans[chosen] = s->engines.configs[chosen] = NULL;
        dt_log_debug("%s: %s: engine %s of %d, of which %d were rejected; %.3f ms, %lld bytes of workspace%s",
                     r->description, plan->graph.name, plan->choice.engine, plan->choice.n_candidates,
                     plan->choice.n_rejected, plan->choice.time_ms, (long long)plan->choice.workspace_bytes,
                     plan->choice.from_cache ? "; remembered" : "");
    }
    dt_free(key);
    return status;
}

static dt_status plan_create(dt_graph_runner *base, const dt_graph *graph, const dt_graph_engine *chosen,
                             dt_graph_plan **plan, dt_error *err)
{
    cudnn_runner *r = (cudnn_runner *)base;
    dt_graph_plan *made = dt_calloc(1, sizeof *made);
    search *s = dt_calloc(1, sizeof *s);
    dt_status status = made && s ? DT_OK : dt_fail_memory(err, sizeof *s, "a graph's plan");
    if (status == DT_OK) {
        made->graph = *graph;
        *s = (search){.runner = r, .graph = &made->graph};
        s->measurer = (dt_plan_measurer){.device = r->device,
                                         .graph = &made->graph,
                                         .context = s,
                                         .build = build,
                                         .execute = execute_candidate};
        status = dt_cudnn_graph_create(graph, r->target.handle, &made->cudnn_graph, err);
    }
    if (status == DT_OK)
        status = dt_cudnn_engines_find(graph, &made->cudnn_graph, &r->target, &s->engines, err);
    if (status == DT_OK) {
        status = choose(s, chosen, made, err);
        if (status != DT_OK)
            (void)dt_error_prefix(err, "%s", graph->name);
    }
    if (s) {
        dt_cudnn_engines_destroy(&s->engines);
        dt_plan_measurer_finish(&s->measurer);
    }
    dt_free(s);
    if (status == DT_OK)
        *plan = made;
    else
        plan_destroy(base, made);
    return status;
}

static void plan_info(const dt_graph_plan *plan, dt_graph_plan_info *info)
{
    *info = (dt_graph_plan_info){.workspace_bytes = plan->choice.workspace_bytes,
                                 .time_ms = plan->choice.time_ms,
                                 .n_candidates = plan->choice.n_candidates,
                                 .from_cache = plan->choice.from_cache};
    snprintf(info->engine, sizeof info->engine, "%s", plan->choice.engine);
}

/* -- the runner ------------------------------------------------------------------------------------------ */

static void destroy(dt_graph_runner *base)
{
    cudnn_runner *r = (cudnn_runner *)base;
    if (!r)
        return;
    dt_plan_cache_close(r->cache);
    if (r->target.properties)
        cudnnBackendDestroyDescriptor(r->target.properties);
    if (r->target.handle)
        (void)cudnnDestroy(r->target.handle);
    dt_free(r);
}

static const char *describe(dt_graph_runner *base)
{
    return ((const cudnn_runner *)base)->description;
}

static const dt_graph_runner_ops gpu_ops = {.name = "cudnn",
                                            .destroy = destroy,
                                            .describe = describe,
                                            .plan_create = plan_create,
                                            .plan_destroy = plan_destroy,
                                            .plan_info = plan_info,
                                            .plan_execute = plan_execute};
static const dt_graph_runner_ops offline_ops = {.name = "cudnn, no GPU",
                                                .destroy = destroy,
                                                .describe = describe,
                                                .plan_create = plan_create,
                                                .plan_destroy = plan_destroy,
                                                .plan_info = plan_info,
                                                .plan_execute = plan_execute};

/* "cuDNN 9.19.0" */
static void name_library(char name[32])
{
    char version[24];
    dt_shared_library_version((int64_t)cudnnGetVersion(), version, sizeof version);
    snprintf(name, 32, "cuDNN %s", version);
}

static cudnn_runner *make_runner(const dt_cudnn_options *options, const dt_graph_runner_ops *ops)
{
    cudnn_runner *r = dt_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->base.ops = ops;
    r->rules = (dt_plan_rules){.autotune = options->autotune,
                               .workspace_limit_bytes = options->workspace_limit_bytes};
    return r;
}

dt_status dt_cudnn_runner_create(dt_device *device, const dt_cudnn_options *options, dt_graph_runner **runner,
                                 dt_error *err)
{
    dt_device_info info = {0};
    char path[DT_PATH_BYTES], library[32];
    DT_TRY(dt_cudnn_library_open(err));
    cudnn_runner *r = make_runner(options, &gpu_ops);
    if (!r)
        return dt_fail_memory(err, sizeof *r, "cuDNN's runner");
    device->ops->info(device, &info);
    name_library(library);
    dt_plan_cache_identity(&info, library, r->description, sizeof r->description);
    r->device = device;
    cudnnStatus_t status = cudnnCreate(&r->target.handle);
    if (status != CUDNN_STATUS_SUCCESS) {
        dt_status failed = dt_cudnn_fail(err, status, info.name, "starting cuDNN");
        destroy(&r->base);
        return failed;
    }
    if (options->cache_path)
        snprintf(path, sizeof path, "%s", options->cache_path);
    else
        dt_plan_cache_path(r->description, path, sizeof path);
    dt_status opened = dt_plan_cache_open(path, r->description, &r->cache, err);
    if (opened == DT_OK)
        *runner = &r->base;
    else
        destroy(&r->base);
    return opened;
}

static dt_status refuse_version(size_t version, dt_error *err)
{
    return dt_fail(err, DT_ERR_UNSUPPORTED,
                   "plans for a GPU that is not present need cuDNN 9.8 or later; this is %zu.%zu",
                   version / 10000, version / 100 % 100);
}

#if CUDNN_VERSION >= 90800
static dt_status read_properties(cudnn_runner *r, const char *properties, dt_error *err)
{
    char words[512] = "";
    if (cudnnGetVersion() < 90800)
        return refuse_version(cudnnGetVersion(), err);
    DT_TRY(dt_cudnn_make(r->description, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &r->target.properties, err));
    cudnnStatus_t status =
        cudnnBackendSetAttribute(r->target.properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                 CUDNN_TYPE_CHAR, (int64_t)strlen(properties), properties);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(r->target.properties);
    if (status == CUDNN_STATUS_SUCCESS)
        return DT_OK;
    cudnnGetLastErrorString(words, sizeof words);
    words[strcspn(words, "\n")] = '\0';
    return dt_fail(err, DT_ERR_FORMAT, "cuDNN rejects these device properties: %s%s%s",
                   cudnnGetErrorString(status), words[0] ? ": " : "", words);
}
#else
static dt_status read_properties(cudnn_runner *r, const char *properties, dt_error *err)
{
    (void)r, (void)properties;
    return refuse_version(CUDNN_VERSION, err);
}
#endif

dt_status dt_cudnn_runner_create_offline(const char *gpu_name, const char *properties,
                                         const dt_cudnn_options *options, dt_graph_runner **runner,
                                         dt_error *err)
{
    char library[32];
    DT_TRY(dt_cudnn_library_open(err));
    cudnn_runner *r = make_runner(options, &offline_ops);
    if (!r)
        return dt_fail_memory(err, sizeof *r, "cuDNN's runner");
    name_library(library);
    snprintf(r->description, sizeof r->description, "%s, %s", gpu_name, library);
    dt_status status = read_properties(r, properties, err);
    if (status == DT_OK)
        *runner = &r->base;
    else
        destroy(&r->base);
    return status;
}
