/* conv_join_backward_cuda.c: a data gradient with the backward of the residual join that made x, in one
 * graph.
 *
 * Composed, dgrad += reads and writes dx, and residual_backward reads dx, a mask or y, and each raw tensor,
 * and writes dx again. The graph reads the earlier gradient, the branch's raw tensor and the shortcut, and
 * writes dx: one pass over dx less with an identity shortcut, two with a projection. */
#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"
#include "layers/cuda/graph_residual_backward.h"

#include <stdio.h>

/* Where the parts of ck->vectors begin, in units of c floats. At 0: two pairs of scale and bias, 16 bits. */
enum { ROUNDED = 2, UNWANTED = 6, N_VECTORS = 12 };

/* Where nothing is measured, the graph must not move more bytes than the operations that it replaces. On
 * sm_80, 86 and 89 its gradient goes through the workspace in FP32, which is written and read. */
static void compare_bytes(dt_cuda_kernels *ck, dt_cuda_plan *fused, int64_t saved_bytes)
{
    dt_graph_plan_info info = {0};
    ck->runner->ops->plan_info(fused->plan, &info);
    if (info.time_ms > 0 || 2 * info.workspace_bytes <= saved_bytes)
        return;
    ck->runner->ops->plan_destroy(ck->runner, fused->plan);
    fused->plan = NULL;
    fused->is_refused = true;
    snprintf(fused->reason, sizeof fused->reason, "%.96s: its workspace of %lld MB takes more than it saves",
             fused->name, (long long)(info.workspace_bytes / 1000000) % 1000000);
}

/* ck->constants: zeros, then as many ones. */
static dt_status reserve_constants(dt_cuda_kernels *ck, int64_t c, dt_error *err)
{
    const int64_t bytes = 2 * c * (int64_t)sizeof(float);
    dt_device *device = ck->base.device;
    if (bytes <= ck->constants.bytes)
        return DT_OK;
    float *values = dt_calloc(1, (size_t)bytes);
    if (!values)
        return dt_fail_memory(err, (size_t)bytes, "vectors of 0 and 1");
    for (int64_t i = c; i < 2 * c; i++)
        values[i] = 1;
    dt_status status = dt_cuda_reserve(ck, &ck->constants, bytes, "vectors of 0 and 1", err);
    if (status == DT_OK && !ck->plan_only)
        status = device->ops->copy(device, ck->constants.data, values, bytes, DT_COPY_TO_DEVICE, NULL, err);
    if (status == DT_OK && !ck->plan_only)
        status = device->ops->stream_wait(device, NULL, err);
    dt_free(values);
    return status;
}

dt_status dt_cuda_conv_join_backward_plan(dt_cuda_kernels *ck, dt_conv *conv, dt_error *err)
{
    dt_graph graph;
    const dt_conv_desc *d = &conv->desc;
    const bool lazy_skip = d->input == DT_CONV_INPUT_JOIN_LAZY;
    dt_cuda_plan *fused = &conv->plans[DT_CUDA_DATA_JOIN];
    if (ck->base.dtype != DT_F16 || (d->input != DT_CONV_INPUT_JOIN && !lazy_skip))
        return DT_OK;
    dt_graph_conv_backward_data_join(d, ck->base.dtype, lazy_skip, &graph);
    DT_TRY(dt_cuda_plan_try(ck, &graph, fused, err));
    if (!fused->plan)
        return DT_OK;
    /* composed, residual_backward reads dx, a mask of 1/16 of dx, and the raw tensors, and writes dx */
    const int64_t x = dt_cuda_tensor_bytes(&ck->base, d->n, d->c, d->h, d->w),
                  residual = (lazy_skip ? 4 : 3) * x + x / 16;
    if (conv->plans[DT_CUDA_DATA_ADD].plan)
        dt_cuda_plan_compare(ck, fused, &conv->plans[DT_CUDA_DATA_ADD], residual);
    else
        dt_cuda_plan_compare(ck, fused, &conv->plans[DT_CUDA_DATA], residual + 3 * x);
    if (fused->plan) /* the graph reads the shortcut, which residual_backward reads only for its sums */
        compare_bytes(ck, fused, x + x / 16 + (lazy_skip ? x : 0));
    if (!fused->plan)
        return DT_OK;
    conv->fusions |= DT_CONV_FUSE_BACKWARD_JOIN;
    DT_TRY(reserve_constants(ck, d->c, err));
    return dt_cuda_reserve(ck, &ck->vectors, N_VECTORS * d->c * (int64_t)sizeof(float), "vectors of channels",
                           err);
}

/* -- execution ------------------------------------------------------------------------------------------- */

static float *vectors_at(const dt_cuda_kernels *ck, int64_t c, int nth)
{
    return (float *)ck->vectors.data + nth * c;
}

/* Bind FP32 copies of scale and bias as the forward graph read them; *copy makes both. nth: 0 the branch,
 * 1 the skip. */
static dt_status bind_value(dt_cuda_kernels *ck, dt_cuda_call *c, const dt_act *x, const int ids[2], int nth,
                            dt_cuda_gradient *copy, dt_error *err)
{
    const int64_t channels = x->raw.c;
    float *rounded = vectors_at(ck, channels, ROUNDED + 2 * nth);
    char *halves = NULL;
    DT_TRY(dt_cuda_half_scales_get(ck, x, nth, &halves, err));
    *copy = (dt_cuda_gradient){.from = halves, .to = rounded, .n = 2 * channels};
    dt_cuda_bind(c, ids[0], rounded);
    dt_cuda_bind(c, ids[1], rounded + channels);
    return DT_OK;
}

/* Bind a BatchNorm's tensors to `ids`: raw, mean, invstd, gamma; dgamma, dbeta; the coefficients go to
 * `unwanted`, since bn_backward_apply computes them when it adds dgamma and dbeta to the flat vector. */
static void bind_norm(dt_cuda_call *c, const int ids[9], const dt_bn_backward *bn, float *unwanted)
{
    const int64_t channels = bn->x->raw.c;
    float *sums = bn->sums;
    const void *const data[9] = {bn->x->raw.data,
                                 bn->mean,
                                 bn->invstd,
                                 bn->gamma,
                                 sums,
                                 sums + channels,
                                 unwanted,
                                 unwanted + channels,
                                 unwanted + 2 * channels};
    for (int i = 0; i < 9; i++)
        dt_cuda_bind(c, ids[i], data[i]);
}

static dt_status bind_join(dt_cuda_kernels *ck, dt_cuda_call *c, const dt_join_backward *join, dt_error *err)
{
    static const int branch[9] = {DT_GRAPH_RAW,    DT_GRAPH_MEAN,   DT_GRAPH_INVSTD,
                                  DT_GRAPH_GAMMA,  DT_GRAPH_DGAMMA, DT_GRAPH_DBETA,
                                  DT_GRAPH_COEF_A, DT_GRAPH_COEF_B, DT_GRAPH_COEF_C};
    static const int skip[9] = {DT_GRAPH_SKIP,        DT_GRAPH_SKIP_MEAN,   DT_GRAPH_SKIP_INVSTD,
                                DT_GRAPH_SKIP_GAMMA,  DT_GRAPH_SKIP_DGAMMA, DT_GRAPH_SKIP_DBETA,
                                DT_GRAPH_SKIP_COEF_A, DT_GRAPH_SKIP_COEF_B, DT_GRAPH_SKIP_COEF_C};
    static const int values[2][2] = {{DT_GRAPH_SCALE, DT_GRAPH_BIAS},
                                     {DT_GRAPH_SKIP_SCALE, DT_GRAPH_SKIP_BIAS}};
    const int64_t channels = join->branch->x->raw.c;
    dt_cuda_gradient copies[2];
    dt_cuda_bind(c, DT_GRAPH_ZERO, ck->constants.data);
    dt_cuda_bind(c, DT_GRAPH_ONE, ck->constants.data + ck->constants.bytes / 2);
    bind_norm(c, branch, join->branch, vectors_at(ck, channels, UNWANTED));
    DT_TRY(bind_value(ck, c, join->branch->x, values[0], 0, &copies[0], err));
    if (join->skip_bn) {
        bind_norm(c, skip, join->skip_bn, vectors_at(ck, channels, UNWANTED + 3));
        DT_TRY(bind_value(ck, c, join->skip_bn->x, values[1], 1, &copies[1], err));
    } else {
        dt_cuda_bind(c, DT_GRAPH_SKIP, join->skip->data);
    }
    DT_CUDA_LAUNCH("scale and bias in FP32",
                   dt_cuda_gradients_store(ck->stream, ck->base.dtype, copies, join->skip_bn ? 2 : 1));
    return DT_OK;
}

dt_status dt_cuda_conv_backward_data_join(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                          const dt_tensor *add, const dt_join_backward *join,
                                          const dt_tensor *dx, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_cuda_call c = {.n = 0};
    void *weights = NULL;
    DT_TRY(dt_cuda_weights(ck, w, dt_cuda_filter_elems(conv), &weights, err));
    dt_cuda_bind(&c, DT_GRAPH_DY, dy->data);
    dt_cuda_bind(&c, DT_GRAPH_W, weights);
    dt_cuda_bind(&c, DT_GRAPH_ADD, add->data);
    dt_cuda_bind(&c, DT_GRAPH_DX, dx->data);
    DT_TRY(bind_join(ck, &c, join, err));
    return dt_cuda_plan_run(ck, &conv->plans[DT_CUDA_DATA_JOIN], c.tensors, c.n, err);
}
