/* nvtx.h: names for a timeline: a range for each layer and direction, which NVIDIA's tools show. Built
 * WITH_CUDA only.
 *
 *   dt_nvtx_observe(net);       nsys profile dtrain ... --no-graph     then shows "layer1.0.conv1 forward"
 *                                                                      above its kernels
 *
 * A range costs a few nanoseconds when no tool listens. Ranges are pushed when work is enqueued; for a
 * captured graph that is only while it is captured.
 */
#ifndef DT_LAYERS_CUDA_NVTX_H
#define DT_LAYERS_CUDA_NVTX_H

#include "core/model/net.h"

/* Set the net's observer. A profile (core/training/profile.h) replaces it. */
void dt_nvtx_observe(dt_net *net);

#endif
