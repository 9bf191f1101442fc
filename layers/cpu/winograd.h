/* winograd.h: 3x3 convolutions of stride 1 and padding 1 by Winograd's F(4x4, 3x3), on the layouts of
 * onednn.h. conv_cpu.c decides where it is used.
 *
 *   dt_winograd_weights(cpu, d, DT_FORWARD, w, scratch);                           once in a call
 *   dt_winograd_run(cpu, d, DT_FORWARD, n_images, &x, chunk_x, chunk_y, scratch);  for each chunk
 */
#ifndef DT_LAYERS_CPU_WINOGRAD_H
#define DT_LAYERS_CPU_WINOGRAD_H

#include "layers/cpu/onednn.h"

/* Whether these functions support the convolution: 3x3, stride 1, padding 1, and c and k multiples of two
 * blocks. */
bool dt_winograd_can(const dt_cpu_kernels *cpu, const dt_conv_desc *desc);
/* Bytes of scratch memory that a call needs, aligned to DT_ALIGNMENT; the same for any number of images. The
 * functions of one call share it. */
int64_t dt_winograd_scratch_bytes(const dt_cpu_kernels *cpu, const dt_conv_desc *desc,
                                  dt_direction direction);

/* Forward and data gradient. Call dt_winograd_weights first, then dt_winograd_run for each chunk of images,
 * in any order. in and out: x and y, or dy and dx. act: how to normalise `in`, or NULL. */
void dt_winograd_weights(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                         const float *w, float *scratch);
void dt_winograd_run(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                     int64_t n_images, const dt_act *act, const float *in, float *out, float *scratch);

/* Weight gradient: begin, then add chunks of images, then dw = (or +=) their sum. */
void dt_winograd_gradient_begin(const dt_conv_desc *desc, float *scratch);
void dt_winograd_gradient_add(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, int64_t n_images,
                              const dt_act *act, const float *x, const float *dy, float *scratch);
void dt_winograd_gradient_end(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, bool accumulate, float *dw,
                              float *scratch);

#endif
