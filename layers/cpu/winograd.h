/* winograd.h: 3x3 convolutions of stride 1 and padding 1 by Winograd's F(4x4, 3x3), on the layouts of onednn.h. conv_cpu.c says where.
 *
 *   dt_winograd_weights(cpu, d, DT_FORWARD, w, scratch);                          once in a call
 *   dt_winograd_run(cpu, d, DT_FORWARD, n_images, &x, chunk_x, chunk_y, scratch);  for each chunk
 */
#ifndef DT_LAYERS_CPU_WINOGRAD_H
#define DT_LAYERS_CPU_WINOGRAD_H

#include "layers/cpu/onednn.h"

/* Whether these functions can do it at all: the window, and whole pairs of blocks of channels. */
bool dt_winograd_can(const dt_cpu_kernels *cpu, const dt_conv_desc *desc);
/* Scratch memory of a call, the same for any number of images; aligned to DT_ALIGNMENT. It is kept from the first function of a call to the last. */
int64_t dt_winograd_scratch_bytes(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction);

/* Forward and data gradient. First the weights; then chunks of images, in any order: out = the convolution of in, or dx from dy. act: how `in` is to be
 * normalised while it is read, or NULL. */
void dt_winograd_weights(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction, const float *w, float *scratch);
void dt_winograd_run(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction, int64_t n_images, const dt_act *act, const float *in,
                     float *out, float *scratch);

/* Weight gradient: begin, then add chunks of images, then dw = (or +=) their sum. */
void dt_winograd_gradient_begin(const dt_conv_desc *desc, float *scratch);
void dt_winograd_gradient_add(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, int64_t n_images, const dt_act *act, const float *x, const float *dy,
                              float *scratch);
void dt_winograd_gradient_end(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, bool accumulate, float *dw, float *scratch);

#endif
