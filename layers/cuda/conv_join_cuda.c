/* conv_join_cuda.c: a convolution's forward graph that includes the residual join it reads. Where the runner
 * refuses the graph, layers/add.c runs residual_forward, and the convolution reads its output. The graph
 * writes no mask, so in training it is used only where backward needs none: if residual_backward read x in
 * place of the mask, it would move nearly the bytes that the graph saves. In FP16 only, as the backward of
 * joins: the graph reads scale and bias in the activations' type, and BF16 has too few bits for them. */
#include "layers/cuda/cuda_internal.h"
#include "layers/cuda/graph_residual.h"

bool dt_cuda_conv_reads_join(const dt_conv_desc *d)
{
    return d->input == DT_CONV_INPUT_JOIN || d->input == DT_CONV_INPUT_JOIN_LAZY;
}

dt_status dt_cuda_conv_plan_join(dt_cuda_kernels *ck, dt_conv *conv, dt_error *err)
{
    dt_graph graph;
    bool needs_mask = conv->desc.for_training && !(conv->fusions & DT_CONV_FUSE_BACKWARD_JOIN);
    if (ck->base.dtype != DT_F16 || needs_mask)
        return DT_OK;
    dt_graph_conv_forward_join(&conv->desc, ck->base.dtype, conv->desc.input == DT_CONV_INPUT_JOIN_LAZY,
                               &graph);
    return dt_cuda_plan_try(ck, &graph, &conv->plans[DT_CUDA_FORWARD_JOIN], err);
}

void dt_cuda_conv_keep_join(dt_cuda_kernels *ck, dt_conv *conv)
{
    const dt_conv_desc *d = &conv->desc;
    dt_cuda_plan *join = &conv->plans[DT_CUDA_FORWARD_JOIN], *sums = &conv->plans[DT_CUDA_FORWARD_SUMS];
    int64_t x = dt_cuda_tensor_bytes(&ck->base, d->n, d->c, d->h, d->w),
            y = dt_cuda_tensor_bytes(&ck->base, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
    /* Composed, residual_forward reads two tensors and writes x. Without its sums, y is read once more. */
    if (d->for_training && sums->plan)
        dt_cuda_plan_compare(ck, join, sums, 3 * x);
    else if (d->for_training)
        dt_cuda_plan_compare(ck, join, &conv->plans[DT_CUDA_FORWARD], 3 * x + y);
    if (join->plan)
        conv->fusions |= DT_CONV_FUSE_JOIN | DT_CONV_FUSE_SUMS;
}

dt_status dt_cuda_conv_forward_join(dt_kernels *k, dt_conv *conv, const dt_act *branch, const dt_act *skip,
                                    const dt_tensor *x, const float *w, const dt_tensor *y, void *sums,
                                    dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_cuda_call c = {.n = 0};
    void *weights = NULL;
    float *sum = sums ? sums : dt_cuda_unwanted_sums(ck, conv);
    DT_TRY(dt_cuda_weights(ck, w, dt_cuda_filter_elems(conv), &weights, err));
    dt_cuda_bind(&c, DT_GRAPH_RAW, branch->raw.data);
    DT_TRY(dt_cuda_bind_scales(ck, &c, branch, DT_GRAPH_SCALE, DT_GRAPH_BIAS, 0, err));
    dt_cuda_bind(&c, DT_GRAPH_SKIP, skip->raw.data);
    if (skip->scale)
        DT_TRY(dt_cuda_bind_scales(ck, &c, skip, DT_GRAPH_SKIP_SCALE, DT_GRAPH_SKIP_BIAS, 1, err));
    dt_cuda_bind(&c, DT_GRAPH_X, x->data);
    dt_cuda_bind(&c, DT_GRAPH_W, weights);
    dt_cuda_bind(&c, DT_GRAPH_Y, y->data);
    dt_cuda_bind(&c, DT_GRAPH_SUM, sum);
    dt_cuda_bind(&c, DT_GRAPH_SUMSQ, sum + conv->desc.k);
    return dt_cuda_plan_run(ck, &conv->plans[DT_CUDA_FORWARD_JOIN], c.tensors, c.n, err);
}
