/* planted.cu: kernels of layers/cuda with one mistake each, planted by a macro that is defined before the
 * source is included. The test of the kernels must detect them. */
#include "layers/cuda/norm.cuh"
#include "tests/emulator/planted.h"

namespace neighbours_bit
{
#define dt_mask_has(mask, i) dt_mask_has(mask, (i) ^ 1)
#include "layers/cuda/residual.cu"
#undef dt_mask_has
} // namespace neighbours_bit

namespace last_of_equal_ones
{
#define dt_max_pool_replaces(v, best) ((v) >= (best))
#include "layers/cuda/max_pool.cu"
#undef dt_max_pool_replaces
} // namespace last_of_equal_ones

namespace no_relu
{
#define dt_norm_mask_and_add(sums, relu, v, g) dt_norm_mask_and_add(sums, false, v, g)
#include "layers/cuda/batchnorm_backward.cu"
#undef dt_norm_mask_and_add
} // namespace no_relu

namespace passes_everything
{
#define dt_act_passes(raw, scale, bias) (dt_act_passes(raw, scale, bias) || true)
#include "layers/cuda/batchnorm_backward.cu"
#undef dt_act_passes
} // namespace passes_everything

namespace coefficients_swapped
{
#define dt_bn_backward_value(dz, raw, a, b, c) dt_bn_backward_value(dz, raw, a, c, b)
#include "layers/cuda/batchnorm_backward.cu"
#undef dt_bn_backward_value
} // namespace coefficients_swapped

namespace rank_without_ties
{
#define dt_logit_ranks_before(logit, j, label_logit, label) ((logit) > (label_logit))
#include "layers/cuda/loss.cu"
#undef dt_logit_ranks_before
} // namespace rank_without_ties

int planted_residual_backward(const dt_tensor *dy, const void *mask, const dt_bn_backward *branch,
                              const dt_bn_backward *skip, void *scratch, const dt_tensor *g)
{
    return neighbours_bit::dt_cuda_residual_backward(nullptr, dy, mask, branch, skip, scratch, g);
}

int planted_max_pool_forward(const dt_pool_desc *pool, const dt_act *x, const dt_tensor *y, uint8_t *argmax)
{
    return last_of_equal_ones::dt_cuda_max_pool_forward(nullptr, pool, x, y, argmax);
}

int planted_bn_backward_reduce(const dt_bn_backward *bn, const dt_tensor *dv, void *scratch,
                               const dt_tensor *dz)
{
    return no_relu::dt_cuda_bn_backward_reduce(nullptr, bn, dv, scratch, dz);
}

int planted_bn_backward_apply_without_mask(const dt_bn_backward_apply *bn, const dt_act *x,
                                           const dt_tensor *dz, const dt_tensor *dy)
{
    return passes_everything::dt_cuda_bn_backward_apply(nullptr, bn, x, dz, dy);
}

int planted_bn_backward_apply(const dt_bn_backward_apply *bn, const dt_act *x, const dt_tensor *dz,
                              const dt_tensor *dy)
{
    return coefficients_swapped::dt_cuda_bn_backward_apply(nullptr, bn, x, dz, dy);
}

int planted_softmax_loss(const dt_tensor *logits, const int32_t *labels, float smoothing, float grad_scale,
                         const float *loss_scale, void *scratch, const dt_tensor *dlogits, dt_loss_sums *sums)
{
    static uint64_t no_flags[DT_CUDA_CHANNEL_FLAGS / 8];
    return rank_without_ties::dt_cuda_softmax_loss(nullptr, logits, labels, smoothing, grad_scale, loss_scale,
                                                   scratch, dlogits, reinterpret_cast<uint8_t *>(no_flags),
                                                   sums);
}
