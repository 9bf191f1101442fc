/* plans_cuda.c: requests plans from the runner and executes them with the workspace that all of them
 * share. */
#include "layers/cuda/cuda_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In place of an engine: the runner refuses this graph. */
#define REFUSED "none"

_Static_assert(sizeof((dt_graph *)0)->name <= DT_ENGINE_NAME_BYTES &&
                   DT_GRAPH_ENGINE_BYTES + sizeof " -1.12345678901234567e-308" <= DT_ENGINE_VALUE_BYTES,
               "texts of the list of engines");

/* Return whether the run has chosen an engine for this graph before, or has found that none runs it. */
static bool find_chosen(const dt_cuda_kernels *ck, const dt_graph *graph, dt_graph_engine *chosen)
{
    const char *value = dt_engines_find(&ck->engines.list, ck->engines.kind, graph->name);
    if (!value || ck->plan_only)
        return false;
    const size_t bytes = strcspn(value, " ");
    *chosen = (dt_graph_engine){.time_ms = strtod(value + bytes, NULL)};
    snprintf(chosen->name, sizeof chosen->name, "%.*s", (int)bytes, value);
    return true;
}

/* The run's list of engines gets the plan's, or that there is none. 17 digits hold the time's bits: it
 * decides between fused and composed graphs, also on other ranks and after a resume. */
static dt_status note(dt_cuda_kernels *ck, const dt_graph *graph, const dt_graph_plan *plan, dt_error *err)
{
    char value[DT_ENGINE_VALUE_BYTES] = REFUSED;
    dt_graph_plan_info info = {0};
    if (ck->plan_only)
        return DT_OK;
    if (plan) {
        ck->runner->ops->plan_info(plan, &info);
        snprintf(value, sizeof value, "%s %.17g", info.engine, info.time_ms);
    }
    return dt_engine_choices_note(&ck->engines, graph->name, value, err);
}

static dt_status refuse(dt_cuda_kernels *ck, const dt_graph *graph, const char *reason, dt_cuda_plan *plan,
                        dt_error *err)
{
    plan->is_refused = true;
    snprintf(plan->reason, sizeof plan->reason, "%.*s", (int)sizeof plan->reason - 1, reason);
    return note(ck, graph, NULL, err);
}

/* composable: the caller can do without this graph, so that a refusal by the run counts. */
static dt_status request(dt_cuda_kernels *ck, const dt_graph *graph, bool composable, dt_cuda_plan *plan,
                         dt_error *err)
{
    dt_error refusal = {0};
    dt_graph_plan *made = NULL;
    dt_graph_engine chosen;
    *plan = (dt_cuda_plan){.is_fused = graph->n_ops > 1,
                           .bytes_moved = dt_graph_bytes_moved(graph),
                           .flops = dt_graph_flops(graph)};
    snprintf(plan->name, sizeof plan->name, "%s", graph->name);
    const bool is_chosen = find_chosen(ck, graph, &chosen);
    if (composable && is_chosen && strcmp(chosen.name, REFUSED) == 0) {
        snprintf(refusal.message, sizeof refusal.message, "%s: this run composes it", graph->name);
        return refuse(ck, graph, refusal.message, plan, err);
    }
    dt_status status =
        ck->runner->ops->plan_create(ck->runner, graph, is_chosen ? &chosen : NULL, &made, &refusal);
    if (status == DT_ERR_UNSUPPORTED)
        return refuse(ck, graph, refusal.message, plan, err);
    if (status != DT_OK) {
        if (err)
            *err = refusal;
        return status;
    }
    plan->plan = made;
    return note(ck, graph, made, err);
}

dt_status dt_cuda_plan_try(dt_cuda_kernels *ck, const dt_graph *graph, dt_cuda_plan *plan, dt_error *err)
{
    return request(ck, graph, true, plan, err);
}

dt_status dt_cuda_plans_reserve(dt_cuda_kernels *ck, const dt_cuda_plan *plans, int n, dt_error *err)
{
    for (int i = 0; i < n; i++) {
        dt_graph_plan_info info = {0};
        if (!plans[i].plan)
            continue;
        ck->runner->ops->plan_info(plans[i].plan, &info);
        DT_TRY(dt_cuda_reserve(ck, &ck->workspace, info.workspace_bytes, "the workspace of cuDNN", err));
    }
    return DT_OK;
}

dt_status dt_cuda_plan_need(dt_cuda_kernels *ck, const dt_graph *graph, dt_cuda_plan *plan, dt_error *err)
{
    DT_TRY(request(ck, graph, false, plan, err));
    if (!plan->plan)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s has no plan for %s",
                       ck->runner->ops->describe(ck->runner), plan->reason);
    return DT_OK;
}

void dt_cuda_plan_destroy(dt_cuda_kernels *ck, dt_cuda_plan *plan)
{
    ck->runner->ops->plan_destroy(ck->runner, plan->plan);
    *plan = (dt_cuda_plan){0};
}

dt_status dt_cuda_plan_run(dt_cuda_kernels *ck, const dt_cuda_plan *plan, const dt_graph_binding *tensors,
                           int n_tensors, dt_error *err)
{
    return ck->runner->ops->plan_execute(ck->runner, plan->plan, tensors, n_tensors, ck->workspace.data,
                                         ck->stream, err);
}

void dt_cuda_plan_visit(const dt_cuda_kernels *ck, const dt_cuda_plan *plan, const dt_conv_desc *conv,
                        int n_layers, void (*visit)(void *context, const dt_cuda_plan_row *row),
                        void *context)
{
    dt_cuda_plan_row row = {.name = plan->name,
                            .conv = conv,
                            .n_layers = n_layers,
                            .is_fused = plan->is_fused,
                            .is_refused = plan->is_refused,
                            .reason = plan->reason,
                            .bytes_moved = plan->bytes_moved,
                            .flops = plan->flops};
    if (!plan->plan && !plan->is_refused)
        return;
    if (plan->plan)
        ck->runner->ops->plan_info(plan->plan, &row.info);
    visit(context, &row);
}

void dt_kernels_cuda_plans(dt_kernels *kernels, void (*visit)(void *context, const dt_cuda_plan_row *row),
                           void *context)
{
    const dt_cuda_kernels *ck = dt_cuda(kernels);
    for (const dt_conv *conv = ck->convs; conv; conv = conv->next)
        for (int i = 0; i < DT_CUDA_N_PLANS; i++)
            dt_cuda_plan_visit(ck, &conv->plans[i], &conv->desc, conv->n_users, visit, context);
    for (const dt_linear *linear = ck->linears; linear; linear = linear->next)
        for (int i = 0; i < DT_CUDA_LINEAR_N_PLANS; i++)
            dt_cuda_plan_visit(ck, &linear->plans[i], NULL, 1, visit, context);
}
