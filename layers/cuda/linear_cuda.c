/* linear_cuda.c: the fully connected layer: the library computes the matrix products, our own kernels add the
 * bias.
 *
 *   y = x w^T + bias;  dx = dy w;  dw = dy^T x;  dbias = sum over n of dy */
#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"

void dt_cuda_linear_destroy(dt_kernels *k, dt_linear *linear)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    if (!linear)
        return;
    for (dt_linear **at = &ck->linears; *at; at = &(*at)->next)
        if (*at == linear) {
            *at = linear->next;
            break;
        }
    for (int i = 0; i < DT_CUDA_LINEAR_N_PLANS; i++)
        dt_cuda_plan_destroy(ck, &linear->plans[i]);
    dt_free(linear);
}

static dt_status make_plans(dt_cuda_kernels *ck, dt_linear *l, dt_error *err)
{
    dt_graph graph;
    dt_graph_linear_forward(l->n, l->c, l->n_out, ck->base.dtype, &graph);
    DT_TRY(dt_cuda_plan_need(ck, &graph, &l->plans[DT_CUDA_LINEAR_FORWARD], err));
    dt_graph_linear_backward_data(l->n, l->c, l->n_out, ck->base.dtype, &graph);
    DT_TRY(dt_cuda_plan_need(ck, &graph, &l->plans[DT_CUDA_LINEAR_DATA], err));
    dt_graph_linear_backward_weights(l->n, l->c, l->n_out, ck->base.dtype, &graph);
    DT_TRY(dt_cuda_plan_need(ck, &graph, &l->plans[DT_CUDA_LINEAR_WEIGHTS], err));
    DT_TRY(dt_cuda_plans_reserve(ck, l->plans, DT_CUDA_LINEAR_N_PLANS, err));
    return dt_cuda_reserve(ck, &ck->weights, l->c * l->n_out * (int64_t)sizeof(float), "a layer's weights",
                           err);
}

dt_status dt_cuda_linear_create(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
                                dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_linear *made = dt_calloc(1, sizeof *made);
    if (!made)
        return dt_fail_memory(err, sizeof *made, "a linear layer");
    *made = (dt_linear){.n = n, .c = c, .n_out = n_out};
    dt_status status = make_plans(ck, made, err);
    if (status != DT_OK) {
        dt_cuda_linear_destroy(k, made);
        return status;
    }
    dt_linear **end = &ck->linears;
    while (*end)
        end = &(*end)->next;
    *end = made;
    *linear = made;
    return DT_OK;
}

dt_status dt_cuda_linear_forward(dt_kernels *k, dt_linear *l, const dt_tensor *x, const float *w,
                                 const float *bias, const dt_tensor *y, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    void *weights = NULL;
    DT_TRY(dt_cuda_weights(ck, w, l->c * l->n_out, &weights, err));
    const dt_graph_binding tensors[] = {{DT_GRAPH_X, x->data}, {DT_GRAPH_W, weights}, {DT_GRAPH_Y, y->data}};
    DT_TRY(dt_cuda_plan_run(ck, &l->plans[DT_CUDA_LINEAR_FORWARD], tensors, 3, err));
    DT_CUDA_LAUNCH("bias_add", dt_cuda_bias_add(ck->stream, bias, y));
    return DT_OK;
}

/* dx before dw, since the weights in 16 bits and their gradient may share memory. */
dt_status dt_cuda_linear_backward(dt_kernels *k, dt_linear *l, const dt_tensor *x, const float *w,
                                  const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                  bool accumulate, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    int64_t n_weights = l->c * l->n_out;
    void *weights = NULL, *target = dt_cuda_gradient_target(ck, dw, n_weights, accumulate);
    DT_TRY(dt_cuda_weights(ck, w, n_weights, &weights, err));
    const dt_graph_binding data[] = {{DT_GRAPH_DY, dy->data}, {DT_GRAPH_W, weights}, {DT_GRAPH_DX, dx->data}};
    DT_TRY(dt_cuda_plan_run(ck, &l->plans[DT_CUDA_LINEAR_DATA], data, 3, err));
    const dt_graph_binding gradient[] = {
        {DT_GRAPH_X, x->data}, {DT_GRAPH_DY, dy->data}, {DT_GRAPH_DW, target}};
    DT_TRY(dt_cuda_plan_run(ck, &l->plans[DT_CUDA_LINEAR_WEIGHTS], gradient, 3, err));
    DT_TRY(dt_cuda_gradient_finish(ck, target, n_weights, dw, accumulate, err));
    DT_CUDA_LAUNCH("bias_gradient", dt_cuda_bias_gradient(ck->stream, dy, dbias, accumulate));
    return DT_OK;
}
