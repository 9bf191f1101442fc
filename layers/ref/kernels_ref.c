/* kernels_ref.c: the reference backend's table and layouts. */
#include "layers/ref/kernels_ref.h"

#include "core/base/alloc.h"
#include "layers/ref/ref_internal.h"
#include "layers/step_host.h"

#include <string.h>

static void destroy(dt_kernels *k)
{
    if (k == NULL)
        return;
    dt_free(dt_ref(k)->scratch);
    dt_free(k);
}

static int64_t tensor_bytes(dt_kernels *k, int64_t n, int64_t c, int64_t h, int64_t w)
{
    (void)k;
    return n * c * h * w * (int64_t)sizeof(float);
}

static dt_status tensor_import(dt_kernels *k, const float *nchw, const dt_tensor *t, dt_error *err)
{
    float *data = dt_ref_data_like(t, t);
    (void)err;
    for (int64_t i = 0; i < dt_ref_elems(t); i++)
        data[i] = dt_ref_stored(k, (double)nchw[i]);
    return DT_OK;
}

static dt_status tensor_export(dt_kernels *k, const dt_tensor *t, float *nchw, dt_error *err)
{
    (void)k, (void)err;
    memcpy(nchw, dt_ref_data_like(t, t), (size_t)dt_ref_elems(t) * sizeof *nchw);
    return DT_OK;
}

static const char *layout_name(dt_kernels *k)
{
    switch (k->dtype) {
    case DT_F16:
        return "ref: activations NCHW, weights OIHW, fp16";
    case DT_BF16:
        return "ref: activations NCHW, weights OIHW, bf16";
    case DT_TF32:
        return "ref: activations NCHW, weights OIHW, tf32";
    default:
        return "ref: activations NCHW, weights OIHW, fp32";
    }
}

static int64_t scratch_bytes(dt_kernels *k)
{
    return dt_ref(k)->scratch_elems * (int64_t)sizeof(double);
}

static const dt_kernels_ops ops = {
    .name = "ref",
    .destroy = destroy,
    .tensor_bytes = tensor_bytes,
    .tensor_import = tensor_import,
    .tensor_export = tensor_export,
    .layout_name = layout_name,
    .scratch_bytes = scratch_bytes,
    .normalize_input = dt_ref_normalize_input,
    .conv_create = dt_ref_conv_create,
    .conv_destroy = dt_ref_conv_destroy,
    .conv_fusions = dt_ref_conv_fusions,
    .conv_weights_elems = dt_ref_conv_weights_elems,
    .conv_weights_order = dt_ref_conv_weights_order,
    .conv_weights_changed = dt_ref_conv_weights_changed,
    .conv_forward = dt_ref_conv_forward,
    .conv_backward_data = dt_ref_conv_backward_data,
    .conv_backward_weights = dt_ref_conv_backward_weights,
    .bn_sums_bytes = dt_ref_bn_sums_bytes,
    .bn_sums = dt_ref_bn_sums,
    .bn_finalize = dt_ref_bn_finalize,
    .bn_inference = dt_ref_bn_inference,
    .bn_backward_reduce = dt_ref_bn_backward_reduce,
    .bn_backward_apply = dt_ref_bn_backward_apply,
    .act_materialize = dt_ref_act_materialize,
    .residual_mask_bytes = dt_ref_residual_mask_bytes,
    .residual_forward = dt_ref_residual_forward,
    .residual_backward = dt_ref_residual_backward,
    .max_pool_forward = dt_ref_max_pool_forward,
    .max_pool_backward = dt_ref_max_pool_backward,
    .average_pool_forward = dt_ref_average_pool_forward,
    .average_pool_backward = dt_ref_average_pool_backward,
    .linear_create = dt_ref_linear_create,
    .linear_destroy = dt_ref_linear_destroy,
    .linear_forward = dt_ref_linear_forward,
    .linear_backward = dt_ref_linear_backward,
    .softmax_loss = dt_ref_softmax_loss,
    .step_begin = dt_host_step_begin,
    .step_record = dt_host_step_record,
    .optimizer_create = dt_ref_optimizer_create,
    .optimizer_destroy = dt_ref_optimizer_destroy,
    .optimizer_step = dt_ref_optimizer_step,
};

dt_status dt_kernels_ref_create(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err)
{
    dt_device_info info = {0};
    device->ops->info(device, &info);
    if (!info.is_host)
        return dt_fail(
            err, DT_ERR_UNSUPPORTED,
            "backend ref: it computes in host memory and cannot use the device %s; use --backend auto",
            info.name);
    if (dtype != DT_F32 && dtype != DT_F16 && dtype != DT_BF16 && dtype != DT_TF32)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "backend ref: it computes in fp32, fp16, bf16 and tf32, not in %s",
                       dt_dtype_name(dtype));
    dt_ref_kernels *ref = dt_calloc(1, sizeof *ref);
    if (ref == NULL)
        return dt_fail_memory(err, sizeof *ref, "the ref backend");
    ref->base = (dt_kernels){.ops = &ops, .device = device, .dtype = dtype};
    ref->n_threads = info.n_threads > 0 ? (int)info.n_threads : 1;
    *kernels = &ref->base;
    return DT_OK;
}
