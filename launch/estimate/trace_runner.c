#include "launch/estimate/trace_runner.h"

#include "core/base/alloc.h"

typedef struct trace_runner {
    dt_graph_runner base;
    dt_graph_runner *inner;
    dt_graph_executed *executed;
    void *context;
} trace_runner;

struct dt_graph_plan {
    dt_graph graph;
    const dt_graph_runner_ops *inner_ops;
    dt_graph_plan *inner;
};

static void destroy(dt_graph_runner *runner)
{
    trace_runner *r = (trace_runner *)runner;
    r->inner->ops->destroy(r->inner);
    dt_free(r);
}

static const char *describe(dt_graph_runner *runner)
{
    const trace_runner *r = (trace_runner *)runner;
    return r->inner->ops->describe(r->inner);
}

static dt_status plan_create(dt_graph_runner *runner, const dt_graph *graph, const dt_graph_engine *chosen,
                             dt_graph_plan **plan, dt_error *err)
{
    const trace_runner *r = (trace_runner *)runner;
    dt_graph_plan *made = dt_alloc(sizeof *made);
    if (!made)
        return dt_fail_memory(err, sizeof *made, "a plan");
    *made = (dt_graph_plan){.graph = *graph, .inner_ops = r->inner->ops};
    dt_status status = r->inner->ops->plan_create(r->inner, graph, chosen, &made->inner, err);
    if (status == DT_OK)
        *plan = made;
    else
        dt_free(made);
    return status;
}

static void plan_destroy(dt_graph_runner *runner, dt_graph_plan *plan)
{
    const trace_runner *r = (trace_runner *)runner;
    if (!plan)
        return;
    r->inner->ops->plan_destroy(r->inner, plan->inner);
    dt_free(plan);
}

static void plan_info(const dt_graph_plan *plan, dt_graph_plan_info *info)
{
    plan->inner_ops->plan_info(plan->inner, info);
}

static dt_status plan_execute(dt_graph_runner *runner, dt_graph_plan *plan, const dt_graph_binding *tensors,
                              int n_tensors, void *workspace, void *stream, dt_error *err)
{
    const trace_runner *r = (trace_runner *)runner;
    dt_graph_plan_info info = {0};
    (void)tensors, (void)n_tensors, (void)workspace, (void)stream;
    if (!r->executed)
        return DT_OK;
    plan_info(plan, &info);
    return r->executed(r->context, &plan->graph, &info, err);
}

static const dt_graph_runner_ops ops = {.name = "trace",
                                        .destroy = destroy,
                                        .describe = describe,
                                        .plan_create = plan_create,
                                        .plan_destroy = plan_destroy,
                                        .plan_info = plan_info,
                                        .plan_execute = plan_execute};

dt_status dt_trace_runner_create(dt_graph_runner *inner, dt_graph_runner **runner, dt_error *err)
{
    trace_runner *r = dt_calloc(1, sizeof *r);
    if (!r) {
        inner->ops->destroy(inner);
        return dt_fail_memory(err, sizeof *r, "a runner");
    }
    *r = (trace_runner){.base = {.ops = &ops}, .inner = inner};
    *runner = &r->base;
    return DT_OK;
}

void dt_trace_runner_report(dt_graph_runner *runner, dt_graph_executed *executed, void *context)
{
    trace_runner *r = (trace_runner *)runner;
    r->executed = executed;
    r->context = context;
}
