/* planted.h: launchers of planted.cu: those of layers/cuda/launch.h, with a mistake each. */
#ifndef DTRAIN_TESTS_EMULATOR_PLANTED_H
#define DTRAIN_TESTS_EMULATOR_PLANTED_H

#ifdef __cplusplus
extern "C" {
#endif

#include "core/kernels.h"

/* Neighbouring bits of the mask are swapped. */
int planted_residual_backward(const dt_tensor *dy, const void *mask, const dt_bn_backward *branch,
                              const dt_bn_backward *skip, void *scratch, const dt_tensor *g);
/* Of equal values the last one is chosen; a NaN is lost. */
int planted_max_pool_forward(const dt_pool_desc *pool, const dt_act *x, const dt_tensor *y, uint8_t *argmax);
/* ReLU's gradient is left out. */
int planted_bn_backward_reduce(const dt_bn_backward *bn, const dt_tensor *dv, void *scratch,
                               const dt_tensor *dz);
/* b and c are swapped. */
int planted_bn_backward_apply(const dt_bn_backward_apply *bn, const dt_act *x, const dt_tensor *dz,
                              const dt_tensor *dy);
/* ReLU's mask is left out. */
int planted_bn_backward_apply_without_mask(const dt_bn_backward_apply *bn, const dt_act *x,
                                           const dt_tensor *dz, const dt_tensor *dy);
/* Of equal logits the label always ranks first. */
int planted_softmax_loss(const dt_tensor *logits, const int32_t *labels, float smoothing, float grad_scale,
                         const float *loss_scale, void *scratch, const dt_tensor *dlogits,
                         dt_loss_sums *sums);

#ifdef __cplusplus
}
#endif

#endif
