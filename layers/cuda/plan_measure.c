#include "layers/cuda/plan_measure.h"

#include "layers/cuda/plan_check.h"

static dt_status execute(void *context, const dt_graph_binding *tensors, int n_tensors, void *workspace,
                         dt_error *err)
{
    const dt_plan_measurer *m = context;
    return m->execute(m->context, m->candidate, tensors, n_tensors, workspace, err);
}

/* Prepare executions of candidate i. */
static dt_status begin(dt_plan_measurer *m, int i, dt_plan_run *run, dt_error *err)
{
    if (!m->bench)
        DT_TRY(dt_plan_bench_create(m->device, m->graph, &m->bench, err));
    m->candidate = i;
    *run = (dt_plan_run){.execute = execute, .context = m};
    return m->build(m->context, i, &run->workspace_bytes, err);
}

/* If the device still works, its error is the candidate's. */
static dt_status of_the_candidate(const dt_plan_measurer *m, dt_status status, dt_error *err)
{
    dt_error ignored;
    if (status != DT_ERR_DEVICE || m->device->ops->stream_wait(m->device, NULL, &ignored) != DT_OK)
        return status;
    if (err)
        err->status = DT_ERR_UNSUPPORTED;
    return DT_ERR_UNSUPPORTED;
}

dt_status dt_plan_measurer_measure(dt_plan_measurer *m, int i, int n_runs, double *ms, dt_error *err)
{
    dt_plan_run run;
    DT_TRY(begin(m, i, &run, err));
    return of_the_candidate(m, dt_plan_bench_measure(m->bench, &run, n_runs, ms, err), err);
}

dt_status dt_plan_measurer_check(dt_plan_measurer *m, int i, dt_error *err)
{
    dt_plan_run run;
    DT_TRY(begin(m, i, &run, err));
    return of_the_candidate(m, dt_plan_check(m->bench, &run, err), err);
}

void dt_plan_measurer_finish(dt_plan_measurer *m)
{
    dt_plan_bench_destroy(m->bench);
    m->bench = NULL;
}
