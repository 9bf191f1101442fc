/* step_model.h: the estimated time of a training step: arithmetic over what the step enqueues
 * (step_trace.h), with assumed speeds. No GPU has confirmed it.
 *
 *   dt_step_speeds speeds = dt_step_speeds_of(&gpu, DT_F16);
 *   dt_step_time time = dt_step_model(trace, DT_F16, &speeds);       256 / time.total_s images/s
 *
 * A graph takes the longer of bytes / graph_bytes_per_s and flops / its FLOP/s, and its launches. Its bytes
 * are its tensors, once each, and its workspace, written and read once. A graph with sums, and a weight
 * gradient, counts as two launches: the second kernel adds up parts. A convolution of fewer than 16
 * channels reaches FEW_CHANNELS_SHARE of the FLOP/s. Our own kernels take what their layer moves beside its
 * graphs, at kernel_bytes_per_s, and their launches; the update's bytes are those of its vectors. Nothing
 * overlaps, there is one rank, and the images are already on the GPU.
 */
#ifndef DT_LAUNCH_ESTIMATE_STEP_MODEL_H
#define DT_LAUNCH_ESTIMATE_STEP_MODEL_H

#include "launch/estimate/gpu_spec.h"
#include "launch/estimate/step_trace.h"

typedef struct dt_step_speeds {
    double graph_bytes_per_s, kernel_bytes_per_s;
    double flops, weight_gradient_flops; /* per second */
    double launch_s; /* between the ends of two kernels that do nothing, in a captured step */
} dt_step_speeds;

/* Shares of the data sheet's numbers, by generation; the table is in step_model.c. A GPU that does not have
 * the precision: flops are infinite. */
dt_step_speeds dt_step_speeds_of(const dt_gpu_spec *gpu, dt_dtype precision);

typedef struct dt_step_time {
    double forward_s, data_gradient_s, weight_gradient_s; /* the library's graphs */
    double kernels_s;                                     /* our own kernels' bytes */
    double launches_s;                                    /* of all */
    double total_s;                                       /* the sum */
} dt_step_time;

dt_step_time dt_step_model(const dt_step_trace *trace, dt_dtype precision, const dt_step_speeds *speeds);

#endif
