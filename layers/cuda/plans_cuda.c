/* plans_cuda.c: requests plans from the runner and executes them with the workspace that all of them
 * share. */
#include "layers/cuda/cuda_internal.h"

#include <stdio.h>

dt_status dt_cuda_plan_try(dt_cuda_kernels *ck, const dt_graph *graph, dt_cuda_plan *plan, dt_error *err)
{
    dt_error refusal = {0};
    dt_graph_plan *made = NULL;
    *plan = (dt_cuda_plan){.is_fused = graph->n_ops > 1,
                           .bytes_moved = dt_graph_bytes_moved(graph),
                           .flops = dt_graph_flops(graph)};
    snprintf(plan->name, sizeof plan->name, "%s", graph->name);
    dt_status status = ck->runner->ops->plan_create(ck->runner, graph, &made, &refusal);
    if (status == DT_ERR_UNSUPPORTED) {
        plan->is_refused = true;
        snprintf(plan->reason, sizeof plan->reason, "%.*s", (int)sizeof plan->reason - 1, refusal.message);
        return DT_OK;
    }
    if (status != DT_OK) {
        if (err)
            *err = refusal;
        return status;
    }
    plan->plan = made;
    return DT_OK;
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
    DT_TRY(dt_cuda_plan_try(ck, graph, plan, err));
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
