/* nvtx.h: names for a timeline: a range for each layer and direction, which NVIDIA's tools show. Built
 * WITH_CUDA only.
 *
 *   dt_nvtx_observe(net);       nsys profile dtrain ... --no-graph     then shows "layer1.0.conv1 forward"
 *                                                                      above its kernels
 *
 * Costs a few nanoseconds a range where no tool listens. Ranges are pushed when work is enqueued: of a
 * captured graph, only when it is captured.
 */
#ifndef DT_LAYERS_CUDA_NVTX_H
#define DT_LAYERS_CUDA_NVTX_H

#include "core/model/net.h"

/* Sets the net's observer. One that measures (core/training/profile.h) takes its place. */
void dt_nvtx_observe(dt_net *net);

#endif
