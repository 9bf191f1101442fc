/* launch.h: the CUDA backend's own kernels: one C function launches one kernel, or the few of one operation.
 *
 *   int code = dt_cuda_bn_sums(stream, &y, scratch, sums);
 *   if (code != 0) return dt_fail(err, DT_ERR_DEVICE, "bn_sums: %s", dt_cuda_launch_error(code));
 *
 * The .cu files of layers/cuda implement these functions. nvcc compiles them for GPUs. g++ compiles the same
 * files against tests/emulator, where every CUDA thread is a fiber and "device memory" is the host's. Callers
 * need no CUDA header.
 *
 * For all of them:
 * - Work is enqueued on `stream` (a cudaStream_t; NULL: the default stream). The functions neither wait nor
 *   allocate, and a CUDA graph may capture them.
 * - The result is 0, or the cudaError_t of a launch that was refused. For a tensor without elements nothing
 *   is launched and the result is 0.
 * - Every pointer is 16-byte aligned device memory unless a comment says host memory. Structs passed by
 *   pointer are host memory and are read before the call returns.
 * - Activations and gradients are NHWC, F32, F16 or BF16 (TF32: F32 in memory), with a multiple of 16
 *   channels. Arithmetic is FP32; results are rounded to nearest even. core/kernels.h defines, under the same
 *   names, what the operations compute and which arguments may alias.
 * - Per-channel vectors are float [c]; sums are float [2][c].
 * - Reductions are deterministic: each block writes its part in a fixed order into `scratch`, and a second
 *   launch adds the parts. The order depends on the shape and on the number of multiprocessors. Calls on one
 *   stream may share one scratch block.
 * - The caller checks shapes; wrong shapes are bugs (assert).
 */
#ifndef DT_LAYERS_CUDA_LAUNCH_H
#define DT_LAYERS_CUDA_LAUNCH_H

#ifdef __cplusplus
extern "C" {
#endif

#include "core/kernels.h"

typedef void *dt_cuda_stream; /* cudaStream_t */

/* The text of a result; static storage. */
const char *dt_cuda_launch_error(int code);

/* For `dtrain info --plans` (launch_count.c): until the next call with NULL, every launcher adds the number
 * of its kernels to *n_launches, launches nothing and reads no device memory, so no GPU is needed. For a
 * process with one thread. */
void dt_cuda_count_launches(int64_t *n_launches);
/* What nvcc's launchers ask before each kernel: whether it is counted, and not launched. */
bool dt_cuda_is_only_counted(void);

/* -- input (input.cu) ------------------------------------------------------------------------------------ */

/* y [n][h][w][4] = (pixels / 255 - mean) / std; the fourth channel is 0. pixels: uint8 [n][h][w][3], 4-byte
 * aligned. y->c is 3 (4 in memory). mean and std: host memory. */
int dt_cuda_normalize_input(dt_cuda_stream stream, const uint8_t *pixels, const float mean[3],
                            const float std[3], const dt_tensor *y);
/* The same for a stem by space to depth: y [n][rows][columns][16], blocks of 2x2 pixels with 4 channels each;
 * block (P, Q) begins at pixel (2P - pad, 2Q - pad), and is 0 outside of the image. y->h and y->w are pixels.
 * Less than 2^31 blocks. */
int dt_cuda_normalize_blocks(dt_cuda_stream stream, const uint8_t *pixels, const float mean[3],
                             const float std[3], const dt_tensor *y, int64_t pad, int64_t rows,
                             int64_t columns);
/* Its weights and their gradient (stem.cu): FP32 [k][size][size][4] and, of dtype F16 or BF16, arranged
 * [k][(size + 1) / 2][(size + 1) / 2][16], with 0 where there is no weight. */
int dt_cuda_stem_weights(dt_cuda_stream stream, const float *w, int64_t k, int64_t size, dt_dtype dtype,
                         void *arranged);
/* grads (= or +=) the arranged gradient. */
int dt_cuda_stem_gradient(dt_cuda_stream stream, dt_dtype dtype, const void *arranged, int64_t k,
                          int64_t size, float *grads, bool accumulate);

/* -- batch normalisation (batchnorm.cu, batchnorm_backward.cu) ------------------------------------------- */

/* Bytes of scratch memory for every call below that fills `sums`, for tensors of up to c channels and any n,
 * h, w (2.5 MB on an H200). */
int64_t dt_cuda_sums_scratch_bytes(int64_t c);

/* sums [2][c]: sum and sum of squares over n, h, w. c: a multiple of 8. */
int dt_cuda_bn_sums(dt_cuda_stream stream, const dt_tensor *y, void *scratch, float *sums);

/* What bn_finalize and bn_inference write beside what core/kernels.h says. */
typedef struct dt_cuda_bn_outputs {
    dt_dtype half_dtype;   /* F16 or BF16; anything where half_scale_bias is NULL */
    void *half_scale_bias; /* scale and bias again, [2][c], for cuDNN's prologue; may be NULL */
    /* Channel i sets flag i % DT_CUDA_CHANNEL_FLAGS to 1 if its scale or its bias, or one of the two in 16
     * bits, is infinite or NaN; else it leaves the flag. */
    uint8_t *not_finite;
} dt_cuda_bn_outputs;

#define DT_CUDA_CHANNEL_FLAGS 2048

/* bn->sums is float [2][c]. */
int dt_cuda_bn_finalize(dt_cuda_stream stream, const dt_bn_forward *bn, const dt_cuda_bn_outputs *out);
int dt_cuda_bn_inference(dt_cuda_stream stream, int64_t c, const float *gamma, const float *beta,
                         const float *running_mean, const float *running_var, float eps, float *scale,
                         float *bias, const dt_cuda_bn_outputs *out);

/* bn->sums: float [2][c], dgamma and dbeta. dz may be dv, or NULL: it is not written. */
int dt_cuda_bn_backward_reduce(dt_cuda_stream stream, const dt_bn_backward *bn, const dt_tensor *dv,
                               void *scratch, const dt_tensor *dz);
/* x->relu: dz has no mask yet. dy may be dz or x->raw. */
int dt_cuda_bn_backward_apply(dt_cuda_stream stream, const dt_bn_backward_apply *bn, const dt_act *x,
                              const dt_tensor *dz, const dt_tensor *dy);
/* y may be x->raw. */
int dt_cuda_act_materialize(dt_cuda_stream stream, const dt_act *x, const dt_tensor *y);
/* Composed backward: dx += add, for a library whose dgrad cannot accumulate. */
int dt_cuda_tensor_add(dt_cuda_stream stream, const dt_tensor *add, const dt_tensor *dx);

/* -- residual join (residual.cu) ------------------------------------------------------------------------- */

/* Bytes of the mask: one bit per element of y, 1 where y > 0, in the order of the elements, the lowest bit of
 * a byte first. */
int64_t dt_cuda_residual_mask_bytes(const dt_tensor *y);
/* mask NULL: evaluation. y may be branch->raw or skip->raw. */
int dt_cuda_residual_forward(dt_cuda_stream stream, const dt_act *branch, const dt_act *skip,
                             const dt_tensor *y, void *mask);
/* g = dy where the mask has 1, else 0 (g may be dy); and in the same pass the sums of branch and of skip
 * (each may be NULL). scratch: as for bn_backward_reduce; may be NULL if both are. */
int dt_cuda_residual_backward(dt_cuda_stream stream, const dt_tensor *dy, const void *mask,
                              const dt_bn_backward *branch, const dt_bn_backward *skip, void *scratch,
                              const dt_tensor *g);

/* -- pooling (max_pool.cu, average_pool.cu) -------------------------------------------------------------- */

/* argmax: uint8 NHWC [elements of y], NULL: evaluation. */
int dt_cuda_max_pool_forward(dt_cuda_stream stream, const dt_pool_desc *pool, const dt_act *x,
                             const dt_tensor *y, uint8_t *argmax);
int dt_cuda_max_pool_backward(dt_cuda_stream stream, const dt_pool_desc *pool, const dt_tensor *dy,
                              const uint8_t *argmax, const dt_bn_backward *bn, void *scratch,
                              const dt_tensor *dz);
/* x [n][h][w][c], y [n][c]. */
int dt_cuda_average_pool_forward(dt_cuda_stream stream, const dt_tensor *x, const dt_tensor *y);
int dt_cuda_average_pool_backward(dt_cuda_stream stream, const dt_tensor *dy, const dt_tensor *dx);

/* -- fully connected (linear.cu): what is left beside the matrix products -------------------------------- */

/* y [n][n_out] += bias [n_out], any n_out. */
int dt_cuda_bias_add(dt_cuda_stream stream, const float *bias, const dt_tensor *y);
/* dbias [n_out] (= or +=) sum over n of dy [n][n_out], any n_out. */
int dt_cuda_bias_gradient(dt_cuda_stream stream, const dt_tensor *dy, float *dbias, bool accumulate);

/* -- loss (loss.cu) -------------------------------------------------------------------------------------- */

int64_t dt_cuda_softmax_loss_scratch_bytes(int64_t n);
/* softmax_loss of kernels.h. logits [n][classes], any number of classes; labels int32 [n]. A label that is
 * neither -1 nor a class makes its row's loss NaN. loss_scale NULL: 1. dlogits may be NULL (evaluation) or
 * logits. If one of the flags not_finite [DT_CUDA_CHANNEL_FLAGS] (8-byte aligned) is set, the sum of losses
 * becomes NaN, and all flags 0. */
int dt_cuda_softmax_loss(dt_cuda_stream stream, const dt_tensor *logits, const int32_t *labels,
                         float smoothing, float grad_scale, const float *loss_scale, void *scratch,
                         const dt_tensor *dlogits, uint8_t *not_finite, dt_loss_sums *sums);

/* -- the flat vectors (optimizer.cu, values.cu) ---------------------------------------------------------- */

/* A part of one of the optimizer's segments, processed by one block. Host code fills a table of them once and
 * copies it to the device. */
typedef struct dt_cuda_chunk {
    int64_t first;   /* in the flat vectors; a multiple of 16 */
    int32_t n;       /* elements: DT_CUDA_CHUNK_ELEMS at most, a multiple of 16 */
    int32_t segment; /* index */
    int32_t rule;    /* dt_update_rule */
    float weight_decay;
    int32_t segment_chunk; /* index of the segment's first chunk */
    int32_t segment_n;     /* number of the segment's chunks, which follow each other */
} dt_cuda_chunk;

#define DT_CUDA_CHUNK_ELEMS 16384

/* Fill chunks[] (host memory; NULL: only count). Return the number of chunks. */
int64_t dt_cuda_optimizer_chunks(const dt_update_segment *segments, int64_t n_segments,
                                 dt_cuda_chunk *chunks);

/* Bytes of scratch memory that the launches of one step share; nothing else may write it in between. */
int64_t dt_cuda_optimizer_scratch_bytes(int64_t n_chunks, int64_t n_segments);

typedef struct dt_cuda_optimizer_call {
    const dt_optimizer_desc *desc; /* host memory */
    const dt_cuda_chunk *chunks;   /* device memory */
    int64_t n_chunks, n_segments;
    void *scratch;
    dt_dtype mirror_dtype;         /* F16 or BF16 */
    void *mirror;                  /* of values, refreshed; NULL: none */
    const dt_optimizer_vectors *v; /* host struct of device pointers */
    const dt_step_inputs *inputs;  /* device memory */
    dt_step_state *state;          /* device memory */
    bool any_lars;                 /* some segment's rule is LARS */
} dt_cuda_optimizer_call;

/* optimizer_step of kernels.h, in at most three launches. inspect (with loss scaling or LARS): for every
 * chunk, whether all gradients are finite, and sums of squares. decide (one block): whether the step is
 * skipped, the multiplier, each tensor's LARS rate, and the new loss scale. update. */
int dt_cuda_optimizer_step(dt_cuda_stream stream, const dt_cuda_optimizer_call *call);

/* mirror[i] = values[i], rounded to dtype (F16, BF16); n: any. */
int dt_cuda_values_cast(dt_cuda_stream stream, const float *values, int64_t n_elems, dt_dtype dtype,
                        void *mirror);
/* A weight gradient in the type that the library wrote: to[i] (= or +=) from[i] for n elements, n any. */
typedef struct dt_cuda_gradient {
    const void *from;
    float *to;
    int64_t n;
    bool accumulate;
} dt_cuda_gradient;
/* So many fit into the 4 kB of a kernel's arguments. */
#define DT_CUDA_MAX_GRADIENTS 120
/* Convert n_gradients of them (host memory; DT_CUDA_MAX_GRADIENTS at most; `from` of dtype F32, F16 or BF16)
 * in one launch. They do not overlap. */
int dt_cuda_gradients_store(dt_cuda_stream stream, dt_dtype dtype, const dt_cuda_gradient *gradients,
                            int64_t n_gradients);

/* -- a step's beginning and end (step.cu) ---------------------------------------------------------------- */

int dt_cuda_step_begin(dt_cuda_stream stream, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                       int64_t n_step_floats);
int dt_cuda_step_record(dt_cuda_stream stream, dt_step_state *state, const dt_loss_sums *global,
                        const dt_loss_sums *local, const float *votes, dt_step_record *ring, int64_t n_ring);

#ifdef __cplusplus
}
#endif

#endif
