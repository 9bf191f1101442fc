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
 * them: n_chunks of nearly equal size. The first n_larger have `larger` images, the others one less.
 *
 * DT_CONV_BY_ONEDNN divides a chunk once more, into n_groups of output channels (of input channels in the
 * data gradient, of filters in the weight gradient). A unit is one group of one chunk, computed by one
 * thread. Chunks and groups depend on the shape alone, so that the bits do not depend on the number of
 * threads; n_at_once does depend on it. */
typedef struct dt_conv_pass {
    int64_t n_chunks, larger, n_larger;
    int64_t n_groups;
    int64_t n_at_once; /* chunks that are computed before the next pass over them */
    dt_conv_method method;
    dt_onednn_conv prepared[2]; /* DT_CONV_BY_ONEDNN only: one group, for `larger` images, and for one less
                                   if there are such chunks */
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

/* The convolution that computes one group. */
static inline dt_conv_desc dt_conv_group(const dt_conv_desc *whole, dt_direction direction, int64_t n_groups)
{
    dt_conv_desc group = *whole;
    if (direction == DT_BACKWARD_DATA)
        group.c /= n_groups;
    else
        group.k /= n_groups;
    return group;
}

/* A convolution by matrix products on our layouts, where oneDNN has no fast code: the gradients on processors
 * without AVX2. Arguments as those of dt_onednn_conv_run, with dt_conv_gemm_scratch_bytes at
 * arrays->scratchpad; w in forward's order in every direction. */
dt_status dt_conv_gemm_run(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                           int64_t n_images, const dt_onednn_arrays *arrays, dt_error *err);
int64_t dt_conv_gemm_scratch_bytes(const dt_conv_desc *desc);

static inline int64_t dt_conv_aligned(int64_t bytes)
{
    return (bytes + DT_ALIGNMENT - 1) / DT_ALIGNMENT * DT_ALIGNMENT;
}

/* Scratch memory is divided in the same order by create, which adds the sizes up, and by the calls:
 * activations (n_at_once chunks of materialized x, or of dx before the addition), weights (flipped, or each
 * chunk's part of dw), then Winograd's memory, or each thread's: the channels of a group of a chunk, and the
 * scratch memory of the primitive. */
static inline int64_t dt_conv_scratch_acts_bytes(const dt_conv *conv, const dt_conv_pass *pass)
{
    return dt_conv_aligned(pass->n_at_once * pass->larger * conv->x_image * (int64_t)sizeof(float));
}

static inline int64_t dt_conv_scratch_weights_bytes(const dt_conv *conv, dt_direction direction,
                                                    const dt_conv_pass *pass)
{
    const int64_t n = direction == DT_BACKWARD_WEIGHTS ? pass->n_at_once : direction == DT_BACKWARD_DATA;
    return pass->method == DT_CONV_BY_ONEDNN
               ? dt_conv_aligned(n * conv->weights_elems * (int64_t)sizeof(float))
               : 0;
}

/* The group's channels of a chunk: 0 where they need no copy. */
static inline int64_t dt_conv_group_bytes(const dt_conv *conv, dt_direction direction,
                                          const dt_conv_pass *pass)
{
    const int64_t image = direction == DT_BACKWARD_DATA ? conv->x_image : conv->y_image;
    return pass->n_groups == 1 || pass->larger == 1
               ? 0
               : dt_conv_aligned(pass->larger * image / pass->n_groups * (int64_t)sizeof(float));
}

/* Scratch memory of one thread for the units of DT_CONV_BY_ONEDNN. */
static inline int64_t dt_conv_share_bytes(const dt_conv *conv, dt_direction direction,
                                          const dt_conv_pass *pass)
{
    const dt_conv_desc group = dt_conv_group(&conv->desc, direction, pass->n_groups);
    int64_t most = 0;
    for (int i = 0; i < (pass->n_larger == pass->n_chunks ? 1 : 2); i++) {
        const dt_onednn_conv *prepared = &pass->prepared[i];
        const int64_t bytes =
            prepared->primitive != NULL ? prepared->scratchpad_bytes : dt_conv_gemm_scratch_bytes(&group);
        most = bytes > most ? bytes : most;
    }
    return dt_conv_group_bytes(conv, direction, pass) + dt_conv_aligned(most);
}

#endif
