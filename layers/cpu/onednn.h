/* onednn.h: one direct convolution of oneDNN in one direction at one batch size, with our layouts and our
 * errors.
 *
 * Layouts, B = 16 or 8: activations nChw{B}c; the image nchw; weights and their gradient OIhw{B}i{B}o, the
 * stem's Ohwi{B}o. Forward and weight gradient use the weights in this order. The data gradient needs each B
 * x B tile transposed: dt_onednn_conv_flip writes such a copy into scratch memory before each call.
 */
#ifndef DT_LAYERS_CPU_ONEDNN_H
#define DT_LAYERS_CPU_ONEDNN_H

#include "layers/cpu/cpu_internal.h"
#include "layers/cpu/onednn_desc.h"

typedef enum dt_direction { DT_FORWARD, DT_BACKWARD_DATA, DT_BACKWARD_WEIGHTS } dt_direction;

typedef struct dt_onednn_conv {
    dnnl_primitive_t primitive; /* NULL: oneDNN has no implementation, or only its slow reference code */
    dnnl_exec_arg_t args[4];    /* x, w, y (or their gradients) and the scratchpad: memory objects without
                                   memory */
    int64_t scratchpad_bytes;
    bool flips;                 /* it reads the weights that dt_onednn_conv_flip writes */
    int64_t k_stride, c_stride; /* from one block of k (c) to the next in the flipped weights, in elements */
    char implementation[64];    /* oneDNN's name of it */
} dt_onednn_conv;

/* Prepare `direction` of a convolution for n_images of its images. On failure *made is empty. If oneDNN has
 * no primitive for it, the call succeeds and made->primitive is NULL. */
dt_status dt_onednn_conv_create(dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                                int64_t n_images, dt_onednn_conv *made, dt_error *err);
void dt_onednn_conv_destroy(dt_onednn_conv *conv); /* may be empty */

/* Run a convolution that has a primitive, on arrays of the layouts above. The scratchpad holds
 * scratchpad_bytes, aligned to DT_ALIGNMENT. The direction decides which of x, w and y is written. desc,
 * direction and n_images must be those of create; they are used in error messages. */
dt_status dt_onednn_conv_run(dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *desc,
                             dt_direction direction, int64_t n_images, float *x, float *w, float *y,
                             void *scratchpad, dt_error *err);

/* Write the weights in the order that a data gradient with `flips` reads. */
void dt_onednn_conv_flip(const dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *desc,
                         const float *w, float *flipped);

/* Call this before each call of oneDNN, which computes with the calling thread's OpenMP setting for the
 * number of threads. */
void dt_onednn_enter(const dt_cpu_kernels *cpu);

dt_status dt_onednn_status(dnnl_status_t status);
const char *dt_onednn_status_text(dnnl_status_t status);

#endif
