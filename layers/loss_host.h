/* loss_host.h: softmax cross-entropy with label smoothing, top-1 and top-5, for backends in host memory.
 *
 *   loss = sum over j of target[j] * (logsumexp(x) - x[j])
 *   dx[j] = scale * (softmax(x)[j] - target[j])
 */
#ifndef DT_LAYERS_LOSS_HOST_H
#define DT_LAYERS_LOSS_HOST_H

#include "core/kernels.h"

#include <stdint.h>

/* Add the sums that dt_kernels_ops.softmax_loss defines to *sums. x and dx are [n_rows][n_classes]; dx may be
 * NULL. A row with label -1 is not counted, and its gradient is 0. Computed in float64 on the calling thread:
 * a batch of logits is small compared with the rest of a step. */
void dt_host_softmax_loss(const float *x, const int32_t *labels, int64_t n_rows, int64_t n_classes,
                          float smoothing, double scale, float *dx, dt_loss_sums *sums);

#endif
