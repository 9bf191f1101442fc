/* kernels_cuda.c: the CUDA backend's table, and memory that all its operations share. */
#include "layers/cuda/kernels_cuda.h"

#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"
#include "layers/cuda/operations_cuda.h"

#include <stdio.h>

/* Reductions outside of convolutions have no create-call, so their largest scratch memory, about 2 MB, is
 * allocated at the beginning. */
enum { MAX_CHANNELS = 2048 /* ResNet-50's */, MAX_ROWS = 8192 /* of logits */ };

static void destroy(dt_kernels *k)
{
    if (!k)
        return;
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_cuda_block *const blocks[] = {&ck->workspace, &ck->reduction, &ck->weights,   &ck->vectors,
                                     &ck->constants, &ck->spare,     &ck->not_finite};
    assert(!ck->convs && !ck->linears);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        dt_cuda_release(ck, blocks[i]);
    dt_cuda_half_scales_destroy(ck);
    dt_cuda_values_release(ck);
    dt_engines_clear(&ck->engines.list);
    dt_free(ck);
}

/* All dtypes have the same order of elements, so gradients of ranks with different --precision can be added
 * up. */
static const char *layout_name(dt_kernels *k)
{
    (void)k;
    return "cuda: activations NHWC, weights KRSC, the stem's with 4 input channels";
}

static int64_t scratch_bytes(dt_kernels *k)
{
    const dt_cuda_kernels *ck = dt_cuda(k);
    int64_t values = dt_cuda_values_bytes(ck);
    for (const dt_conv *conv = ck->convs; conv; conv = conv->next)
        values += conv->stem.weights.bytes;
    return ck->workspace.bytes + ck->reduction.bytes + ck->weights.bytes + ck->vectors.bytes +
           ck->constants.bytes + ck->spare.bytes + ck->halves.bytes + ck->not_finite.bytes + values;
}

static dt_engine_choices *engines(dt_kernels *k)
{
    return &dt_cuda(k)->engines;
}

static const dt_kernels_ops ops = {
    .name = "cuda",
    .destroy = destroy,
    .tensor_bytes = dt_cuda_tensor_bytes,
    .tensor_import = dt_cuda_tensor_import,
    .tensor_export = dt_cuda_tensor_export,
    .layout_name = layout_name,
    .scratch_bytes = scratch_bytes,
    .engines = engines,
    .normalize_input = dt_cuda_op_normalize_input,
    .conv_create = dt_cuda_conv_create,
    .conv_destroy = dt_cuda_conv_destroy,
    .conv_fusions = dt_cuda_conv_fusions,
    .conv_weights_elems = dt_cuda_conv_weights_elems,
    .conv_weights_order = dt_cuda_conv_weights_order,
    .conv_weights_changed = dt_cuda_conv_weights_changed,
    .conv_forward = dt_cuda_conv_forward,
    .conv_forward_join = dt_cuda_conv_forward_join,
    .conv_backward_data = dt_cuda_conv_backward_data,
    .conv_backward_data_join = dt_cuda_conv_backward_data_join,
    .conv_backward_weights = dt_cuda_conv_backward_weights,
    .bn_sums_bytes = dt_cuda_op_bn_sums_bytes,
    .bn_sums = dt_cuda_op_bn_sums,
    .bn_finalize = dt_cuda_op_bn_finalize,
    .bn_inference = dt_cuda_op_bn_inference,
    .bn_backward_reduce = dt_cuda_op_bn_backward_reduce,
    .bn_backward_apply = dt_cuda_op_bn_backward_apply,
    .act_materialize = dt_cuda_op_act_materialize,
    .residual_mask_bytes = dt_cuda_op_residual_mask_bytes,
    .residual_forward = dt_cuda_op_residual_forward,
    .residual_backward = dt_cuda_op_residual_backward,
    .max_pool_forward = dt_cuda_op_max_pool_forward,
    .max_pool_backward = dt_cuda_op_max_pool_backward,
    .average_pool_forward = dt_cuda_op_average_pool_forward,
    .average_pool_backward = dt_cuda_op_average_pool_backward,
    .linear_create = dt_cuda_linear_create,
    .linear_destroy = dt_cuda_linear_destroy,
    .linear_forward = dt_cuda_linear_forward,
    .linear_backward = dt_cuda_linear_backward,
    .softmax_loss = dt_cuda_op_softmax_loss,
    .values_bind = dt_cuda_values_bind,
    .values_changed = dt_cuda_values_changed,
    .gradients_complete = dt_cuda_gradients_complete,
    .step_begin = dt_cuda_begin_step,
    .step_record = dt_cuda_record_step,
    .optimizer_create = dt_cuda_optimizer_create,
    .optimizer_destroy = dt_cuda_optimizer_destroy,
    .optimizer_step = dt_cuda_optimizer_update,
};

static dt_status reserve_fixed(dt_cuda_kernels *ck, dt_error *err)
{
    dt_device *device = ck->base.device;
    int64_t sums = dt_cuda_sums_scratch_bytes(MAX_CHANNELS),
            loss = dt_cuda_softmax_loss_scratch_bytes(MAX_ROWS);
    DT_TRY(dt_cuda_reserve(ck, &ck->reduction, sums > loss ? sums : loss, "sums", err));
    DT_TRY(dt_cuda_reserve(ck, &ck->not_finite, DT_CUDA_CHANNEL_FLAGS, "BatchNorm's flags", err));
    return device->ops->zero(device, ck->not_finite.data, DT_CUDA_CHANNEL_FLAGS, NULL, err);
}

dt_status dt_kernels_cuda_create(dt_device *device, dt_graph_runner *runner, const dt_cuda_options *options,
                                 dt_kernels **kernels, dt_error *err)
{
    dt_dtype dtype = options->dtype;
    if (dtype != DT_F32 && dtype != DT_F16 && dtype != DT_BF16 && dtype != DT_TF32)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "the CUDA backend computes in fp16, bf16, tf32 or fp32, not in %s",
                       dt_dtype_name(dtype));
    dt_cuda_kernels *ck = dt_calloc(1, sizeof *ck);
    if (!ck)
        return dt_fail_memory(err, sizeof *ck, "the CUDA backend");
    ck->base = (dt_kernels){.ops = &ops, .device = device, .dtype = dtype};
    ck->runner = runner;
    ck->plan_only = options->plan_only;
    snprintf(ck->engines.kind, sizeof ck->engines.kind, "%s", runner->ops->describe(runner));
    ck->stream = ck->plan_only ? NULL : device->ops->native_stream(device, NULL);
    ck->is_half = dtype == DT_F16 || dtype == DT_BF16;
    dt_status status = ck->plan_only ? DT_OK : reserve_fixed(ck, err);
    if (status != DT_OK) {
        destroy(&ck->base);
        return status;
    }
    *kernels = &ck->base;
    return DT_OK;
}
