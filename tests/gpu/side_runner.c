#include "tests/gpu/side_runner.h"

#include "core/base/alloc.h"

/* In place of a measured time: no fused graph is slower than this. */
#define LEAST_MS 1e-9

typedef struct side_runner {
    dt_graph_runner base;
    dt_graph_runner *inner;
    dt_side side;
} side_runner;

struct dt_graph_plan {
    const dt_graph_runner_ops *inner_ops;
    dt_graph_plan *inner;
    bool hides_time;
};

static void destroy(dt_graph_runner *runner)
{
    dt_free(runner);
}

static const char *describe(dt_graph_runner *runner)
{
    const side_runner *r = (side_runner *)runner;
    return r->inner->ops->describe(r->inner);
}

static dt_status plan_create(dt_graph_runner *runner, const dt_graph *graph, const dt_graph_engine *chosen,
                             dt_graph_plan **plan, dt_error *err)
{
    const side_runner *r = (side_runner *)runner;
    if (r->side == DT_SIDE_COMPOSED && graph->n_ops > 1)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: composed for a comparison", graph->name);
    dt_graph_plan *made = dt_calloc(1, sizeof *made);
    if (!made)
        return dt_fail_memory(err, sizeof *made, "a plan");
    *made = (dt_graph_plan){.inner_ops = r->inner->ops, .hides_time = r->side == DT_SIDE_FUSED};
    dt_status status = r->inner->ops->plan_create(r->inner, graph, chosen, &made->inner, err);
    if (status == DT_OK)
        *plan = made;
    else
        dt_free(made);
    return status;
}

static void plan_destroy(dt_graph_runner *runner, dt_graph_plan *plan)
{
    const side_runner *r = (side_runner *)runner;
    if (!plan)
        return;
    r->inner->ops->plan_destroy(r->inner, plan->inner);
    dt_free(plan);
}

static void plan_info(const dt_graph_plan *plan, dt_graph_plan_info *info)
{
    plan->inner_ops->plan_info(plan->inner, info);
    if (plan->hides_time && info->time_ms > 0)
        info->time_ms = LEAST_MS;
}

static dt_status plan_execute(dt_graph_runner *runner, dt_graph_plan *plan, const dt_graph_binding *tensors,
                              int n_tensors, void *workspace, void *stream, dt_error *err)
{
    const side_runner *r = (side_runner *)runner;
    return r->inner->ops->plan_execute(r->inner, plan->inner, tensors, n_tensors, workspace, stream, err);
}

static const dt_graph_runner_ops ops = {.name = "one side of a comparison",
                                        .destroy = destroy,
                                        .describe = describe,
                                        .plan_create = plan_create,
                                        .plan_destroy = plan_destroy,
                                        .plan_info = plan_info,
                                        .plan_execute = plan_execute};

dt_status dt_side_runner_create(dt_graph_runner *inner, dt_side side, dt_graph_runner **runner, dt_error *err)
{
    side_runner *r = dt_calloc(1, sizeof *r);
    if (!r)
        return dt_fail_memory(err, sizeof *r, "a runner");
    *r = (side_runner){.base = {.ops = &ops}, .inner = inner, .side = side};
    *runner = &r->base;
    return DT_OK;
}
