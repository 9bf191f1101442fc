/* fused_cuda.c: whether a fused graph is faster than its parts. Where the runner measures plans, its time is
 * compared with that of the plain graph and of the passes over memory that it saves; if it is slower it
 * counts as refused. Where nothing is measured, the fused graph is used. */
#include "layers/cuda/cuda_internal.h"

#include <stdio.h>

/* The share of the nominal bandwidth that our own streaming kernels reach, about. It errs on the side of the
 * fused graph. */
#define SHARE_OF_BANDWIDTH 0.85

double dt_cuda_plan_ms(const dt_cuda_kernels *ck, const dt_cuda_plan *plan)
{
    dt_graph_plan_info info = {0};
    if (plan->plan)
        ck->runner->ops->plan_info(plan->plan, &info);
    return info.time_ms;
}

void dt_cuda_plan_compare(dt_cuda_kernels *ck, dt_cuda_plan *fused, const dt_cuda_plan *plain,
                          int64_t saved_bytes)
{
    dt_device_info info = {0};
    double fused_ms = dt_cuda_plan_ms(ck, fused), plain_ms = dt_cuda_plan_ms(ck, plain);
    if (ck->base.device)
        ck->base.device->ops->info(ck->base.device, &info);
    if (fused_ms <= 0 || plain_ms <= 0 || info.bandwidth_bytes_per_s <= 0)
        return;
    double composed_ms =
        plain_ms + 1e3 * (double)saved_bytes / (SHARE_OF_BANDWIDTH * info.bandwidth_bytes_per_s);
    if (fused_ms <= composed_ms)
        return;
    ck->runner->ops->plan_destroy(ck->runner, fused->plan);
    fused->plan = NULL;
    fused->is_refused = true;
    snprintf(fused->reason, sizeof fused->reason, "%.96s: %.3f ms, composed %.3f ms", fused->name, fused_ms,
             composed_ms);
}
