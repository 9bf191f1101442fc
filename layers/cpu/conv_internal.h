/* conv_internal.h: what conv_cpu.c, conv_run.c and conv_gemm.c share. */
#ifndef DT_LAYERS_CPU_CONV_INTERNAL_H
#define DT_LAYERS_CPU_CONV_INTERNAL_H

#include "core/base/alloc.h"
#include "layers/cpu/winograd.h"

/* Which code computes a convolution: oneDNN; conv_gemm.c where oneDNN has no fast code; simd_wgrad.c; or
 * winograd.c. */
typedef enum dt_conv_method {
    DT_CONV_BY_ONEDNN,
    DT_CONV_BY_OWN_WGRAD,
    DT_CONV_BY_OWN_WINOGRAD
} dt_conv_method;

/* One direction of a convolution. Images are processed in chunks that stay in a cache between the passes over
 * them: n_chunks of nearly equal size. The first n_larger have `larger` images, the others one less. */
typedef struct dt_conv_pass {
    int64_t n_chunks, larger, n_larger;
    dt_conv_method method;
    dt_onednn_conv prepared[2]; /* DT_CONV_BY_ONEDNN only: for `larger` images, and for one less if there
                                   are such chunks */
} dt_conv_pass;

struct dt_conv {
    dt_conv_desc desc;
    int64_t x_image, y_image; /* elements of an image of x and of y */
    int64_t weights_elems;
    dt_conv_pass forward, backward_data, backward_weights;
};

/* A chunk: images first to first + n - 1. */
typedef struct dt_conv_chunk {
    int64_t first, n;
    const dt_onednn_conv *prepared;
} dt_conv_chunk;

static inline dt_conv_chunk dt_conv_chunk_at(const dt_conv_pass *pass, int64_t i)
{
    if (i < pass->n_larger)
        return (dt_conv_chunk){i * pass->larger, pass->larger, &pass->prepared[0]};
    return (dt_conv_chunk){i * (pass->larger - 1) + pass->n_larger, pass->larger - 1, &pass->prepared[1]};
}

/* A convolution by matrix products on our layouts, where oneDNN has no fast code: the gradients on processors
 * without AVX2. Arguments as those of dt_onednn_conv_run; w in forward's order in every direction. */
dt_status dt_conv_gemm_run(dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                           int64_t n_images, float *x, float *w, float *y, void *scratch, dt_error *err);
int64_t dt_conv_gemm_scratch_bytes(const dt_conv_desc *desc);

static inline int64_t dt_conv_aligned(int64_t bytes)
{
    return (bytes + DT_ALIGNMENT - 1) / DT_ALIGNMENT * DT_ALIGNMENT;
}

/* Scratch memory is divided in the same order by create, which adds the sizes up, and by the calls:
 * activations (a chunk of materialized x, or of dx before the addition), weights (flipped, or a part of dw),
 * and the scratch memory of the primitive. */
static inline int64_t dt_conv_scratch_acts_bytes(const dt_conv *conv, const dt_conv_pass *pass)
{
    return dt_conv_aligned(pass->larger * conv->x_image * (int64_t)sizeof(float));
}

static inline int64_t dt_conv_scratch_weights_bytes(const dt_conv *conv, const dt_conv_pass *pass)
{
    return pass->method == DT_CONV_BY_ONEDNN ? dt_conv_aligned(conv->weights_elems * (int64_t)sizeof(float))
                                             : 0;
}

#endif
