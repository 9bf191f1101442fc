#include "layers/cuda/cudnn_engines.h"

#include <stdio.h>
#include <string.h>

/* Whether cuDNN has CUDNN_ATTR_ENGINEHEUR_DEVICEPROP and related attributes. */
#define HAS_DEVICEPROP (CUDNN_VERSION >= 90800)

/* Engines that are compiled at run time take a second or more each, and cannot be inspected without a
 * driver. */
#define MAX_COMPILED 4

/* Whether an engine's notes allow it. graph.h requires FP32 sums and the same bits on every run; FFT and
 * Winograd lose digits in 16 bits. */
static bool is_allowed(cudnnBackendDescriptor_t engine, dt_dtype dtype)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0;
    if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes) != CUDNN_STATUS_SUCCESS)
        return false;
    for (int64_t i = 0; i < n && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++)
        switch (notes[i]) {
        case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
            if (dtype == DT_F32)
                return false;
            break;
        case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        case CUDNN_NUMERICAL_NOTE_FFT:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
            return false;
        default:
            break;
        }
    return true;
}

/* -- names ----------------------------------------------------------------------------------------------- */

/* Append a knob and its value to the name: ",2=1". */
static void add_knob(cudnnBackendDescriptor_t knob, char name[DT_PLAN_ENGINE_BYTES])
{
    cudnnBackendKnobType_t type;
    int64_t value, n;
    size_t used = strlen(name);
    if (cudnnBackendGetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &n,
                                 &type) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &n, &value) ==
            CUDNN_STATUS_SUCCESS)
        snprintf(name + used, DT_PLAN_ENGINE_BYTES - used, "%c%d=%lld", strchr(name, ':') ? ',' : ':',
                 (int)type, (long long)value);
}

static void name_config(cudnnBackendDescriptor_t config, int64_t engine_index,
                        char name[DT_PLAN_ENGINE_BYTES])
{
    cudnnBackendDescriptor_t knobs[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    int64_t n = 0;
    bool made = true;
    snprintf(name, DT_PLAN_ENGINE_BYTES, "%lld", (long long)engine_index);
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS && made; i++)
        made = cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]) ==
               CUDNN_STATUS_SUCCESS;
    if (made &&
        cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                 CUDNN_KNOB_TYPE_COUNTS, &n, knobs) == CUDNN_STATUS_SUCCESS)
        for (int64_t i = 0; i < n && i < CUDNN_KNOB_TYPE_COUNTS; i++)
            add_knob(knobs[i], name);
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        if (knobs[i])
            cudnnBackendDestroyDescriptor(knobs[i]);
}

static bool is_compiled_at_run_time(cudnnBackendDescriptor_t engine)
{
    cudnnBackendBehaviorNote_t notes[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t n = 0;
    if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                                 CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &n, notes) != CUDNN_STATUS_SUCCESS)
        return false;
    for (int64_t i = 0; i < n && i < CUDNN_BEHAVIOR_NOTE_TYPE_COUNT; i++)
        if (notes[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            return true;
    return false;
}

/* Write the name of an allowed configuration; "" if it is not allowed. */
static void inspect_config(cudnnBackendDescriptor_t config, dt_dtype dtype, char name[DT_PLAN_ENGINE_BYTES],
                           bool *is_compiled)
{
    cudnnBackendDescriptor_t engine = NULL;
    int64_t n = 0, index = -1;
    name[0] = '\0';
    *is_compiled = false;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != CUDNN_STATUS_SUCCESS)
        return;
    if (cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
                                 &engine) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, &index) ==
            CUDNN_STATUS_SUCCESS &&
        is_allowed(engine, dtype)) {
        name_config(config, index, name);
        *is_compiled = is_compiled_at_run_time(engine);
    }
    cudnnBackendDestroyDescriptor(engine);
}

/* -- heuristics ------------------------------------------------------------------------------------------ */

/* Keep those of `found` that are allowed and new; destroy the others. */
static void keep(dt_cudnn_engines *engines, dt_dtype dtype, cudnnBackendDescriptor_t *found, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        char *name = engines->n < DT_CUDNN_MAX_ENGINES ? engines->names[engines->n] : NULL;
        bool is_new = name != NULL;
        if (name)
            inspect_config(found[i], dtype, name, &engines->is_compiled[engines->n]);
        for (int k = 0; k < engines->n && is_new; k++)
            is_new = strcmp(engines->names[k], name) != 0;
        if (is_new && name[0])
            engines->configs[engines->n++] = found[i];
        else
            cudnnBackendDestroyDescriptor(found[i]);
    }
}

static dt_status ask(const dt_graph *graph, cudnnBackendDescriptor_t heuristics, dt_cudnn_engines *engines,
                     dt_error *err)
{
    cudnnBackendDescriptor_t found[DT_CUDNN_MAX_ENGINES];
    int64_t n = 0, n_made = 0;
    cudnnStatus_t status = cudnnBackendFinalize(heuristics);
    if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED)
        return DT_OK; /* no configuration of this mode */
    if (status != CUDNN_STATUS_SUCCESS)
        return dt_cudnn_fail(err, status, graph->name, "asking for engines");
    while (n_made < DT_CUDNN_MAX_ENGINES && status == CUDNN_STATUS_SUCCESS) {
        status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &found[n_made]);
        n_made += status == CUDNN_STATUS_SUCCESS;
    }
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, DT_CUDNN_MAX_ENGINES, &n, found);
    if (status != CUDNN_STATUS_SUCCESS || n < 0)
        n = 0;
    n = n < n_made ? n : n_made;
    keep(engines, graph->dtype, found, n);
    for (int64_t i = n; i < n_made; i++)
        cudnnBackendDestroyDescriptor(found[i]);
    if (status == CUDNN_STATUS_SUCCESS || CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED)
        return DT_OK;
    return dt_cudnn_fail(err, status, graph->name, "its engines");
}

static dt_status ask_mode(const dt_graph *graph, const dt_cudnn_graph *cudnn_graph,
                          const dt_cudnn_target *target, cudnnBackendHeurMode_t mode,
                          dt_cudnn_engines *engines, dt_error *err)
{
    cudnnBackendDescriptor_t heuristics = NULL;
    const char *what = "asking for engines";
    DT_TRY(dt_cudnn_make(graph->name, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics, err));
    dt_status status =
        dt_cudnn_set(graph->name, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &cudnn_graph->operation_graph, what, err);
    if (status == DT_OK)
        status = dt_cudnn_set(graph->name, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
                              &mode, what, err);
#if HAS_DEVICEPROP
    if (status == DT_OK && target->properties)
        status = dt_cudnn_set(graph->name, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &target->properties, what, err);
#else
    (void)target;
#endif
    if (status == DT_OK)
        status = ask(graph, heuristics, engines, err);
    cudnnBackendDestroyDescriptor(heuristics);
    return status;
}

/* Drop all configurations that are compiled at run time if there are others; else keep the first few. */
static void drop_compiled(dt_cudnn_engines *engines)
{
    int n_compiled = 0, n_kept = 0;
    for (int i = 0; i < engines->n; i++)
        n_compiled += engines->is_compiled[i];
    int allowed = n_compiled < engines->n ? 0 : MAX_COMPILED;
    for (int i = 0; i < engines->n; i++) {
        if (engines->is_compiled[i] && allowed-- <= 0) {
            cudnnBackendDestroyDescriptor(engines->configs[i]);
            continue;
        }
        engines->configs[n_kept] = engines->configs[i];
        engines->is_compiled[n_kept] = engines->is_compiled[i];
        memmove(engines->names[n_kept++], engines->names[i], DT_PLAN_ENGINE_BYTES);
    }
    for (int i = n_kept; i < engines->n; i++)
        engines->configs[i] = NULL;
    engines->n = n_kept;
}

dt_status dt_cudnn_engines_find(const dt_graph *graph, const dt_cudnn_graph *cudnn_graph,
                                const dt_cudnn_target *target, dt_cudnn_engines *engines, dt_error *err)
{
    /* Mode A sorts by cuDNN's model of each engine's time, best first. FALLBACK lists what else works, which
     * is often all that is left for FP32 without tensor cores. */
    DT_TRY(ask_mode(graph, cudnn_graph, target, CUDNN_HEUR_MODE_A, engines, err));
    DT_TRY(ask_mode(graph, cudnn_graph, target, CUDNN_HEUR_MODE_FALLBACK, engines, err));
    drop_compiled(engines);
    return DT_OK;
}

void dt_cudnn_engines_destroy(dt_cudnn_engines *engines)
{
    for (int i = 0; i < engines->n; i++) {
        if (engines->plans[i])
            cudnnBackendDestroyDescriptor(engines->plans[i]);
        if (engines->configs[i])
            cudnnBackendDestroyDescriptor(engines->configs[i]);
    }
    engines->n = 0;
}

/* -- plans ----------------------------------------------------------------------------------------------- */

static dt_status make_plan(const dt_graph *graph, cudnnBackendDescriptor_t config,
                           const dt_cudnn_target *target, cudnnBackendDescriptor_t plan, dt_error *err)
{
    DT_TRY(dt_cudnn_set(graph->name, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config, "a plan's engine", err));
    if (target->handle)
        DT_TRY(dt_cudnn_set(graph->name, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                            &target->handle, "a plan's handle", err));
#if HAS_DEVICEPROP
    if (target->properties)
        DT_TRY(dt_cudnn_set(graph->name, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &target->properties, "a plan's GPU", err));
#endif
    cudnnStatus_t status = cudnnBackendFinalize(plan);
    return status == CUDNN_STATUS_SUCCESS ? DT_OK : dt_cudnn_fail(err, status, graph->name, "making a plan");
}

dt_status dt_cudnn_engines_plan(dt_cudnn_engines *engines, int i, const dt_graph *graph,
                                const dt_cudnn_target *target, int64_t *workspace_bytes, dt_error *err)
{
    int64_t n, bytes;
    if (!engines->plans[i]) {
        cudnnBackendDescriptor_t plan = NULL;
        DT_TRY(dt_cudnn_make(graph->name, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan, err));
        dt_status status = make_plan(graph, engines->configs[i], target, plan, err);
        if (status != DT_OK) {
            cudnnBackendDestroyDescriptor(plan);
            return status;
        }
        engines->plans[i] = plan;
    }
    cudnnStatus_t status = cudnnBackendGetAttribute(
        engines->plans[i], CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &bytes);
    if (status != CUDNN_STATUS_SUCCESS)
        return dt_cudnn_fail(err, status, graph->name, "a plan's workspace");
    *workspace_bytes = bytes;
    return DT_OK;
}
