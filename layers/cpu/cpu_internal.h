/* cpu_internal.h: what the files of layers/cpu share. Contracts of the operations: core/kernels.h; layouts:
 * README.md.
 *
 * To add an operation: declare it here, write its driver (threads, shapes) in the file of its topic, its loop
 * over one plane in a simd_*.c file with a row in simd.h, and add it to the table in kernels_cpu.c;
 * tests/backend_cases_*.c compare it with ref.
 */
#ifndef DT_LAYERS_CPU_CPU_INTERNAL_H
#define DT_LAYERS_CPU_CPU_INTERNAL_H

#include "layers/cpu/kernels_cpu.h"
#include "layers/cpu/simd.h"

#include <assert.h>
#include <oneapi/dnnl/dnnl.h>

typedef struct dt_cpu_kernels {
    dt_kernels base;
    int n_threads;
    dt_cpu_team team;
    int64_t block;           /* channels in a block of an activation: 16 or 8 */
    const dt_cpu_simd *simd; /* the kernels compiled for this processor */
    dnnl_engine_t engine;
    dnnl_stream_t *streams; /* [n_threads] */
    char layout[96];
    /* One block for all convolutions, whose calls do not overlap. It grows in create-calls only. */
    unsigned char *scratch;
    int64_t scratch_bytes;
    int64_t chunk_bytes; /* most bytes that a chunk of images should have; see conv_cpu.c */
} dt_cpu_kernels;

static inline dt_cpu_kernels *dt_cpu(dt_kernels *k)
{
    return (dt_cpu_kernels *)k;
}

/* Make sure that the scratch block holds `bytes`. Earlier pointers into it become invalid. */
dt_status dt_cpu_scratch_reserve(dt_cpu_kernels *cpu, int64_t bytes, dt_error *err);

/* -- shapes ---------------------------------------------------------------------------------------------- */

static inline int64_t dt_cpu_elems(const dt_tensor *t)
{
    return t->n * t->c * t->h * t->w;
}

/* The data of a tensor that must be of this shape; anything else is a bug of the caller. */
static inline float *dt_cpu_data(const dt_tensor *t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    assert(t->dtype == DT_F32 && t->n == n && t->c == c && t->h == h && t->w == w);
    (void)n, (void)c, (void)h, (void)w;
    return t->data;
}

static inline float *dt_cpu_data_like(const dt_tensor *t, const dt_tensor *other)
{
    return dt_cpu_data(t, other->n, other->c, other->h, other->w);
}

/* Scale, bias and relu of the channel block that begins with `channel`. */
static inline dt_cpu_norm dt_cpu_norm_at(const dt_act *x, int64_t channel)
{
    if (x->scale == NULL)
        return (dt_cpu_norm){NULL, NULL, false};
    return (dt_cpu_norm){x->scale + channel, x->bias + channel, x->relu};
}

/* A blocked tensor, or some of its images, as planes: plane i holds the pixels of channel block i % n_blocks
 * of one image, [pixel][block] floats. */
typedef struct dt_cpu_planes {
    int64_t n;           /* images * n_blocks */
    int64_t n_blocks;    /* of channels */
    int64_t elems;       /* of a plane: pixels * block */
    int64_t first_image; /* the number of the first of these images in its tensor */
} dt_cpu_planes;

static inline dt_cpu_planes dt_cpu_planes_of(const dt_cpu_kernels *cpu, int64_t n_images, int64_t c,
                                             int64_t n_pixels)
{
    int64_t n_blocks = c / cpu->block;
    return (dt_cpu_planes){n_images * n_blocks, n_blocks, n_pixels * cpu->block, 0};
}

/* -- threads --------------------------------------------------------------------------------------------- */

/* Divide 0..n-1 into n_threads contiguous shares and compute work(context, share, begin, end) for each, in
 * parallel. One thread may compute several shares, because OpenMP may provide fewer threads than requested. A
 * share may be empty. No result may depend on the shares' bounds: that is how results come to be the same
 * bits for every number of threads. `share` selects scratch memory: at any time no other thread uses it. */
typedef void dt_cpu_work(void *context, int share, int64_t begin, int64_t end);
void dt_cpu_parallel(const dt_cpu_kernels *cpu, int64_t n, dt_cpu_work *work, void *context);

/* team_cpu.c: start the threads and fill cpu->team. DT_ERR_UNSUPPORTED if the system does not start them;
 * DT_ERR_MEMORY. */
dt_status dt_cpu_team_start(dt_cpu_kernels *cpu, dt_error *err);

/* -- sums over images: double [DT_CPU_SLOTS][2][c] ------------------------------------------------------- */

/* Image i of a tensor is added to slot i % DT_CPU_SLOTS, in the order of the images, and the finalize-calls
 * add the slots up in their order. So the bits depend neither on the threads nor on the chunks. */
#define DT_CPU_SLOTS 8

static inline double *dt_cpu_sums_of(void *sums, int64_t c, int slot)
{
    return (double *)sums + (int64_t)slot * 2 * c;
}

void dt_cpu_sums_clear(int64_t c, void *sums);

/* For each image compute work(context, slot of the image, begin, end) on runs of its planes, in parallel
 * wherever the order of a slot's sums allows it. */
void dt_cpu_parallel_sums(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, dt_cpu_work *work,
                          void *context);

/* -- passes over planes, for the convolutions and for the plain operations; first: of the whole tensor --- */

/* out = value of the lazy activation whose raw planes are at `raw`. */
void dt_cpu_act_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, const dt_act *x,
                       const float *raw, float *out);
/* sums += sum and sum of squares. */
void dt_cpu_sum_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, const float *y, int64_t c,
                       void *sums);
/* dz = dv + add (NULL: nothing), masked by bn's relu; bn->sums += . dz may be dv or add. */
void dt_cpu_reduce_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, const dt_bn_backward *bn,
                          const float *raw, const float *dv, const float *add, float *dz);
/* dy = a * dz + b * raw + c, coefficients [3][c]. */
void dt_cpu_bn_backward_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes,
                               const float *coefficients, const float *raw, const float *dz, float *dy);
/* to = a + b; n is a multiple of 16. */
void dt_cpu_add(const dt_cpu_kernels *cpu, int64_t n, const float *a, const float *b, float *to);

/* -- the operations -------------------------------------------------------------------------------------- */

/* input_cpu.c */
dt_status dt_cpu_normalize_input(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                 const float std[3], const dt_tensor *y, dt_error *err);

/* conv_cpu.c */
dt_status dt_cpu_conv_create(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err);
void dt_cpu_conv_destroy(dt_kernels *k, dt_conv *conv);
unsigned dt_cpu_conv_fusions(dt_kernels *k, const dt_conv *conv);
int64_t dt_cpu_conv_weights_elems(dt_kernels *k, const dt_conv *conv);
void dt_cpu_conv_weights_order(dt_kernels *k, const dt_conv *conv, dt_weights_order *order);
dt_status dt_cpu_conv_weights_changed(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err);

/* conv_run.c */
dt_status dt_cpu_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *err);
dt_status dt_cpu_conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *err);
dt_status dt_cpu_conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *err);

/* batchnorm_cpu.c */
int64_t dt_cpu_bn_sums_bytes(dt_kernels *k, int64_t c);
dt_status dt_cpu_bn_sums(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err);
dt_status dt_cpu_bn_finalize(dt_kernels *k, const dt_bn_forward *bn, dt_error *err);
dt_status dt_cpu_bn_inference(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                              const float *running_mean, const float *running_var, float eps, float *scale,
                              float *bias, dt_error *err);
dt_status dt_cpu_bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                    const dt_tensor *dz, dt_error *err);
dt_status dt_cpu_bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                   const dt_tensor *dz, const dt_tensor *dy, dt_error *err);
dt_status dt_cpu_act_materialize(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err);

/* residual_cpu.c */
int64_t dt_cpu_residual_mask_bytes(dt_kernels *k, const dt_tensor *y);
dt_status dt_cpu_residual_forward(dt_kernels *k, const dt_act *branch, const dt_act *skip, const dt_tensor *y,
                                  void *mask, dt_error *err);
dt_status dt_cpu_residual_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y, const void *mask,
                                   const dt_bn_backward *branch, const dt_bn_backward *skip,
                                   const dt_tensor *g, dt_error *err);

/* pool_cpu.c */
dt_status dt_cpu_max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                  const dt_tensor *y, uint8_t *argmax, dt_error *err);
dt_status dt_cpu_max_pool_backward(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                   const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                   dt_error *err);
dt_status dt_cpu_average_pool_forward(dt_kernels *k, const dt_tensor *x, const dt_tensor *y, dt_error *err);
dt_status dt_cpu_average_pool_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx,
                                       dt_error *err);

/* linear_cpu.c */
dt_status dt_cpu_linear_create(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
                               dt_error *err);
void dt_cpu_linear_destroy(dt_kernels *k, dt_linear *linear);
dt_status dt_cpu_linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *err);
dt_status dt_cpu_linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *err);

/* loss_cpu.c */
dt_status dt_cpu_softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                              float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                              dt_loss_sums *sums, dt_error *err);

/* optimizer_cpu.c */
dt_status dt_cpu_optimizer_create(dt_kernels *k, const dt_optimizer_desc *desc,
                                  const dt_update_segment *segments, int64_t n_segments,
                                  dt_optimizer **optimizer, dt_error *err);
void dt_cpu_optimizer_destroy(dt_kernels *k, dt_optimizer *optimizer);
dt_status dt_cpu_optimizer_step(dt_kernels *k, dt_optimizer *optimizer, const dt_optimizer_vectors *v,
                                const dt_step_inputs *inputs, dt_step_state *state, dt_error *err);

#endif
