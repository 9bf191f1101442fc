/* onednn.h: one direct convolution of oneDNN in one direction at one batch, behind our layouts and our
 * errors.
 *
 * Layouts, B = 16 or 8: activations nChw{B}c; the image nchw; weights and their gradient OIhw{B}i{B}o, the
 * stem's Ohwi{B}o, which forward and weight gradient read and write as they are. The data gradient wants each
 * B x B tile the other way round: dt_onednn_conv_flip makes that copy, into scratch memory, when it is
 * needed.
 */
#ifndef DT_LAYERS_CPU_ONEDNN_H
#define DT_LAYERS_CPU_ONEDNN_H

#include "layers/cpu/cpu_internal.h"
#include "layers/cpu/onednn_desc.h"

typedef enum dt_direction { DT_FORWARD, DT_BACKWARD_DATA, DT_BACKWARD_WEIGHTS } dt_direction;

typedef struct dt_onednn_conv {
    dnnl_primitive_t primitive; /* NULL: oneDNN has nothing here, or only its slow reference code */
    dnnl_exec_arg_t args[4];    /* x, w, y (or their gradients) and the scratchpad: memory objects without
                                   memory */
    int64_t scratchpad_bytes;
    bool flips;                 /* it wants the weights that dt_onednn_conv_flip makes */
    int64_t k_stride, c_stride; /* from one block of k (c) to the next in those, in elements */
    char implementation[64];    /* oneDNN's name of it */
} dt_onednn_conv;

/* Prepare `direction` of a convolution for n_images of its images. On failure *made is empty. It is no
 * failure if there is no primitive. */
dt_status dt_onednn_conv_create(dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                                int64_t n_images, dt_onednn_conv *made, dt_error *err);
void dt_onednn_conv_destroy(dt_onednn_conv *conv); /* an empty one too */

/* Run one that has a primitive on arrays of the layouts above; the scratchpad holds scratchpad_bytes, aligned
 * to DT_ALIGNMENT. Which of x, w and y is written depends on the direction; desc, direction and n_images are
 * those of create, for error messages. */
dt_status dt_onednn_conv_run(dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *desc,
                             dt_direction direction, int64_t n_images, float *x, float *w, float *y,
                             void *scratchpad, dt_error *err);

/* The weights as a data gradient that flips reads them. */
void dt_onednn_conv_flip(const dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *desc,
                         const float *w, float *flipped);

/* To be called before oneDNN is: it computes with as many threads as the calling thread's OpenMP setting
 * says. */
void dt_onednn_enter(const dt_cpu_kernels *cpu);

dt_status dt_onednn_status(dnnl_status_t status);
const char *dt_onednn_status_text(dnnl_status_t status);

#endif
