/* onednn.h: one direct convolution of oneDNN in one direction at one batch size, with our layouts and our
 * errors; and its matrix product.
 *
 * Every call of oneDNN computes on the calling thread alone. oneDNN would divide sums among its threads, so
 * that the bits of a result depended on their number, and it relies on getting as many threads as OpenMP has
 * announced. So layers/cpu calls it from its own threads instead, on parts of the work that do not depend on
 * the number of threads.
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
    /* [n_threads]: x, w, y (or their gradients) and the scratchpad: memory objects without memory */
    dnnl_exec_arg_t (*args)[4];
    int n_threads;
    int64_t scratchpad_bytes;   /* of one thread */
    bool flips;                 /* it reads the weights that dt_onednn_conv_flip writes */
    int64_t k_stride, c_stride; /* from one block of k (c) to the next in the flipped weights, in elements */
    char implementation[64];    /* oneDNN's name of it */
} dt_onednn_conv;

/* Prepare `direction` of a convolution for n_images of its images. On failure *made is empty. If oneDNN has
 * no primitive for it, the call succeeds and made->primitive is NULL. */
dt_status dt_onednn_conv_create(dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                                int64_t n_images, dt_onednn_conv *made, dt_error *err);
void dt_onednn_conv_destroy(dt_onednn_conv *conv); /* may be empty */

/* The arrays of one run, in the layouts above. The scratchpad holds scratchpad_bytes, aligned to
 * DT_ALIGNMENT. The direction decides which of x, w and y is written. */
typedef struct dt_onednn_arrays {
    float *x, *w, *y;
    void *scratchpad;
} dt_onednn_arrays;

/* Run a convolution that has a primitive, on the calling thread. Threads may run the same convolution at the
 * same time, each with a `share` (dt_cpu_work) and a scratchpad of its own. desc, direction and n_images must
 * be those of create; they are used in error messages. */
dt_status dt_onednn_conv_run(const dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *desc,
                             dt_direction direction, int64_t n_images, int share,
                             const dt_onednn_arrays *arrays, dt_error *err);

/* Write the weights of `whole`, whose input channels are divided into n_groups convolutions, in the order
 * that a data gradient with `flips` reads: the weights of each group, one group after the other. */
void dt_onednn_conv_flip(const dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *whole,
                         int64_t n_groups, const float *w, float *flipped);

/* dnnl_sgemm on the calling thread. */
dnnl_status_t dt_onednn_sgemm(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                              int64_t ldc);

dt_status dt_onednn_status(dnnl_status_t status);
const char *dt_onednn_status_text(dnnl_status_t status);

#endif
